/** Sessions, users and seats by unmodified loginctl and busctl. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { ALICE, BOB } from "../support/accounts.ts";
import { createSession } from "../support/client.ts";
import { endAll, World } from "../support/world.ts";

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

describe("loginctl and busctl", () => {
  test("show every session, user and seat with exit status 0", async () => {
    const leader = await world.leader();
    const options = { uid: ALICE.uid, leader: leader.pid, seat: "seat0", desktop: "sway" };
    const { id, fd } = await createSession(bus, options);
    const run = async (...words: string[]) => {
      const { code, stdout, stderr } = await world.run(["loginctl", "--no-pager", ...words]);
      expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: "" });
      return stdout;
    };
    const row = new RegExp(`^ *${id} +${ALICE.uid} +${ALICE.name} +seat0`, "m");
    expect(await run("list-sessions")).toMatch(row);
    expect(await run("list-users")).toMatch(new RegExp(`^ *${ALICE.uid} +${ALICE.name}`, "m"));
    expect(await run("list-seats")).toContain("seat0");
    expect(await run("show-session", id)).toContain(`Leader=${leader.pid}\n`);
    expect(await run("show-user", ALICE.name)).toContain(`RuntimePath=/run/user/${ALICE.uid}\n`);
    expect(await run("show-seat", "seat0")).toContain(`ActiveSession=${id}\n`);
    expect(await run("show-session")).toContain("NCurrentSessions=1\n");
    const status = await run("session-status", id);
    expect(status).toContain("Desktop: sway");
    expect(status).toContain(`${leader.pid} sleep infinity`);
    const asUser = await world.run(["loginctl", "--no-pager", "session-status", id], {
      user: BOB.uid,
    });
    const timeless = (text: string) => text.replace(/; .* ago$/m, "");
    expect({ ...asUser, stdout: timeless(asUser.stdout) }).toEqual({
      code: 0,
      stdout: timeless(status),
      stderr: "",
    });
    const missing = await world.run([
      ...["busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"],
      ...["org.freedesktop.systemd1.Manager", "GetUnitProcesses", "s", "dbus.service"],
    ]);
    expect(missing.stderr).toContain("Unit dbus.service not loaded");
    expect(await run("user-status", ALICE.name)).toContain(`Sessions: *${id}`);
    expect(await run("seat-status", "seat0")).toContain(`Sessions: *${id}`);
    const tree = await world.run(["busctl", "tree", "--list", "org.freedesktop.login1"]);
    expect(tree.stdout.split("\n")).toContain(`/org/freedesktop/login1/session/${id}`);
    close(fd);
    await endAll(leader);
    await world.gone(bus, id);
  });
});
