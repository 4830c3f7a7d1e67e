/** The rule at the end of a time zone's file, by which it goes on after its last known change: POSIX's TZ. */

/** A stretch of time with one offset, until the next begins. */
export interface ZonePeriod {
  /** When it begins, in seconds since the epoch. */
  from: number;
  /** How far its clocks are ahead of UTC, in seconds. */
  offset: number;
  isDst: boolean;
  /** `CEST` */
  name: string;
}

/** One flavour of a rule's time, and when it begins in each year. */
interface Flavour {
  name: string;
  offset: number;
  /** Where in the year it begins, by the clocks of the other one: seconds since New Year in UTC's reckoning. */
  begins: (year: number) => number;
}

/** `CET-1CEST,M3.5.0,M10.5.0/3`: standard time, and daylight saving time where there is one. */
export interface ZoneRule {
  standard: Flavour;
  daylight: Flavour | undefined;
}

const DAY = 86_400;
const NAME = /^(?:<([\w+-]{3,})>|([A-Za-z]{3,}))/;
const OFFSET = /^([+-]?)(\d{1,3})(?::(\d{1,2}))?(?::(\d{1,2}))?/;
/** When a rule has no dates: the United States', as the C library takes it. */
const USUAL_DATES = ",M3.2.0,M11.1.0";
/** By the clock, where a rule has no time of the day: 02:00. */
const USUAL_TIME = 7200;

/** What is left of a text that is read from its beginning. */
class Rest {
  constructor(public text: string) {}

  take(pattern: RegExp): RegExpExecArray | undefined {
    const found = pattern.exec(this.text) ?? undefined;
    this.text = this.text.slice(found?.[0].length ?? 0);
    return found;
  }
}

/**
 * Reads such a rule; see "Environment Variables" in POSIX, and RFC 9636 for hours beyond a day's.
 *
 * @returns undefined if it is none
 */
export function readZoneRule(text: string): ZoneRule | undefined {
  const rest = new Rest(text);
  const name = rest.take(NAME);
  const ahead = rest.take(OFFSET);
  if (!name || !ahead) return undefined;
  const standard = { name: nameOf(name), offset: -secondsOf(ahead), begins: () => 0 };
  const dstName = rest.take(NAME);
  if (!dstName) return rest.text === "" ? { standard, daylight: undefined } : undefined;
  const dstAhead = rest.take(OFFSET);
  const offset = dstAhead ? -secondsOf(dstAhead) : standard.offset + 3600;
  if (rest.text === "") rest.text = USUAL_DATES;
  const begins = readDate(rest);
  const ends = readDate(rest);
  if (!begins || !ends || rest.text !== "") return undefined;
  return {
    standard: { ...standard, begins: ends },
    daylight: { name: nameOf(dstName), offset, begins },
  };
}

const nameOf = ([, quoted, plain]: RegExpExecArray) => quoted ?? plain ?? "";

function secondsOf([, sign, hours, minutes = "0", seconds = "0"]: RegExpExecArray): number {
  const length = Number(hours) * 3600 + Number(minutes) * 60 + Number(seconds);
  return sign === "-" ? -length : length;
}

/** `,M3.5.0/2`: the last Sunday of March; `,J60`, never the 29th of February; or `,59`, which may be it. */
function readDate(rest: Rest): Flavour["begins"] | undefined {
  const date = rest.take(/^,(?:M(\d{1,2})\.(\d)\.(\d)|(J?)(\d{1,3}))/);
  if (!date) return undefined;
  const [, month, week, weekday, julian, day] = date;
  const time = rest.take(/^\//) ? rest.take(OFFSET) : undefined;
  const seconds = time ? secondsOf(time) : USUAL_TIME;
  if (month !== undefined) {
    const numbers: [number, number, number] = [Number(month), Number(week), Number(weekday)];
    return (year) => weekdayOf(year, ...numbers) * DAY + seconds;
  }
  const count = Number(day);
  return (year) => {
    const leaps = new Date(Date.UTC(year, 1, 29)).getUTCMonth() === 1;
    if (julian === "") return count * DAY + seconds;
    return (count - (leaps && count >= 60 ? 0 : 1)) * DAY + seconds;
  };
}

/** Which day of the year, from 0, is the `week`th such weekday of a month; the fifth is the last. */
function weekdayOf(year: number, month: number, week: number, weekday: number): number {
  const first = new Date(Date.UTC(year, month - 1, 1));
  const length = new Date(Date.UTC(year, month, 0)).getUTCDate();
  let day = (weekday - first.getUTCDay() + 7) % 7;
  for (let count = 1; count < week && day + 7 < length; count++) day += 7;
  return (first.getTime() - Date.UTC(year, 0, 1)) / 1000 / DAY + day;
}

/** The periods of a rule that begin in the years from `first` to `last`, the earliest first. */
export function periodsOf(rule: ZoneRule, first: number, last: number): ZonePeriod[] {
  const { standard, daylight } = rule;
  const always = { from: Number.NEGATIVE_INFINITY, isDst: false, ...plain(standard) };
  if (!daylight) return [always];
  const periods: ZonePeriod[] = [];
  for (let year = first; year <= last; year++) {
    const newYear = Date.UTC(year, 0, 1) / 1000;
    const from = newYear + daylight.begins(year) - standard.offset;
    const until = newYear + standard.begins(year) - daylight.offset;
    periods.push({ from, isDst: true, ...plain(daylight) });
    periods.push({ from: until, isDst: false, ...plain(standard) });
  }
  return periods.sort((a, b) => a.from - b.from);
}

const plain = ({ name, offset }: Flavour) => ({ name, offset });
