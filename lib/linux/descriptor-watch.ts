/** Many descriptors at once that are left as they are: which of them hang up or turn readable, and which are the same open file. */
import { check, SystemError } from "./errors.ts";
import { close, type Fd } from "./fd.ts";
import { lastErrno, libc, Memory } from "./libc.ts";
import { onceReadable } from "./readiness.ts";

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
/** struct epoll_event is packed on x86-64: 32 bits of events, 64 of data. */
const EVENT_SIZE = 12;
/** For one call at a time. */
const event = new Memory(EVENT_SIZE);

const SYS_KCMP = 312;
const KCMP_FILE = 0;

/**
 * Tells which of many descriptors hang up (EPOLLHUP) or fail (EPOLLERR), or also which turn readable.
 * Unlike `onReadiness` it changes nothing about the open files, which may belong to somebody else
 * or know no O_ASYNC. Bun waits for the epoll instance alone, so one more descriptor costs one call.
 */
export class DescriptorWatch {
  readonly #epoll: Fd;
  readonly #events: number;
  readonly #gone: (fd: Fd) => void;
  #endWait: (() => void) | undefined;
  #count = 0;

  /** @param gone called once for each descriptor, which is no longer watched then; must not throw */
  constructor(what: "hang-ups" | "readable", gone: (fd: Fd) => void) {
    this.#epoll = check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1", what);
    // Hang-ups and failures come unasked.
    this.#events = what === "readable" ? EPOLLIN : 0;
    this.#gone = gone;
  }

  /**
   * Watches one more.
   *
   * @returns false if it is of a kind that cannot be polled, such as a plain file
   * @throws {SystemError}
   */
  add(fd: Fd): boolean {
    if (this.#control(EPOLL_CTL_ADD, fd) < 0) {
      const error = new SystemError("epoll_ctl", lastErrno(), `descriptor ${fd}`);
      if (error.code === "EPERM") return false;
      throw error;
    }
    this.#count++;
    this.#endWait ??= onceReadable(this.#epoll, () => this.#drain());
    return true;
  }

  /** Watches it no more; to be called before it is closed. */
  remove(fd: Fd): void {
    if (this.#control(EPOLL_CTL_DEL, fd) < 0) return;
    this.#count--;
    if (this.#count === 0) this.#stopWaiting();
  }

  /** Ends all watches. */
  end(): void {
    this.#stopWaiting();
    close(this.#epoll);
  }

  #stopWaiting(): void {
    this.#endWait?.();
    this.#endWait = undefined;
  }

  #control(operation: number, fd: Fd): number {
    event.view.setUint32(0, this.#events, true);
    event.view.setUint32(4, fd, true);
    return libc.epoll_ctl(this.#epoll, operation, fd, event.bytes);
  }

  #drain(): void {
    // It serves once.
    this.#endWait = undefined;
    // One at a time: who is told may close others, and have their numbers watched anew.
    while (libc.epoll_wait(this.#epoll, event.bytes, 1, 0) === 1) {
      const fd = event.view.getUint32(4, true);
      this.remove(fd);
      this.#gone(fd);
    }
    if (this.#count > 0) this.#endWait ??= onceReadable(this.#epoll, () => this.#drain());
  }
}

/** Descriptors that each have somebody of their own to be told, in one `DescriptorWatch` for all. */
export class DescriptorWatches {
  readonly #what: "hang-ups" | "readable";
  readonly #told = new Map<Fd, () => void>();
  #watch: DescriptorWatch | undefined;

  constructor(what: "hang-ups" | "readable") {
    this.#what = what;
  }

  /**
   * Calls `told` once, when `fd` hangs up or turns readable.
   *
   * @returns a function that ends the watch, to be called before `fd` is closed, even after `told` was
   * @throws {SystemError}
   */
  add(fd: Fd, told: () => void): () => void {
    this.#watch ??= new DescriptorWatch(this.#what, (one) => this.#told.get(one)?.());
    this.#watch.add(fd);
    this.#told.set(fd, told);
    return () => {
      if (this.#told.delete(fd)) this.#watch?.remove(fd);
    };
  }
}

/**
 * Whether two descriptors are the same open file, as after dup(2), and not two openings of one;
 * see kcmp(2). False where the kernel cannot tell.
 */
export function isSameOpenFile(one: Fd, other: Fd): boolean {
  return Number(libc.syscall(SYS_KCMP, process.pid, process.pid, KCMP_FILE, one, other)) === 0;
}
