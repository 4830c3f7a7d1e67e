/** Random signatures with values of theirs: what a body may be, from the plainest to nests. */
import { Variant } from "../../../lib/dbus/protocol/variant.ts";
import type { Random } from "../../login1/support/random-source.ts";

const BASIC = [..."ybnqiuxtdsogh"];
/** What arrays and dictionaries have at most, structs too. */
const MOST = 4;
const DEEPEST = 4;

/** The ends of each range, and what is likely to be mistaken for something else. */
const NUMBERS: Readonly<Record<string, readonly (number | bigint)[]>> = {
  y: [0, 1, 127, 128, 255],
  n: [-0x8000, -1, 0, 1, 0x7fff],
  q: [0, 1, 0x8000, 0xffff],
  i: [-0x80000000, -1, 0, 1, 0x7fffffff],
  u: [0, 1, 0x80000000, 0xffffffff],
  // Not the least of all, which dbus-next refuses; nor, below, the infinities.
  x: [1n - 2n ** 63n, -1n, 0n, 1n, 2n ** 53n + 1n, 2n ** 63n - 1n],
  t: [0n, 1n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n],
  d: [0, 1.5, -1e300, 5e-324, Number.MAX_SAFE_INTEGER],
  h: [0, 3, 4, 1000],
};
const TEXTS = ["", "a", "abc", "lain", "grün", "✓ 🎹", "a\nb", "x".repeat(63), "y".repeat(70)];
const PATHS = ["/", "/a", "/org/freedesktop/login1/session/_31"];
const SIGNATURES = ["", "s", "a{sv}", "(ua(so))"];

export class RandomBodies {
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  next(): { signature: string; body: unknown[] } {
    const types = this.#several(() => this.#type(0));
    return { signature: types.join(""), body: types.map((type) => this.#value(type)) };
  }

  #several<Value>(make: () => Value, least = 0): Value[] {
    return Array.from({ length: least + this.#random.below(MOST) }, make);
  }

  #type(depth: number): string {
    if (depth >= DEEPEST || this.#random.oneIn(2)) return this.#random.of(BASIC);
    const inside = () => this.#type(depth + 1);
    const kind = this.#random.of(["v", "a", "(", "{"]);
    if (kind === "v") return "v";
    if (kind === "a") return `a${inside()}`;
    if (kind === "(") return `(${this.#several(inside, 1).join("")})`;
    return `a{${this.#random.of(["s", "o"])}${inside()}}`;
  }

  #value(type: string): unknown {
    switch (type.charAt(0)) {
      case "b":
        return this.#random.oneIn(2);
      case "s":
        return this.#random.of(TEXTS);
      case "o":
        return this.#random.of(PATHS);
      case "g":
        return this.#random.of(SIGNATURES);
      case "v": {
        const inside = this.#type(DEEPEST - 1);
        return new Variant(inside, this.#value(inside));
      }
      case "a":
        return this.#array(type.slice(1));
      case "(":
        return membersOf(type.slice(1, -1)).map((member) => this.#value(member));
      default:
        return this.#random.of(NUMBERS[type] ?? []);
    }
  }

  #array(element: string): unknown {
    if (element === "y") return Buffer.from(this.#several(() => this.#random.below(256)));
    if (!element.startsWith("{")) return this.#several(() => this.#value(element));
    const [key = "", value = ""] = membersOf(element.slice(1, -1));
    const entry = (): [string, unknown] => [String(this.#value(key)), this.#value(value)];
    return Object.fromEntries(this.#several(entry));
  }
}

/** The complete types of a signature: what lib/dbus does, by another way. */
function membersOf(signature: string): string[] {
  const types: string[] = [];
  let rest = signature;
  while (rest !== "") {
    let end = 0;
    while (rest[end] === "a") end++;
    for (let depth = 0; ; ) {
      const code = rest[end++];
      if (code === "(" || code === "{") depth++;
      if (code === ")" || code === "}") depth--;
      if (depth === 0) break;
    }
    types.push(rest.slice(0, end));
    rest = rest.slice(end);
  }
  return types;
}
