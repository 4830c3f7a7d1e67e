import { expect, test } from "bun:test";
import { splitSignature } from "../../../lib/dbus/protocol/signature.ts";

test("signatures split into their types", () => {
  expect(splitSignature("sa{sv}u")).toEqual(["s", "a{sv}", "u"]);
  expect(splitSignature("a(sssb)aas(i)")).toEqual(["a(sssb)", "aas", "(i)"]);
  expect(() => splitSignature("a(s")).toThrow("ends too early");
});
