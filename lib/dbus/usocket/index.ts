/**
 * The module that dbus-next asks for when descriptors are to be passed. The one
 * of this name in the npm registry is a native addon that does not run on Bun;
 * this does the same over lib/linux.
 *
 * What dbus-next expects of it: the events `connect`, `readable`, `error`, `end`;
 * `read(1)` and `read(16)` for the handshake and a message's fixed header, which
 * give bytes; `read(n, null)` for the rest of a message, which gives bytes and
 * descriptors; `write` of bytes, or of bytes and descriptors.
 */
import { EventEmitter } from "node:events";
import {
  close,
  connectStream,
  type Fd,
  onReadiness,
  ReceiveBuffer,
  receive,
  send,
} from "../../linux/index.ts";
import { countDescriptors } from "./header.ts";

interface Outgoing {
  data: Uint8Array;
  fds: Fd[];
}

const FIXED_HEADER = 16;
/** How many bytes of small messages go out in one piece. */
const LARGEST_PIECE = 65536;

export class USocket extends EventEmitter {
  /** dbus-next sets it to what was asked for, and to false if the bus refuses. */
  supportsUnixFd = false;
  writable = true;

  #fd: Fd | undefined;
  #endWatch: (() => void) | undefined;
  #incoming: Buffer = Buffer.alloc(0);
  #incomingFds: Fd[] = [];
  #outgoing: Outgoing[] = [];
  #flushComes = false;
  #fixedHeader: Buffer = Buffer.alloc(0);
  /** The descriptors of the message that is being handled and nobody has claimed. */
  #current: Fd[] = [];
  readonly #buffer = new ReceiveBuffer(65536);

  constructor(options: { path: string }) {
    super();
    // Every call that waits for its reply listens for the end.
    this.setMaxListeners(0);
    // dbus-next adds its listeners after this returns.
    queueMicrotask(() => this.#connect(options.path));
  }

  #connect(path: string): void {
    try {
      this.#fd = connectStream(path);
      this.emit("connect");
      this.#endWatch = onReadiness(this.#fd, () => this.#onReady());
    } catch (error) {
      this.writable = false;
      this.emit("error", error);
    }
  }

  /** The bytes asked for, or null if there are not as many yet. */
  read(length: number, rest?: null): Buffer | { data: Buffer; fds: Fd[] } | null {
    this.closeUnclaimed();
    if (this.#incoming.length < length) return null;
    const data = this.#incoming.subarray(0, length);
    this.#incoming = this.#incoming.subarray(length);
    if (rest === undefined) {
      if (length === FIXED_HEADER) this.#fixedHeader = data;
      return data;
    }
    // The kernel says which bytes descriptors came with, but not where one
    // message ends; the message's own header says how many are its.
    const count = countDescriptors(this.#fixedHeader, data);
    this.#current = this.#incomingFds.splice(0, count);
    return { data, fds: [...this.#current] };
  }

  /** Sends bytes. Descriptors belong to the socket from here on: it closes them once they are sent. */
  write(message: string | Uint8Array | Outgoing): boolean {
    const isPlain = typeof message === "string" || message instanceof Uint8Array;
    const outgoing: Outgoing = isPlain ? { data: Buffer.from(message), fds: [] } : message;
    if (this.#fd === undefined) {
      for (const fd of outgoing.fds) close(fd);
      throw new Error("the connection to the bus is closed");
    }
    this.#outgoing.push(outgoing);
    // Not at once: answers to calls that came together go out together.
    if (!this.#flushComes) queueMicrotask(() => this.#flush());
    this.#flushComes = true;
    return true;
  }

  /** Closes the connection. What was written before is sent, as far as the bus takes it. */
  end(): void {
    this.#flush();
    this.#close();
  }

  /**
   * Takes over the descriptors of the message that is being handled. Where
   * nobody does, they are closed after it, so that a stranger cannot fill our
   * table of open files.
   */
  claimAll(): Fd[] {
    return this.#current.splice(0);
  }

  /** Closes what came with the last message and was not claimed. */
  closeUnclaimed(): void {
    for (const fd of this.#current.splice(0)) close(fd);
  }

  #onReady(): void {
    this.#flush();
    let ended = false;
    const chunks = [this.#incoming];
    try {
      while (this.#fd !== undefined) {
        const received = receive(this.#fd, this.#buffer);
        if (!received) break;
        if (received.data.length === 0) {
          ended = true;
          break;
        }
        chunks.push(Buffer.from(received.data.buffer));
        this.#incomingFds.push(...received.fds);
      }
    } catch (error) {
      this.emit("error", error);
      ended = true;
    }
    if (chunks.length > 1) {
      this.#incoming = Buffer.concat(chunks);
      this.#deliver();
    }
    if (ended) this.#close();
  }

  /**
   * Lets dbus-next parse what has come. It throws on a message that it cannot
   * parse (a descriptor index out of range, which the bus does not check): that
   * message is dropped, and those behind it are read all the same.
   */
  #deliver(): void {
    for (;;) {
      const before = this.#incoming.length;
      try {
        this.emit("readable");
        break;
      } catch (error) {
        this.emit("bad-message", error);
        if (this.#incoming.length === before) break;
      }
    }
    this.closeUnclaimed();
  }

  /**
   * What is to be sent next: as many messages in one piece as come without
   * descriptors, since every sendmsg(2) wakes the bus.
   */
  #next(): Outgoing | undefined {
    let length = 0;
    let count = 0;
    for (const { data, fds } of this.#outgoing) {
      length += data.length;
      if (fds.length > 0 || (count > 0 && length > LARGEST_PIECE)) break;
      count++;
    }
    if (count > 1) {
      const joined = Buffer.concat(this.#outgoing.splice(0, count).map(({ data }) => data));
      this.#outgoing.unshift({ data: joined, fds: [] });
    }
    return this.#outgoing[0];
  }

  #flush(): void {
    this.#flushComes = false;
    try {
      for (let first = this.#next(); first && this.#fd !== undefined; first = this.#next()) {
        const sent = send(this.#fd, first.data, first.fds);
        if (sent === undefined) return;
        for (const fd of first.fds.splice(0)) close(fd);
        if (sent === first.data.length) this.#outgoing.shift();
        else first.data = first.data.subarray(sent);
      }
    } catch (error) {
      this.emit("error", error);
      this.#close();
    }
  }

  #close(): void {
    if (this.#fd === undefined) return;
    this.writable = false;
    this.#endWatch?.();
    close(this.#fd);
    this.#fd = undefined;
    this.closeUnclaimed();
    for (const fd of this.#incomingFds.splice(0)) close(fd);
    for (const message of this.#outgoing.splice(0)) for (const fd of message.fds) close(fd);
    this.emit("end");
    this.emit("close");
  }
}
