/**
 * The values of systemd's configuration files: booleans, time spans
 * (systemd.time(7)), sizes, percentages and lists. Each reader returns undefined
 * for what it cannot read.
 */
import { UINT64_MAX } from "../../sd-login/index.ts";

/** USEC_INFINITY: a time that never comes. */
export const NEVER = UINT64_MAX;

const TRUE = ["1", "yes", "y", "true", "t", "on"];
const FALSE = ["0", "no", "n", "false", "f", "off"];

export function readBoolean(text: string): boolean | undefined {
  const word = text.toLowerCase();
  if (TRUE.includes(word)) return true;
  return FALSE.includes(word) ? false : undefined;
}

const SECOND = 1_000_000n;
const UNITS: [bigint, string[]][] = [
  [1n, ["us", "usec", "µs", "μs"]],
  [1000n, ["ms", "msec"]],
  [SECOND, ["", "s", "sec", "second", "seconds"]],
  [60n * SECOND, ["m", "min", "minute", "minutes"]],
  [3600n * SECOND, ["h", "hr", "hour", "hours"]],
  [86_400n * SECOND, ["d", "day", "days"]],
  [604_800n * SECOND, ["w", "week", "weeks"]],
  // A twelfth of a year of 365.25 days, as systemd.time(7) has it.
  [2_629_800n * SECOND, ["M", "month", "months"]],
  [31_557_600n * SECOND, ["y", "year", "years"]],
];

/** `5`, `5s`, `1min 30s`, `1.5h`, `infinity`: microseconds; a number without a unit is seconds. */
export function readTime(text: string): bigint | undefined {
  if (text === "infinity") return NEVER;
  const part = /\s*(\d+)(?:\.(\d*))?\s*([A-Za-zµμ]*)\s*/y;
  let sum = 0n;
  if (text === "") return undefined;
  while (part.lastIndex < text.length) {
    const found = part.exec(text);
    const [, whole, fraction, word] = found ?? [];
    const unit = UNITS.find(([, names]) => names.includes(word ?? ""))?.[0];
    if (whole === undefined || unit === undefined) return undefined;
    sum += scale(whole, fraction, unit);
  }
  return sum < NEVER ? sum : undefined;
}

const STEPS = "BKMGTPE";

/** `64M`, `1.5G`, `1024`: bytes (or whatever is counted), to the base 1024. */
export function readSize(text: string): bigint | undefined {
  const [, whole, fraction, step] = /^(\d+)(?:\.(\d*))?\s*([BKMGTPE]?)$/.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const size = scale(whole, fraction, 1024n ** BigInt(Math.max(0, STEPS.indexOf(step || "B"))));
  return size < NEVER ? size : undefined;
}

/** A number of things, or a part of them all. */
export type Bound = { count: bigint } | { millionths: bigint } | "infinity";

/** `4096`, `33%`, `5‰` or `infinity`, as TasksMax= of systemd.resource-control(5). */
export function readBound(text: string): Bound | undefined {
  if (text === "infinity") return text;
  const millionths = readShare(text);
  if (millionths !== undefined) return millionths > 0n ? { millionths } : undefined;
  const count = readNumber(text);
  return count ? { count } : undefined;
}

/** A size, or a part of `whole` in percent or per mille: `10%`, `12.5%`, `5‰`. Zero is none. */
export function readSizeOf(text: string, whole: bigint): bigint | undefined {
  if (!/[%‰]$/.test(text)) return readSize(text) || undefined;
  const share = readShare(text);
  return share === undefined ? undefined : (whole * share) / 1_000_000n || undefined;
}

/** Percent or per mille, in millionths: all of it at most. */
function readShare(text: string): bigint | undefined {
  const [, number, fraction, sign] = /^(\d+)(?:\.(\d{1,2}))?\s*([%‰])$/.exec(text) ?? [];
  if (number === undefined) return undefined;
  // Both signs come out whole.
  const share = scale(number, fraction, sign === "%" ? 10_000n : 1000n);
  return share <= 1_000_000n ? share : undefined;
}

export function readNumber(text: string, most = NEVER - 1n): bigint | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const number = BigInt(text);
  return number <= most ? number : undefined;
}

/** Words between white space; one in quotes may have white space in it. */
export function readWords(text: string): string[] | undefined {
  const words: string[] = [];
  const word = /\s*(?:"([^"]*)"|'([^']*)'|([^\s"']+))(?:\s+|$)/y;
  while (word.lastIndex < text.length) {
    const found = word.exec(text);
    if (!found) return undefined;
    words.push(found[1] ?? found[2] ?? found[3] ?? "");
  }
  return words;
}

/** A decimal number times a unit, the part behind the point rounded down. */
function scale(whole: string, fraction: string | undefined, unit: bigint): bigint {
  const digits = fraction ?? "";
  return BigInt(whole) * unit + (BigInt(digits || "0") * unit) / 10n ** BigInt(digits.length);
}
