/** Calendar events: `Sun *-*-* 03:00`, and when the next is; see systemd.time(7). */

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

const SHORTHANDS: Readonly<Record<string, string>> = {
  minutely: "*-*-* *:*:00",
  hourly: "*-*-* *:00:00",
  daily: "*-*-* 00:00:00",
  weekly: "Mon *-*-* 00:00:00",
  monthly: "*-*-01 00:00:00",
  quarterly: "*-01,04,07,10-01 00:00:00",
  semiannually: "*-01,07-01 00:00:00",
  yearly: "*-01-01 00:00:00",
  annually: "*-01-01 00:00:00",
};
const DAYS = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
/** The last year that systemd looks at. */
const LAST_YEAR = 2199;

/**
 * Reads a calendar event. Fractions of seconds are not known here.
 *
 * @returns undefined for what cannot be read
 */
export function readCalendar(text: string): Calendar | undefined {
  const words = (SHORTHANDS[text.toLowerCase()] ?? text).split(/\s+/);
  const hasZone = words.length > 1 && !/[\d*]/.test(words.at(-1) ?? "");
  const zone = hasZone ? words.pop() : undefined;
  const dayWord = /^[A-Za-z]/.test(words[0] ?? "") ? words.shift() : undefined;
  const time = words.at(-1)?.includes(":") ? words.pop() : "00:00:00";
  const date = words.shift() ?? "*-*-*";
  if (words.length > 0 || time === undefined) return undefined;
  const weekdays = dayWord === undefined ? undefined : readWeekdays(dayWord);
  if (dayWord !== undefined && weekdays === undefined) return undefined;
  if (zone !== undefined && !isZone(zone)) return undefined;

  // `Y-M~D` counts the days from the month's last.
  const [, yearText = "*", monthText = "", separator, dayText = ""] =
    /^(?:([^-~]+)-)?([^-~]+)([-~])([^-~]+)$/.exec(date) ?? [];
  const [hourText = "", minuteText = "", secondText = "00", ...more] = time.split(":");
  const years = readComponent(yearText, 1970, LAST_YEAR);
  const months = readComponent(monthText, 1, 12);
  const days = readComponent(dayText, 1, 31);
  const hours = readComponent(hourText, 0, 23);
  const minutes = readComponent(minuteText, 0, 59);
  const seconds = readComponent(secondText, 0, 59);
  if (!years || !months || !days || !hours || !minutes || !seconds || more.length > 0) {
    return undefined;
  }
  const full = [
    dayWord && dayNames(dayWord),
    `${pad(yearText, 4)}-${pad(monthText, 2)}${separator}${pad(dayText, 2)}`,
    [hourText, minuteText, secondText].map((part) => pad(part, 2)).join(":"),
    zone,
  ];
  const isDay = (year: number, month: number, day: number) => {
    const last = new Date(Date.UTC(year, month, 0)).getUTCDate();
    const weekday = new Date(Date.UTC(year, month - 1, day)).getUTCDay();
    const counted = separator === "~" ? last - day + 1 : day;
    return day <= last && days.has(counted) && (weekdays?.has(weekday) ?? true);
  };
  return {
    text: full.filter((part) => part !== undefined).join(" "),
    next(after) {
      const from = Number(after / 1000n);
      // A day before, since the zone may be behind UTC.
      const first = new Date(from - 86_400_000);
      for (const year of [...years].filter((candidate) => candidate >= first.getUTCFullYear())) {
        for (const month of months) {
          if (Date.UTC(year, month, 1) < first.getTime()) continue;
          for (let day = 1; day <= 31; day++) {
            if (Date.UTC(year, month - 1, day + 1) < first.getTime()) continue;
            if (!isDay(year, month, day)) continue;
            for (const hour of hours) {
              for (const minute of minutes) {
                for (const second of seconds) {
                  const at = moment([year, month - 1, day, hour, minute, second], zone);
                  if (at > from) return BigInt(at) * 1000n;
                }
              }
            }
          }
        }
      }
      return undefined;
    },
  };
}

/** `*`, `5`, `1..5`, `1,3`, each with `/2` for every second: the numbers, in their order. */
function readComponent(text: string, least: number, most: number): Set<number> | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(",")) {
    const [, begin = "", end, step] = /^(\*|\d+)(?:\.\.(\d+))?(?:\/(\d+))?$/.exec(part) ?? [];
    if (begin === "" || (begin === "*" && end !== undefined) || step === "0") return undefined;
    const from = begin === "*" ? least : Number(begin);
    const open = begin === "*" || step !== undefined;
    const to = end === undefined ? (open ? most : from) : Number(end);
    if (from < least || to > most || from > to) return undefined;
    for (let number = from; number <= to; number += Number(step ?? 1)) numbers.add(number);
  }
  return new Set([...numbers].sort((a, b) => a - b));
}

const dayNumber = (name: string) =>
  DAYS.findIndex((day) => day === name.toLowerCase() || day.slice(0, 3) === name.toLowerCase());

/** `Mon,Wed..Fri`; a range may go over the end of the week. */
function readWeekdays(text: string): Set<number> | undefined {
  const days = new Set<number>();
  for (const part of text.replace(/,$/, "").split(",")) {
    const [begin = "", end = begin, ...more] = part.split("..");
    const [from, to] = [dayNumber(begin), dayNumber(end)];
    if (from < 0 || to < 0 || more.length > 0) return undefined;
    for (let day = from; ; day = (day + 1) % 7) {
      days.add(day);
      if (day === to) break;
    }
  }
  return days;
}

const dayNames = (text: string) =>
  text
    .replace(/,$/, "")
    .replace(
      /[A-Za-z]+/g,
      (name) => `${name.slice(0, 1).toUpperCase()}${name.slice(1, 3).toLowerCase()}`,
    );

/** Numbers in so many digits, but for those that say how wide a step is. */
const pad = (text: string, digits: number) =>
  text.replace(/(?<![/\d])\d+/g, (number) => number.padStart(digits, "0"));

function isZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: name });
    return true;
  } catch (error) {
    if (error instanceof RangeError) return false;
    throw error;
  }
}

type Parts = [number, number, number, number, number, number];

/** A date and time in a time zone, or in the system's own: milliseconds since the epoch. */
function moment(parts: Parts, zone: string | undefined): number {
  if (zone === undefined) return new Date(...parts).getTime();
  const wanted = Date.UTC(...parts);
  // The offset there depends on the moment that is looked for: the second guess has it.
  const guess = wanted - offset(wanted, zone);
  return wanted - offset(guess, zone);
}

/** How far a zone's clocks are ahead of UTC at a moment, in milliseconds. */
function offset(at: number, zone: string): number {
  const format = new Intl.DateTimeFormat("en", {
    timeZone: zone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
    second: "numeric",
  });
  const parts = new Map(format.formatToParts(at).map(({ type, value }) => [type, Number(value)]));
  const part = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  const there = Date.UTC(
    part("year"),
    part("month") - 1,
    part("day"),
    part("hour"),
    part("minute"),
    part("second"),
  );
  return there - Math.trunc(at / 1000) * 1000;
}
