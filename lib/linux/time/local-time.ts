/** The local time as the C library has it: the abbreviations of time zones are not JavaScript's to know. */
import { libc, Memory, stringAt } from "../ffi/libc.ts";

/** A moment in the local time zone ($TZ, else /etc/localtime); see localtime(3). */
export interface LocalTime {
  year: number;
  /** 1 to 12. */
  month: number;
  day: number;
  /** 0 is Sunday. */
  weekday: number;
  hour: number;
  minute: number;
  second: number;
  /** The zone's abbreviation at that moment, `CEST`. */
  zone: string;
}

/** @param seconds since the epoch */
export function localTime(seconds: bigint): LocalTime {
  const clock = new Memory(8);
  const broken = new Memory(56);
  clock.view.setBigInt64(0, seconds, true);
  if (!libc.localtime_r(clock.bytes, broken.bytes)) {
    throw new RangeError(`${seconds} seconds since the epoch is no time that the calendar has`);
  }
  const field = (index: number) => broken.view.getInt32(index * 4, true);
  return {
    second: field(0),
    minute: field(1),
    hour: field(2),
    day: field(3),
    month: field(4) + 1,
    year: field(5) + 1900,
    weekday: field(6),
    zone: stringAt(broken.getWord(48)),
  };
}

/** A day and a time of day, by a clock on the wall. */
export type WallTime = Pick<LocalTime, "year" | "month" | "day" | "hour" | "minute" | "second">;

/**
 * The moment at which it is that time in the local time zone, in seconds since the epoch; see mktime(3).
 * A time that a clock change skips is the C library's choice, and so is which of two is meant.
 *
 * @throws {RangeError} if there is no such moment
 */
export function fromLocalTime(time: WallTime): bigint {
  const broken = new Memory(56);
  const { second, minute, hour, day, month, year } = time;
  const fields = [second, minute, hour, day, month - 1, year - 1900];
  for (const [index, value] of fields.entries()) broken.view.setInt32(index * 4, value, true);
  // Whether it is summer time is for the C library to say.
  broken.view.setInt32(32, -1, true);
  // mktime says -1 for a failure as well as for a second before the epoch, and then leaves the weekday.
  broken.view.setInt32(24, -1, true);
  const seconds = BigInt(libc.mktime(broken.bytes));
  if (seconds === -1n && broken.view.getInt32(24, true) === -1) {
    throw new RangeError(`${year}-${month}-${day} is no date that the calendar has`);
  }
  return seconds;
}
