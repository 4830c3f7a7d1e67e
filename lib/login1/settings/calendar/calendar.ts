/** Calendar events: `Sun *-*-* 03:00`, and when the next is; see systemd.time(7). */
import { nextOf } from "./next.ts";
import { readSpec } from "./read.ts";
import { textOf } from "./text.ts";

/** A moment that comes again. */
export interface Calendar {
  /** In its full form: `Sun *-*-* 03:00:00`. */
  readonly text: string;
  /**
   * When it comes next after a moment, both in microseconds since the epoch.
   *
   * @returns undefined if it does not come any more
   */
  next(after: bigint): bigint | undefined;
}

/**
 * Reads a calendar event, as systemd does.
 *
 * @returns undefined for what cannot be read
 */
export function readCalendar(text: string): Calendar | undefined {
  const spec = readSpec(text);
  return spec && { text: textOf(spec), next: (after) => nextOf(spec, after) };
}
