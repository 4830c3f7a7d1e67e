/** Which session, user and seat is meant. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { fstatSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, openPidfd, pidfdInode } from "../../../lib/linux/index.ts";
import { ALICE } from "../support/accounts.ts";
import { callManager, createSession, getProperty } from "../support/client.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});
afterEach(() => world.reset(bus));

describe("finding", () => {
  test("a process in a session finds it by pid, as self and as auto", async () => {
    const leader = await world.leader();
    const { id, path, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const cgroup = scopeOf(ALICE.uid, id);
    const inside = { user: ALICE.uid, cgroup };
    const manager = ["org.freedesktop.login1", "/org/freedesktop/login1"];
    const call = (...words: string[]) =>
      world.run(["busctl", "call", ...manager, "org.freedesktop.login1.Manager", ...words], inside);
    for (const words of [
      ["GetSession", "s", "self"],
      ["GetSession", "s", "auto"],
      ["GetSession", "s", ""],
      ["GetSession", "s", id],
      ["GetSessionByPID", "u", "0"],
      ["GetSessionByPID", "u", String(leader.pid)],
    ]) {
      expect((await call(...words)).stdout).toBe(`o "${path}"\n`);
    }
    const user = `o "/org/freedesktop/login1/user/_${ALICE.uid}"\n`;
    expect((await call("GetUser", "u", String(ALICE.uid))).stdout).toBe(user);
    expect((await call("GetUserByPID", "u", "0")).stdout).toBe(user);
    const self = "/org/freedesktop/login1/session/self";
    const property = ["org.freedesktop.login1.Session", "Id"];
    const got = await world.run(
      ["busctl", "get-property", "org.freedesktop.login1", self, ...property],
      inside,
    );
    expect(got.stdout).toBe(`s "${id}"\n`);
    // From outside of any session, auto is the user's display session.
    const outside = await world.run(
      ["busctl", "call", ...manager, "org.freedesktop.login1.Manager", "GetSession", "s", "auto"],
      { user: ALICE.uid },
    );
    expect(outside.stdout).toBe(`o "${path}"\n`);
    close(fd);
    await endAll(leader);
    await world.gone(bus, id);
  });

  test("a leader is told from a later process of its number, also after a restart", async () => {
    const leader = await world.leader();
    const { id, path, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const pidfd = openPidfd(leader.pid);
    const inode = fstatSync(pidfd, { bigint: true }).ino;
    // Before Linux 6.9 all pidfds have one inode, which names nothing.
    const named = pidfdInode(pidfd) === undefined ? 0n : inode;
    close(pidfd);
    expect(await getProperty(bus, path, "Session", "LeaderPIDFDId")).toBe(named);
    expect(world.stateOf("sessions", id).LEADER_PIDFDID).toBe(
      named === 0n ? undefined : String(named),
    );
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(await getProperty(bus, path, "Session", "LeaderPIDFDId")).toBe(named);
    close(fd);
  });

  test("an obsolete property answers Get, and is in neither GetAll nor introspection", async () => {
    const manager = "/org/freedesktop/login1";
    const UNLIMITED = 0xffff_ffff_ffff_ffffn;
    expect(await getProperty(bus, manager, "Manager", "UserTasksMax")).toBe(UNLIMITED);
    expect(await getProperty(bus, `${manager}/seat/seat0`, "Seat", "CanMultiSession")).toBe(true);
    const words = ["org.freedesktop.login1", manager];
    const all = await world.run([
      ...["busctl", "call", ...words, "org.freedesktop.DBus.Properties", "GetAll"],
      ...["s", "org.freedesktop.login1.Manager"],
    ]);
    expect(all.stdout).toContain('"SessionsMax"');
    expect(all.stdout).not.toContain("UserTasksMax");
    const shown = await world.run(["busctl", "introspect", ...words]);
    expect(shown.stdout).toContain(".SessionsMax");
    expect(shown.stdout).not.toContain("UserTasksMax");
  });

  test("what does not exist has logind's error names", async () => {
    const error = (name: string) => ({ errorName: `org.freedesktop.login1.${name}` });
    const call = (member: string, signature: string, ...body: unknown[]) =>
      callManager(bus, member, signature, body);
    await expect(call("GetSession", "s", "c999")).rejects.toMatchObject(error("NoSuchSession"));
    await expect(call("GetSession", "s", "self")).rejects.toMatchObject(error("NoSessionForPID"));
    await expect(call("GetSessionByPID", "u", 1)).rejects.toMatchObject(error("NoSessionForPID"));
    await expect(call("GetUser", "u", 12345)).rejects.toMatchObject(error("NoSuchUser"));
    await expect(call("GetUserByPID", "u", 1)).rejects.toMatchObject(error("NoUserForPID"));
    await expect(call("GetSeat", "s", "seat9")).rejects.toMatchObject(error("NoSuchSeat"));
    await expect(call("TerminateSession", "s", "c999")).rejects.toMatchObject(
      error("NoSuchSession"),
    );
  });
});
