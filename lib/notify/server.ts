/** Reads the notify socket, and says in the log who said what. */
import {
  FEW_LINES,
  type Level,
  type Limit,
  type Logger,
  RateLimiter,
  visible,
} from "../cli/index.ts";
import {
  type Credentials,
  closeAside,
  type Fd,
  messageOf,
  onReadiness,
  type Peeked,
  peekDatagram,
  processStatus,
  ReceiveBuffer,
  receive,
  userOwner,
} from "../linux/index.ts";
import { DescriptorGuard } from "./descriptor-guard.ts";
import { LastingFailure } from "./failures/lasting-failure.ts";
import { isShortage, type SpareDescriptors } from "./failures/spare-descriptors.ts";
import { type Assignment, MOST_BYTES, parseDatagram } from "./protocol/datagram.ts";
import { interpret, isPing, type Notification } from "./protocol/notification.ts";
import type { Outcome, Registry } from "./services/registry.ts";
import type { SenderProcess } from "./services/service-of-process.ts";

/** The longest text of one sender in one log line, in characters; what is more is cut. */
const LONGEST_TEXT = 512;

/** The longest quotation of a datagram that makes no sense, in bytes. */
const LONGEST_QUOTE = 64;

/** After so many datagrams in a row, signals and timers get their turn: a flood must not keep SIGTERM out. */
const MOST_AT_ONCE = 256;

/** How soon a datagram is tried again that could not be taken, in milliseconds. */
const TRY_AGAIN = 100;

const PROCESS_LIMIT: Limit = { messages: 100, window: 5000, senders: 4096 };

/** What the first limit lets through is counted once more by user: one that forks stays bounded too. */
const USER_LIMIT: Limit = { messages: 1000, window: 5000, senders: 4096 };

export interface ServerOptions {
  log: Logger;
  /** Takes in what is said. */
  registry: Registry;
  spare: SpareDescriptors;
  /** The map of the socket's filter of senders, where it has one; the caller's to close after `stop`. */
  senders?: Fd | undefined;
}

/** A datagram, with what was received of its file descriptors: only a service's are. */
interface Taken {
  /** Until the next is looked at. */
  data: Uint8Array;
  truncated: boolean;
  /** The taker's to close. */
  fds: Fd[];
  /** How many came; undefined if some were left to the kernel, which does not say. */
  descriptors: number | undefined;
  /** Whether some were lost, since this process may open no more. */
  lost: boolean;
}

/** The reader of one notify socket. */
export class NotifyServer {
  readonly #fd: Fd;
  readonly #log: Logger;
  readonly #registry: Registry;
  readonly #spare: SpareDescriptors;
  readonly #byProcess: RateLimiter;
  readonly #byUser: RateLimiter;
  readonly #byUnattributed: RateLimiter;
  // One byte more than a datagram may have, so that one too long is seen to be.
  readonly #buffer = new ReceiveBuffer(MOST_BYTES + 1);
  readonly #guard: DescriptorGuard;
  readonly #failure: LastingFailure;
  readonly #endWatch: () => void;
  #open = true;
  /** Runs while a datagram at the head of the queue cannot be taken. */
  #paused: Timer | undefined;

  /** Starts to read `fd`, which stays the caller's to close after `stop`. */
  constructor(fd: Fd, { log, registry, spare, senders }: ServerOptions) {
    this.#fd = fd;
    this.#log = log;
    this.#registry = registry;
    this.#spare = spare;
    const report = (sender: string, count: number) =>
      log.warning(`${sender}: ${count} more datagrams were not logged, too many at once`);
    this.#byProcess = new RateLimiter(PROCESS_LIMIT, report);
    this.#byUser = new RateLimiter(USER_LIMIT, report);
    this.#byUnattributed = new RateLimiter(FEW_LINES, report);
    this.#guard = new DescriptorGuard(fd, {
      log,
      size: MOST_BYTES + 1,
      buffer: this.#buffer,
      senders,
    });
    this.#failure = new LastingFailure(log, "datagrams wait", "datagrams are received again");
    this.#endWatch = onReadiness(fd, () => this.#readBatch(), true);
  }

  /** Handles what has arrived, up to one batch, and reads no more. */
  stop(): void {
    if (!this.#open) return;
    this.#endWatch();
    this.#guard.stop();
    clearTimeout(this.#paused);
    this.#paused = undefined;
    this.#readBatch();
    clearTimeout(this.#paused);
    this.#open = false;
    this.#byProcess.flush();
    this.#byUser.flush();
    this.#byUnattributed.flush();
  }

  /** Handles up to MOST_AT_ONCE datagrams; true if more may wait. */
  #readBatch(): boolean {
    if (this.#paused !== undefined) return false;
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      try {
        const peeked = peekDatagram(this.#fd, this.#buffer);
        if (!peeked) return false;
        this.#handle(peeked);
        this.#failure.worked();
      } catch (error) {
        // It is in the queue still, and what it says must not be lost: it is tried again.
        this.#failure.failed(error);
        this.#paused = setTimeout(() => {
          this.#paused = undefined;
          this.#readOn();
        }, TRY_AGAIN);
        return false;
      }
    }
    return true;
  }

  /** Reads what has come meanwhile, of which nothing tells any more. */
  #readOn(): void {
    if (this.#open && this.#readBatch()) setImmediate(() => this.#readOn());
  }

  /**
   * Handles the datagram at the head of the queue, and takes it out of there.
   *
   * @throws {Error} it is in the queue still, for want of descriptors or of memory
   */
  #handle(peeked: Peeked): void {
    const { data, truncated, hasDescriptors } = peeked;
    // pid 0 stands for a sender outside our pid namespace and for one without credentials.
    const known = peeked.credentials && peeked.credentials.pid > 0;
    const credentials = known ? peeked.credentials : undefined;
    if (!credentials) {
      this.#logLine("unknown sender", "unknown user", true, () => [
        "warning",
        "dropped a datagram, since nothing says whose it is",
      ]);
      this.#guard.drop(peeked, undefined);
      return;
    }
    const { origin, error } = this.#originOf(credentials);
    if (error !== undefined) {
      this.#lose(credentials, error);
      this.#guard.drop(peeked, credentials);
    } else if (hasDescriptors && origin?.service !== undefined) {
      // What the kernel cannot give to us it closes: that must be no answer before its time.
      if (isBarrier(data, truncated)) this.#registry.flush();
      const { fds = [], controlTruncated: lost = false } = receive(this.#fd, this.#buffer) ?? {};
      this.#act(credentials, origin, { data, truncated, fds, descriptors: fds.length, lost });
    } else {
      const descriptors = hasDescriptors ? undefined : 0;
      this.#act(credentials, origin, { data, truncated, fds: [], descriptors, lost: false });
      this.#guard.drop(peeked, credentials);
    }
  }

  /** What a sender is, or why that cannot be found out: then its datagram is not kept for another try. */
  #originOf(credentials: Credentials): { origin?: SenderProcess | undefined; error?: unknown } {
    try {
      return { origin: this.#registry.lookup.find(credentials) };
    } catch (error) {
      if (isShortage(error)) throw error;
      return { error };
    }
  }

  #lose({ pid }: Credentials, error: unknown): void {
    this.#log.error(`pid ${pid}: a datagram was lost: ${messageOf(error)}`);
  }

  /** Does what a datagram says, and logs it. It does not throw, and its descriptors are closed or kept. */
  #act(credentials: Credentials, origin: SenderProcess | undefined, taken: Taken): void {
    const { uid } = credentials;
    let left = taken.fds;
    try {
      const { data, truncated, fds, descriptors, lost } = taken;
      const datagram = parseDatagram(data, lost ? undefined : descriptors, truncated);
      if (datagram.kind === "assignments") {
        const { assignments, ignored } = datagram;
        // Uncounted ones are of a sender of no service, for which nothing is done with any.
        const said = interpret(assignments, descriptors ?? 1);
        if (ignored !== undefined) said.problems.push(ignored);
        if (descriptors === undefined && !said.store) {
          said.problems.push("file descriptors, which are taken from services only");
        } else if (fds.length > 0 && !said.store && !said.mainByPidfd) {
          said.problems.push(`${fds.length} descriptors that nothing was said of`);
        }
        left = [];
        const outcome = this.#registry.apply(credentials, said, fds);
        if (lost) outcome.notes.push("descriptors lost: this process may open no more");
        this.#logSender(credentials, origin, levelOf(said, outcome), () =>
          describe(assignments, said, outcome),
        );
      } else if (datagram.kind === "barrier") {
        // A client that asks for the state next shall see all that was said before the barrier.
        if (origin?.service !== undefined) this.#registry.flush();
        // While it waits: once it is answered it may have ended, and has no name any more.
        this.#logSender(credentials, origin, "debug", () => ": BARRIER=1");
      } else {
        this.#logSender(
          credentials,
          origin,
          "warning",
          () => `: dropped a datagram that ${datagram.why}: ${quote(data)}`,
        );
      }
    } catch (error) {
      this.#lose(credentials, error);
    } finally {
      // Of a barrier this is the answer: since one socket keeps the order, all that was said before has been handled.
      closeAside(userOwner(uid), left);
    }
  }

  /** Logs a line of a sender. */
  #logSender(
    { pid, uid }: Credentials,
    origin: SenderProcess | undefined,
    level: Level,
    text: () => string,
  ): void {
    // What a sender of no service says has no effect, and what anybody may say is not to fill the log.
    const isUnattributed = origin?.service === undefined && uid !== 0;
    this.#logLine(`pid ${pid} uid ${uid}`, userOwner(uid), isUnattributed, () => {
      const status = this.#spare.use(() => processStatus(pid));
      return [level, `(${status?.command ?? "ended"})${text()}`];
    });
  }

  /** Logs a line of a sender, if it and its user may have one more; of senders of no service a user's all together. */
  #logLine(
    process: string,
    user: string,
    isUnattributed: boolean,
    line: () => [Level, string],
  ): void {
    const may = isUnattributed
      ? this.#byUnattributed.allow(user)
      : this.#byProcess.allow(process) && this.#byUser.allow(user);
    if (!may) return;
    const [level, text] = line();
    this.#log[level](`${process} ${text}`);
  }
}

/** Whether it is one, however many descriptors it brings. */
const isBarrier = (data: Uint8Array, truncated: boolean): boolean =>
  parseDatagram(data, undefined, truncated).kind === "barrier";

/** A sign of life is no news; a failure and what has no effect is worth more than a state. */
function levelOf(said: Notification, { refused }: Outcome): Level {
  if (refused !== undefined) return "warning";
  const failed = said.busError ?? said.varlinkError ?? (said.errno || said.exitStatus);
  if (failed) return "warning";
  return isPing(said) ? "debug" : "info";
}

/** The rest of a line after the sender. */
function describe(
  assignments: readonly Assignment[],
  { problems }: Notification,
  { service, refused, notes }: Outcome,
): string {
  const text = list(assignments);
  if (refused !== undefined) return `: not credited to ${refused}: ${text}`;
  const asides = [...problems.map((problem) => `ignored ${problem}`), ...notes];
  const aside = asides.length > 0 ? ` (${asides.join("; ")})` : "";
  return `${service === undefined ? "" : ` of ${service}`}: ${text}${aside}`;
}

/** The assignments in one line; made visible before it is cut, so that what is seen is bounded. */
function list(assignments: readonly Assignment[]): string {
  const text = visible(assignments.map(({ name, value }) => `${name}=${value}`).join(" "));
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}

/** The start of a bad datagram. */
const quote = (data: Uint8Array) =>
  `"${visible(Buffer.from(data.subarray(0, LONGEST_QUOTE)).toString("utf8"))}"${data.length > LONGEST_QUOTE ? "…" : ""}`;
