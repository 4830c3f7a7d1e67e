/** Calendar events by chance, most of them right, and moments about which clocks change. */
import { TimeZone } from "../../../lib/linux/index.ts";
import type { Random } from "./random-source.ts";

/** Zones whose clocks change in every way that there is: by half an hour, at midnight, over a day, in winter. */
export const ZONES = [
  ...["UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "Europe/Moscow"],
  ...["America/New_York", "America/Havana", "America/Santiago", "America/Nuuk", "America/St_Johns"],
  ...["Africa/Cairo", "Africa/Casablanca", "Antarctica/Troll", "Asia/Gaza", "Asia/Kathmandu"],
  ...["Asia/Tehran", "Asia/Tokyo", "Asia/Beirut", "Australia/Lord_Howe", "Pacific/Apia"],
  ...["Pacific/Chatham", "Pacific/Easter", "Pacific/Kiritimati", "Etc/GMT+5"],
];

const SHORTHANDS = [
  ...["minutely", "hourly", "daily", "weekly", "monthly", "quarterly", "yearly", "Annually"],
  ...["anually", "semiannually", "semi-annually", "biannually", "bi-annually", "DAILY", "often"],
];
const DAYS = ["Mon", "tue", "Wednesday", "THU", "fri", "Saturday", "sun", "Sunday"];
const NONSENSE = [..."0123456789*-~:,./@ +TxM", "..", "UTC", "\u212a"];

/** One event, and this machine's zone. */
export interface Expression {
  text: string;
  zone: string;
}

const chance = (random: Random, percent: number) => random.below(100) < percent;

/** Makes one: mostly of right parts, and now and then with something spoilt. */
export function someExpression(random: Random): Expression {
  const zone = chance(random, 40) ? "UTC" : random.of(ZONES);
  const text = someText(random, zone);
  return { text: chance(random, 8) ? spoil(text, random) : text, zone };
}

function someText(random: Random, zone: string): string {
  if (chance(random, 5)) return withPlace(random.of(SHORTHANDS), zone, random);
  if (chance(random, 3)) {
    return withPlace(`@${random.of(["", " ", "+", "-"])}${random.below(2 ** 31)}`, zone, random);
  }
  const date = chance(random, 60) ? someDate(random) : "";
  // Without a date there has to be a time, or a weekday.
  const time = chance(random, date === "" ? 95 : 70) ? someTime(random) : "";
  const days = chance(random, 30) ? someDays(random) : "";
  const space = chance(random, 5) ? "  " : " ";
  return withPlace([days, date, time].filter((part) => part !== "").join(space), zone, random);
}

function withPlace(text: string, zone: string, random: Random): string {
  if (chance(random, 70)) return text;
  if (chance(random, 20)) return `${text} ${random.of(["UTC", "utc", "Nowhere/Land", "CEST"])}`;
  if (chance(random, 30)) return `${text} ${random.of(namesOf(zone))}`;
  return `${text} ${random.of(ZONES)}`;
}

const namesOf = (name: string) => TimeZone.named(name)?.names ?? ["UTC"];

function someDays(random: Random): string {
  const parts = Array.from({ length: 1 + random.below(3) }, () => {
    const begin = random.of(DAYS);
    if (chance(random, 60)) return begin;
    // Mostly one that does not go over the end of the week.
    const end = chance(random, 80) ? DAYS.slice(DAYS.indexOf(begin)) : DAYS;
    return `${begin}${random.of(["..", "..", "-"])}${random.of(end)}`;
  });
  return parts.join(",") + (chance(random, 10) ? "," : "");
}

function someDate(random: Random): string {
  const fromEnd = chance(random, 25);
  const day = someChain(random, 1, fromEnd ? 28 : 31);
  const month = someChain(random, 1, 12);
  const separator = fromEnd ? "~" : "-";
  if (chance(random, 30)) return `${month}${separator}${day}`;
  return `${someYear(random)}-${month}${separator}${day}`;
}

function someYear(random: Random): string {
  if (chance(random, 60)) return "*";
  if (chance(random, 20)) return someChain(random, 0, 99);
  return someChain(random, 2020, 2040);
}

function someTime(random: Random): string {
  const hour = chance(random, 40) ? String(random.below(5)) : someChain(random, 0, 23);
  const minute = someChain(random, 0, 59);
  if (chance(random, 50)) return `${hour}:${minute}`;
  return `${hour}:${minute}:${someChain(random, 0, 59, true)}`;
}

/** A list of values, ranges and steps of a field; a few go beyond its bounds. */
function someChain(random: Random, least: number, most: number, fractions = false): string {
  if (chance(random, 30)) return "*";
  const number = (from = least) => {
    const value = from + random.below(most - from + (chance(random, 3) ? 5 : 1));
    const whole = chance(random, 30) ? String(value).padStart(2, "0") : String(value);
    if (!fractions || chance(random, 60)) return whole;
    return `${whole}.${String(random.below(10 ** (1 + random.below(8))))}`;
  };
  const step = (room: number) => {
    const whole = random.below(1 + Math.max(1, Math.ceil(room / random.of([1, 3, 8]))));
    return fractions && chance(random, 30) ? `${whole}.${random.below(1000)}` : String(whole);
  };
  const part = () => {
    const start = number();
    const first = Math.min(most, Math.floor(Number(start)));
    // Mostly a range that goes upwards, and a step that stays within it.
    const end = chance(random, 30) ? number(chance(random, 85) ? first : least) : undefined;
    const range = end === undefined ? start : `${start}..${end}`;
    const room = chance(random, 85) ? Math.max(0, Number(end ?? most) - first) : most - least;
    return chance(random, 30) ? `${range}/${step(room)}` : range;
  };
  const count = chance(random, 25) ? 1 + random.below(4) : 1;
  return Array.from({ length: count }, part).join(",");
}

function spoil(text: string, random: Random): string {
  const at = random.below(text.length + 1);
  const cut = random.below(3);
  const more = chance(random, 70) ? random.of(NONSENSE) : "";
  return text.slice(0, at) + more + text.slice(at + cut);
}

/** A moment in seconds since the epoch, often shortly before or after clocks change. */
export function someMoment(random: Random, zone: string): number {
  const years = chance(random, 10) ? [1971, 2190] : [2024, 2038];
  const [first = 0, last = 0] = years;
  const begin = Date.UTC(first, 0, 1) / 1000;
  const moment = begin + random.below(Date.UTC(last, 0, 1) / 1000 - begin);
  if (chance(random, 50)) return moment;
  const change = nextChange(zone, moment);
  return change === undefined ? moment : change - 7200 + random.below(4 * 3600);
}

/** When the clocks of a zone change next, within a year and to the hour. */
function nextChange(name: string, moment: number): number | undefined {
  const zone = TimeZone.named(name);
  const { offset } = zone?.at(moment) ?? {};
  for (let hour = 1; hour < 366 * 24; hour++) {
    if (zone?.at(moment + hour * 3600).offset !== offset) return moment + hour * 3600;
  }
  return undefined;
}
