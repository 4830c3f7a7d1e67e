/**
 * Which moment it is when clocks show something: mktime(3), as the C library of GNU finds it. A time may
 * come twice or not at all where the clocks change, and systemd's calendars depend on which moment it
 * takes then.
 */
import type { TimeZone } from "../../../linux/index.ts";

/** What a clock shows. The fields may be beyond their bounds until they are settled. */
export interface Wall {
  /** Year, month from 0, day, hour, minute and second. */
  readonly fields: readonly number[];
  /** Whether it is daylight saving time; undefined if nobody knows. */
  readonly isDst: boolean | undefined;
}

/** What a clock shows at a moment, and the moment in seconds since the epoch. */
export interface Settled extends Wall {
  readonly seconds: number;
}

/** No clock here shows an earlier year; the epoch is in 1969 west of Greenwich. */
const FIRST_YEAR = 1969;
/** How often the guess at a moment is put right: more than any changes of clocks take. */
const MOST_GUESSES = 6;
/** Where neighbouring times are looked at, in seconds: daylight saving time lasts longer, anywhere. */
const STRIDE = 601_200;
/** How far away they may be: half of the longest time that clocks have gone without a change of an hour. */
const FARTHEST = 228_621_604 + STRIDE;
const HOUR = 3600;

export class WallClock {
  readonly #zone: TimeZone | undefined;
  /** How far the clocks were ahead of UTC last: where the next search begins. */
  #ahead = 0;

  /** @param zone where the clocks are; undefined for UTC */
  constructor(zone: TimeZone | undefined) {
    this.#zone = zone;
  }

  /** What the clocks show at a moment. */
  at(seconds: number): Settled {
    const { offset, isDst } = this.#zone?.at(seconds) ?? { offset: 0, isDst: false };
    const date = new Date((seconds + offset) * 1000);
    const day = [date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate()];
    const time = [date.getUTCHours(), date.getUTCMinutes(), date.getUTCSeconds()];
    return { seconds, fields: [...day, ...time], isDst };
  }

  /**
   * Finds a moment at which clocks show that, or would without a change of the clocks.
   *
   * @returns it with the fields within their bounds; undefined before the epoch, or where there is none
   */
  settle({ fields, isDst }: Wall): Settled | undefined {
    const [year = 0, month, day, hour, minute, second = 0] = fields;
    if (year < FIRST_YEAR) return undefined;
    // What is beyond a minute is counted from its end.
    const beyond = Math.max(0, second - 59);
    const shown = Date.UTC(year, month, day, hour, minute, second - beyond) / 1000;
    const seconds = this.#zone ? this.#find(this.#zone, shown, isDst) : shown;
    if (seconds === undefined || seconds + beyond < 0) return undefined;
    return this.at(seconds + beyond);
  }

  /** @param shown what the clocks show, in seconds as if they were UTC's */
  #find(zone: TimeZone, shown: number, isDst: boolean | undefined): number | undefined {
    const found = this.#guess(zone, shown, isDst);
    if (!found) return undefined;
    let { seconds } = found;
    if (found.isShown && isDst !== undefined && zone.at(seconds).isDst !== isDst) {
      seconds = neighbour(zone, shown, seconds, isDst);
    }
    this.#ahead = shown - seconds;
    return seconds;
  }

  /** Begins with the offset that was right last, and puts the guess right by what the clocks show then. */
  #guess(zone: TimeZone, shown: number, isDst: boolean | undefined) {
    let [seconds, before, last] = [shown - this.#ahead, Number.NaN, Number.NaN];
    let wasDst = false;
    for (let count = 0; count < MOST_GUESSES; count++) {
      const period = zone.at(seconds);
      const error = shown - seconds - period.offset;
      if (error === 0) return { seconds, isShown: true };
      // To and fro: the clocks never show it. Where nothing was asked for, daylight saving time is
      // preferred, and else that which was not asked for.
      const prefers = isDst === undefined ? period.isDst || !wasDst : period.isDst !== isDst;
      if (seconds === before && seconds !== last && prefers) return { seconds, isShown: false };
      [before, last] = [last, seconds];
      seconds += error;
      wasDst = period.isDst;
    }
    return undefined;
  }
}

/** The moment by the offset of the nearest time that is daylight saving time, or is not, as is asked for. */
function neighbour(zone: TimeZone, shown: number, seconds: number, isDst: boolean): number {
  for (let distance = STRIDE; distance < FARTHEST; distance += STRIDE) {
    for (const near of [seconds - distance, seconds + distance]) {
      const period = zone.at(near);
      if (period.isDst === isDst) return shown - period.offset;
    }
  }
  return seconds + (isDst ? -HOUR : HOUR);
}
