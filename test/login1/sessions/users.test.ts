/** Users of several sessions, and several users. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { readdirSync, statSync, writeFileSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { ALICE, BOB } from "../support/accounts.ts";
import { callManager, createSession } from "../support/client.ts";
import { noteSignals } from "../support/signals.ts";
import { endAll, World } from "../support/world.ts";

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

describe("users", () => {
  test("one who is logged in twice keeps what is the other session's", async () => {
    const first = await world.leader();
    const second = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: first.pid, seat: "seat0" });
    const two = await createSession(bus, { uid: ALICE.uid, leader: second.pid, type: "tty" });
    expect(events.filter((event) => event.startsWith("UserNew"))).toHaveLength(1);
    expect(world.stateOf("users", String(ALICE.uid)).SESSIONS).toBe(`${two.id} ${one.id}`);
    expect(world.stateOf("users", String(ALICE.uid)).DISPLAY).toBe(one.id);
    writeFileSync(`${world.root}/run/user/${ALICE.uid}/kept`, "x");
    await endAll(first);
    await world.gone(bus, one.id);
    expect(readdirSync(`${world.root}/run/user/${ALICE.uid}`)).toEqual(["kept"]);
    expect(world.stateOf("users", String(ALICE.uid))).toMatchObject({
      SESSIONS: two.id,
      DISPLAY: two.id,
      STATE: "active",
    });
    await endAll(second);
    await world.gone(bus, two.id);
    await world.userGone(ALICE.uid);
    for (const fd of [one.fd, two.fd]) close(fd);
  });

  test("two have a directory and a slice each", async () => {
    const first = await world.leader();
    const second = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: first.pid });
    const two = await createSession(bus, { uid: BOB.uid, leader: second.pid });
    expect(statSync(`${world.root}/run/user/${BOB.uid}`).uid).toBe(BOB.uid);
    const users = await callManager(bus, "ListUsers");
    expect((users[0] as unknown[]).length).toBe(2);
    const peek = await world.run(["ls", `/run/user/${BOB.uid}`], { user: ALICE.uid });
    expect(peek.code).not.toBe(0);
    await endAll(first, second);
    await world.gone(bus, one.id);
    await world.gone(bus, two.id);
    await world.userGone(BOB.uid);
    for (const fd of [one.fd, two.fd]) close(fd);
  });
});
