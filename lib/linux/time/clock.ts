/** The kernel's clocks; see clock_gettime(2). Bun's own monotonic clock starts with the process. */
import { check } from "../ffi/errors.ts";
import { libc, Memory } from "../ffi/libc.ts";

const CLOCK_REALTIME = 0;
const CLOCK_MONOTONIC = 1;
const CLOCK_BOOTTIME = 7;
const timespec = new Memory(16);

function microseconds(clock: number, name: string): bigint {
  check(libc.clock_gettime(clock, timespec.bytes), "clock_gettime", name);
  const seconds = timespec.view.getBigInt64(0, true);
  const nanoseconds = timespec.view.getBigInt64(8, true);
  return seconds * 1_000_000n + nanoseconds / 1000n;
}

/** A moment on both clocks, in microseconds, as login1 has its timestamps. */
export interface Timestamp {
  realtime: bigint;
  monotonic: bigint;
}

/** Now, since the epoch and since boot. */
export function now(): Timestamp {
  return {
    realtime: microseconds(CLOCK_REALTIME, "CLOCK_REALTIME"),
    monotonic: microseconds(CLOCK_MONOTONIC, "CLOCK_MONOTONIC"),
  };
}

/** Microseconds since boot, with what was slept. */
export function sinceBoot(): bigint {
  return microseconds(CLOCK_BOOTTIME, "CLOCK_BOOTTIME");
}
