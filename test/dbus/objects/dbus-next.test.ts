/** dbus-next as a client of our objects: another implementation reads, calls, sets and hears them. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import dbus, { type ClientInterface, type MessageBus, Variant } from "dbus-next";
import { Connection, type Interface, membersOf, ObjectTree } from "../../../lib/dbus/index.ts";
import { type PrivateBus, startBus } from "../../support/private-bus.ts";

const NAME = "com.example.Cupboard";
const PATH = "/com/example/Cupboard";
const CUP = "com.example.Cup";

interface Cup {
  volume: bigint;
}

const { method, property, signal } = membersOf<Cup>();
const cup: Interface<Cup> = {
  name: CUP,
  members: {
    Echo: method(
      "xa{sv}(bs)",
      ["x", "a", "s"],
      "xa{sv}(bs)",
      ["x", "a", "s"],
      (_cup, body) => body,
    ),
    Volume: property(
      "t",
      "true",
      ({ volume }) => volume,
      (target, value) => {
        target.volume = value;
      },
    ),
  },
  signals: { Emptied: signal("su", ["who", "times"]) },
};

let bus: PrivateBus;
let server: Connection;
let tree: ObjectTree;
let client: MessageBus;
let there: ClientInterface;
let properties: ClientInterface;
beforeAll(async () => {
  bus = await startBus();
  server = await Connection.open(bus.address);
  tree = new ObjectTree(server, (_call, error) => {
    throw error;
  });
  tree.addObject(PATH, [cup], { volume: 7n });
  await server.requestName(NAME);
  client = dbus.sessionBus({ busAddress: bus.address });
  const object = await client.getProxyObject(NAME, PATH);
  there = object.getInterface(CUP);
  properties = object.getInterface("org.freedesktop.DBus.Properties");
});
afterAll(async () => {
  client.disconnect();
  server.close();
  await bus.stop();
});

/** A member that its proxy has by introspection. */
const ask = (target: ClientInterface, member: string, ...body: unknown[]) =>
  (target[member] as (...body: unknown[]) => Promise<unknown>)(...body);

test("its values come back as they went", async () => {
  const body = [-(2n ** 62n), { a: new Variant("au", [1, 2]) }, [true, "für ✓"]];
  expect(await ask(there, "Echo", ...body)).toEqual(body);
});

test("it reads and sets a property", async () => {
  expect(await ask(properties, "Get", CUP, "Volume")).toEqual(new Variant("t", 7n));
  await ask(properties, "Set", CUP, "Volume", new Variant("t", 8n));
  expect(await ask(properties, "GetAll", CUP)).toEqual({ Volume: new Variant("t", 8n) });
  const wrong = ask(properties, "Set", CUP, "Volume", new Variant("s", "x"));
  await expect(wrong).rejects.toMatchObject({ type: "org.freedesktop.DBus.Error.InvalidArgs" });
});

test("it hears a signal", async () => {
  const heard = new Promise<unknown[]>((resolve) => {
    there.on("Emptied", (...body: unknown[]) => resolve(body));
  });
  // Behind its AddMatch on the same way.
  await ask(properties, "Get", CUP, "Volume");
  tree.emit(PATH, cup, "Emptied", ["lain", 3]);
  expect(await heard).toEqual(["lain", 3]);
});
