/**
 * Messages over a Unix socket, with descriptors: authentication, framing, and when to read and send.
 * See "Authentication Protocol" and "Message Format" in the D-Bus specification.
 */
import {
  close,
  closeAside,
  connectStream,
  type Fd,
  onReadiness,
  Patience,
  ReceiveBuffer,
  receiveStream,
  signalAsync,
} from "../../linux/index.ts";
import { busErrors } from "../protocol/errors.ts";
import { LongMessage, type Passed } from "../protocol/long-message.ts";
import { marshal } from "../protocol/marshal.ts";
import {
  FIXED_HEADER,
  type Incoming,
  LONGEST_CALL,
  LONGEST_SENT,
  MessageType,
  type Outgoing,
} from "../protocol/message.ts";
import { messageLength, Unmarshaller } from "../protocol/unmarshal.ts";
import { Crowd } from "./flood-guard.ts";
import { Outbox } from "./outbox.ts";

/** What comes in one recvmsg(2), at most; a longer message makes the buffer grow until it is read. */
const BUFFER_SIZE = 65536;
/** Answers of this many bytes go out before more is read. */
const MOST_TOGETHER = 16384;
/** Where this many bytes wait to be sent, no more calls are read that would be answered. */
const MOST_WAITING = 2 ** 20;
/** A wait that is over within this was none, in milliseconds. */
const AT_ONCE = 0.01;
/**
 * When the event loop gets a turn, in milliseconds, although messages keep coming, or may come: when
 * all that came is answered, the next message is waited for. Who calls once often calls again, and a
 * message that comes meanwhile is here without a signal and a turn of the event loop, which take
 * longer than to answer. By poll(2), since a recvmsg(2) that waits is woken for nothing each time
 * that the bus reads an answer.
 */
const LONGEST_TURN = 4;
/** The longest line of the authentication that makes sense. */
const LONGEST_LINE = 16384;

/** Who is told what happens on a transport. */
export interface TransportEvents {
  /**
   * `message.fds` are closed after it, but for those taken out.
   *
   * @returns whether all is done that the message asks for: nothing waits for a turn of the event loop
   */
  onMessage(message: Incoming): boolean;
  /** A call that is not done, since its sender sends more than can be done: see Crowd. */
  onRefused(call: Incoming): void;
  /** Whose a sender's file descriptors are counted as; see `closeAside`. */
  ownerOf(sender: string): string;
  /** A message was longer than one may be that comes unasked. It was passed over. */
  onTooLong(message: Passed): void;
  /**
   * A message made no sense, or what handled it threw; the next is handled all the same.
   *
   * @param sender "" if the message does not even say that
   */
  onBadMessage(error: Error, sender: string): void;
  /** The end, once, unless `close` was called; with the reason if it is not the other end's. */
  onEnd(error?: Error): void;
}

export class Transport {
  readonly #fd: Fd;
  readonly #events: TransportEvents;
  readonly #patience: Patience;
  readonly #endWatch: () => void;
  readonly #outbox = new Outbox();
  readonly #crowd = new Crowd();
  readonly #buffer = new ReceiveBuffer(BUFFER_SIZE);
  #messages = new Unmarshaller(this.#buffer.data.bytes);
  /** What has come and is not handled, in the buffer; and the descriptors that came along. */
  #start = 0;
  #end = 0;
  readonly #fds: Fd[] = [];
  /** The message that is being passed over. */
  #long: LongMessage | undefined;
  /** The lines of the authentication that the bus has still to send. */
  #expected: RegExp[] = [/^OK [0-9a-f]+$/, /^AGREE_UNIX_FD$/];
  #busId = "";
  #open = true;
  #flushComes = false;
  readonly #afterwards: (() => void)[] = [];

  /**
   * Connects and authenticates as the user that this process is.
   *
   * @param path of the socket; an abstract one starts with "\0"
   * @throws {SystemError} if nobody listens there
   */
  constructor(path: string, events: TransportEvents) {
    this.#events = events;
    this.#fd = connectStream(path);
    let patience: Patience | undefined;
    try {
      patience = new Patience(this.#fd);
      this.#patience = patience;
      this.#endWatch = onReadiness(this.#fd, () => this.#turn(), true);
    } catch (error) {
      patience?.close();
      close(this.#fd);
      throw error;
    }
    // All at once, since every bus answers line by line; what follows need not wait either.
    const uid = Buffer.from(String(process.getuid?.() ?? 0)).toString("hex");
    this.#outbox.add(Buffer.from(`\0AUTH EXTERNAL ${uid}\r\nNEGOTIATE_UNIX_FD\r\nBEGIN\r\n`));
    this.#flushSoon();
  }

  /**
   * Sends a message; those of one turn of the event loop go out together.
   *
   * @throws {TypeError} if the body is not what its signature says; descriptors in it stay the caller's
   * @throws {BusError} LimitsExceeded if it is longer than the bus takes; the same holds for them
   */
  send(message: Outgoing): void {
    const { data, fds } = marshal(message);
    if (data.length > LONGEST_SENT) {
      throw busErrors.limitsExceeded(
        `The answer has ${data.length} bytes, more than the ${LONGEST_SENT} that one may have`,
      );
    }
    this.#outbox.add(data, fds);
    this.#flushSoon();
  }

  /**
   * Does what an answer need not wait for: when what was sent is on its way to the bus, and before
   * the next message is handled. `task` must not throw.
   */
  afterwards(task: () => void): void {
    this.#afterwards.push(task);
    this.#flushSoon();
  }

  /** What names this run of the bus, once it has authenticated us: the GUID of its `OK`. */
  get busId(): string {
    return this.#busId;
  }

  /** Ends the connection. What was sent before goes out, as far as the bus takes it. */
  close(): void {
    if (!this.#open) return;
    this.#flush();
    this.#close();
  }

  #flushSoon(): void {
    if (this.#flushComes) return;
    this.#flushComes = true;
    queueMicrotask(() => {
      if (this.#flushComes) this.#flush();
    });
  }

  /** False if not all is sent: the rest follows when the socket takes it, which is told by a turn. */
  #flush(): boolean {
    const sent = this.#sendAll();
    return this.#doAfterwards() ? this.#sendAll() : sent;
  }

  /** Whether there was anything to be done. */
  #doAfterwards(): boolean {
    if (this.#afterwards.length === 0) return false;
    for (let task = this.#afterwards.shift(); task; task = this.#afterwards.shift()) task();
    return true;
  }

  #sendAll(): boolean {
    this.#flushComes = false;
    if (!this.#open) return false;
    try {
      return this.#outbox.flush(this.#fd);
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Reads and handles what there is, sends the answers, and waits a little for more; whether there may be more. */
  #turn(): boolean {
    const end = performance.now() + LONGEST_TURN;
    this.#patience.begin(LONGEST_TURN);
    // Whether something came, and all of it is answered.
    let answered: boolean | undefined;
    // Whether the next is probably here already: one call follows the other without waiting for it.
    let crowded = true;
    while (this.#open && performance.now() < end) {
      // Clogged: the rest is read when the bus has taken what there is, which is told by a turn.
      if (this.#outbox.length >= MOST_TOGETHER && !this.#flush()) {
        if (this.#outbox.length >= MOST_WAITING) return this.#leave();
      }
      if ((crowded || !answered) && this.#receive()) {
        answered = this.#handle() && answered !== false;
        continue;
      }
      // Not before: the answers to all that is here already go out together, as every sendmsg(2)
      // wakes the bus.
      this.#flush();
      const waiting = performance.now();
      if (!answered || !this.#patience.await() || !this.#receive()) return this.#leave();
      crowded = performance.now() - waiting < AT_ONCE;
      answered = this.#handle();
    }
    this.#flush();
    return true;
  }

  /** Has the kernel tell when the socket takes what waits; whether it has taken all meanwhile. */
  #leave(): boolean {
    if (!this.#open || this.#outbox.length === 0) return false;
    signalAsync(this.#fd, true);
    return this.#flush();
  }

  /** Whether anything came. */
  #receive(): boolean {
    this.#makeRoom();
    try {
      const length = receiveStream(this.#fd, this.#buffer, this.#end, this.#fds);
      if (length === 0) this.#fail();
      if (!length) return false;
      this.#end += length;
      this.#crowd.read(this.#end === this.#buffer.data.bytes.length);
      return true;
    } catch (error) {
      this.#fail(error);
      return false;
    }
  }

  /** Puts what is left of the buffer at its start, and has it hold the message that is on its way. */
  #makeRoom(): void {
    if (this.#start === this.#end) {
      this.#start = 0;
      this.#end = 0;
      if (this.#buffer.data.bytes.length > BUFFER_SIZE) this.#resize(BUFFER_SIZE);
      return;
    }
    const { bytes } = this.#buffer.data;
    bytes.copyWithin(0, this.#start, this.#end);
    this.#end -= this.#start;
    this.#start = 0;
    // Twice what has come, and never what a header merely promises.
    if (this.#end === bytes.length) this.#resize(2 * bytes.length);
  }

  #resize(size: number): void {
    this.#buffer.resize(size);
    this.#messages = new Unmarshaller(this.#buffer.data.bytes);
  }

  /** Handles every whole message that has come; whether all is done that they ask for. */
  #handle(): boolean {
    if (this.#expected.length > 0 && !this.#authenticate()) return false;
    let done = true;
    while (this.#open) {
      if (this.#long && !this.#passOver(this.#long)) break;
      if (this.#end - this.#start < FIXED_HEADER) break;
      let length: number;
      try {
        length = messageLength(this.#messages.view, this.#start);
      } catch (error) {
        this.#fail(error);
        return false;
      }
      if (length > LONGEST_CALL && !this.#mayBeLong(this.#start)) {
        this.#long = new LongMessage(this.#messages.view, this.#start, length);
        this.#start += FIXED_HEADER;
        continue;
      }
      if (length > this.#end - this.#start) break;
      const start = this.#start;
      this.#start += length;
      if (!this.#handleOne(start, length)) done = false;
    }
    return done;
  }

  /** Whether the message there is of a kind that we have asked for. */
  #mayBeLong(start: number): boolean {
    const type = this.#messages.view.getUint8(start + 1);
    return type === MessageType.METHOD_RETURN || type === MessageType.ERROR;
  }

  /** Passes over what has come of a message that is too long; whether that was all of it. */
  #passOver(long: LongMessage): boolean {
    this.#start += long.pass(this.#buffer.data.bytes.subarray(this.#start, this.#end));
    if (!long.isOver) return false;
    this.#long = undefined;
    const { passed } = long;
    closeAside(this.#events.ownerOf(passed.sender), this.#fds.splice(0, passed.descriptors));
    this.#events.onTooLong(passed);
    return true;
  }

  /** Handles one message, and reports one that makes no sense or that a handler fails over. */
  #handleOne(start: number, length: number): boolean {
    this.#doAfterwards();
    let message: Incoming | undefined;
    try {
      message = this.#messages.read(start, length, this.#fds);
      if (message.type === MessageType.METHOD_CALL && this.#crowd.refuses(message.sender)) {
        this.#events.onRefused(message);
        return true;
      }
      return this.#events.onMessage(message);
    } catch (error) {
      this.#events.onBadMessage(error as Error, message?.sender ?? "");
      return false;
    } finally {
      message?.release();
      if (message && message.fds.length > 0) {
        closeAside(this.#events.ownerOf(message.sender), message.fds);
      }
    }
  }

  /** Reads the bus's lines; whether they have all come. */
  #authenticate(): boolean {
    for (let expected = this.#expected[0]; expected; expected = this.#expected[0]) {
      const rest = Buffer.from(
        this.#buffer.data.bytes.buffer,
        this.#start,
        this.#end - this.#start,
      );
      const length = rest.indexOf("\r\n");
      if (length < 0) {
        if (rest.length > LONGEST_LINE) this.#fail(new Error("it does not speak D-Bus"));
        return false;
      }
      const line = rest.toString("latin1", 0, length);
      if (!expected.test(line)) {
        this.#fail(new Error(`it refuses us: ${JSON.stringify(line)}`));
        return false;
      }
      this.#start += length + 2;
      this.#expected.shift();
      if (line.startsWith("OK ")) this.#busId = line.slice(3);
    }
    return true;
  }

  #fail(error?: unknown): void {
    if (!this.#open) return;
    this.#close();
    this.#events.onEnd(error === undefined ? undefined : (error as Error));
  }

  #close(): void {
    this.#open = false;
    this.#endWatch();
    this.#patience.close();
    // What is still in it may bring a stranger's file descriptors along.
    closeAside("the bus", [this.#fd, ...this.#fds.splice(0)]);
    this.#outbox.clear();
  }
}
