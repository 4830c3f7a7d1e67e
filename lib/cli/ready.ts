/**
 * Telling who started us that we can be used: OpenRC's `notify=fd:N` (0.62 and
 * later; supervise-daemon and start-stop-daemon) gives the daemon a pipe and
 * counts it as started when a newline comes.
 */
import { closeSync, fstatSync, writeSync } from "node:fs";
import { Failure, UsageFailure } from "./run.ts";

/** The option that a daemon adds to its arguments; its value goes to `readyDescriptor`. */
export const readyFdOption = {
  type: "string",
  valueHint: "N",
  description: "write a newline to descriptor N, and close it, once the daemon can be used",
} as const;

/**
 * Reads the value of --ready-fd. To be called before anything is opened, so that
 * the number can only be one that was handed down.
 *
 * @returns undefined if the option was not given
 * @throws {UsageFailure} if it is not a number, or one of 0, 1 and 2
 * @throws {Failure} if no such descriptor is open
 */
export function readyDescriptor(value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,9}$/.test(value) || Number(value) < 3) {
    throw new UsageFailure(`--ready-fd ${value}: must be the number of a descriptor, 3 or more`);
  }
  const fd = Number(value);
  try {
    fstatSync(fd);
  } catch {
    // fstat(2) on a descriptor fails in one way that means anything here: EBADF.
    throw new Failure(
      `--ready-fd ${fd}: no such descriptor is open: pass one down to this process`,
    );
  }
  return fd;
}

/**
 * Writes the newline and closes the descriptor.
 *
 * @param fd what `readyDescriptor` returned; undefined does nothing
 * @throws {Failure} if nobody reads at the other end any more
 */
export function announceReady(fd: number | undefined): void {
  if (fd === undefined) return;
  try {
    writeSync(fd, "\n");
  } catch (error) {
    throw new Failure(`--ready-fd ${fd}: ${error instanceof Error ? error.message : error}`);
  } finally {
    closeSync(fd);
  }
}
