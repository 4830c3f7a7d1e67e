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
  asideBacklog,
  type Credentials,
  closeAside,
  Discarder,
  dropDatagram,
  type Fd,
  hasCode,
  isBacklogged,
  messageOf,
  onReadiness,
  type Peeked,
  peekDatagram,
  processStatus,
  ReceiveBuffer,
  receive,
  refuseDescriptors,
  setHeard,
  threadsOf,
  uidsOf,
  userOwner,
} from "../linux/index.ts";
import { type Assignment, MOST_BYTES, parseDatagram } from "./protocol/datagram.ts";
import { interpret, type Notification } from "./protocol/notification.ts";
import { isPing, type Outcome, type Registry } from "./services/registry.ts";
import type { SenderProcess } from "./services/service-of-process.ts";

/** The longest text of one sender in one log line, in characters; what is more is cut. */
const LONGEST_TEXT = 512;

/** The longest quotation of a datagram that makes no sense, in bytes. */
const LONGEST_QUOTE = 64;

/** After so many datagrams in a row, signals and timers get their turn: a flood must not keep SIGTERM out. */
const MOST_AT_ONCE = 256;

/** A user for whom so many threads wait is heard no more until only so few do. */
const MANY_THREADS = 256;
const FEW_THREADS = 16;
/** Where the kernel has no filter, nobody's file descriptors are taken until no more threads than this wait. */
const FEW_THREADS_OF_ALL = 1024;
/** How often the threads are counted meanwhile, in milliseconds. */
const LOOK_AGAIN = 1000;

const PROCESS_LIMIT: Limit = { messages: 100, window: 5000, senders: 4096 };

/** What the first limit lets through is counted once more by user: one that forks stays bounded too. */
const USER_LIMIT: Limit = { messages: 1000, window: 5000, senders: 4096 };

export interface ServerOptions {
  log: Logger;
  /** Takes in what is said. */
  registry: Registry;
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
  readonly #byProcess: RateLimiter;
  readonly #byUser: RateLimiter;
  readonly #byUnattributed: RateLimiter;
  readonly #senders: Fd | undefined;
  /** Users who are not heard, and as whom each counts. */
  readonly #unheard = new Map<number, string>();
  // One byte more than a datagram may have, so that one too long is seen to be.
  readonly #buffer = new ReceiveBuffer(MOST_BYTES + 1);
  readonly #discarder: Discarder;
  readonly #endWatch: () => void;
  #open = true;
  #refusing = false;
  #look: Timer | undefined;

  /** Starts to read `fd`, which stays the caller's to close after `stop`. */
  constructor(fd: Fd, options: ServerOptions) {
    this.#fd = fd;
    this.#log = options.log;
    this.#registry = options.registry;
    const report = (sender: string, count: number) =>
      this.#log.warning(`${sender}: ${count} more datagrams were not logged, too many at once`);
    this.#byProcess = new RateLimiter(PROCESS_LIMIT, report);
    this.#byUser = new RateLimiter(USER_LIMIT, report);
    this.#byUnattributed = new RateLimiter(FEW_LINES, report);
    this.#senders = options.senders;
    this.#discarder = new Discarder(fd, MOST_BYTES + 1);
    this.#endWatch = onReadiness(fd, () => this.#readBatch(), true);
  }

  /** Handles what has arrived, up to one batch, and reads no more. */
  stop(): void {
    if (!this.#open) return;
    this.#endWatch();
    clearInterval(this.#look);
    this.#readBatch();
    this.#open = false;
    this.#byProcess.flush();
    this.#byUser.flush();
    this.#byUnattributed.flush();
  }

  /** Handles up to MOST_AT_ONCE datagrams; true if more may wait. */
  #readBatch(): boolean {
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      let peeked: Peeked | undefined;
      try {
        peeked = peekDatagram(this.#fd, this.#buffer);
        if (!peeked) return false;
        this.#handle(peeked);
      } catch (error) {
        // Not of the sender's making: /proc or a file descriptor failed us. The next one is a new try.
        this.#log.error(
          `pid ${peeked?.credentials?.pid}: a datagram was lost: ${messageOf(error)}`,
        );
        if (!peeked) return false;
      }
    }
    return true;
  }

  /** Handles the datagram at the head of the queue, and takes it out of there whatever happens. */
  #handle(peeked: Peeked): void {
    const { data, truncated, hasDescriptors } = peeked;
    // pid 0 stands for a sender outside our pid namespace and for one without credentials.
    const known = peeked.credentials && peeked.credentials.pid > 0;
    const credentials = known ? peeked.credentials : undefined;
    let isTaken = false;
    try {
      const origin = credentials && this.#registry.lookup.find(credentials);
      if (!credentials) {
        this.#logLine("unknown sender", "unknown user", true, () => [
          "warning",
          "dropped a datagram, since nothing says whose it is",
        ]);
      } else if (hasDescriptors && origin?.service !== undefined) {
        isTaken = true;
        const { fds = [], controlTruncated = false } = receive(this.#fd, this.#buffer) ?? {};
        const descriptors = fds.length;
        this.#act(credentials, origin, {
          data,
          truncated,
          fds,
          descriptors,
          lost: controlTruncated,
        });
      } else {
        const descriptors = hasDescriptors ? undefined : 0;
        this.#act(credentials, origin, { data, truncated, fds: [], descriptors, lost: false });
      }
    } finally {
      if (!isTaken) this.#drop(peeked, credentials);
    }
  }

  /**
   * Takes a datagram out of the queue and leaves its file descriptors aside, in the kernel. Anybody may
   * send some, and to close them can take as long as their sender likes. For a barrier this is the answer.
   */
  #drop({ data, hasDescriptors }: Peeked, sender: Credentials | undefined): void {
    if (!hasDescriptors) {
      dropDatagram(this.#fd);
      return;
    }
    const owner = userOwner(sender?.uid ?? "unknown");
    const [first] = data;
    // An empty one shows no sign of having been taken.
    if (first !== undefined && this.#discarder.discard(owner, first)) {
      if (sender && threadsOf(owner) >= MANY_THREADS) this.#hearNoMore(sender, owner);
      return;
    }
    if (first !== undefined) this.#refuse(owner);
    if (isBacklogged(owner)) {
      // Only where the kernel cannot refuse them: it drops them while we wait.
      dropDatagram(this.#fd);
      return;
    }
    closeAside(owner, receive(this.#fd, this.#buffer)?.fds ?? []);
  }

  /**
   * Has the kernel drop what a user sends, in its own system call, while what came from there does not
   * end. That user's services are not heard either; those of all others are.
   */
  #hearNoMore({ pid, uid }: Credentials, owner: string): void {
    if (this.#senders === undefined || uid === 0) return;
    // The kernel's filter goes by the real user, and a datagram may say that it is of another that the process may be.
    for (const each of new Set([uid, uidsOf(pid)?.[0] ?? uid])) {
      if (each === 0 || this.#unheard.has(each)) continue;
      try {
        setHeard(this.#senders, each, false);
      } catch (error) {
        if (!hasCode(error, "E2BIG")) throw error;
        this.#log.warning(`uid ${each} is one too many to be heard no more`);
        continue;
      }
      this.#unheard.set(each, owner);
      this.#log.warning(`uid ${each} is not heard until its file descriptors close`);
    }
    this.#lookLater();
  }

  /** Has the kernel refuse file descriptors, of services too, while a sender's are more than are got over. */
  #refuse(owner: string): void {
    if (this.#refusing || !refuseDescriptors(this.#fd)) return;
    this.#refusing = true;
    this.#log.warning(`${owner} sends file descriptors that do not close: nobody's are taken`);
    this.#lookLater();
  }

  /** Looks from time to time whether what is kept out may come again. */
  #lookLater(): void {
    if (this.#look !== undefined) return;
    this.#look = setInterval(() => {
      for (const [uid, owner] of this.#unheard) {
        if (threadsOf(owner) > FEW_THREADS) continue;
        this.#unheard.delete(uid);
        if (this.#senders !== undefined) setHeard(this.#senders, uid, true);
        this.#log.warning(`uid ${uid} is heard again`);
      }
      if (this.#refusing && asideBacklog().threads <= FEW_THREADS_OF_ALL) {
        this.#refusing = false;
        refuseDescriptors(this.#fd, false);
        this.#log.warning("file descriptors are taken again");
      }
      if (this.#refusing || this.#unheard.size > 0) return;
      clearInterval(this.#look);
      this.#look = undefined;
    }, LOOK_AGAIN);
    this.#look.unref();
  }

  #act(credentials: Credentials, origin: SenderProcess | undefined, taken: Taken): void {
    const { pid, uid } = credentials;
    const { data, truncated, fds, descriptors, lost } = taken;
    const discard = () => closeAside(userOwner(uid), fds);
    // What a stranger says has no effect, and what anybody may say is not to fill the log.
    const isUnattributed = origin?.service === undefined && uid !== 0;
    const say = (line: () => [Level, string]) =>
      this.#logLine(`pid ${pid} uid ${uid}`, userOwner(uid), isUnattributed, () => {
        const [level, text] = line();
        return [level, `(${processStatus(pid)?.command ?? "ended"})${text}`];
      });
    const datagram = parseDatagram(data, descriptors, truncated);
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
      const outcome = this.#registry.apply(credentials, said, fds);
      if (lost) outcome.notes.push("descriptors lost: this process may open no more");
      say(() => [levelOf(said, outcome), describe(assignments, said, outcome)]);
      return;
    }
    if (datagram.kind === "barrier") {
      // A client that asks for the state next shall see all that was said before the barrier.
      if (origin?.service !== undefined) this.#registry.flush();
      // While it waits: once it is answered it may have ended, and has no name any more.
      say(() => ["debug", ": BARRIER=1"]);
      // The answer: since one socket keeps the order, all that was said before has been handled.
      discard();
      return;
    }
    discard();
    say(() => ["warning", `: dropped a datagram that ${datagram.why}: ${quote(data)}`]);
  }

  /** Logs a line of a sender, if it and its user may have one more; of strangers a user's all together. */
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
