/** Waiting for one descriptor again and again, for a limited time in all; see poll(2). */
import { errno, SystemError } from "./errors.ts";
import { close, type Fd } from "./fd.ts";
import { lastErrno, libc, Memory } from "./libc.ts";
import { createTimer, setTimer } from "./timer.ts";

const POLLIN = 0x1;
const ENTRY = 8;

/**
 * The time that several waits have together. One timer serves them all: a timeout of its own would
 * set and take back one of the kernel's timers at each wait, which costs a virtual machine more than
 * the wait.
 */
export class Patience {
  readonly #timer = createTimer("monotonic");
  readonly #entries = new Memory(2 * ENTRY);

  /** @param fd what is waited for; it stays the caller's */
  constructor(fd: Fd) {
    const { view } = this.#entries;
    view.setInt32(0, fd, true);
    view.setInt16(4, POLLIN, true);
    view.setInt32(ENTRY, this.#timer, true);
    view.setInt16(ENTRY + 4, POLLIN, true);
  }

  /** Starts the time anew, in milliseconds. */
  begin(milliseconds: number): void {
    setTimer(this.#timer, milliseconds);
  }

  /**
   * Waits, and the whole process with it, until there is something to read or the other end is closed.
   *
   * @returns false if the time is over, or a signal came
   * @throws {SystemError}
   */
  await(): boolean {
    const ready = libc.poll(this.#entries.bytes, 2, -1);
    if (ready > 0) return this.#entries.view.getInt16(6, true) !== 0;
    if (lastErrno() === errno.EINTR) return false;
    throw new SystemError("poll", lastErrno(), "two descriptors");
  }

  close(): void {
    close(this.#timer);
  }
}
