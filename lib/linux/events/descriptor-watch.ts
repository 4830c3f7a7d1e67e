/** Many descriptors at once that are left as they are: which of them hang up or turn readable, and which are the same open file. */

import { hasCode } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { libc } from "../ffi/libc.ts";
import { addToEpoll, createEpoll, EPOLLIN, Ready, removeFromEpoll } from "./epoll.ts";
import { guarded, onceReadable } from "./readiness.ts";

// One at a time: who is told may close others, and have their numbers watched anew.
const ready = new Ready(1);

const SYS_KCMP = 312;
const KCMP_FILE = 0;

/**
 * Tells which of many descriptors hang up (EPOLLHUP) or fail (EPOLLERR), or also which turn readable.
 * Unlike `onReadiness` it changes nothing about the open files, which may belong to somebody else
 * or know no O_ASYNC. Bun waits for the epoll instance alone, so one more descriptor costs one call.
 */
export class DescriptorWatch {
  readonly #what: "hang-ups" | "readable";
  readonly #told = new Map<Fd, () => void>();
  #epoll: Fd | undefined;
  #endWait: (() => void) | undefined;

  constructor(what: "hang-ups" | "readable") {
    this.#what = what;
  }

  /**
   * Watches one more.
   *
   * @param told called once, when it hangs up or turns readable; it is no longer watched then. Must not throw
   * @returns false if it is of a kind that cannot be polled, such as a plain file
   * @throws {SystemError}
   */
  add(fd: Fd, told: () => void): boolean {
    this.#epoll ??= createEpoll(this.#what);
    try {
      addToEpoll(this.#epoll, fd, this.#what === "readable" ? EPOLLIN : 0);
    } catch (error) {
      if (this.#told.size === 0) this.end();
      if (hasCode(error, "EPERM")) return false;
      throw error;
    }
    this.#told.set(fd, told);
    try {
      this.#endWait ??= onceReadable(this.#epoll, () => this.#drain());
    } catch (error) {
      this.remove(fd);
      throw error;
    }
    return true;
  }

  /** Watches it no more, if it does; to be called before it is closed. */
  remove(fd: Fd): void {
    if (this.#epoll === undefined || !this.#told.delete(fd)) return;
    removeFromEpoll(this.#epoll, fd);
    if (this.#told.size === 0) this.end();
  }

  /** Ends all watches; nothing is held where nothing is watched. */
  end(): void {
    this.#told.clear();
    this.#endWait?.();
    this.#endWait = undefined;
    if (this.#epoll !== undefined) close(this.#epoll);
    this.#epoll = undefined;
  }

  #drain(): void {
    // It serves once.
    this.#endWait = undefined;
    while (this.#epoll !== undefined && ready.ask(this.#epoll) === 1) {
      const fd = ready.at(0);
      const told = this.#told.get(fd);
      this.remove(fd);
      if (told) guarded(told);
    }
    if (this.#epoll !== undefined) {
      this.#endWait ??= onceReadable(this.#epoll, () => this.#drain());
    }
  }
}

/**
 * Whether two descriptors are the same open file, as after dup(2), and not two openings of one;
 * see kcmp(2). False where the kernel cannot tell.
 */
export function isSameOpenFile(one: Fd, other: Fd): boolean {
  return Number(libc.syscall(SYS_KCMP, process.pid, process.pid, KCMP_FILE, one, other)) === 0;
}
