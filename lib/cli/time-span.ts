/** Spans of time on a command line and in configuration files, as systemd reads them; see systemd.time(7). */

/** USEC_INFINITY: a time that never comes, or is not set. */
export const NEVER = 2n ** 64n - 1n;

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
/** The most that one number of a time span can be. */
const INT64_MAX = 2n ** 63n - 1n;

/** One part of a time span. A number stands before a point, behind it, or both. */
const SPAN = /[ \t\n\r]*(?:\+?(\d+)(?:\.(\d+))?|\.(\d+))([ \t\n\r]*)([A-Za-zµμ]*)/y;

/**
 * `5`, `+5s`, `1min 30s`, `1.5h`, `.5s`, `infinity`: microseconds; a number without a unit is seconds.
 * systemd counts each digit behind the point in whole microseconds, so that `.999999999min` is a few less.
 */
export function parseTimeSpan(written: string): bigint | undefined {
  const text = written.replace(/^[ \t\n\r]+|[ \t\n\r]+$/g, "");
  if (text === "infinity") return NEVER;
  if (text === "") return undefined;
  let sum = 0n;
  SPAN.lastIndex = 0;
  while (SPAN.lastIndex < text.length) {
    const found = SPAN.exec(text);
    if (!found) return undefined;
    const [, before = "0", between, behind, space, word] = found;
    const unit = UNITS.find(([, names]) => names.includes(word ?? ""))?.[0];
    const whole = BigInt(before);
    if (unit === undefined || whole > INT64_MAX || whole >= NEVER / unit) return undefined;
    // `12.34.56` is none, and `12.34 .56` is the sum of both.
    const goesOn = SPAN.lastIndex < text.length;
    if (word === "" && space === "" && goesOn) return undefined;
    sum += whole * unit;
    let part = unit;
    for (const digit of between ?? behind ?? "") {
      part /= 10n;
      sum += BigInt(digit) * part;
    }
    if (sum >= NEVER) return undefined;
  }
  return sum;
}
