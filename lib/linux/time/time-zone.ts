/** Time zones, by the files that the C library goes by, and as it reads them; see tzset(3). */
import { readFileSync, statSync } from "node:fs";
import { hasCode } from "../ffi/errors.ts";
import { readZoneFile, type ZoneFile } from "./zone-file.ts";
import { periodsOf, readZoneRule, type ZonePeriod } from "./zone-rule.ts";

const FOLDER = "/usr/share/zoneinfo";
const LOCAL = "/etc/localtime";
const UTC: ZoneFile = {
  periods: [{ from: Number.NEGATIVE_INFINITY, offset: 0, isDst: false, name: "UTC" }],
  names: ["UTC", "UTC"],
};
/** The years for which a rule in $TZ is laid out. */
const FIRST_YEAR = 1900;
const LAST_YEAR = 2201;

/** What clocks show somewhere, and when that changes. */
export class TimeZone {
  readonly #periods: readonly ZonePeriod[];
  /** The abbreviations of its standard time and its daylight saving time; the same without any. */
  readonly names: readonly [string, string];
  /** The index of the period that was asked for last: the next question is mostly about the same. */
  #last = 0;

  private constructor({ periods, names }: ZoneFile) {
    this.#periods = periods;
    this.names = names;
  }

  /**
   * The zone of a name, `Europe/Berlin`, by its file.
   *
   * @returns undefined if no zone can have that name, or there is no such file
   */
  static named(name: string): TimeZone | undefined {
    if (!/^[\w+-]+(?:\/[\w+-]+)*$/.test(name)) return undefined;
    const found = readZone(`${FOLDER}/${name}`);
    return found && new TimeZone(found);
  }

  /** The zone of this machine: $TZ, or else /etc/localtime, or else UTC. */
  static local(): TimeZone {
    const given = process.env.TZ;
    if (given === undefined) return new TimeZone(readZone(LOCAL) ?? UTC);
    const text = given.replace(/^:/, "");
    if (text === "") return new TimeZone(UTC);
    const path = text.startsWith("/") ? text : `${FOLDER}/${text}`;
    return new TimeZone(readZone(path) ?? ruledZone(text) ?? UTC);
  }

  /** What holds there at a moment, in seconds since the epoch. */
  at(seconds: number): ZonePeriod {
    if (!this.#holds(this.#last, seconds)) this.#last = this.#find(seconds);
    return this.#periods[this.#last] as ZonePeriod;
  }

  #holds(index: number, seconds: number): boolean {
    const next = this.#periods[index + 1];
    const period = this.#periods[index] as ZonePeriod;
    return seconds >= period.from && (next === undefined || seconds < next.from);
  }

  #find(seconds: number): number {
    let [low, high] = [0, this.#periods.length];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (seconds >= (this.#periods[middle] as ZonePeriod).from) low = middle;
      else high = middle;
    }
    return low;
  }
}

/** What a zone's file says; undefined if there is none, or it is damaged. */
function readZone(path: string): ZoneFile | undefined {
  try {
    if (!statSync(path).isFile()) return undefined;
    return readZoneFile(readFileSync(path));
  } catch (error) {
    if (error instanceof TypeError || error instanceof RangeError) return undefined;
    if (hasCode(error, "ENOENT", "ENOTDIR", "EACCES", "ELOOP", "ENAMETOOLONG")) return undefined;
    throw error;
  }
}

/** A zone whose rule stands in $TZ itself. */
function ruledZone(text: string): ZoneFile | undefined {
  const rule = readZoneRule(text);
  if (!rule) return undefined;
  const names = [rule.standard.name, (rule.daylight ?? rule.standard).name] as const;
  return { periods: periodsOf(rule, FIRST_YEAR, LAST_YEAR), names };
}
