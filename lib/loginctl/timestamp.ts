/** Moments and spans of time as people write them on a command line; see systemd.time(7). */
import { parseTimeSpan } from "../cli/index.ts";
import { fromLocalTime, localTime, now, TimeZone, type WallTime } from "../linux/index.ts";
import { SECOND } from "./time.ts";

/** The last moment that systemd's commands can write: the end of the year 9999, less a day. */
const LAST = 253_402_214_399_999_999n;

/**
 * Reads a moment: `now`, `tomorrow`, `+2h`, `5min ago`, `@1735689600`, `2027-01-02 03:04:05`, `Sat 03:04`,
 * with or without a time zone behind it, or as RFC 3339 has it.
 *
 * @returns microseconds since the epoch; undefined if it is none, or lies outside of what can be written
 */
export function parseTimestamp(text: string, realtime = now().realtime): bigint | undefined {
  const moment = relative(text, realtime) ?? absolute(text, realtime);
  return moment !== undefined && moment >= 0n && moment <= LAST ? moment : undefined;
}

function relative(text: string, realtime: bigint): bigint | undefined {
  if (text === "now") return realtime;
  const [, sign, after, before, direction] = /^(?:([@+-])(.*)|(.*) (ago|left))$/s.exec(text) ?? [];
  const span = parseTimeSpan(after ?? before ?? "");
  if (span === undefined) return undefined;
  if (sign === "@") return span;
  return sign === "-" || direction === "ago" ? realtime - span : realtime + span;
}

/** How a time on the wall becomes a moment, in seconds, and the other way round. */
interface Zone {
  toSeconds(time: WallTime): bigint;
  toWall(seconds: bigint): WallTime;
}

const LOCAL: Zone = { toSeconds: fromLocalTime, toWall: localTime };

/** So many seconds before or behind UTC all year. */
const offsetBy = (offset: bigint): Zone => ({
  toSeconds: (time) => utcSeconds(time) - offset,
  toWall: (seconds) => utcWall(seconds + offset),
});

function utcSeconds({ year, month, day, hour, minute, second }: WallTime): bigint {
  return BigInt(Date.UTC(year, month - 1, day, hour, minute, second)) / 1000n;
}

function utcWall(seconds: bigint): WallTime {
  const at = new Date(Number(seconds) * 1000);
  return {
    ...{ year: at.getUTCFullYear(), month: at.getUTCMonth() + 1, day: at.getUTCDate() },
    ...{ hour: at.getUTCHours(), minute: at.getUTCMinutes(), second: at.getUTCSeconds() },
  };
}

/** A zone of the time zone database, `Europe/Berlin`; undefined if there is none of that name. */
function named(name: string): Zone | undefined {
  const zone = TimeZone.named(name);
  if (!zone) return undefined;
  const offsetAt = (seconds: bigint) => BigInt(zone.at(Number(seconds)).offset);
  const toWall = (seconds: bigint) => utcWall(seconds + offsetAt(seconds));
  const toSeconds = (time: WallTime) => {
    const asUtc = utcSeconds(time);
    // The offset of the day before is that of standard time where a clock change skips the time.
    const before = asUtc - offsetAt(asUtc - 86_400n);
    const after = asUtc - offsetAt(before);
    return offsetAt(after) === asUtc - after ? after : before;
  };
  return { toSeconds, toWall };
}

/** The zone that the end of a text names, and the text in front of it. */
function zoneOf(text: string): [rest: string, zone: Zone] {
  const [, welded, offset] = /^(.*\d)(Z|[+-]\d\d:\d\d)$/s.exec(text) ?? [];
  if (welded !== undefined && offset !== undefined && /\dT?.*:/.test(welded)) {
    return [welded, offsetBy(secondsOf(offset) ?? 0n)];
  }
  const [, rest, word = ""] = /^(.*) (\S+)$/s.exec(text) ?? [];
  if (rest === undefined) return [text, LOCAL];
  const fixed = secondsOf(word);
  if (fixed !== undefined) return [rest, offsetBy(fixed)];
  const year = BigInt(Math.floor(Date.now() / 1000));
  if ([year, year + 182n * 86_400n].some((at) => localTime(at).zone === word)) return [rest, LOCAL];
  // A word with a digit or colon is a time of day, and no name that the database has begins so.
  const zone = /^[A-Za-z]/.test(word) && word !== "UTC" ? named(word) : undefined;
  return zone ? [rest, zone] : [text, LOCAL];
}

/** Seconds before UTC: `UTC`, `Z`, `+02`, `-0330`, `+05:45`. */
function secondsOf(word: string): bigint | undefined {
  if (word === "UTC" || word === "Z") return 0n;
  const [, sign, hours, minutes = "0"] = /^([+-])(\d\d):?(\d\d)?$/.exec(word) ?? [];
  if (hours === undefined || Number(minutes) > 59 || Number(hours) > 14) return undefined;
  const seconds = BigInt(hours) * 3600n + BigInt(minutes) * 60n;
  return sign === "-" ? -seconds : seconds;
}

const WEEKDAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const DAYS = new Map([
  ["yesterday", -1],
  ["today", 0],
  ["tomorrow", 1],
]);
const DATE = /^(\d{4}|\d\d)-(\d{1,2})-(\d{1,2})$/;
const TIME = /^(\d{1,2}):(\d{1,2})(?::(\d{1,2})(?:\.(\d+))?)?$/;
const MIDNIGHT = { hour: 0, minute: 0, second: 0 };

function absolute(text: string, realtime: bigint): bigint | undefined {
  const [rest, zone] = zoneOf(text);
  const today = zone.toWall(realtime / SECOND);
  const day = DAYS.get(rest);
  if (day !== undefined) {
    return zone.toSeconds({ ...today, ...MIDNIGHT, day: today.day + day }) * SECOND;
  }
  const [, weekday, written = ""] = /^(?:([a-z]+) )?(.+)$/is.exec(rest) ?? [];
  const [first = "", second, more] = written.split(/ +|(?<=\d)T(?=\d)/);
  const date = DATE.exec(first);
  const time = TIME.exec(date ? (second ?? "0:0") : first);
  if (!time || (date ? more : second) !== undefined) return undefined;
  const wall = { ...(date ? dateOf(date) : today), ...timeOf(time) };
  if (!isPossible(wall)) return undefined;
  const asUtc = utcSeconds(wall);
  if (weekday !== undefined && !isWeekday(weekday, asUtc)) return undefined;
  return zone.toSeconds(wall) * SECOND + microseconds(time[4] ?? "");
}

/** The digits behind the point, rounded. */
const microseconds = (digits: string) => (BigInt(digits.padEnd(7, "0").slice(0, 7)) + 5n) / 10n;

function dateOf([, year = "", month, day]: RegExpExecArray) {
  const short = Number(year);
  const full = year.length > 2 ? short : short < 69 ? 2000 + short : 1900 + short;
  return { year: full, month: Number(month), day: Number(day) };
}

const timeOf = ([, hour, minute, second = "0"]: RegExpExecArray) => ({
  ...{ hour: Number(hour), minute: Number(minute), second: Number(second) },
});

/** As strptime(3) has it: a day more than the month has is one of the next. */
const isPossible = ({ year, month, day, hour, minute, second }: WallTime) =>
  year >= 1969 &&
  month >= 1 &&
  month <= 12 &&
  day >= 1 &&
  day <= 31 &&
  hour < 24 &&
  minute < 60 &&
  second <= 61;

function isWeekday(word: string, seconds: bigint): boolean {
  const at = WEEKDAYS[new Date(Number(seconds) * 1000).getUTCDay()];
  const name = word.toLowerCase();
  return at === name || at?.slice(0, 3) === name;
}
