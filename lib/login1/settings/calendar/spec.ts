/** A calendar event as it is kept: which years, months and so on it comes in; see systemd.time(7). */
import type { TimeZone } from "../../../linux/index.ts";

/** Some values of one field: `5`, `1..5`, `1/3` or `1..9/3`. */
export interface Component {
  readonly start: number;
  /** undefined: there is no end, or no range. */
  readonly stop: number | undefined;
  /** undefined: it does not repeat. */
  readonly repeat: number | undefined;
}

/** What a field may be; undefined for all that there is. */
export type Chain = readonly Component[] | undefined;

/** The fields, the longest first; the seconds are in microseconds. */
export const FIELDS = ["year", "month", "day", "hour", "minute", "second"] as const;
export type Field = (typeof FIELDS)[number];

export const SECOND = 1_000_000;
/** The years that systemd looks at. */
export const FIRST_YEAR = 1970;
export const LAST_YEAR = 2199;

/** The least and the most of each field. */
export const BOUNDS: Readonly<Record<Field, readonly [number, number]>> = {
  year: [FIRST_YEAR, LAST_YEAR],
  month: [1, 12],
  day: [1, 31],
  hour: [0, 23],
  minute: [0, 59],
  second: [0, 60 * SECOND - 1],
};
/** How many days February has less than the longest months: no day is farther from its end. */
const FEBRUARY_LACKS = 3;

export interface CalendarSpec extends Readonly<Record<Field, Chain>> {
  /** Monday is bit 0; 0 for any day. */
  readonly weekdays: number;
  /** Days count from the month's last, which is 1. */
  readonly fromEnd: boolean;
  /** Where the clocks are: undefined is this machine's own place. */
  readonly place: Place | undefined;
}

/** UTC, a time zone, or one of the two times of this machine's: standard or daylight saving. */
export type Place =
  | { readonly kind: "utc" }
  | { readonly kind: "zone"; readonly name: string; readonly zone: TimeZone }
  | { readonly kind: "local"; readonly name: string; readonly isDst: boolean };

/** As it is kept: sorted, each once, a range's end where its last value is, and no range of one value. */
export function normalize(chain: Chain): Chain {
  if (!chain) return undefined;
  const sorted = chain
    .map(shorten)
    .sort(
      (a, b) => compare(a.start, b.start) || compare(a.stop, b.stop) || compare(a.repeat, b.repeat),
    );
  return sorted.filter((one, index) => {
    const before = sorted[index - 1];
    return (
      !before ||
      before.start !== one.start ||
      before.stop !== one.stop ||
      before.repeat !== one.repeat
    );
  });
}

function shorten(component: Component): Component {
  const { start, repeat = 0 } = component;
  let { stop } = component;
  if (stop !== undefined && stop > start && repeat > 0) stop -= (stop - start) % repeat;
  if (stop === start) return { start, stop: undefined, repeat: undefined };
  return { ...component, stop };
}

/** No end comes before any. */
const compare = (a = -1, b = -1) => a - b;

/**
 * Whether a field can be that: within its bounds, and no step beyond them. Of days that count from the
 * month's end, systemd has each further one of a list three days nearer to it.
 */
export function isPossible(chain: Chain, field: Field, fromEnd: boolean): boolean {
  const [least, bound] = BOUNDS[field];
  const isFromEnd = fromEnd && field === "day";
  return (chain ?? []).every(({ start, stop, repeat = 0 }, index) => {
    const most = isFromEnd ? bound - FEBRUARY_LACKS * (index + 1) : bound;
    if (start < least || start > most || repeat > most - least) return false;
    if (stop !== undefined) return stop >= least && stop <= most && start + repeat <= stop;
    return isFromEnd ? start - repeat >= least : start + repeat <= most;
  });
}
