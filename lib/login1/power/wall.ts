/** What the people on terminals are told of a shutdown to come, and when. */

import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import { findCommand, runCommand } from "../host/run-program.ts";

const MINUTE = 60_000_000n;
const HOUR = 60n * MINUTE;

/** How many minutes before it they are told, besides every full hour before that; logind's choice. */
const MINUTES_BEFORE = [180, 150, 130, 100, 70, 55, 40, 25, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1].map(
  (minutes) => BigInt(minutes) * MINUTE,
);

/** Who schedules a shutdown so near is told of at once. */
const NEAR = 15n * MINUTE;
const WALL_TIMEOUT = 30_000;

/** Whether a shutdown at `due` is to be told of when it is scheduled. Microseconds since the epoch. */
export const isNear = (due: bigint, now: bigint): boolean => due - now < NEAR;

/** When people are told next of a shutdown at `due`; undefined if not any more before it. */
export function nextWarning(due: bigint, now: bigint): bigint | undefined {
  const left = due - now;
  const most = MINUTES_BEFORE[0] ?? 0n;
  if (left > most) {
    const hours = ((left - 1n) / HOUR) * HOUR;
    return due - (hours > most ? hours : most);
  }
  const before = MINUTES_BEFORE.find((candidate) => candidate < left);
  return before === undefined ? undefined : due - before;
}

/** Writes to all terminals by wall(1). A failure is logged: nobody waits for it. */
export async function wall(log: Logger, text: string): Promise<void> {
  const path = findCommand("wall");
  if (!path) {
    log.warning("nobody is told of the shutdown: wall is not installed");
    return;
  }
  try {
    await runCommand([path, "--", text], WALL_TIMEOUT);
  } catch (error) {
    log.warning(messageOf(error));
  }
}
