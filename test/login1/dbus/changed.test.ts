/** PropertiesChanged tells of what is another value than before, and of nothing else. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import {
  type Created,
  type CreateOptions,
  callManager,
  callObject,
  callSession,
  createSession,
  getProperty,
  MANAGER,
} from "../support/client.ts";
import { World } from "../support/world.ts";

const ALICE = 65534;
const USER = `${MANAGER}/user/_${ALICE}`;

let world: World;
let bus: Connection;
/** What was told since the last look, `Session c1 Type=wayland`. */
let told: string[];
/** What each property was before, by object and name. */
const known = new Map<string, string>();
/** What was told although it was so before. */
let repeated: string[];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const properties = "org.freedesktop.DBus.Properties";
  await bus.onSignal(
    { sender: "org.freedesktop.login1", interface: properties, member: "PropertiesChanged" },
    ([name, values], { path }) => {
      const kind = String(name).split(".").at(-1);
      for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
        const text = Bun.inspect(value);
        if (known.get(`${path} ${key}`) === text) repeated.push(`${path} ${key}=${text}`);
        known.set(`${path} ${key}`, text);
        told.push(`${kind} ${path.split("/").at(-1)} ${key}`);
      }
    },
  );
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  told = [];
  repeated = [];
});

/** Notes what an object's properties are now. */
async function noteAll(path: string, kind: string): Promise<void> {
  const [all] = await bus.call({
    destination: "org.freedesktop.login1",
    path,
    interface: "org.freedesktop.DBus.Properties",
    member: "GetAll",
    signature: "s",
    body: [`org.freedesktop.login1.${kind}`],
  });
  for (const [key, { value }] of Object.entries(all as Record<string, { value: unknown }>)) {
    known.set(`${path} ${key}`, Bun.inspect(value));
  }
}

/** What login1 has told until now. */
async function toldNow(): Promise<string[]> {
  // Its signals come before its answers.
  await getProperty(bus, MANAGER, "Manager", "NCurrentSessions");
  return told.splice(0).sort();
}

type Kind = Pick<CreateOptions, "type"> & Partial<CreateOptions>;
async function login(kind: Kind): Promise<Created & { end(): Promise<void> }> {
  const leader = await world.leader();
  const created = await createSession(bus, { uid: ALICE, leader: leader.pid, ...kind });
  await noteAll(created.path, "Session");
  await noteAll(USER, "User");
  return {
    ...created,
    async end() {
      leader.kill("SIGKILL");
      close(created.fd);
      await world.gone(bus, created.id);
    },
  };
}

test("what a controller says of its session is told once, and what it says again is not", async () => {
  const session = await login({ type: "wayland" });
  const object = session.path.split("/").at(-1);
  const says = (member: string, signature = "", body: unknown[] = []) =>
    callSession(bus, session.path, member, signature, body);
  const steps: [() => Promise<unknown>, string[]][] = [
    [toldNow, []],
    [() => says("TakeControl", "b", [false]), []],
    [() => says("SetType", "s", ["wayland"]), []],
    [() => says("SetType", "s", ["x11"]), [`Session ${object} Type`]],
    [() => says("SetType", "s", ["x11"]), []],
    [() => says("SetDisplay", "s", [":1"]), [`Session ${object} Display`]],
    [() => says("SetDisplay", "s", [":1"]), []],
    [() => says("SetLockedHint", "b", [true]), [`Session ${object} LockedHint`]],
    [() => says("SetLockedHint", "b", [true]), []],
    [() => says("ReleaseControl"), [`Session ${object} Type`]],
    [() => says("TakeControl", "b", [false]), []],
    [() => says("ReleaseControl"), []],
    [() => says("SetClass", "s", ["user"]), []],
  ];
  await toldNow();
  for (const [does, expected] of steps) {
    await does();
    expect(await toldNow()).toEqual(expected);
  }
  expect(repeated).toEqual([]);
  await session.end();
});

test("the display is told when it is another session, or none", async () => {
  const display = async () => (await toldNow()).filter((line) => line.endsWith("Display"));
  const theirs = [`User _${ALICE} Display`];
  const first = await login({ type: "wayland" });
  expect(await display()).toEqual(theirs);
  const second = await login({ type: "unspecified", class: "background" });
  expect(await display()).toEqual([]);
  await second.end();
  expect(await display()).toEqual([]);
  const third = await login({ type: "x11" });
  expect(await display()).toEqual([]);
  await first.end();
  expect(await display()).toEqual(theirs);
  await third.end();
  expect(repeated).toEqual([]);
});

test("nothing that is set to what it is already is told", async () => {
  const session = await login({ type: "x11" });
  await noteAll(MANAGER, "Manager");
  const linger = (on: boolean) => callManager(bus, "SetUserLinger", "ubb", [ALICE, on, false]);
  await toldNow();
  await linger(true);
  expect(await toldNow()).toEqual([`User _${ALICE} Linger`]);
  await linger(true);
  expect(await toldNow()).toEqual([]);
  await linger(false);
  expect(await toldNow()).toEqual([`User _${ALICE} Linger`]);
  const idle = (hint: boolean) => callSession(bus, session.path, "SetIdleHint", "b", [hint]);
  await idle(true);
  const changed = await toldNow();
  expect(changed).toContain("Manager login1 IdleHint");
  expect(changed).toContain(`User _${ALICE} IdleHint`);
  await idle(true);
  expect(await toldNow()).toEqual([]);
  await idle(false);
  const inhibit = async (mode: string) =>
    (await callManager(bus, "Inhibit", "ssss", ["sleep", "test", "reason", mode]))[0] as number;
  await toldNow();
  const delay = await inhibit("delay");
  expect(await toldNow()).toEqual([
    "Manager login1 DelayInhibited",
    "Manager login1 NCurrentInhibitors",
  ]);
  const block = await inhibit("block");
  const again = await inhibit("block");
  expect(await toldNow()).toEqual([
    "Manager login1 BlockInhibited",
    ...Array(2).fill("Manager login1 NCurrentInhibitors"),
  ]);
  for (const fd of [delay, block, again]) close(fd);
  await world.until("the inhibitors are gone", async () => {
    return ((await callManager(bus, "ListInhibitors"))[0] as unknown[]).length === 0;
  });
  await session.end();
  expect(repeated).toEqual([]);
});

test("what a restart finds as it was is not told, and what changes then is", async () => {
  const session = await login({ type: "wayland" });
  await world.endBridge("SIGKILL");
  await world.startBridge();
  await toldNow();
  await callSession(bus, session.path, "TakeControl", "b", [false]);
  expect(await toldNow()).toEqual([]);
  await callSession(bus, session.path, "SetType", "s", ["x11"]);
  expect(await toldNow()).toEqual([`Session ${session.path.split("/").at(-1)} Type`]);
  await callObject(bus, session.path, "Session", "ReleaseControl");
  expect(repeated).toEqual([]);
  await session.end();
});
