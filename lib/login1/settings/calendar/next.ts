/**
 * When a calendar event comes next. It is looked for field by field, the year first: each goes on to its
 * next value, and where it has none, the field before it goes on by one. What systemd finds is what
 * counts, oddities included: a change of the clocks, or a step over the end of a field, leads it past a
 * time now and then.
 */

import { TimeZone } from "../../../linux/index.ts";
import {
  type CalendarSpec,
  type Chain,
  type Component,
  FIELDS,
  LAST_YEAR,
  SECOND,
} from "./spec.ts";
import { type Wall, WallClock } from "./wall-clock.ts";

/** systemd gives up after so many attempts, and so no event costs more than these. */
const MOST_ATTEMPTS = 1000;
/** The last moment that systemd can write down, in microseconds since the epoch. */
const LAST_MOMENT = 253_402_214_399_000_000n;

const [YEAR, MONTH, DAY, HOUR, SECONDS] = [0, 1, 2, 3, 5];
/** The least of each field; months count from 0 here. */
const LEAST = [0, 0, 1, 0, 0, 0] as const;

/**
 * When an event comes next after a moment, both in microseconds since the epoch.
 *
 * @returns undefined if it never does, as far as systemd looks
 */
export function nextOf(spec: CalendarSpec, after: bigint): bigint | undefined {
  if (after < 0n || after > LAST_MOMENT) return undefined;
  return new Search(spec).from(after + 1n);
}

/** The zone whose clocks an event goes by; undefined for UTC. */
function zoneOf({ place }: CalendarSpec): TimeZone | undefined {
  if (place?.kind === "utc") return undefined;
  // This machine's may be another one by now.
  return place?.kind === "zone" ? place.zone : TimeZone.local();
}

/** What became of a field that was given a value. */
type Outcome = "right" | "moved" | "none";

class Search {
  readonly #spec: CalendarSpec;
  readonly #clock: WallClock;
  /** Which of the two times of a year is meant; undefined for both. */
  readonly #isDst: boolean | undefined;
  /** What clocks show at the moment that is looked at, as in `Wall`. */
  #fields: number[] = [];
  #dst: boolean | undefined;
  /** Behind the second, in microseconds. */
  #fraction = 0;
  /** Whether clocks that were put back have led back to before the beginning. */
  #ledBack = false;

  constructor(spec: CalendarSpec) {
    this.#spec = spec;
    this.#clock = new WallClock(zoneOf(spec));
    this.#isDst = spec.place?.kind === "local" ? spec.place.isDst : undefined;
  }

  from(moment: bigint): bigint | undefined {
    this.#show(this.#clock.at(Number(moment / BigInt(SECOND))));
    this.#fraction = Number(moment % BigInt(SECOND));
    const start = [...this.#fields, this.#fraction];
    for (let attempt = 0; attempt < MOST_ATTEMPTS; attempt++) {
      const outcome = this.#attempt();
      if (outcome === "never") return undefined;
      if (outcome === "again") continue;
      if (this.#isBefore(start)) {
        // An hour on, and from there by whatever time of the year it is.
        this.#ledBack = true;
        this.#fields[HOUR] = (this.#fields[HOUR] ?? 0) + 1;
        continue;
      }
      const found = this.#clock.settle(this.#wall);
      return found && BigInt(found.seconds) * BigInt(SECOND) + BigInt(this.#fraction);
    }
    return undefined;
  }

  get #wall(): Wall {
    return { fields: this.#fields, isDst: this.#dst };
  }

  #show({ fields, isDst }: Wall): void {
    this.#fields = [...fields];
    this.#dst = isDst;
  }

  /** Brings each field to a value of its own, until one goes beyond its bounds. */
  #attempt(): "found" | "again" | "never" {
    this.#normalize();
    for (let index = YEAR; index <= SECONDS; index++) {
      const outcome = this.#advance(index);
      if (outcome !== "right") {
        if (index === YEAR) return "never";
        if (outcome === "none") this.#carry(index);
        return "again";
      }
      if (index === DAY && !this.#isWeekday()) {
        this.#carry(index + 1);
        return "again";
      }
    }
    return "found";
  }

  /** Brings the fields within their bounds. */
  #normalize(): void {
    const settled = this.#clock.settle(this.#wall);
    if (settled) this.#show(settled);
    if (!this.#ledBack) this.#dst = this.#isDst;
  }

  /** Whether clocks would show the fields before they show what the search began with. */
  #isBefore(start: readonly number[]): boolean {
    const now = [...this.#fields, this.#fraction];
    const at = now.findIndex((value, index) => value !== start[index]);
    return (now[at] ?? 0) < (start[at] ?? 0);
  }

  /** Brings one field to its next value that can be, from the one that it has on. */
  #advance(index: number): Outcome {
    const value = this.#valueOf(index);
    const next = nextIn(this.#chainOf(index), value);
    if (next === undefined) return "none";
    this.#set(index, next);
    // Behind the seconds there is nothing to begin anew.
    if (next !== value && index < SECONDS) this.#reset(index + 1);
    return this.#check();
  }

  #valueOf(index: number): number {
    const value = this.#fields[index] ?? 0;
    if (index === MONTH) return value + 1;
    return index === SECONDS ? value * SECOND + this.#fraction : value;
  }

  #set(index: number, value: number): void {
    this.#fields[index] = index === MONTH ? value - 1 : value;
    if (index !== SECONDS) return;
    this.#fields[index] = Math.floor(value / SECOND);
    this.#fraction = value % SECOND;
  }

  /** The values of a field; those of days that count from the month's end are days of this month. */
  #chainOf(index: number): Chain {
    const field = FIELDS[index];
    const chain = field && this.#spec[field];
    if (index !== DAY || !this.#spec.fromEnd) return chain;
    const days = new Map<number, number>();
    const dayOf = (count: number) => {
      const known = days.get(count) ?? this.#dayFromEnd(count);
      days.set(count, known);
      return known;
    };
    const inMonth = chain?.map(({ start, stop, repeat }): Component => {
      const day = dayOf(start);
      // Counted from the end, a range's last day comes first.
      const first = stop === undefined ? -1 : dayOf(stop);
      return first > 0
        ? { start: first, stop: day, repeat }
        : { start: day, stop: undefined, repeat };
    });
    // systemd asks for an end that is not there as well, and where that is the clock's next search begins.
    if (inMonth && this.#spec.day?.at(-1)?.stop === undefined) this.#dayFromEnd(-1);
    return inMonth;
  }

  /** Which day of this month is that far from its end, which is 1; -1 if the month is shorter. */
  #dayFromEnd(count: number): number {
    const fields = this.#fields.with(MONTH, (this.#fields[MONTH] ?? 0) + 1).with(DAY, 1 - count);
    const settled = this.#clock.settle({ fields, isDst: this.#dst });
    if (settled?.fields[MONTH] !== this.#fields[MONTH]) return -1;
    return settled?.fields[DAY] ?? -1;
  }

  /** Whether clocks show what the fields say. Where they would show something later, the fields become that. */
  #check(): Outcome {
    if ((this.#fields[YEAR] ?? 0) > LAST_YEAR) return "none";
    const settled = this.#clock.settle(this.#wall);
    if (!settled) return "none";
    const index = this.#fields.findIndex((value, at) => value !== settled.fields[at]);
    if (index < 0) return "right";
    if ((settled.fields[index] ?? 0) < (this.#fields[index] ?? 0)) return "none";
    this.#show(settled);
    // The fields behind it begin anew, which were to come first.
    const last = index === YEAR ? DAY : Math.min(index + 1, SECONDS);
    for (let at = index + 1; at <= last; at++) this.#fields[at] = LEAST[at] ?? 0;
    return "moved";
  }

  #isWeekday(): boolean {
    const { weekdays } = this.#spec;
    if (weekdays === 0) return true;
    const settled = this.#clock.settle(this.#wall);
    if (!settled) return false;
    const [year = 0, month = 0, day = 0] = settled.fields;
    const fromMonday = (new Date(Date.UTC(year, month, day)).getUTCDay() + 6) % 7;
    return (weekdays & (1 << fromMonday)) !== 0;
  }

  /** Has the field before go on by one, and begins anew from there. */
  #carry(index: number): void {
    this.#fields[index - 1] = (this.#fields[index - 1] ?? 0) + 1;
    this.#reset(index);
  }

  #reset(index: number): void {
    for (let at = index; at <= SECONDS; at++) this.#fields[at] = LEAST[at] ?? 0;
    this.#fraction = 0;
  }
}

/** The first value of a chain that is not less than one; undefined if there is none. */
function nextIn(chain: Chain, least: number): number | undefined {
  if (!chain) return least;
  let next: number | undefined;
  for (const { start, stop, repeat } of chain) {
    const value =
      start >= least || repeat === undefined
        ? start
        : start + Math.ceil((least - start) / repeat) * repeat;
    if (value < least || (value > start && stop !== undefined && value > stop)) continue;
    if (next === undefined || value < next) next = value;
  }
  return next;
}
