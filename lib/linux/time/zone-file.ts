/** Files of time zones, as they are in /usr/share/zoneinfo; see tzfile(5) and RFC 9636. */
import { periodsOf, readZoneRule, type ZonePeriod } from "./zone-rule.ts";

/** What a file says: the periods one after the other, and the names by which the zone goes. */
export interface ZoneFile {
  periods: readonly ZonePeriod[];
  /** Of standard time and of daylight saving time, or that of standard time twice. */
  names: readonly [string, string];
}

const MAGIC = "TZif";
const HEADER = 44;
/** No calendar here goes on longer. */
const LAST_YEAR = 2201;

/** How many there are of what is in one of a file's two blocks. */
interface Counts {
  utIndicators: number;
  standardIndicators: number;
  leapSeconds: number;
  transitions: number;
  types: number;
  characters: number;
}

function countsAt(file: DataView, at: number): Counts {
  const count = (index: number) => file.getUint32(at + 20 + 4 * index);
  return {
    utIndicators: count(0),
    standardIndicators: count(1),
    leapSeconds: count(2),
    transitions: count(3),
    types: count(4),
    characters: count(5),
  };
}

/** How long a block is behind its header, where a moment has so many bytes. */
function lengthOf(counts: Counts, width: number): number {
  const { utIndicators, standardIndicators, leapSeconds, transitions, types, characters } = counts;
  const moments = transitions * (width + 1) + leapSeconds * (width + 4);
  return moments + types * 6 + characters + standardIndicators + utIndicators;
}

/**
 * Reads such a file. Leap seconds are passed over: no clock of Linux counts them.
 *
 * @throws {TypeError | RangeError} if it is none, or makes no sense
 */
export function readZoneFile(bytes: Uint8Array): ZoneFile {
  const file = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
  if (text.toString("latin1", 0, 4) !== MAGIC) throw new TypeError("it is no time zone's file");
  // A block of 32 bits comes first; whoever knows of the second passes over it.
  const isLong = file.getUint8(4) >= 0x32;
  const header = isLong ? HEADER + lengthOf(countsAt(file, 0), 4) : 0;
  const counts = countsAt(file, header);
  const width = isLong ? 8 : 4;
  const at = header + HEADER;
  const known = readPeriods(file, text, at, counts, width);
  const end = at + lengthOf(counts, width);
  const footer = isLong ? (text.toString("latin1", end).split("\n")[1] ?? "") : "";
  return { periods: withRule(known.periods, footer), names: known.names };
}

function readPeriods(file: DataView, text: Buffer, at: number, counts: Counts, width: number) {
  const indices = at + counts.transitions * width;
  const types = indices + counts.transitions;
  const names = types + counts.types * 6;
  const periodOf = (from: number, type: number): ZonePeriod => {
    if (type >= counts.types) throw new RangeError(`it has no type ${type}`);
    const start = names + file.getUint8(types + type * 6 + 5);
    return {
      from,
      offset: file.getInt32(types + type * 6),
      isDst: file.getUint8(types + type * 6 + 4) !== 0,
      name: text.toString("latin1", start, text.indexOf(0, start)),
    };
  };
  const all = Array.from({ length: counts.types }, (_, type) => periodOf(0, type));
  // Before the first change it is the first kind of standard time.
  const early = all.find(({ isDst }) => !isDst) ?? all[0];
  if (!early) throw new RangeError("it has no type of time");
  const periods = [{ ...early, from: Number.NEGATIVE_INFINITY }];
  for (let index = 0; index < counts.transitions; index++) {
    const place = at + index * width;
    const from = width === 8 ? Number(file.getBigInt64(place)) : file.getInt32(place);
    periods.push(periodOf(from, file.getUint8(indices + index)));
  }
  // The zone's names are those that it has had last.
  const changes = periods.slice(1);
  const standard = changes.findLast(({ isDst }) => !isDst) ?? early;
  const daylight = changes.findLast(({ isDst }) => isDst) ?? standard;
  return { periods, names: [standard.name, daylight.name] as const };
}

/** Goes on by the rule from the last known change on, where there is one. */
function withRule(known: ZonePeriod[], footer: string): ZonePeriod[] {
  const rule = footer === "" ? undefined : readZoneRule(footer);
  const last = known.at(-1);
  // As the C library has it, without a change there is nothing to go on from.
  if (!rule || !last || known.length === 1) return known;
  const lastYear = new Date(last.from * 1000).getUTCFullYear();
  // From the year before, so that the period is there in which the last change falls.
  const ruled = periodsOf(rule, lastYear - 1, LAST_YEAR);
  const current = ruled.findLast(({ from }) => from <= last.from);
  const before = current ? [...known.slice(0, -1), { ...current, from: last.from }] : known;
  return [...before, ...ruled.filter(({ from }) => from > last.from)];
}
