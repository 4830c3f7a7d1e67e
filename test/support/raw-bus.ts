/** A connection to a bus that sends what no library would: descriptor indices without a descriptor. */
import { Variant } from "../../lib/dbus/index.ts";
import { marshal } from "../../lib/dbus/protocol/marshal.ts";
import { type Incoming, MessageType, type Outgoing } from "../../lib/dbus/protocol/message.ts";
import { messageLength, Unmarshaller } from "../../lib/dbus/protocol/unmarshal.ts";
import {
  close,
  connectStream,
  type Fd,
  ReceiveBuffer,
  receiveStream,
  send,
} from "../../lib/linux/index.ts";
import { until } from "./until.ts";

/** A call as it is sent; `i` in a signature, of a variant too, stands for an `h` that is but a number. */
export interface RawCall extends Pick<Outgoing, "destination" | "path" | "member" | "flags"> {
  interface: string;
  signature: string;
  body: unknown[];
}

/** What a call was answered with: an error's name and text, or "" and the reply's signature. */
export interface RawAnswer {
  error: string;
  text: string;
}

export class RawBus {
  readonly #fd: Fd;
  readonly #buffer = new ReceiveBuffer(1 << 20);
  #end = 0;
  #serial = 0;
  /** The serials of the calls whose answers nobody waited for. */
  readonly passedOver: number[] = [];

  private constructor(path: string) {
    this.#fd = connectStream(path);
  }

  /** @param path of the bus's socket */
  static async open(path: string): Promise<RawBus> {
    const raw = new RawBus(path);
    const uid = Buffer.from(String(process.getuid?.())).toString("hex");
    send(raw.#fd, Buffer.from(`\0AUTH EXTERNAL ${uid}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n`));
    const lines = await until("the bus lets us in", () => {
      raw.#receive();
      const text = Buffer.from(raw.#buffer.data.bytes.subarray(0, raw.#end)).toString("latin1");
      return /^OK .*\r\nAGREE_UNIX_FD\r\n/.exec(text)?.[0];
    });
    raw.#drop(lines.length);
    const bus = "org.freedesktop.DBus";
    const hello = {
      destination: bus,
      path: "/org/freedesktop/DBus",
      interface: bus,
      member: "Hello",
    };
    await raw.answer(raw.send({ ...hello, signature: "", body: [] }));
    return raw;
  }

  /** Sends a call. @returns its serial */
  send(call: RawCall): number {
    const serial = ++this.#serial;
    const { data, fds } = marshal({ ...call, type: MessageType.METHOD_CALL, serial });
    send(this.#fd, asDescriptors(Buffer.from(data), signaturesOf(call)), fds);
    return serial;
  }

  /** Waits for the answer to a call, and passes over what comes before it. */
  answer(serial: number): Promise<RawAnswer> {
    return until(`call ${serial} is answered`, () => {
      this.#receive();
      for (let message = this.#next(); message; message = this.#next()) {
        if (message.replySerial !== serial) {
          this.passedOver.push(message.replySerial);
          continue;
        }
        const { errorName: error = "", signature } = message;
        return { error, text: error === "" ? signature : String(message.body[0]) };
      }
      return undefined;
    });
  }

  call(call: RawCall): Promise<RawAnswer> {
    return this.answer(this.send(call));
  }

  #receive(): void {
    const length = receiveStream(this.#fd, this.#buffer, this.#end, []);
    if (length === 0) throw new Error("the bus has ended the connection");
    this.#end += length ?? 0;
  }

  #next(): Incoming | undefined {
    const { bytes } = this.#buffer.data;
    if (this.#end < 16) return undefined;
    const length = messageLength(new Unmarshaller(bytes).view, 0);
    if (length > this.#end) return undefined;
    const message = new Unmarshaller(Uint8Array.from(bytes.subarray(0, length))).read(
      0,
      length,
      [],
    );
    this.#drop(length);
    return message;
  }

  #drop(length: number): void {
    this.#buffer.data.bytes.copyWithin(0, length, this.#end);
    this.#end -= length;
  }

  close(): void {
    close(this.#fd);
  }
}

/** The signatures in a call: its own, and those of the variants in its body. */
function signaturesOf({ signature, body }: Pick<RawCall, "signature" | "body">): string[] {
  const inside = (value: unknown): string[] => {
    if (value instanceof Variant) return [value.signature, ...inside(value.value)];
    if (Array.isArray(value)) return value.flatMap(inside);
    if (typeof value !== "object" || value === null) return [];
    return Object.values(value).flatMap(inside);
  };
  return [signature, ...inside(body)];
}

/** Has each of the signatures say `h` where it says `i`, which has the same form. */
function asDescriptors(data: Buffer, signatures: string[]): Buffer {
  for (const signature of signatures.filter((one) => one.includes("i"))) {
    const said = Buffer.from(`${String.fromCharCode(signature.length)}${signature}\0`);
    for (let at = data.indexOf(said); at >= 0; at = data.indexOf(said, at)) {
      data.write(signature.replaceAll("i", "h"), at + 1);
    }
  }
  return data;
}
