/** Times as systemd's commands write them; see systemd.time(7). All are in microseconds. */

import { NEVER } from "../cli/index.ts";
import { localTime } from "../linux/index.ts";

const WEEKDAYS = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const two = (value: number) => String(value).padStart(2, "0");

/** `Tue 2026-11-24 12:29:35 UTC` in the local time zone; "" for a time that is not set. */
export function formatTimestamp(realtime: bigint): string {
  if (realtime === 0n || realtime === NEVER) return "";
  const at = localTime(realtime / 1_000_000n);
  const date = `${String(at.year).padStart(4, "0")}-${two(at.month)}-${two(at.day)}`;
  const time = `${two(at.hour)}:${two(at.minute)}:${two(at.second)}`;
  return `${WEEKDAYS[at.weekday]} ${date} ${time} ${at.zone}`;
}

const MILLISECOND = 1000n;
export const SECOND = 1_000_000n;
const MINUTE = 60n * SECOND;
const HOUR = 60n * MINUTE;
const DAY = 24n * HOUR;
const WEEK = 7n * DAY;
/** A twelfth of a year. */
const MONTH = 2_629_800n * SECOND;
/** 365.25 days. */
const YEAR = 31_557_600n * SECOND;

/** Units by their short names, the largest first. */
export const SPANS: readonly [string, bigint][] = [
  ["y", YEAR],
  ["month", MONTH],
  ["w", WEEK],
  ["d", DAY],
  ["h", HOUR],
  ["min", MINUTE],
  ["s", SECOND],
  ["ms", MILLISECOND],
  ["us", 1n],
];

/** `1h 30min`; below a minute with a fraction, `1.500000s`. */
export function formatTimespan(span: bigint): string {
  if (span === NEVER) return "infinity";
  if (span === 0n) return "0";
  const parts: string[] = [];
  let rest = span;
  for (const [name, unit] of SPANS) {
    if (rest < unit || rest === 0n) continue;
    const below = rest % unit;
    if (rest < MINUTE && below > 0n) {
      const digits = String(unit).length - 1;
      parts.push(`${rest / unit}.${String(below).padStart(digits, "0")}${name}`);
      break;
    }
    parts.push(`${rest / unit}${name}`);
    rest = below;
  }
  return parts.join(" ");
}

const counted = (amount: bigint, unit: string) => `${amount} ${unit}${amount === 1n ? "" : "s"}`;

/** `5min ago` or `2s left`: how far `at` is from `now`, on one clock. */
export function formatRelative(at: bigint, now: bigint): string {
  const distance = now > at ? now - at : at - now;
  if (distance === 0n) return "now";
  return `${formatDistance(distance)} ${now > at ? "ago" : "left"}`;
}

/** The two largest units that matter, as a person would say it. */
function formatDistance(distance: bigint): string {
  if (distance >= YEAR) {
    return `${counted(distance / YEAR, "year")} ${counted((distance % YEAR) / MONTH, "month")}`;
  }
  if (distance >= MONTH) {
    return `${counted(distance / MONTH, "month")} ${counted((distance % MONTH) / DAY, "day")}`;
  }
  if (distance >= WEEK) {
    return `${counted(distance / WEEK, "week")} ${counted((distance % WEEK) / DAY, "day")}`;
  }
  if (distance >= 2n * DAY) return `${distance / DAY} days`;
  if (distance >= 25n * HOUR) return `1 day ${(distance - DAY) / HOUR}h`;
  if (distance >= 6n * HOUR) return `${distance / HOUR}h`;
  if (distance >= HOUR) return `${distance / HOUR}h ${(distance % HOUR) / MINUTE}min`;
  if (distance >= 5n * MINUTE) return `${distance / MINUTE}min`;
  if (distance >= MINUTE) return `${distance / MINUTE}min ${(distance % MINUTE) / SECOND}s`;
  if (distance >= SECOND) return `${distance / SECOND}s`;
  if (distance >= MILLISECOND) return `${distance / MILLISECOND}ms`;
  return `${distance}us`;
}
