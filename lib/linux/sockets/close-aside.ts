/**
 * System calls that may wait for a stranger, each made by a thread of its own.
 *
 * To close a file descriptor that somebody else sent can take as long as its sender likes: close(2)
 * asks a FUSE file system to flush, and a socket that lingers (SO_LINGER in socket(7)) waits for its
 * peer. The kernel does the same in the context of a thread that takes a message out of a socket and
 * leaves its descriptors behind. The event loop's thread does neither.
 *
 * A Worker would cost megabytes and serve one stranger at a time. A thread of libc costs 20 µs, but
 * pthread_create(3) starts functions of one argument and we have no C of our own: close(2) is one,
 * and fgetc(3) is a read(2) of one.
 */
import { hasCode } from "../ffi/errors.ts";
import { close, duplicate, type Fd } from "../ffi/fd.ts";
import { cString, libc, Memory } from "../ffi/libc.ts";
import { accountOf } from "../users/subordinate.ts";
import { hasRefusedDescriptors } from "./options.ts";

/** So many threads of one owner may close something; its other descriptors wait behind them. */
const MOST_CLOSING = 16;
/** So many of one owner may take datagrams: what such a one waits for is in no table of ours. */
const MOST_TAKING = 2048;
/** So many threads of all users other than root, by `userOwner`. Root's, services' and our own are not kept waiting by them. */
const MOST_OF_USERS = 4096;
/** Where so many descriptors wait for a thread, of one owner or of all, no more should be received. */
const MOST_WAITING_OF_OWNER = 512;
const MOST_WAITING = 4096;
/** After so many in one turn of the event loop the rest waits for the next, so that a flood of them stops nobody. */
const MOST_AT_ONCE = 64;
/** How soon it is looked again whether a thread has ended, in milliseconds: at first, and at most. */
const FIRST_LOOK = 1;
const LAST_LOOK = 500;
/** What glibc's thread needs and a close(2) in it; only touched pages are memory. */
const STACK_SIZE = 128 * 1024;
/** Larger than glibc's pthread_attr_t. */
const ATTRIBUTE_SIZE = 128;

const RTLD_DEFAULT = 0;
const addressOfFunction = (name: string) => BigInt(libc.dlsym(RTLD_DEFAULT, cString(name)));

let attributes: Memory | undefined;
const identity = new Memory(8);

/** A user as an owner, for the counts here, with all its subordinate uids as one more; "unknown" for a sender that nothing is known of. */
export const userOwner = (uid: number | "unknown"): string =>
  `uid ${uid === "unknown" ? uid : accountOf(uid)}`;

const ROOT = userOwner(0);
const isUser = (owner: string) => owner.startsWith("uid ") && owner !== ROOT;

/**
 * Starts a thread of libc that calls a function of one argument.
 *
 * @returns the thread; undefined if the system has none to give
 */
function startThread(start: bigint, argument: number | bigint): bigint | undefined {
  if (!attributes) {
    attributes = new Memory(ATTRIBUTE_SIZE);
    libc.pthread_attr_init(attributes.bytes);
    libc.pthread_attr_setstacksize(attributes.bytes, STACK_SIZE);
  }
  if (libc.pthread_create(identity.bytes, attributes.bytes, start, argument) !== 0)
    return undefined;
  return identity.view.getBigUint64(0, true);
}

/** Whether a thread has ended; it is to be asked no more then. */
const hasThreadEnded = (thread: bigint) => libc.pthread_tryjoin_np(thread, null) === 0;

interface Running {
  thread: bigint;
  owner: string;
  ended?: (() => void) | undefined;
}

/** All threads of this process that are at work here. They are the process's, and so is this list. */
let running: Running[] = [];
let ofUsers = 0;
const byOwner = new Map<string, number>();
/** What waits for a thread, by owner, each in its order. */
const waiting = new Map<string, Fd[]>();
let waitingCount = 0;
let startedNow = 0;
let look: Timer | undefined;
let lookAgain = FIRST_LOOK;

function run(owner: string, start: bigint, argument: number | bigint, ended?: () => void): boolean {
  const thread = startThread(start, argument);
  if (thread === undefined) return false;
  running.push({ thread, owner, ended });
  if (isUser(owner)) ofUsers++;
  byOwner.set(owner, (byOwner.get(owner) ?? 0) + 1);
  return true;
}

/** Whether one more thread is this owner's to have; those that have ended are counted out where it seems not. */
function hasRoom(owner: string, most: number): boolean {
  const fits = () =>
    (byOwner.get(owner) ?? 0) < most && (ofUsers < MOST_OF_USERS || !isUser(owner));
  if (fits()) return true;
  sweep();
  return fits();
}

/** Takes the threads that have ended off the list. */
function sweep(): void {
  running = running.filter(({ thread, owner, ended }) => {
    if (!hasThreadEnded(thread)) return true;
    if (isUser(owner)) ofUsers--;
    const left = (byOwner.get(owner) ?? 1) - 1;
    if (left > 0) byOwner.set(owner, left);
    else byOwner.delete(owner);
    ended?.();
    return false;
  });
}

let closeFunction: bigint | undefined;

/** Gives threads to what waits, owner by owner, as far as there is room in this turn. */
function serveWaiting(): void {
  closeFunction ??= addressOfFunction("close");
  let progress = true;
  while (progress) {
    progress = false;
    for (const [owner, fds] of waiting) {
      if (startedNow >= MOST_AT_ONCE) return;
      if (!hasRoom(owner, MOST_CLOSING) || !run(owner, closeFunction, fds[0] as Fd)) continue;
      startedNow++;
      progress = true;
      waitingCount--;
      fds.shift();
      if (fds.length === 0) waiting.delete(owner);
    }
  }
}

/** Looks again while anything runs or waits, ever more seldom; it does not hold the process. */
function lookLater(): void {
  if (look !== undefined || (running.length === 0 && waitingCount === 0)) return;
  look = setTimeout(() => {
    look = undefined;
    startedNow = 0;
    const before = running.length + waitingCount;
    sweep();
    serveWaiting();
    lookAgain =
      running.length + waitingCount < before ? FIRST_LOOK : Math.min(2 * lookAgain, LAST_LOOK);
    lookLater();
  }, lookAgain);
  look.unref();
}

/**
 * Closes file descriptors that a stranger sent, without ever waiting for it and without throwing.
 * Each of an owner's may take as long as it likes: the same owner's wait behind it, and other users'
 * only where four thousand threads of users wait.
 *
 * @param owner whose they are for the count: `userOwner`, or any name of what is trusted
 */
export function closeAside(owner: string, fds: readonly Fd[]): void {
  if (fds.length === 0) return;
  const own = waiting.get(owner);
  if (own) own.push(...fds);
  else waiting.set(owner, [...fds]);
  waitingCount += fds.length;
  serveWaiting();
  lookAgain = FIRST_LOOK;
  lookLater();
}

/**
 * Closes a stranger's connection: at once where nothing can wait in it, else aside. Many come and go,
 * and each that waits for a thread is an open file.
 *
 * @param owner as for `closeAside`
 */
export function closeConnection(owner: string, fd: Fd): void {
  if (hasRefusedDescriptors(fd)) close(fd);
  else closeAside(owner, [fd]);
}

/** Whether so much of an owner's, or of all, waits for a thread that no more should be received from it. */
export function isBacklogged(owner: string): boolean {
  return (waiting.get(owner)?.length ?? 0) >= MOST_WAITING_OF_OWNER || waitingCount >= MOST_WAITING;
}

/** How many threads wait for what one owner has sent. */
export function threadsOf(owner: string): number {
  // Those that have ended are counted out where there seem to be many only: to look takes longer.
  if ((byOwner.get(owner) ?? 0) >= MOST_CLOSING) sweep();
  return byOwner.get(owner) ?? 0;
}

/** How many threads wait for somebody, and how many file descriptors wait for a thread. */
export function asideBacklog(): { threads: number; descriptors: number } {
  sweep();
  return { threads: running.length, descriptors: waitingCount };
}

/** One stream of stdio on the socket, with the buffer that it reads into. */
interface Stream {
  file: number;
  buffer: Memory;
}

const _IOFBF = 0;
/** How often it is looked whether the datagram is out of the queue before that is left to the scheduler, and then for how long, in milliseconds. */
const SPINS = 1000;
const LONGEST_WAIT = 1000;

/**
 * Takes datagrams with file descriptors out of a socket's queue and leaves the descriptors to the
 * kernel: they are never in our table, and the thread that took them is who waits if their end takes
 * long.
 */
export class Discarder {
  readonly #fd: Fd;
  readonly #size: number;
  readonly #read = addressOfFunction("fgetc");

  /**
   * @param fd the datagram socket, which stays the caller's
   * @param size the longest datagram, in bytes
   */
  constructor(fd: Fd, size: number) {
    this.#fd = fd;
    this.#size = size;
  }

  /**
   * Takes the next datagram out of the queue.
   *
   * @param first its first byte, by which it is seen to have come
   * @returns false if this owner has too many threads waiting, or the system has none to give: the
   *   datagram is still there
   */
  discard(owner: string, first: number): boolean {
    if (!hasRoom(owner, MOST_TAKING)) return false;
    const stream = this.#open();
    if (!stream) return false;
    const sign = first ^ 0xff;
    stream.buffer.bytes[0] = sign;
    let ended = false;
    const done = () => {
      ended = true;
      libc.fclose(stream.file);
    };
    if (!run(owner, this.#read, stream.file, done)) {
      done();
      return false;
    }
    // It is copied before the descriptors go, so the byte is here at once, whatever they take.
    const taken = () => stream.buffer.bytes[0] !== sign || ended;
    for (let count = 0; count < SPINS && !taken(); count++) libc.sched_yield();
    const end = performance.now() + LONGEST_WAIT;
    while (!taken() && performance.now() < end) {
      libc.poll(null, 0, 1);
      sweep();
    }
    lookAgain = FIRST_LOOK;
    lookLater();
    return true;
  }

  /** A stream of its own for each thread, since stdio locks it; undefined if this process may open no more. */
  #open(): Stream | undefined {
    let fd: Fd;
    try {
      fd = duplicate(this.#fd);
    } catch (error) {
      if (hasCode(error, "EMFILE")) return undefined;
      throw error;
    }
    const file = Number(libc.fdopen(fd, cString("r")));
    if (file === 0) {
      close(fd);
      return undefined;
    }
    const buffer = new Memory(this.#size);
    libc.setvbuf(file, buffer.bytes, _IOFBF, this.#size);
    return { file, buffer };
  }
}
