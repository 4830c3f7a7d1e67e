/** What names may be, against dbus-next's checks and, where those are laxer, the specification's words. */
import { expect, test } from "bun:test";
import dbus from "dbus-next";
import {
  checkNames,
  isBusName,
  isInterfaceName,
  isMemberName,
  isObjectPath,
} from "../../../lib/dbus/protocol/names.ts";
import { Random } from "../../login1/support/random-source.ts";

// Its types leave these out.
const { validators } = dbus as unknown as {
  validators: Record<string, (text: string) => boolean>;
};
const ROUNDS = 50_000;

/** What stands at an end of a rule, or is near to something that does. */
const PIECES = [
  "a",
  "Z",
  "_",
  "-",
  "1",
  ".",
  "..",
  "/",
  "//",
  ":",
  "org",
  "x1",
  " ",
  "\n",
  "é",
  "\0",
  "",
];

const LONG = "a".repeat(255);

test.each([
  ["isBusNameValid", isBusName],
  ["isInterfaceNameValid", isInterfaceName],
  ["isMemberNameValid", isMemberName],
  ["isObjectPathValid", isObjectPath],
] as const)("%s says the same of random texts", (theirs, ours) => {
  const seed = Number(process.env.P7_SEED ?? Math.floor(Math.random() * 2 ** 32));
  process.stdout.write(`P7_SEED=${seed}\n`);
  const random = new Random(seed);
  const said = { valid: 0, not: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    const pieces = Array.from({ length: 1 + random.below(7) }, () => random.of(PIECES));
    const text = (theirs === "isObjectPathValid" ? "/" : "") + pieces.join("");
    // It takes whatever begins with a colon for a unique name.
    if (theirs === "isBusNameValid" && text.startsWith(":")) continue;
    const expected = validators[theirs]?.(text);
    if (ours(text) !== expected) throw new Error(`P7_SEED=${seed}: ${JSON.stringify(text)}`);
    said[expected ? "valid" : "not"]++;
  }
  // Or nothing was compared.
  expect(Math.min(said.valid, said.not)).toBeGreaterThan(50);
});

test.each([
  [isBusName, [":1.7", ":a.b-c", ":1.2.3", "a.b", "org.x-y", "-a._b"]],
  [isInterfaceName, ["a.b", "org.freedesktop.DBus", "_a.b1"]],
  [isMemberName, ["A", "_a1", LONG]],
  [isObjectPath, ["/", "/1", "/a/_b", `/${"a".repeat(70_000)}`]],
])("%p takes what the specification allows", (check, texts) => {
  expect(texts.filter((text) => !check(text))).toEqual([]);
});

test.each([
  [isBusName, ["", ":", ":1", ":1.", ":.1", "a", "1.b", "a.1b", "a.b\n", ":1.é", `a.${LONG}`]],
  [isInterfaceName, ["", "a", ".a.b", "a.b.", "a..b", "a.1", "a-b.c", "a.b\n", `a.${LONG}`]],
  [isMemberName, ["", "1a", "a.b", "a-b", "a\n", `${LONG}a`]],
  [isObjectPath, ["", "a", "//", "/a/", "/a//b", "/a-b", "/a\n"]],
])("%p refuses what it does not", (check, texts) => {
  expect(texts.filter((text) => check(text))).toEqual([]);
});

test("a header's names are looked at, and the first that is none is named", () => {
  const right = { destination: ":1.1", path: "/", interface: "a.b", member: "C" };
  expect(() => checkNames(right)).not.toThrow();
  expect(() => checkNames({})).not.toThrow();
  const wrong = { destination: "x", path: "x", interface: "x", member: "1" };
  for (const [kind, text] of Object.entries(wrong)) {
    const said = `${JSON.stringify(text)} is no valid ${kind} of a message`;
    expect(() => checkNames({ ...right, [kind]: text })).toThrow(said);
  }
});
