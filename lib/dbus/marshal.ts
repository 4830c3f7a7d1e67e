/**
 * Messages to bytes; see "Message Format" in the D-Bus specification. It stands
 * in for dbus-next's own marshaller, which makes a buffer of every number and
 * string and parses every signature anew: half of what an answer cost.
 */
import dbus from "dbus-next";
import { splitSignature } from "./signature.ts";

const LITTLE_ENDIAN = 0x6c;
const PROTOCOL_VERSION = 1;

/** What is sent of a dbus-next Message. */
export interface Outgoing {
  type: number;
  flags: number;
  serial: number | null;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  signature: string;
  body: unknown[];
}

/** The header fields: code, type, and where the message has it. */
const FIELDS = [
  [1, "o", "path"],
  [2, "s", "interface"],
  [3, "s", "member"],
  [4, "s", "errorName"],
  [5, "u", "replySerial"],
  [6, "s", "destination"],
  [8, "g", "signature"],
] as const;
const UNIX_FDS = 9;

/** A complete type, parsed. */
interface Type {
  code: string;
  alignment: number;
  /** The element of an array, the members of a struct or dictionary entry. */
  inside: Type[];
}

const ALIGNMENTS: Record<string, number> = { y: 1, g: 1, v: 1, n: 2, q: 2, x: 8, t: 8, d: 8 };

/** Our signatures are few and always the same. */
const parsed = new Map<string, Type[]>();

function parse(signature: string): Type[] {
  let types = parsed.get(signature);
  if (!types) {
    types = splitSignature(signature).map(parseOne);
    parsed.set(signature, types);
  }
  return types;
}

function parseOne(type: string): Type {
  const code = type.charAt(0);
  if (code === "a") return { code, alignment: 4, inside: [parseOne(type.slice(1))] };
  if (code === "(" || code === "{") {
    return { code, alignment: 8, inside: splitSignature(type.slice(1, -1)).map(parseOne) };
  }
  return { code, alignment: ALIGNMENTS[code] ?? 4, inside: [] };
}

/** Grows with the longest message so far, and serves every message: one is done before the next. */
let buffer = Buffer.alloc(4096);
let at = 0;
let descriptors: number[] = [];

function reserve(length: number): void {
  if (at + length <= buffer.length) return;
  const longer = Buffer.alloc(Math.max(buffer.length * 2, at + length));
  buffer.copy(longer, 0, 0, at);
  buffer = longer;
}

function align(to: number): void {
  const end = (at + to - 1) & -to;
  reserve(end - at);
  while (at < end) buffer[at++] = 0;
}

function refuse(value: unknown, type: string): never {
  throw new TypeError(`${String(value)} is no value of the D-Bus type ${type}`);
}

/** Buffer's writers check the range, but cut fractions off. */
function whole(value: unknown, type: string): number {
  return Number.isInteger(value) ? (value as number) : refuse(value, type);
}

function writeString(value: unknown): void {
  if (typeof value !== "string" || value.includes("\0")) refuse(value, "s");
  // A UTF-16 unit is at most three bytes of UTF-8.
  reserve(4 + value.length * 3 + 1);
  const length = buffer.write(value, at + 4, "utf8");
  buffer.writeUInt32LE(length, at);
  at += 4 + length;
  buffer[at++] = 0;
}

function writeSignature(value: unknown): void {
  if (typeof value !== "string" || value.length > 255) refuse(value, "g");
  reserve(value.length + 2);
  buffer[at] = value.length;
  at += 1 + buffer.write(value, at + 1, "latin1");
  buffer[at++] = 0;
}

function writeArray(element: Type, value: unknown): void {
  reserve(4);
  const lengthAt = at;
  at += 4;
  align(element.alignment);
  const start = at;
  if (element.code === "{") {
    if (typeof value !== "object" || value === null) refuse(value, "a{");
    const [key, entry] = element.inside as [Type, Type];
    for (const [name, inside] of Object.entries(value)) {
      align(8);
      write(key, name);
      write(entry, inside);
    }
  } else {
    if (!Array.isArray(value) && !(value instanceof Uint8Array)) refuse(value, "a");
    for (const item of value) write(element, item);
  }
  buffer.writeUInt32LE(at - start, lengthAt);
}

function writeVariant(value: unknown): void {
  if (!(value instanceof dbus.Variant)) refuse(value, "v");
  const [type, ...more] = parse(value.signature);
  if (!type || more.length > 0) refuse(value.signature, "g (of one complete type)");
  writeSignature(value.signature);
  write(type, value.value);
}

function writeStruct(members: Type[], value: unknown): void {
  if (!Array.isArray(value)) refuse(value, "(");
  writeAll(members, value);
}

/** Numbers and the like, for which there is room: where the next one goes. */
const SIMPLE: Record<string, (value: unknown) => number> = {
  b: (value) => buffer.writeUInt32LE(value ? 1 : 0, at),
  d: (value) => buffer.writeDoubleLE(value as number, at),
  x: (value) => buffer.writeBigInt64LE(value as bigint, at),
  t: (value) => buffer.writeBigUInt64LE(value as bigint, at),
  y: (value) => buffer.writeUInt8(whole(value, "y"), at),
  n: (value) => buffer.writeInt16LE(whole(value, "n"), at),
  q: (value) => buffer.writeUInt16LE(whole(value, "q"), at),
  i: (value) => buffer.writeInt32LE(whole(value, "i"), at),
  u: (value) => buffer.writeUInt32LE(whole(value, "u"), at),
  // Its place among the descriptors that go with the message.
  h: (value) => buffer.writeUInt32LE(descriptors.push(whole(value, "h")) - 1, at),
};

function write({ code, alignment, inside }: Type, value: unknown): void {
  align(alignment);
  if (code === "s" || code === "o") writeString(value);
  else if (code === "a") writeArray(inside[0] as Type, value);
  else if (code === "(") writeStruct(inside, value);
  else if (code === "v") writeVariant(value);
  else if (code === "g") writeSignature(value);
  else {
    reserve(8);
    at = SIMPLE[code]?.(value) ?? refuse(value, code);
  }
}

function writeAll(types: Type[], values: unknown[]): void {
  if (types.length !== values.length) {
    throw new TypeError(`${values.length} values for ${types.length} types`);
  }
  for (const [index, type] of types.entries()) write(type, values[index]);
}

function writeField(code: number, type: string, value: unknown): void {
  align(8);
  reserve(1);
  buffer[at++] = code;
  writeSignature(type);
  writeAll(parse(type), [value]);
}

/** The fixed part, and the fields as an array of (code, variant), padded. */
function writeHeader(message: Outgoing, bodyLength: number): void {
  const fixed = [LITTLE_ENDIAN, message.type, message.flags, PROTOCOL_VERSION];
  writeAll(parse("yyyyuu"), [...fixed, bodyLength, message.serial]);
  const lengthAt = at;
  reserve(4);
  at += 4;
  const start = at;
  for (const [code, type, name] of FIELDS) {
    const value = message[name];
    if (value) writeField(code, type, value);
  }
  if (descriptors.length > 0) writeField(UNIX_FDS, "u", descriptors.length);
  buffer.writeUInt32LE(at - start, lengthAt);
  align(8);
}

/**
 * The bytes of a message, and the descriptors that go with it.
 *
 * @throws {TypeError} if the body is not what its signature says
 */
export function marshal(message: Outgoing): { data: Buffer; fds: number[] } {
  descriptors = [];
  // The body first: the header says how long it is and how many descriptors it has.
  at = 0;
  writeAll(parse(message.signature), message.body);
  const body = Buffer.from(buffer.subarray(0, at));
  at = 0;
  writeHeader(message, body.length);
  return { data: Buffer.concat([buffer.subarray(0, at), body]), fds: descriptors };
}
