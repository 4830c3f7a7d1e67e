/** Alarms at a moment of one of the kernel's clocks, which JavaScript's timers do not know; see timerfd_create(2). */

import { check } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { libc, Memory } from "../ffi/libc.ts";
import { sinceBoot } from "./clock.ts";

const CLOCKS = {
  /** The time of day: follows it when it is set, and does not stand still in sleep. */
  realtime: 0,
  /** Time since boot, sleep included, and it wakes the machine. Needs an RTC that can. */
  wakeup: 9,
  monotonic: 1,
} as const;

const TFD_CLOEXEC = 0o2000000;
const TFD_NONBLOCK = 0o4000;
const TFD_TIMER_ABSTIME = 1;

/** A timer that is not set, non-blocking, for poll(2); the caller closes it. */
export function createTimer(clock: keyof typeof CLOCKS): Fd {
  return check(
    libc.timerfd_create(CLOCKS[clock], TFD_CLOEXEC | TFD_NONBLOCK),
    "timerfd_create",
    clock,
  );
}

/** Has a timer of `createTimer` become readable in so many milliseconds, and not before. */
export function setTimer(fd: Fd, milliseconds: number): void {
  set(fd, 0, BigInt(milliseconds) * 1000n, `descriptor ${fd}`);
}

/** The kernel's time_t counts seconds in 63 bits; more never comes. */
const LATEST = 9_000_000_000_000_000n;

/** Has a timer become readable when its clock is at `moment`, in microseconds, or later. */
export function setTimerAt(fd: Fd, moment: bigint): void {
  set(fd, TFD_TIMER_ABSTIME, moment < LATEST ? moment : LATEST, `descriptor ${fd}`);
}

function set(fd: Fd, flags: number, microseconds: bigint, clock: string): void {
  const value = new Memory(32);
  // All zero would disarm it; a moment long past fires at once.
  const nanoseconds = microseconds > 0n ? microseconds * 1000n : 1n;
  value.view.setBigInt64(16, nanoseconds / 1_000_000_000n, true);
  value.view.setBigInt64(24, nanoseconds % 1_000_000_000n, true);
  check(libc.timerfd_settime(fd, flags, value.bytes, null), "timerfd_settime", clock);
}

/**
 * How much too early an alarm may wake the machine, in microseconds: the RTC counts whole seconds,
 * of the time that it is set to, of the time that it is set at, and of how long the machine slept.
 */
const RTC_ERROR = 3_000_000n;

/** An alarm that wakes the machine from sleep. */
export interface WakeupAlarm {
  /** Whether its time has come, asleep or not, as exactly as the RTC can tell. */
  hasFired(): boolean;
  /** Takes it back. */
  end(): void;
}

/**
 * Sets an alarm that wakes the machine, so many microseconds from now, sleep included.
 *
 * @throws {SystemError} EPERM without CAP_WAKE_ALARM
 */
export function atWakeup(microseconds: bigint): WakeupAlarm {
  const fd = createTimer("wakeup");
  const due = sinceBoot() + microseconds;
  try {
    set(fd, 0, microseconds, "wakeup");
  } catch (error) {
    close(fd);
    throw error;
  }
  return { hasFired: () => sinceBoot() >= due - RTC_ERROR, end: () => close(fd) };
}

/** Whether the machine has a clock that can wake it: without an RTC the kernel gives no time for it. */
export function canWakeUp(): boolean {
  return libc.clock_gettime(CLOCKS.wakeup, new Memory(16).bytes) === 0;
}
