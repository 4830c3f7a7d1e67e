/** The bus goes away and comes back: login1 is the same process, with all that it had. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { quietFor } from "../../support/until.ts";
import {
  callManager,
  callSession,
  createSession,
  getProperty,
  hasOwner,
} from "../support/client.ts";
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

/** Connects to the bus that there is now, and waits until login1 is on it. */
async function connectAgain(): Promise<void> {
  bus.close();
  bus = await world.connect();
  await world.until("login1 is there again", () => hasOwner(bus, "org.freedesktop.login1"));
}

const controller = (path: string) => callOnSession(path, "TakeControl", "b", [false]);
const callOnSession = (path: string, member: string, signature = "", body: unknown[] = []) =>
  callSession(bus, path, member, signature, body);

test("a bus that is started anew finds the same bridge, sessions and inhibitors", async () => {
  const pid = world.bridgePid;
  const leader = await world.leader();
  const { id, path, fd } = await createSession(bus, { uid: 1, leader: leader.pid, seat: "seat0" });
  await controller(path);
  const [inhibitor] = await callManager(bus, "Inhibit", "ssss", ["sleep", "me", "why", "block"]);
  const signals: unknown[] = [];
  for (let round = 0; round < 3; round++) {
    await world.endBus();
    await world.until("it is noticed", () => world.log.includes("the message bus is lost"));
    await quietFor(100, "the bridge ends while there is no bus");
    await world.startBus();
    await connectAgain();
    expect(world.bridgePid).toBe(pid);
    expect(((await callManager(bus, "ListSessions"))[0] as string[][]).map(([one]) => one)).toEqual(
      [id],
    );
    expect((await callManager(bus, "ListInhibitors"))[0]).toHaveLength(1);
    await world.until("units are there too", () => hasOwner(bus, "org.freedesktop.systemd1"));
  }
  // Its controller was a connection of the bus that is gone, whatever has its name now.
  await world.until("control is free", () => world.log.includes("started anew"));
  await controller(path);
  const match = { sender: "org.freedesktop.login1", member: "SessionRemoved" };
  const manager = "org.freedesktop.login1.Manager";
  await bus.onSignal({ ...match, interface: manager }, ([gone]) => signals.push(gone));
  expect(await getProperty(bus, path, "Session", "Active")).toBe(true);
  await callManager(bus, "ReleaseSession", "s", [id]);
  leader.kill("SIGKILL");
  await world.until("its end is told on the new bus", () => signals.includes(id));
  for (const one of [fd, inhibitor as number]) close(one);
});

test("a name that another has taken meanwhile ends it, with the reason", async () => {
  await world.endBus();
  await world.until("it is noticed", () => /lost(?![\s\S]*started anew)/.test(world.log));
  await world.startBus();
  await connectAgain();
  const other = await world.connect();
  // A second one does not get the name of one that lives.
  await expect(other.requestName("org.freedesktop.login1")).rejects.toThrow("is taken");
  const replace = 2;
  await other.call({
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    ...{ member: "RequestName", signature: "su", body: ["org.freedesktop.login1", replace] },
  });
  await world.until("it has ended", () =>
    world.log.includes("another program has taken the bus name"),
  );
  other.close();
  await world.startBridge();
});
