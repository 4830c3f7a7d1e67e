/** One client: its calls, answered one after the other in the order in which they came. */
import {
  type Credentials,
  closeAside,
  closeConnection,
  type Fd,
  hasCode,
  onReadiness,
  ReceiveBuffer,
  receiveStream,
  send,
  userOwner,
} from "../linux/index.ts";
import { formatReply, parseCall, Splitter } from "./message.ts";
import { Peer } from "./peer.ts";
import { Replies, type Reply, type Service } from "./service.ts";

/** After so many calls of one client in a row, everybody else gets a turn. */
const MOST_AT_ONCE = 32;

/** Serves every connection: what was read is cut into calls before the next reads. */
let buffer: ReceiveBuffer | undefined;
const BUFFER_SIZE = 65536;

/**
 * A connection. It reads no further while a call waits for its answer or an
 * answer waits to be taken, so that a client holds up itself and nobody else,
 * and costs at most what was read at once and one answer.
 */
export class ServerConnection {
  readonly peer: Peer;
  readonly #fd: Fd;
  readonly #service: Service;
  readonly #onEnd: (reason: string) => void;
  readonly #splitter = new Splitter();
  readonly #endWatch: () => void;
  #calls: Uint8Array[] = [];
  #answer: Uint8Array = new Uint8Array(0);
  /** What makes the replies that follow, and the next of them. */
  #more: { each: Iterator<Reply>; next: Reply } | undefined;
  #open = true;
  #busy = false;
  #atEnd = false;

  /**
   * @param fd belongs to the connection from here on
   * @param credentials of who made it
   * @param onEnd is called once when it ends by itself, with the reason
   */
  constructor(fd: Fd, credentials: Credentials, service: Service, onEnd: (reason: string) => void) {
    this.#fd = fd;
    this.#service = service;
    this.#onEnd = onEnd;
    try {
      this.peer = new Peer(fd, credentials);
    } catch (error) {
      closeConnection(userOwner(credentials.uid), fd);
      throw error;
    }
    try {
      this.#endWatch = onReadiness(fd, () => void this.#work());
    } catch (error) {
      this.peer.end();
      closeConnection(userOwner(this.peer.uid), fd);
      throw error;
    }
  }

  /** Ends it; what the client sent and has no answer to gets none. */
  end(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#calls = [];
    this.#more = undefined;
    this.#endWatch();
    // It may hold file descriptors that the client sent and nobody has read.
    closeConnection(userOwner(this.peer.uid), this.#fd);
    this.peer.end();
  }

  #endBecause(reason: string): void {
    if (!this.#open) return;
    this.end();
    this.#onEnd(reason);
  }

  /** Reads, calls and answers until one of them has to wait. It never throws. */
  async #work(): Promise<void> {
    if (this.#busy) return;
    this.#busy = true;
    try {
      for (let count = 0; this.#open; count++) {
        if (count === MOST_AT_ONCE) {
          count = 0;
          await new Promise((resolve) => setImmediate(resolve));
          continue;
        }
        if (!this.#write()) break;
        if (this.#more) {
          this.#answer = this.#nextReply();
          continue;
        }
        const call = this.#calls.shift();
        if (call) await this.#serve(call);
        else if (this.#atEnd) this.#endBecause("the client closed it");
        else if (!this.#read()) break;
      }
    } catch (error) {
      const gone = hasCode(error, "EPIPE", "ECONNRESET");
      this.#endBecause(gone ? "the client is gone" : (error as Error).message);
    } finally {
      this.#busy = false;
    }
  }

  /** Sends what is left of the last answer; false if the client takes no more now. */
  #write(): boolean {
    while (this.#answer.length > 0) {
      const sent = send(this.#fd, this.#answer);
      if (sent === undefined) return false;
      this.#answer = this.#answer.subarray(sent);
    }
    return true;
  }

  /** Reads once; false if there is nothing now. No method here takes file descriptors: where the kernel does not refuse them, they are closed. */
  #read(): boolean {
    buffer ??= new ReceiveBuffer(BUFFER_SIZE);
    const fds: Fd[] = [];
    const length = receiveStream(this.#fd, buffer, 0, fds);
    closeAside(userOwner(this.peer.uid), fds);
    if (length === undefined) return false;
    if (length === 0) this.#atEnd = true;
    // A copy: a part of a call waits here for the rest of it.
    this.#calls = this.#splitter.take(buffer.data.bytes.slice(0, length));
    return true;
  }

  /** Answers one call. What is to come after the answer does so once, even if the client takes none. */
  async #serve(message: Uint8Array): Promise<void> {
    const call = parseCall(message);
    const tasks: (() => void)[] = [];
    let answered = false;
    const afterReply = (task: () => void) => {
      if (answered) task();
      else tasks.push(task);
    };
    const answer = await this.#service.call(call, this.peer, afterReply);
    try {
      if (!call.oneway) this.#answer = this.#firstReply(answer);
      // At once, and as much as goes now: nobody is to wait for a client that reads slowly.
      if (this.#open) this.#write();
    } finally {
      answered = true;
      for (const task of tasks) task();
    }
  }

  /** The answer's first message; of several, the others follow when that is taken. */
  #firstReply(answer: Awaited<ReturnType<Service["call"]>>): Uint8Array {
    if (!(answer instanceof Replies)) return formatReply(answer);
    const { value, done } = answer.each.next();
    // None at all is said by one without a word in it.
    if (done) return formatReply({});
    this.#more = { each: answer.each, next: value };
    return this.#nextReply();
  }

  /** The next of several replies: whether it is the last has to be known before it goes. */
  #nextReply(): Uint8Array {
    if (!this.#more) throw new Error("no reply is left");
    const { each, next } = this.#more;
    const { value, done } = each.next();
    this.#more = done ? undefined : { each, next: value };
    return formatReply(next, !done);
  }
}
