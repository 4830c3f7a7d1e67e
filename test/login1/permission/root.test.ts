/** What only root may, and what the owner of a session. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { ALICE, BOB } from "../support/accounts.ts";
import { createSession } from "../support/client.ts";
import { World } from "../support/world.ts";

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

describe("permission", () => {
  test("only root makes and releases sessions; the owner ends them, another user does not", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const call = (user: number, member: string, ...words: string[]) =>
      world.run(
        [
          ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
          ...["org.freedesktop.login1.Manager", member, ...words],
        ],
        { user },
      );
    const denied = expect.objectContaining({
      code: 1,
      stderr: expect.stringContaining("Access denied"),
    });
    const words = ["uusssssussbssa(sv)", "1", "0", "x", "tty", "user"];
    const rest = ["", "", "0", "", "", "false", "", "", "0"];
    expect(await call(ALICE.uid, "CreateSession", ...words, ...rest)).toEqual(denied);
    expect(await call(ALICE.uid, "ReleaseSession", "s", id)).toEqual(denied);
    expect(await call(ALICE.uid, "TerminateSeat", "s", "seat0")).toEqual(denied);
    for (const [member, ...args] of [
      ["TerminateSession", "s", id],
      ["KillSession", "ssi", id, "all", "9"],
      ["LockSession", "s", id],
      ["TerminateUser", "u", String(ALICE.uid)],
      ["KillUser", "ui", String(ALICE.uid), "9"],
    ] as [string, ...string[]][]) {
      expect(await call(BOB.uid, member, ...args)).toEqual(denied);
    }
    // What can never be is said before anybody is asked.
    for (const [whom, signal] of [
      ["all", "65"],
      ["cat", "9"],
    ] as const) {
      const refused = await call(BOB.uid, "KillSession", "ssi", id, whom, signal);
      expect(refused.stderr).toContain(whom === "cat" ? "'cat'" : "signal 65");
    }
    expect(leader.exitCode).toBeNull();
    expect((await call(ALICE.uid, "LockSession", "s", id)).code).toBe(0);
    expect((await call(ALICE.uid, "TerminateSession", "s", id)).code).toBe(0);
    await leader.exited;
    await world.gone(bus, id);
    close(fd);
  });

  test("nobody but root takes the name, and the name is taken once", async () => {
    const second = await world.run([...world.options.bridge]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("org.freedesktop.login1 is taken");
    const asUser = await world.run([...world.options.bridge], { user: ALICE.uid });
    expect(asUser.code).toBe(1);
    expect(asUser.stderr).toContain("run as root");
  });
});
