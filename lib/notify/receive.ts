/** Reads the notify socket and says in the log who said what. */
import { type Logger, visible } from "../cli/index.ts";
import {
  type Credentials,
  close,
  type Fd,
  onReadiness,
  processStatus,
  ReceiveBuffer,
  type Received,
  receive,
} from "../linux/index.ts";
import { type Limit, RateLimiter } from "./limit.ts";
import { type Assignment, MOST_BYTES, parseDatagram } from "./parse.ts";

/** The longest text of one sender in one log line, in characters; what is more is cut. */
const LONGEST_TEXT = 512;

/** The longest quotation of a datagram that makes no sense, in bytes. */
const LONGEST_QUOTE = 64;

/** After so many datagrams in a row, signals and timers get their turn: a flood must not keep SIGTERM out. */
const MOST_AT_ONCE = 256;

const PROCESS_LIMIT: Limit = { messages: 100, window: 5000, senders: 4096 };

/** What the first limit lets through is counted once more by user: one that forks stays bounded too. */
const USER_LIMIT: Limit = { messages: 1000, window: 5000, senders: 4096 };

export interface ServerOptions {
  log: Logger;
  /** How much of one process is logged; what is not is still acted on. */
  limit?: Limit;
  /** Called for each good datagram, in the order of arrival: who says what of itself. */
  onAssignments?: (sender: Credentials, assignments: readonly Assignment[]) => void;
}

/** The reader of one notify socket. */
export class NotifyServer {
  readonly #fd: Fd;
  readonly #log: Logger;
  readonly #onAssignments: NonNullable<ServerOptions["onAssignments"]>;
  readonly #byProcess: RateLimiter;
  readonly #byUser: RateLimiter;
  // One byte more than a datagram may have, so that one too long is seen to be.
  readonly #buffer = new ReceiveBuffer(MOST_BYTES + 1);
  readonly #endWatch: () => void;
  #pending = false;
  #open = true;

  /** Starts to read `fd`, which stays the caller's to close after `stop`. */
  constructor(fd: Fd, options: ServerOptions) {
    this.#fd = fd;
    this.#log = options.log;
    this.#onAssignments = options.onAssignments ?? (() => {});
    const report = (sender: string, count: number) =>
      this.#log.warning(`${sender}: ${count} more datagrams were not logged, too many at once`);
    this.#byProcess = new RateLimiter(options.limit ?? PROCESS_LIMIT, report);
    this.#byUser = new RateLimiter(USER_LIMIT, report);
    this.#endWatch = onReadiness(fd, () => this.#drain());
  }

  /** Handles what has arrived, up to one batch, and reads no more. */
  stop(): void {
    if (!this.#open) return;
    this.#endWatch();
    this.#readBatch();
    this.#open = false;
    this.#byProcess.flush();
    this.#byUser.flush();
  }

  /** Reads until nothing is left, with a turn for signals and timers after each batch. */
  #drain(): void {
    if (this.#pending || !this.#open || !this.#readBatch()) return;
    this.#pending = true;
    setImmediate(() => {
      this.#pending = false;
      this.#drain();
    });
  }

  /** Handles up to MOST_AT_ONCE datagrams; true if more may wait. */
  #readBatch(): boolean {
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      let message: Received | undefined;
      try {
        message = receive(this.#fd, this.#buffer);
      } catch (error) {
        this.#log.error(error instanceof Error ? error.message : String(error));
        return false;
      }
      if (!message) return false;
      try {
        this.#handle(message);
      } finally {
        // Nothing is stored yet. For a barrier this is the answer; it comes after all
        // that its sender said before, since one socket keeps the order.
        for (const passed of message.fds) close(passed);
      }
    }
    return true;
  }

  #handle(message: Received): void {
    const { credentials, data, fds, truncated, controlTruncated } = message;
    // pid 0 stands for a sender outside our pid namespace and for one without credentials.
    if (!credentials || credentials.pid <= 0) {
      this.#say("unknown sender", "unknown user", () => [
        "warning",
        "dropped a datagram, since nothing says whose it is",
      ]);
      return;
    }
    const { pid, uid } = credentials;
    const datagram = parseDatagram(data, fds.length, truncated);
    this.#say(`pid ${pid} uid ${uid}`, `uid ${uid}`, () => {
      const who = processStatus(pid)?.command ?? "ended";
      if (datagram.kind === "bad") {
        return ["warning", `(${who}): dropped a datagram that ${datagram.why}: ${quote(data)}`];
      }
      if (datagram.kind === "barrier") return ["debug", `(${who}): BARRIER=1`];
      const closed =
        fds.length > 0 ? ` (descriptors closed, since none are stored: ${fds.length})` : "";
      const lost = controlTruncated ? " (descriptors lost: this process may open no more)" : "";
      return ["info", `(${who}): ${list(datagram.assignments)}${closed}${lost}`];
    });
    if (datagram.kind === "assignments") this.#onAssignments(credentials, datagram.assignments);
  }

  /** Logs a line of a sender, if it and its user may have one more. */
  #say(process: string, user: string, line: () => ["debug" | "info" | "warning", string]): void {
    if (!this.#byProcess.allow(process) || !this.#byUser.allow(user)) return;
    const [level, text] = line();
    this.#log[level](`${process} ${text}`);
  }
}

/** The assignments in one line; made visible before it is cut, so that what is seen is bounded. */
function list(assignments: readonly Assignment[]): string {
  const text = visible(assignments.map(({ name, value }) => `${name}=${value}`).join(" "));
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}

/** The start of a bad datagram. */
const quote = (data: Uint8Array) =>
  `"${visible(Buffer.from(data.subarray(0, LONGEST_QUOTE)).toString("utf8"))}"${data.length > LONGEST_QUOTE ? "…" : ""}`;
