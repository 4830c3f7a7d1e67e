/** A desktop says what it is. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { ALICE, BOB } from "../support/accounts.ts";
import { createSession } from "../support/client.ts";
import { noteSignals } from "../support/signals.ts";
import { scopeOf, World } from "../support/world.ts";

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  await noteSignals(world, bus, events);
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
});
afterEach(() => world.reset(bus));

describe("the desktop", () => {
  const announce = (user: number, cgroup: string, id: string, ...words: string[]) =>
    world.run(
      [
        ...["busctl", "call", "org.freedesktop.login1", `/org/freedesktop/login1/session/${id}`],
        ...["org.lainos.Session1", "AnnounceDesktop", "sss", ...words],
      ],
      { user, cgroup },
    );

  test("is announced from inside the session, and from nowhere else", async () => {
    const leader = await world.leader();
    const options = { uid: ALICE.uid, leader: leader.pid, type: "unspecified" };
    const { id, fd } = await createSession(bus, options);
    const scope = scopeOf(ALICE.uid, id);
    const good = ["wayland", "sway", ""];
    expect((await announce(ALICE.uid, "", id, ...good)).stderr).toContain("Access denied");
    expect((await announce(BOB.uid, scope, id, ...good)).stderr).toContain("Access denied");
    for (const bad of [
      ["tty", "sway", ""],
      ["x11", "openbox", ""],
      ["wayland", "a\nUID=0", ""],
    ]) {
      expect((await announce(ALICE.uid, scope, id, ...bad)).code).toBe(1);
    }
    expect(world.stateOf("sessions", id).TYPE).toBe("unspecified");
    expect(await announce(ALICE.uid, scope, id, ...good)).toMatchObject({ code: 0, stderr: "" });
    expect(world.stateOf("sessions", id)).toMatchObject({ TYPE: "wayland", DESKTOP: "sway" });
    await world.until("the news", () => events.includes(`Session ${id} Type="wayland"`));
    await announce(ALICE.uid, scope, id, "x11", "openbox", ":1");
    expect(world.stateOf("sessions", id)).toMatchObject({ TYPE: "x11", DISPLAY: ":1" });
    close(fd);
  });
});
