/** Our marshaller and its reverse against dbus-next's own, which is slow and right. */
import { expect, test } from "bun:test";
import dbus, { type MessageLike } from "dbus-next";
// @ts-expect-error: dbus-next declares types for its front page only
import { marshallMessage } from "dbus-next/lib/marshall-compat.js";
import { marshal } from "../../../lib/dbus/protocol/marshal.ts";
import { MessageType, type Outgoing } from "../../../lib/dbus/protocol/message.ts";
import { messageLength, Unmarshaller } from "../../../lib/dbus/protocol/unmarshal.ts";
import { Variant } from "../../../lib/dbus/protocol/variant.ts";
import { Random } from "../../login1/support/random-source.ts";
import { RandomBodies } from "./random-bodies.ts";

const message = (signature: string, body: unknown[]): Outgoing => ({
  type: MessageType.METHOD_CALL,
  serial: 7,
  path: "/org/lainos/Test",
  destination: "org.lainos.Test",
  interface: "org.lainos.Test",
  member: "Member",
  signature,
  body,
});

/** The same by dbus-next. */
function marshalThere(signature: string, body: unknown[]): [Buffer<ArrayBuffer>, number[]] {
  const { type: _call, ...fields } = message(signature, body);
  const theirs = { ...fields, body: body.map(toTheirs) };
  const made = new dbus.Message(theirs as unknown as MessageLike);
  return marshallMessage(made) as [Buffer<ArrayBuffer>, number[]];
}

/** A value with dbus-next's variants in place of ours. */
function toTheirs(value: unknown): unknown {
  if (value instanceof Variant) return new dbus.Variant(value.signature, toTheirs(value.value));
  if (Array.isArray(value)) return value.map(toTheirs);
  if (typeof value !== "object" || value === null || value instanceof Uint8Array) return value;
  return Object.fromEntries(Object.entries(value).map(([key, inside]) => [key, toTheirs(inside)]));
}

const BODIES: [string, unknown[]][] = [
  ["", []],
  ["ybnqiu", [255, true, -0x8000, 0xffff, -0x80000000, 0xffffffff]],
  ["xtd", [-(2n ** 62n), 2n ** 64n - 1n, 1.5]],
  ["sog", ["für élise ✓ 🎹", "/a/b", "a{sv}"]],
  ["ya(susso)", [1, [["c1", 1000, "lain", "seat0", "/session/c1"]]]],
  ["yat", [1, []]],
  ["aas", [[["a"], [], ["b", "c"]]]],
  ["ay", [Buffer.from([1, 2, 3])]],
  ["a{sv}", [{ One: new Variant("s", "x"), Two: new Variant("(st)", ["y", 2n]) }]],
  ["a{su}", [{ one: 1, two: 2 }]],
  ["v", [new Variant("a{sv}", { Inner: new Variant("b", false) })]],
  ["sh", ["descriptor", 5]],
  ["s", ["x".repeat(20_000)]],
];

/** Holds our bytes of a body against theirs, and what we read of theirs against the body. */
function compare(signature: string, body: unknown[]): void {
  const [data, fds] = marshalThere(signature, body);
  const ours = marshal(message(signature, body));
  expect({ data: Buffer.from(ours.data), fds: ours.fds }).toEqual({ data, fds });
  const read = new Unmarshaller(Uint8Array.from(data));
  expect(messageLength(read.view, 0)).toBe(data.length);
  const waiting = [...fds];
  const back = read.read(0, data.length, waiting);
  expect(waiting).toEqual([]);
  const { type, serial, path, interface: name, member } = back;
  const header = { type, serial, path, interface: name, member };
  expect(message(signature, back.body)).toMatchObject(header);
  expect(back.body).toEqual(body);
}

test.each(BODIES)("%s is what dbus-next makes of it", compare);

test("5000 random bodies are what dbus-next makes of them", () => {
  const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
  process.stdout.write(`P7_SEED=${seed}\n`);
  const bodies = new RandomBodies(new Random(seed));
  for (let round = 1; round <= 5000; round++) {
    const { signature, body } = bodies.next();
    try {
      compare(signature, body);
    } catch (cause) {
      const what = `${signature} ${Bun.inspect(body, { depth: 9 })}`;
      throw new Error(`P7_SEED=${seed}, round ${round}: ${what}: ${cause}`, { cause });
    }
  }
});

test("what dbus-next refuses and the specification does not is read as it was written", () => {
  const body = [-(2n ** 63n), Number.POSITIVE_INFINITY, Number.NaN];
  const { data } = marshal(message("xdd", body));
  expect(new Unmarshaller(Uint8Array.from(data)).read(0, data.length, []).body).toEqual(body);
});

const WRONG: [string, unknown][] = [
  ["y", 256],
  ["u", -1],
  ["i", 1.5],
  ["t", -1n],
  ["t", 1],
  ["s", 1],
  ["s", "a\0b"],
  ["as", "text"],
  ["(ss)", ["one"]],
  ["a{sv}", { plain: "text" }],
  ["v", "text"],
  ["v", new Variant("ss", "two types")],
];

test.each(WRONG)("%s refuses %p, and the next message is whole", (signature, value) => {
  expect(() => marshal(message(signature, [value]))).toThrow();
  const [data] = marshalThere("s", ["next"]);
  expect(Buffer.from(marshal(message("s", ["next"])).data)).toEqual(data);
});
