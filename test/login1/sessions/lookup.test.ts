/** Which session, user and seat is meant. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { fstatSync, mkdirSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, openPidfd, pidfdInode } from "../../../lib/linux/index.ts";
import { NO_UID } from "../../../lib/sd-login/index.ts";
import { ALICE } from "../support/accounts.ts";
import { callManager, createSession, getProperty } from "../support/client.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

const DENIED = "org.freedesktop.DBus.Error.AccessDenied";

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
    close(fd);
    await endAll(leader);
    await world.gone(bus, id);
  });

  test("numbers that can be nobody's are no arguments, or the caller's own", async () => {
    const name = (end: string) => ({ errorName: expect.stringContaining(end) });
    for (const member of ["GetSessionByPID", "GetUserByPID"]) {
      for (const pid of [2 ** 31, 2 ** 32 - 1]) {
        await expect(callManager(bus, member, "u", [pid])).rejects.toMatchObject(
          name("InvalidArgs"),
        );
      }
    }
    for (const uid of [0xffff, NO_UID]) {
      for (const member of ["GetUser", "TerminateUser"]) {
        await expect(callManager(bus, member, "u", [uid])).rejects.toMatchObject(
          name("NoUserForPID"),
        );
      }
    }
  });

  test("a process outside of every session is in its user's slice, or nobody's", async () => {
    const leader = await world.leader();
    const created = { uid: ALICE.uid, leader: leader.pid, type: "wayland", seat: "seat0" };
    const { id, path, fd } = await createSession(bus, created);
    const app = `/user.slice/user-${ALICE.uid}.slice/app`;
    mkdirSync(world.cgroupFolder + app);
    const manager = "/org/freedesktop/login1";
    const [user, seat] = [`${manager}/user/_${ALICE.uid}`, `${manager}/seat/seat0`];
    const none = "org.freedesktop.login1.NoSessionForPID";
    const noUser = "org.freedesktop.login1.NoUserForPID";
    const noSession = "org.freedesktop.login1.NoSuchSession";
    const noObject = "org.freedesktop.DBus.Error.UnknownObject";
    const property = (kind: string, name: string) =>
      `org.freedesktop.DBus.Properties.Get string:org.freedesktop.login1.${kind} string:${name}`;
    const call = (member: string) => `org.freedesktop.login1.Manager.${member}`;
    // What is called, and its answer in the user's slice, and outside of it: whose process it is does
    // not count.
    const calls: [string, string, string, string][] = [
      [manager, call("GetSession string:"), none, none],
      [manager, call("GetSession string:self"), none, none],
      [manager, call("GetSession string:auto"), path, none],
      [manager, call("GetSeat string:"), none, none],
      [manager, call("GetSeat string:self"), none, none],
      [manager, call("GetSeat string:auto"), seat, none],
      [manager, call(`GetUser uint32:${NO_UID}`), user, noUser],
      [manager, call("GetUserByPID uint32:0"), user, noUser],
      [manager, call("LockSession string:"), none, none],
      [manager, call("LockSession string:auto"), "", none],
      [manager, call("KillSession string:auto string:all int32:18"), "", none],
      [manager, call("ActivateSession string:self"), none, none],
      [manager, call(`ActivateSessionOnSeat string:${id} string:self`), none, none],
      [manager, call(`KillUser uint32:${NO_UID} int32:18`), "", noUser],
      [manager, call("AttachDevice string:auto string:/sys/none boolean:false"), DENIED, none],
      [`${manager}/session/self`, property("Session", "Id"), noObject, noObject],
      [`${manager}/session/auto`, property("Session", "Id"), `variant ${id}`, noObject],
      [`${manager}/seat/self`, property("Seat", "Id"), noObject, noObject],
      [`${manager}/seat/auto`, property("Seat", "Id"), "variant seat0", noObject],
      [`${manager}/user/self`, property("User", "UID"), `variant uint32 ${ALICE.uid}`, noObject],
      [seat, "org.freedesktop.login1.Seat.ActivateSession string:", noSession, noSession],
      [seat, "org.freedesktop.login1.Seat.ActivateSession string:self", noSession, noSession],
      [seat, "org.freedesktop.login1.Seat.ActivateSession string:auto", noSession, noSession],
    ];
    const ask = async (object: string, words: string, options: { cgroup?: string }) => {
      const destination = ["--system", "--print-reply=literal", "--dest=org.freedesktop.login1"];
      const command = ["dbus-send", ...destination, object, ...words.split(" ")];
      const { stdout, stderr } = await world.run(command, { user: ALICE.uid, ...options });
      return /^Error ([\w.]+)/.exec(stderr)?.[1] ?? stdout.trim().replace(/\s+/g, " ");
    };
    for (const [object, words, inSlice, outside] of calls) {
      expect(await ask(object, words, { cgroup: app }), `${words} in the slice`).toBe(inSlice);
      expect(await ask(object, words, {}), `${words} outside`).toBe(outside);
    }
    close(fd);
  });

  test("who is to linger is the user of that uid, or in whose slice the caller is", async () => {
    const slice = `/user.slice/user-${ALICE.uid}.slice/nobody`;
    mkdirSync(world.cgroupFolder + slice, { recursive: true });
    const linger = async (uid: number, options: { cgroup?: string } = {}) => {
      const words = ["org.freedesktop.login1.Manager.SetUserLinger", `uint32:${uid}`];
      const { stderr } = await world.run(
        [
          ...["dbus-send", "--system", "--print-reply=literal", "--dest=org.freedesktop.login1"],
          ...["/org/freedesktop/login1", ...words, "boolean:true", "boolean:false"],
        ],
        options,
      );
      return /^Error ([\w.]+)/.exec(stderr)?.[1];
    };
    expect(await linger(NO_UID)).toBe("System.Error.ENXIO");
    expect(await linger(12345)).toBe("org.freedesktop.DBus.Error.UnixProcessIdUnknown");
    // Also a user who is not logged in.
    expect(await linger(NO_UID, { cgroup: slice })).toBeUndefined();
    const path = `/org/freedesktop/login1/user/_${ALICE.uid}`;
    expect(await getProperty(bus, path, "User", "Linger")).toBe(true);
    await callManager(bus, "SetUserLinger", "ubb", [ALICE.uid, false, false]);
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
