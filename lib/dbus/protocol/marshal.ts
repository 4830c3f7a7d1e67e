/**
 * Messages to bytes; see "Message Format" in the D-Bus specification. All are
 * written into one buffer, and each signature is parsed once: dbus-next's
 * marshaller makes a buffer of every number and string.
 */
import type { Fd } from "../../linux/index.ts";
import {
  Field,
  LITTLE_ENDIAN,
  LONGEST_MESSAGE,
  type Outgoing,
  PROTOCOL_VERSION,
} from "./message.ts";
import { parseSignature, type Type } from "./signature.ts";
import { Variant } from "./variant.ts";

/** What is kept from one message to the next, in bytes: what a long one needed is given back. */
const KEPT = 2 ** 18;

/** Serves every message: one is done before the next. */
let buffer = Buffer.alloc(4096);
let view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
let at = 0;
let descriptors: Fd[] = [];

/** Strings up to here are copied faster by a loop than by a call of the runtime. */
const SHORT = 64;

function reserve(length: number): void {
  if (at + length <= buffer.length) return;
  const longer = Buffer.alloc(Math.max(buffer.length * 2, at + length));
  buffer.copy(longer, 0, 0, at);
  buffer = longer;
  view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
}

function align(to: number): void {
  const end = (at + to - 1) & -to;
  reserve(end - at);
  while (at < end) buffer[at++] = 0;
}

function refuse(value: unknown, type: string): never {
  throw new TypeError(`${String(value)} is no value of the D-Bus type ${type}`);
}

/** A whole number within the range of its type; a DataView would cut it to that. */
function whole(value: unknown, least: number, most: number, type: string): number {
  if (!Number.isInteger(value)) refuse(value, type);
  const number = value as number;
  return number >= least && number <= most ? number : refuse(value, type);
}

function long(value: unknown, fits: (value: bigint) => bigint, type: string): bigint {
  return typeof value === "bigint" && fits(value) === value ? value : refuse(value, type);
}

/** Writes a short string of ASCII at `to`; false if it is none. */
function writeAscii(value: string, to: number): boolean {
  for (let index = 0; index < value.length; index++) {
    const code = value.charCodeAt(index);
    if (code === 0 || code > 0x7f) return false;
    buffer[to + index] = code;
  }
  return true;
}

function writeString(value: unknown): void {
  if (typeof value !== "string") refuse(value, "s");
  // A UTF-16 unit is at most three bytes of UTF-8.
  reserve(4 + value.length * 3 + 1);
  let { length } = value;
  if (length > SHORT || !writeAscii(value, at + 4)) {
    if (value.includes("\0")) refuse(value, "s");
    length = buffer.write(value, at + 4, "utf8");
  }
  view.setUint32(at, length, true);
  at += 4 + length;
  buffer[at++] = 0;
}

function writeSignature(value: unknown): void {
  if (typeof value !== "string" || value.length > 255) refuse(value, "g");
  reserve(value.length + 2);
  buffer[at] = value.length;
  if (!writeAscii(value, at + 1)) refuse(value, "g");
  at += 1 + value.length;
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
  view.setUint32(lengthAt, at - start, true);
}

function writeVariant(value: unknown): void {
  if (!(value instanceof Variant)) refuse(value, "v");
  const [type, ...more] = parseSignature(value.signature);
  if (!type || more.length > 0) refuse(value.signature, "g (of one complete type)");
  writeSignature(value.signature);
  write(type, value.value);
}

function writeStruct(members: Type[], value: unknown): void {
  if (!Array.isArray(value)) refuse(value, "(");
  writeAll(members, value);
}

/** Numbers and the like: for their size there is room. */
function writeNumber(code: string, value: unknown): number {
  switch (code) {
    case "y":
      buffer[at] = whole(value, 0, 0xff, code);
      return 1;
    case "n":
      view.setInt16(at, whole(value, -0x8000, 0x7fff, code), true);
      return 2;
    case "q":
      view.setUint16(at, whole(value, 0, 0xffff, code), true);
      return 2;
    case "i":
      view.setInt32(at, whole(value, -0x80000000, 0x7fffffff, code), true);
      return 4;
    case "u":
      view.setUint32(at, whole(value, 0, 0xffffffff, code), true);
      return 4;
    case "b":
      view.setUint32(at, value ? 1 : 0, true);
      return 4;
    case "h":
      // Its place among the descriptors that go with the message.
      view.setUint32(at, descriptors.push(whole(value, 0, 0x7fffffff, code)) - 1, true);
      return 4;
    case "x":
      view.setBigInt64(
        at,
        long(value, (number) => BigInt.asIntN(64, number), code),
        true,
      );
      return 8;
    case "t":
      view.setBigUint64(
        at,
        long(value, (number) => BigInt.asUintN(64, number), code),
        true,
      );
      return 8;
    case "d":
      view.setFloat64(at, typeof value === "number" ? value : refuse(value, code), true);
      return 8;
    default:
      return refuse(value, code);
  }
}

function write(type: Type, value: unknown): void {
  align(type.alignment);
  switch (type.code) {
    case "s":
    case "o":
      writeString(value);
      break;
    case "g":
      writeSignature(value);
      break;
    case "a":
      writeArray(type.inside[0] as Type, value);
      break;
    case "(":
    case "{":
      writeStruct(type.inside, value);
      break;
    case "v":
      writeVariant(value);
      break;
    default:
      reserve(8);
      at += writeNumber(type.code, value);
  }
}

function writeAll(types: Type[], values: unknown[]): void {
  if (types.length !== values.length) {
    throw new TypeError(`${values.length} values for ${types.length} types`);
  }
  for (let index = 0; index < types.length; index++) write(types[index] as Type, values[index]);
}

/** The start of a field, up to its value: its code, and the value's type as a signature. */
function beginField(code: number, type: string): void {
  align(8);
  reserve(8);
  buffer[at++] = code;
  writeSignature(type);
}

function writeText(code: number, type: "s" | "o", value: string | undefined): void {
  if (value === undefined) return;
  beginField(code, type);
  writeString(value);
}

function writeUint32(code: number, value: number | undefined): void {
  if (value === undefined) return;
  beginField(code, "u");
  at += writeNumber("u", value);
}

/** The header and the body; the first says how many descriptors the second has. */
function writeMessage(message: Outgoing, descriptorCount: number): void {
  const { type, flags = 0, serial, signature } = message;
  at = 16;
  writeText(Field.PATH, "o", message.path);
  writeText(Field.INTERFACE, "s", message.interface);
  writeText(Field.MEMBER, "s", message.member);
  writeText(Field.ERROR_NAME, "s", message.errorName);
  writeUint32(Field.REPLY_SERIAL, message.replySerial);
  writeText(Field.DESTINATION, "s", message.destination);
  if (signature !== "") {
    beginField(Field.SIGNATURE, "g");
    writeSignature(signature);
  }
  if (descriptorCount > 0) writeUint32(Field.UNIX_FDS, descriptorCount);
  const fieldsEnd = at;
  align(8);
  const bodyStart = at;
  writeAll(parseSignature(signature), message.body);
  if (at > LONGEST_MESSAGE) throw new TypeError(`a message of ${at} bytes is too long`);
  buffer[0] = LITTLE_ENDIAN;
  buffer[1] = type;
  buffer[2] = flags;
  buffer[3] = PROTOCOL_VERSION;
  view.setUint32(4, at - bodyStart, true);
  view.setUint32(8, serial, true);
  view.setUint32(12, fieldsEnd - 16, true);
}

/**
 * The bytes of a message, which the next call overwrites, and the descriptors that go with it.
 *
 * @throws {TypeError} if the body is not what its signature says
 */
export function marshal(message: Outgoing): { data: Uint8Array; fds: Fd[] } {
  if (buffer.length > KEPT) {
    buffer = Buffer.alloc(KEPT);
    view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length);
  }
  descriptors = [];
  writeMessage(message, 0);
  const fds = descriptors;
  if (fds.length > 0) {
    descriptors = [];
    writeMessage(message, fds.length);
  }
  return { data: buffer.subarray(0, at), fds };
}
