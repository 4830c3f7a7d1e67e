/** Waiting for descriptors by poll(2), and the whole process with it. */
import { errno, SystemError } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { lastErrno, libc, Memory } from "../ffi/libc.ts";
import { createTimer, setTimer } from "../time/timer.ts";
import { awaitedByLoop } from "./readiness.ts";

const POLLIN = 0x1;
const POLLHUP = 0x10;

/** The descriptors of a poll(2), with what is asked of each. */
class PollSet {
  readonly #entries: Memory;
  readonly #count: number;

  constructor(...asked: readonly { fd: Fd; events: number }[]) {
    this.#count = asked.length;
    this.#entries = new Memory(8 * asked.length);
    for (const [index, { fd, events }] of asked.entries()) {
      this.#entries.view.setInt32(8 * index, fd, true);
      this.#entries.view.setInt16(8 * index + 4, events, true);
    }
  }

  /**
   * Waits for any of them.
   *
   * @param timeout in milliseconds; -1 for ever
   * @returns what the first has of what was asked, and of POLLHUP; undefined if a signal came first
   * @throws {SystemError}
   */
  wait(timeout: number): number | undefined {
    const ready = libc.poll(this.#entries.bytes, this.#count, timeout);
    if (ready >= 0) return this.#entries.view.getInt16(6, true);
    if (lastErrno() === errno.EINTR) return undefined;
    throw new SystemError("poll", lastErrno(), `${this.#count} descriptors`);
  }
}

/** Whether the other end of a pipe, fifo or socket is closed (POLLHUP in poll(2)), whatever is still to be read. */
export function hasHungUp(fd: Fd): boolean {
  return ((new PollSet({ fd, events: 0 }).wait(0) ?? 0) & POLLHUP) !== 0;
}

/** Whether there is something to read, or the end of it. */
export function isReadable(fd: Fd): boolean {
  // A signal is told of only where nothing else is.
  return (new PollSet({ fd, events: POLLIN }).wait(0) ?? 0) !== 0;
}

/**
 * Waits until there is something to read, or the end of it, and does nothing else.
 *
 * @param timeout in milliseconds, signals or not; for ever without one
 * @returns false if the time is up
 * @throws {SystemError}
 */
export function waitUntilReadable(fd: Fd, timeout = Number.POSITIVE_INFINITY): boolean {
  const set = new PollSet({ fd, events: POLLIN });
  const deadline = performance.now() + timeout;
  for (;;) {
    const left = Math.max(0, deadline - performance.now());
    const ready = set.wait(left === Number.POSITIVE_INFINITY ? -1 : Math.ceil(left));
    if (ready) return true;
    if (left === 0) return false;
  }
}

/**
 * Waits until the other end of a pipe or socket is closed (or has something to read). It is for
 * commands that have nothing else to do.
 *
 * @param timeout in milliseconds, counted anew after a signal
 * @returns false if the time is up
 */
export function waitForHangUp(fd: Fd, timeout: number): boolean {
  const set = new PollSet({ fd, events: POLLIN });
  for (;;) {
    const ready = set.wait(timeout);
    if (ready !== undefined) return ready !== 0;
  }
}

/**
 * The time that several waits for one descriptor have together. One timer serves them all: a timeout
 * of its own would set and take back one of the kernel's timers at each wait, which costs a virtual
 * machine more than the wait.
 */
export class Patience {
  readonly #timer = createTimer("monotonic");
  readonly #set: PollSet;
  /** How long the waits may take that come next, in milliseconds, until the first of them has set the timer to it. */
  #time: number | undefined;

  /** @param fd what is waited for; it stays the caller's */
  constructor(fd: Fd) {
    // Nor is the event loop kept from what else it waits for.
    const others = [this.#timer, awaitedByLoop()].map((other) => ({ fd: other, events: POLLIN }));
    this.#set = new PollSet({ fd, events: POLLIN }, ...others);
  }

  /** Has the time, in milliseconds, start anew with the next wait: who does not wait sets no timer. */
  begin(milliseconds: number): void {
    this.#time = milliseconds;
  }

  /**
   * Waits until there is something to read or the other end is closed.
   *
   * @returns false if the time is over, a signal came, or the event loop has something to do
   * @throws {SystemError}
   */
  await(): boolean {
    if (this.#time !== undefined) {
      setTimer(this.#timer, this.#time);
      this.#time = undefined;
    }
    return (this.#set.wait(-1) ?? 0) !== 0;
  }

  close(): void {
    close(this.#timer);
  }
}
