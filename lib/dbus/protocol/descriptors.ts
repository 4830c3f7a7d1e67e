/** File descriptors in a body that is to be sent, wherever they stand in it. */
import { close, type Fd } from "../../linux/index.ts";
import { parseSignature, type Type } from "./signature.ts";
import { Variant } from "./variant.ts";

/**
 * Closes the descriptors of a body that will not be sent. A body that is not what its signature says,
 * which may be why it is not sent, is followed as far as it is.
 */
export function closeDescriptors(signature: string, body: readonly unknown[]): void {
  // A variant may have some whatever stands around it.
  if (!/[hv]/.test(signature)) return;
  for (const fd of new Set(inAll(typesOf(signature), body))) close(fd);
}

function typesOf(signature: string): Type[] {
  try {
    return parseSignature(signature);
  } catch (error) {
    // It is refused for that, and no descriptor can be told from a number.
    if (error instanceof TypeError || error instanceof RangeError) return [];
    throw error;
  }
}

function* inAll(types: readonly Type[], values: readonly unknown[]): Generator<Fd> {
  for (const [index, type] of types.entries()) yield* inOne(type, values[index]);
}

function* inOne({ code, inside }: Type, value: unknown): Generator<Fd> {
  const [first] = inside;
  switch (code) {
    case "h":
      if (Number.isInteger(value) && Number(value) >= 0) yield value as Fd;
      return;
    case "v":
      if (value instanceof Variant) yield* inAll(typesOf(value.signature), [value.value]);
      return;
    case "(":
      if (Array.isArray(value)) yield* inAll(inside, value);
      return;
    case "a":
      if (first?.code === "{") yield* inEntries(first, value);
      else if (first && Array.isArray(value)) for (const each of value) yield* inOne(first, each);
  }
}

function* inEntries({ inside: [, type] }: Type, value: unknown): Generator<Fd> {
  if (!type || typeof value !== "object" || value === null) return;
  for (const each of Object.values(value)) yield* inOne(type, each);
}
