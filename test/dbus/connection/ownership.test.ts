/** Descriptors that were given to the connection are closed by it, whatever becomes of the message. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Connection, Variant } from "../../../lib/dbus/index.ts";
import { O_RDONLY, open } from "../../../lib/linux/index.ts";
import { type PrivateBus, startBus } from "../../support/private-bus.ts";
import { until } from "../../support/until.ts";

let bus: PrivateBus;
let file: string;
let connection: Connection;
beforeAll(async () => {
  bus = await startBus();
  file = join(bus.folder, "file");
  writeFileSync(file, "");
  connection = await Connection.open(bus.address);
});
afterAll(async () => {
  connection.close();
  await bus.stop();
});

const give = () => open(file, O_RDONLY);
const openNow = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === file;
    } catch {
      return false; // the one that lists the folder
    }
  }).length;

const right = { destination: "a.b", path: "/", interface: "a.b", member: "C" };

test.each([
  ["destination", "no name"],
  ["path", "/a/"],
  ["interface", "a"],
  ["member", "a.b"],
])("a call and a signal with a wrong %s", async (kind, text) => {
  const wrong = { ...right, [kind]: text };
  const said = `${JSON.stringify(text)} is no valid ${kind}`;
  const asked = connection.call({ ...wrong, signature: "h", body: [give()] });
  await expect(asked).rejects.toThrow(said);
  expect(openNow()).toBe(0);
  const { destination, path, interface: name, member } = wrong;
  const signal = () => connection.signal(path, name, member, "h", [give()], destination);
  expect(signal).toThrow(said);
  expect(openNow()).toBe(0);
});

test.each([
  ["hs", () => [give(), 1]],
  [
    "a(sh)s",
    () => [
      [
        ["a", give()],
        ["b", give()],
      ],
      1,
    ],
  ],
  ["a{sh}ahs", () => [{ a: give() }, [give(), give()], 1]],
  ["vs", () => [new Variant("(uh)", [1, give()]), 1]],
  ["a{sv}s", () => [{ a: new Variant("ah", [give()]) }, 1]],
])("a body that is not %s", async (signature, make) => {
  await expect(connection.call({ ...right, signature, body: make() })).rejects.toThrow(TypeError);
  expect(openNow()).toBe(0);
});

test("those of a message that goes out are closed once, wherever they are in it", async () => {
  const body = [[["a", give()]], new Variant("h", give())];
  const asked = connection.call({ ...right, signature: "a(sh)v", body });
  // The bus answers that there is no a.b.
  await expect(asked).rejects.toThrow("a.b");
  await until("they are closed", () => openNow() === 0);
});

test("a call and a signal on a connection that is closed", async () => {
  const closed = await Connection.open(bus.address);
  closed.close();
  const asked = closed.call({ ...right, signature: "h", body: [give()] });
  await expect(asked).rejects.toThrow("is closed");
  expect(openNow()).toBe(0);
  closed.signal("/", "a.b", "C", "h", [give()]);
  expect(openNow()).toBe(0);
});
