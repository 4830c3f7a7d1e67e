/**
 * Bytes to messages; see "Message Format" in the D-Bus specification. The bus
 * has checked most of a message before, but not all (descriptors), and a peer
 * without a bus nothing: no read goes past the message, and what makes no sense
 * is a TypeError.
 */
import { closeAside, type Fd, userOwner } from "../../linux/index.ts";
import {
  BIG_ENDIAN,
  FIXED_HEADER,
  Field,
  type Fields,
  Incoming,
  LITTLE_ENDIAN,
  LONGEST_MESSAGE,
  MessageType,
  PROTOCOL_VERSION,
} from "./message.ts";
import { parseSignature, type Type } from "./signature.ts";
import { Variant } from "./variant.ts";

/** Values within values may be as deep as this, whatever signatures their variants have. */
const DEEPEST = 64;
const LONGEST_ARRAY = 2 ** 26;

const align = (at: number, to: number) => (at + to - 1) & -to;

/**
 * How long the message is whose fixed header is at `start`.
 *
 * @throws {TypeError} if there is none: what follows cannot be read either
 */
export function messageLength(view: DataView, start: number): number {
  const endian = view.getUint8(start);
  if (endian !== LITTLE_ENDIAN && endian !== BIG_ENDIAN) {
    throw new TypeError(`a message starts with ${endian}, which is no byte order`);
  }
  if (view.getUint8(start + 3) !== PROTOCOL_VERSION) {
    throw new TypeError(`a message of protocol version ${view.getUint8(start + 3)}`);
  }
  const little = endian === LITTLE_ENDIAN;
  const fieldsLength = view.getUint32(start + 12, little);
  const length = align(FIXED_HEADER + fieldsLength, 8) + view.getUint32(start + 4, little);
  if (fieldsLength > LONGEST_ARRAY || length > LONGEST_MESSAGE) {
    throw new TypeError(`a message of ${length} bytes is too long`);
  }
  return length;
}

/** Reads the values of one message. */
class Reader {
  #depth = 0;
  /** Alignment counts from the message's first byte. */
  #at: number;

  constructor(
    private readonly bytes: Buffer,
    private readonly view: DataView,
    private readonly start: number,
    offset: number,
    private readonly end: number,
    private readonly little: boolean,
    private readonly fds: readonly Fd[],
  ) {
    this.#at = start + offset;
  }

  get atEnd(): boolean {
    return this.#at === this.end;
  }

  align(to: number): void {
    const aligned = this.start + align(this.#at - this.start, to);
    if (aligned > this.end) throw new TypeError("a message ends too early");
    while (this.#at < aligned) {
      if (this.bytes[this.#at++] !== 0) throw new TypeError("padding is not zero");
    }
  }

  /** Where the next `length` bytes are, which are passed over. */
  #take(length: number): number {
    const at = this.#at;
    if (length > this.end - at) throw new TypeError("a message ends too early");
    this.#at = at + length;
    return at;
  }

  uint8(): number {
    return this.view.getUint8(this.#take(1));
  }

  uint32(): number {
    this.align(4);
    return this.view.getUint32(this.#take(4), this.little);
  }

  #text(length: number): string {
    const at = this.#take(length + 1);
    if (this.bytes[at + length] !== 0) throw new TypeError("a string does not end with NUL");
    const text = this.bytes.toString("utf8", at, at + length);
    if (text.includes("\0")) throw new TypeError("a string has a NUL inside");
    return text;
  }

  string(): string {
    return this.#text(this.uint32());
  }

  signature(): string {
    return this.#text(this.uint8());
  }

  all(types: Type[]): unknown[] {
    const values: unknown[] = [];
    for (const type of types) values.push(this.value(type));
    return values;
  }

  /** A variant's one type. */
  variantType(): { signature: string; type: Type } {
    const signature = this.signature();
    const [type, ...more] = parseSignature(signature);
    if (!type || more.length > 0) throw new TypeError(`a variant of the signature "${signature}"`);
    return { signature, type };
  }

  value(type: Type): unknown {
    this.align(type.alignment);
    switch (type.code) {
      case "s":
      case "o":
        return this.string();
      case "u":
        return this.uint32();
      case "y":
        return this.uint8();
      case "b":
        return this.#boolean();
      case "h":
        return this.#descriptor();
      case "g":
        return this.signature();
      case "n":
        return this.view.getInt16(this.#take(2), this.little);
      case "q":
        return this.view.getUint16(this.#take(2), this.little);
      case "i":
        return this.view.getInt32(this.#take(4), this.little);
      case "x":
        return this.view.getBigInt64(this.#take(8), this.little);
      case "t":
        return this.view.getBigUint64(this.#take(8), this.little);
      case "d":
        return this.view.getFloat64(this.#take(8), this.little);
      default:
        return this.#container(type);
    }
  }

  #boolean(): boolean {
    const value = this.uint32();
    if (value > 1) throw new TypeError(`a boolean is ${value}`);
    return value === 1;
  }

  #descriptor(): Fd {
    const index = this.uint32();
    const fd = this.fds[index];
    if (fd === undefined) {
      throw new TypeError(`a message names descriptor ${index} and has ${this.fds.length}`);
    }
    return fd;
  }

  #container(type: Type): unknown {
    if (++this.#depth > DEEPEST) throw new TypeError("a message is too deep");
    try {
      if (type.code === "v") {
        const { signature, type: inside } = this.variantType();
        return new Variant<unknown>(signature, this.value(inside));
      }
      return type.code === "a" ? this.#array(type.inside[0] as Type) : this.all(type.inside);
    } finally {
      this.#depth--;
    }
  }

  #array(element: Type): unknown {
    const length = this.uint32();
    if (length > LONGEST_ARRAY) throw new TypeError(`an array of ${length} bytes is too long`);
    this.align(element.alignment);
    const start = this.#at;
    const end = start + length;
    if (end > this.end) throw new TypeError("a message ends too early");
    if (element.code === "y") {
      this.#at = end;
      // A copy: what is read next takes the place of this message.
      return Buffer.from(this.bytes.subarray(start, end));
    }
    if (element.code !== "{") {
      const values: unknown[] = [];
      while (this.#at < end) values.push(this.value(element));
      if (this.#at > end) throw new TypeError("an array's last element is cut off");
      return values;
    }
    const [key, entry] = element.inside as [Type, Type];
    const entries: [string, unknown][] = [];
    while (this.#at < end) {
      this.align(8);
      entries.push([String(this.value(key)), this.value(entry)]);
    }
    if (this.#at > end) throw new TypeError("a dictionary's last entry is cut off");
    // Not by assignment: a key from outside may be __proto__.
    return Object.fromEntries(entries);
  }
}

/** The type that each field has to have. */
const FIELD_TYPES = new Map<number, string>([
  [Field.PATH, "o"],
  [Field.INTERFACE, "s"],
  [Field.MEMBER, "s"],
  [Field.ERROR_NAME, "s"],
  [Field.REPLY_SERIAL, "u"],
  [Field.DESTINATION, "s"],
  [Field.SENDER, "s"],
  [Field.SIGNATURE, "g"],
  [Field.UNIX_FDS, "u"],
]);

/** The fields that a message of each type cannot do without. */
const REQUIRED = new Map<number, (keyof Fields)[]>([
  [MessageType.METHOD_CALL, ["path", "member"]],
  [MessageType.METHOD_RETURN, ["replySerial"]],
  [MessageType.ERROR, ["replySerial", "errorName"]],
  [MessageType.SIGNAL, ["path", "interface", "member"]],
]);

function readFields(reader: Reader, type: number): Fields {
  const values = new Map<number, unknown>();
  while (!reader.atEnd) {
    reader.align(8);
    const code = reader.uint8();
    const { signature, type: valueType } = reader.variantType();
    const expected = FIELD_TYPES.get(code);
    if (expected !== undefined && signature !== expected) {
      throw new TypeError(`header field ${code} is of the type ${signature}, not ${expected}`);
    }
    // Fields that are not known are passed over, as the specification says.
    values.set(code, reader.value(valueType));
  }
  const text = (code: number) => (values.get(code) as string | undefined) ?? "";
  const number = (code: number) => (values.get(code) as number | undefined) ?? 0;
  const fields: Fields = {
    path: text(Field.PATH),
    interface: text(Field.INTERFACE) || undefined,
    member: text(Field.MEMBER),
    errorName: text(Field.ERROR_NAME) || undefined,
    replySerial: number(Field.REPLY_SERIAL),
    sender: text(Field.SENDER),
    signature: text(Field.SIGNATURE),
    descriptors: number(Field.UNIX_FDS),
  };
  const lacking = REQUIRED.get(type)?.find((name) => !fields[name]);
  if (lacking) throw new TypeError(`a message of type ${type} lacks its ${lacking}`);
  return fields;
}

/**
 * The fields of calls and signals, by their bytes: who calls often calls the
 * same, and the serial is not among them.
 */
const known = new Map<string, Fields>();
const MOST_KNOWN = 256;
const LONGEST_KNOWN = 512;

/** Reads the messages out of one buffer. */
export class Unmarshaller {
  readonly #bytes: Buffer;
  readonly view: DataView;

  constructor(bytes: Uint8Array<ArrayBuffer>) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /**
   * The whole message of `length` bytes at `start`.
   *
   * @param fds the descriptors that have come and are no earlier message's; this one's are taken out
   * @throws {TypeError} if its header makes no sense; its descriptors are closed. The body is decoded
   *   when it is asked for
   */
  read(start: number, length: number, fds: Fd[]): Incoming {
    // All of them, until the header has said which.
    let own = fds;
    try {
      const little = this.view.getUint8(start) === LITTLE_ENDIAN;
      const type = this.view.getUint8(start + 1);
      const fieldsEnd = start + FIXED_HEADER + this.view.getUint32(start + 12, little);
      const fields = this.#fields(start, fieldsEnd, type, little);
      own = fields.descriptors === 0 ? [] : fds.splice(0, fields.descriptors);
      const serial = this.view.getUint32(start + 8, little);
      if (serial === 0) throw new TypeError("a message has the serial 0");
      const { signature } = fields;
      const offset = align(fieldsEnd - start, 8);
      if (signature === "" && offset !== length) {
        throw new TypeError("a message has a body and no signature");
      }
      // A handler takes descriptors out of the message's own list, and the body still names them.
      const came = own.length === 0 ? own : [...own];
      const decode = () => {
        if (signature === "") return [];
        const reader = this.#reader(start, offset, start + length, little, came);
        const body = reader.all(parseSignature(signature));
        if (!reader.atEnd) throw new TypeError("a message goes on behind its body");
        return body;
      };
      const flags = this.view.getUint8(start + 2);
      return new Incoming(type, flags, serial, fields, length, own, decode);
    } catch (error) {
      closeAside(userOwner("unknown"), own.splice(0));
      throw error;
    }
  }

  #reader(start: number, offset: number, end: number, little: boolean, fds: readonly Fd[]): Reader {
    return new Reader(this.#bytes, this.view, start, offset, end, little, fds);
  }

  #fields(start: number, end: number, type: number, little: boolean): Fields {
    const reader = () => this.#reader(start, FIXED_HEADER, end, little, []);
    const repeats = type === MessageType.METHOD_CALL || type === MessageType.SIGNAL;
    if (!little || !repeats || end - start > LONGEST_KNOWN) return readFields(reader(), type);
    const key =
      String.fromCharCode(type) + this.#bytes.toString("latin1", start + FIXED_HEADER, end);
    let fields = known.get(key);
    if (!fields) {
      fields = readFields(reader(), type);
      if (known.size >= MOST_KNOWN) known.clear();
      known.set(key, fields);
    }
    return fields;
  }
}
