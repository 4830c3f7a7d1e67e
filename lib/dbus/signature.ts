/** D-Bus signatures, at run time and as TypeScript types. */
import type { Variant } from "dbus-next";

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
