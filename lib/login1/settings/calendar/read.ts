/** Reads calendar events, all that systemd reads and nothing else; see systemd.time(7). */
import { TimeZone } from "../../../linux/index.ts";
import {
  type CalendarSpec,
  type Chain,
  type Component,
  FIELDS,
  FIRST_YEAR,
  isPossible,
  LAST_YEAR,
  normalize,
  type Place,
  SECOND,
} from "./spec.ts";

const SHORTHANDS: Readonly<Record<string, string>> = {
  minutely: "*-*-* *:*:00",
  hourly: "*-*-* *:00:00",
  daily: "*-*-* 00:00:00",
  weekly: "Mon *-*-* 00:00:00",
  monthly: "*-*-01 00:00:00",
  quarterly: "*-01,04,07,10-01 00:00:00",
  semiannually: "*-01,07-01 00:00:00",
  "semi-annually": "*-01,07-01 00:00:00",
  biannually: "*-01,07-01 00:00:00",
  "bi-annually": "*-01,07-01 00:00:00",
  yearly: "*-01-01 00:00:00",
  annually: "*-01-01 00:00:00",
  // Misspelt in systemd once, and taken ever since.
  anually: "*-01-01 00:00:00",
};
const WEEKDAYS = ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];
const ALL_WEEK = 127;
/** Seconds from the epoch to the end of the last year. */
const LAST_MOMENT = BigInt(Date.UTC(LAST_YEAR + 1, 0, 1) / 1000);

/** The largest number that systemd's fields hold. */
const LARGEST = 2 ** 31 - 1;
/** So many values may be in one list. */
const MOST_COMPONENTS = 241;

/** What is read, from its beginning. */
class Reader {
  #at = 0;

  constructor(private readonly text: string) {}

  get atEnd(): boolean {
    return this.#at === this.text.length;
  }

  /** Goes back to where the text began when this was asked for. */
  mark(): () => void {
    const at = this.#at;
    return () => {
      this.#at = at;
    };
  }

  /** Whether that comes next; it is not passed over. */
  sees(pattern: RegExp): boolean {
    return this.#match(pattern) !== undefined;
  }

  /** Passes over what comes next, if it is that, and returns it. */
  take(pattern: RegExp): string | undefined {
    const found = this.#match(pattern);
    this.#at += found?.length ?? 0;
    return found;
  }

  /** @throws {Unreadable} something else comes next */
  expect(pattern: RegExp): string {
    const found = this.take(pattern);
    if (found === undefined) throw new Unreadable();
    return found;
  }

  #match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern, "iy");
    sticky.lastIndex = this.#at;
    return sticky.exec(this.text)?.[0];
  }
}

/** It is no calendar event. */
class Unreadable extends Error {}

/**
 * Reads a calendar event.
 *
 * @returns undefined for what systemd does not read either
 */
export function readSpec(text: string): CalendarSpec | undefined {
  // No name in it has others, and some of those turn into letters in lower case.
  if (!/^[ -~]+$/.test(text)) return undefined;
  const { rest, place } = takePlace(text);
  try {
    const spec = readFields(SHORTHANDS[rest.toLowerCase()] ?? rest);
    return finish({ ...spec, place: spec.place ?? place });
  } catch (error) {
    if (error instanceof Unreadable) return undefined;
    throw error;
  }
}

/** Takes a last word that says where the clocks are. This machine's abbreviations come before names of zones. */
function takePlace(text: string): { rest: string; place: Place | undefined } {
  const lower = text.toLowerCase();
  const before = (word: string) => text.slice(0, -word.length - 1);
  const endsWith = (word: string) => word !== "" && lower.endsWith(` ${word.toLowerCase()}`);
  if (endsWith("UTC")) return { rest: before("UTC"), place: { kind: "utc" } };
  const { names } = TimeZone.local();
  for (const [index, name] of names.entries()) {
    if (!endsWith(name)) continue;
    return { rest: before(name), place: { kind: "local", name, isDst: index === 1 } };
  }
  const name = text.slice(text.lastIndexOf(" ") + 1);
  const zone = name === text ? undefined : TimeZone.named(name);
  if (!zone) return { rest: text, place: undefined };
  return { rest: before(name), place: { kind: "zone", name, zone } };
}

/** @throws {Unreadable} */
function readFields(text: string): CalendarSpec {
  if (text === "") throw new Unreadable();
  const reader = new Reader(text);
  const weekdays = readWeekdays(reader);
  const spec = reader.take(/@/)
    ? readMoment(reader)
    : { ...readDate(reader), ...readTime(reader), place: undefined };
  if (!reader.atEnd) throw new Unreadable();
  return { ...spec, weekdays };
}

/** `Mon,Wed..Fri`, also `Wed-Fri`, and a comma at the end: the bits, or 0 if no weekday comes. */
function readWeekdays(reader: Reader): number {
  let bits = 0;
  let from: number | undefined;
  for (;;) {
    const found = WEEKDAYS.findIndex((day) =>
      reader.take(new RegExp(`(?:${day}|${day.slice(0, 3)})(?=[-., ]|$)`)),
    );
    if (found < 0 && bits === 0) return 0;
    if (found < (from ?? 0)) throw new Unreadable();
    for (let day = from ?? found; day <= found; day++) bits |= 1 << day;
    const endsRange = from !== undefined;
    from = reader.take(/\.\.|-/) === undefined ? undefined : found;
    if (from !== undefined && endsRange) throw new Unreadable();
    if (from === undefined && !reader.sees(/ |$/)) reader.expect(/,/);
    if (!reader.sees(/ |$/)) continue;
    if (from !== undefined) throw new Unreadable();
    reader.take(/ +/);
    return bits;
  }
}

/** `@1493187147`: one second, counted from the epoch as strtoul(3) reads it. */
function readMoment(reader: Reader): CalendarSpec {
  const [, sign, digits = ""] = / *([+-]?)(\d+)/.exec(reader.expect(/ *[+-]?\d+/)) ?? [];
  const number = BigInt(digits);
  const seconds = BigInt.asUintN(64, sign === "-" ? -number : number);
  if (number >= 2n ** 64n || seconds >= LAST_MOMENT) throw new Unreadable();
  const at = new Date(Number(seconds) * 1000);
  return {
    ...{ weekdays: 0, fromEnd: false, place: { kind: "utc" } },
    year: only(at.getUTCFullYear()),
    month: only(at.getUTCMonth() + 1),
    day: only(at.getUTCDate()),
    hour: only(at.getUTCHours()),
    minute: only(at.getUTCMinutes()),
    second: only(at.getUTCSeconds() * SECOND),
  };
}

const only = (start: number): Chain => [{ start, stop: undefined, repeat: undefined }];

type DateFields = Pick<CalendarSpec, "year" | "month" | "day" | "fromEnd">;

/** `2026-05-01`, `05-01`, with `~` before a day that counts from the month's end; or nothing at all. */
function readDate(reader: Reader): DateFields {
  const anyDay = { year: undefined, month: undefined, day: undefined, fromEnd: false };
  if (reader.atEnd) return anyDay;
  const goBack = reader.mark();
  const first = readChain(reader, false);
  if (reader.sees(/:|$/)) {
    goBack();
    return anyDay;
  }
  const isShortFromEnd = reader.expect(/[-~]/) === "~";
  const second = readChain(reader, false);
  if (reader.sees(/ |$/)) {
    reader.take(/ +/);
    return { year: undefined, month: first, day: second, fromEnd: isShortFromEnd };
  }
  if (isShortFromEnd) throw new Unreadable();
  const fromEnd = reader.expect(/[-~]/) === "~";
  const third = readChain(reader, false);
  if (!reader.sees(/ |$/)) throw new Unreadable();
  reader.take(/ +/);
  return { year: first, month: second, day: third, fromEnd };
}

type TimeFields = Pick<CalendarSpec, "hour" | "minute" | "second">;

/** `03:00`, `03:00:00.5`; midnight if nothing comes. */
function readTime(reader: Reader): TimeFields {
  if (reader.atEnd) return { hour: only(0), minute: only(0), second: only(0) };
  const hour = readChain(reader, false);
  reader.expect(/:/);
  const minute = readChain(reader, false);
  if (reader.atEnd) return { hour, minute, second: only(0) };
  reader.expect(/:/);
  return { hour, minute, second: readChain(reader, true) };
}

/** `*`, or a list of values, ranges and steps. */
function readChain(reader: Reader, isSeconds: boolean): Chain {
  if (reader.take(/\*/)) {
    return isSeconds ? [{ start: 0, stop: undefined, repeat: SECOND }] : undefined;
  }
  const chain: Component[] = [];
  do {
    if (chain.length === MOST_COMPONENTS) throw new Unreadable();
    chain.push(readComponent(reader, isSeconds));
  } while (reader.take(/,/));
  return chain;
}

function readComponent(reader: Reader, isSeconds: boolean): Component {
  const start = readNumber(reader, isSeconds);
  const stop = reader.take(/\.\./) ? readNumber(reader, isSeconds) : undefined;
  let repeat = stop === undefined ? undefined : isSeconds ? SECOND : 1;
  if (reader.take(/\//)) {
    repeat = readNumber(reader, isSeconds);
    if (repeat === 0) throw new Unreadable();
  } else {
    const second = start + (repeat ?? 0);
    // A range of seconds without a step has two of them at least.
    if (second > LARGEST || (isSeconds && stop !== undefined && second > stop)) {
      throw new Unreadable();
    }
  }
  if (!reader.sees(/[ ,~:-]|$/)) throw new Unreadable();
  return { start, stop, repeat };
}

/** A number, of seconds with a fraction of up to six digits, which is rounded by the seventh. */
function readNumber(reader: Reader, isSeconds: boolean): number {
  let value = Number(reader.expect(/\d+/));
  if (isSeconds) {
    value *= SECOND;
    if (reader.take(/\.(?!\.)/)) {
      const digits = reader.expect(/\d+/);
      value += Number(digits.slice(0, 6).padEnd(6, "0")) + (/^.{6}[5-9]/.test(digits) ? 1 : 0);
    }
  }
  if (value > LARGEST) throw new Unreadable();
  return value;
}

/** Brings a spec into its full form; undefined if it can never be. */
function finish(spec: CalendarSpec): CalendarSpec | undefined {
  const fromEnd = spec.fromEnd && spec.day !== undefined;
  const year = spec.year?.map(({ start, stop, repeat }) => ({
    start: fullYear(start),
    stop: stop === undefined ? undefined : fullYear(stop),
    repeat,
  }));
  const given = { ...spec, year };
  const chains = FIELDS.map((field) => [field, normalize(given[field])] as const);
  if (!chains.every(([field, chain]) => isPossible(chain, field, fromEnd))) return undefined;
  const weekdays = spec.weekdays === ALL_WEEK ? 0 : spec.weekdays;
  return { ...spec, ...Object.fromEntries(chains), fromEnd, weekdays };
}

/** Of two digits, up to 69 is in this century, and from 70 on in the last. */
function fullYear(year: number): number {
  if (year >= 100) return year;
  return year + (year < FIRST_YEAR - 1900 ? 2000 : 1900);
}
