/** What becomes of file descriptors that nobody wants, whose end may take as long as their sender likes. */
import type { Logger } from "../cli/index.ts";
import {
  asideBacklog,
  type Credentials,
  closeAside,
  Discarder,
  dropDatagram,
  type Fd,
  hasCode,
  isBacklogged,
  type Peeked,
  type ReceiveBuffer,
  receive,
  refuseDescriptors,
  setHeard,
  threadsOf,
  uidsOf,
  userOwner,
} from "../linux/index.ts";
import { LastingFailure } from "./failures/lasting-failure.ts";

/** A user for whom so many threads wait is heard no more until only so few do. */
const MANY_THREADS = 256;
const FEW_THREADS = 16;
/** Where the kernel has no filter, nobody's file descriptors are taken until no more threads than this wait. */
const FEW_THREADS_OF_ALL = 1024;
/** How often the threads are counted meanwhile, in milliseconds. */
const LOOK_AGAIN = 1000;

export interface GuardOptions {
  log: Logger;
  /** The longest datagram, in bytes, and a buffer for one. */
  size: number;
  buffer: ReceiveBuffer;
  /** The map of the socket's filter of senders, where it has one; the caller's to close after `stop`. */
  senders?: Fd | undefined;
}

/** Takes datagrams out of the notify socket, and keeps out users of whom too many descriptors wait to be closed. */
export class DescriptorGuard {
  readonly #fd: Fd;
  readonly #log: Logger;
  readonly #buffer: ReceiveBuffer;
  readonly #senders: Fd | undefined;
  readonly #discarder: Discarder;
  readonly #failure: LastingFailure;
  /** Users who are not heard, and as whom each counts. */
  readonly #unheard = new Map<number, string>();
  #refusing = false;
  #look: Timer | undefined;

  /** @param fd the notify socket, which stays the caller's */
  constructor(fd: Fd, { log, size, buffer, senders }: GuardOptions) {
    this.#fd = fd;
    this.#log = log;
    this.#buffer = buffer;
    this.#senders = senders;
    this.#discarder = new Discarder(fd, size);
    this.#failure = new LastingFailure(
      log,
      "the filter of senders cannot be changed",
      "the filter of senders can be changed again",
    );
  }

  /** Looks after nobody any more. */
  stop(): void {
    clearInterval(this.#look);
  }

  /**
   * Takes a datagram out of the queue and leaves its file descriptors aside, in the kernel. Anybody may
   * send some, and to close them can take as long as their sender likes. For a barrier this is the answer.
   */
  drop({ data, hasDescriptors }: Peeked, sender: Credentials | undefined): void {
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
    for (const each of new Set([uid, realUidOf(pid) ?? uid])) {
      if (each === 0 || this.#unheard.has(each)) continue;
      try {
        setHeard(this.#senders, each, false);
      } catch (error) {
        if (hasCode(error, "E2BIG")) {
          this.#log.warning(`uid ${each} is one too many to be heard no more`);
        } else this.#failure.failed(error);
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
        if (threadsOf(owner) <= FEW_THREADS) this.#hearAgain(uid);
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

  /** Has a user heard again; what fails is tried with the next look. */
  #hearAgain(uid: number): void {
    try {
      if (this.#senders !== undefined) setHeard(this.#senders, uid, true);
    } catch (error) {
      this.#failure.failed(error);
      return;
    }
    this.#failure.worked();
    this.#unheard.delete(uid);
    this.#log.warning(`uid ${uid} is heard again`);
  }
}

/** The user by whom a process runs; undefined if it is gone or that cannot be seen now. */
function realUidOf(pid: number): number | undefined {
  try {
    return uidsOf(pid)?.[0];
  } catch (error) {
    if (hasCode(error, "EMFILE", "ENFILE")) return undefined;
    throw error;
  }
}
