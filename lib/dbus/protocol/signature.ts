/** D-Bus signatures, at run time and as TypeScript types. */
import type { Variant } from "./variant.ts";

/** The TypeScript type of each basic D-Bus type. `h` is a descriptor's number. */
interface Basic {
  y: number;
  b: boolean;
  n: number;
  q: number;
  i: number;
  u: number;
  x: bigint;
  t: bigint;
  d: number;
  s: string;
  o: string;
  g: string;
  h: number;
  v: Variant;
}

/** The first complete type of a signature, and what is left of it. */
type First<S extends string> = S extends `a{${infer Key}${infer Rest}`
  ? Key extends keyof Basic
    ? First<Rest> extends [infer Value, `}${infer Tail}`]
      ? [Readonly<Record<string, Value>>, Tail]
      : never
    : never
  : S extends `a${infer Rest}`
    ? First<Rest> extends [infer Element, infer Tail]
      ? [Element[], Tail]
      : never
    : S extends `(${infer Rest}`
      ? Members<Rest>
      : S extends `${infer Code}${infer Tail}`
        ? Code extends keyof Basic
          ? [Basic[Code], Tail]
          : never
        : never;

type Members<S extends string, Sofar extends unknown[] = []> = S extends `)${infer Tail}`
  ? [Sofar, Tail]
  : First<S> extends [infer Member, infer Tail extends string]
    ? Members<Tail, [...Sofar, Member]>
    : never;

/** The tuple of values that a signature stands for: Body<"sa(uo)"> is [string, [number, string][]]. */
export type Body<S extends string, Sofar extends unknown[] = []> = S extends ""
  ? Sofar
  : First<S> extends [infer Value, infer Tail extends string]
    ? Body<Tail, [...Sofar, Value]>
    : never;

/** What a handler returns: nothing, the one value, or the tuple of values. */
export type Result<S extends string> =
  // biome-ignore lint/suspicious/noConfusingVoidType: it only stands as a return type
  Body<S> extends [] ? void : Body<S> extends [infer Only] ? Only : Readonly<Body<S>>;

/** Splits a signature into its complete types: "sa{sv}u" into s, a{sv}, u. */
export function splitSignature(signature: string): string[] {
  const types: string[] = [];
  for (let at = 0; at < signature.length; ) {
    const start = at;
    while (signature[at] === "a") at++;
    let depth = 0;
    do {
      const code = signature[at++];
      if (code === undefined) throw new RangeError(`signature ${signature} ends too early`);
      if (code === "(" || code === "{") depth++;
      else if (code === ")" || code === "}") depth--;
    } while (depth > 0);
    types.push(signature.slice(start, at));
  }
  return types;
}

/** A complete type, parsed. */
export interface Type {
  code: string;
  alignment: number;
  /** The element of an array, the members of a struct or dictionary entry. */
  inside: Type[];
}

const ALIGNMENTS = new Map(
  ["ygv", "nq", "biuhso", "xtd"].flatMap((codes, power) =>
    [...codes].map((code): [string, number] => [code, 2 ** power]),
  ),
);
/** How deep arrays and structs may be within each other, and how long a signature may be, by the specification. */
const DEEPEST = 32;
const LONGEST = 255;

/** The signatures that we use are few and always the same; a stranger's may be any. */
const parsed = new Map<string, Type[]>();
const MOST_PARSED = 1000;

/**
 * A signature's types.
 *
 * @throws {TypeError} if it is none
 */
export function parseSignature(signature: string): Type[] {
  let types = parsed.get(signature);
  if (!types) {
    if (signature.length > LONGEST)
      throw new TypeError("a signature is longer than 255 characters");
    types = splitSignature(signature).map((type) => parseOne(type, 0));
    if (parsed.size >= MOST_PARSED) parsed.clear();
    parsed.set(signature, types);
  }
  return types;
}

function parseOne(type: string, depth: number, inArray = false): Type {
  const code = type.charAt(0);
  if (depth > 2 * DEEPEST) throw new TypeError(`signature ${type} is too deep`);
  if (code === "a") {
    return { code, alignment: 4, inside: [parseOne(type.slice(1), depth + 1, true)] };
  }
  if (code === "(" || code === "{") {
    const inside = splitSignature(type.slice(1, -1)).map((part) => parseOne(part, depth + 1));
    const right =
      type.at(-1) === (code === "(" ? ")" : "}") &&
      (code === "(" ? inside.length > 0 : inArray && inside.length === 2 && isBasic(inside[0]));
    if (!right) throw new TypeError(`${type} is no D-Bus type`);
    return { code, alignment: 8, inside };
  }
  const alignment = ALIGNMENTS.get(code);
  if (alignment === undefined) throw new TypeError(`${type || "nothing"} is no D-Bus type`);
  return { code, alignment, inside: [] };
}

const isBasic = (type: Type | undefined) => type !== undefined && !"av({".includes(type.code);
