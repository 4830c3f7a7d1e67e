/** Our marshaller against dbus-next's own, which is slow and right. */
import { expect, test } from "bun:test";
// @ts-expect-error: dbus-next declares types for its front page only
import { marshallMessage } from "dbus-next/lib/marshall-compat.js";
import { Message, Variant } from "../../lib/dbus/dbus-next.ts";
import { marshal } from "../../lib/dbus/marshal.ts";

function message(signature: string, body: unknown[]) {
  const made = new Message({
    path: "/org/lainos/Test",
    destination: "org.lainos.Test",
    interface: "org.lainos.Test",
    member: "Member",
    signature,
    body,
  });
  made.serial = 7;
  return made;
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

test.each(BODIES)("%s is what dbus-next makes of it", (signature, body) => {
  const [data, fds] = marshallMessage(message(signature, body)) as [Buffer, number[]];
  expect(marshal(message(signature, body))).toEqual({ data, fds });
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
  const [data] = marshallMessage(message("s", ["next"])) as [Buffer];
  expect(marshal(message("s", ["next"])).data).toEqual(data);
});
