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
