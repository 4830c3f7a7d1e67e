/** Random values for the keys of logind.conf, well formed and not, by the kind of value that each key has. */
import type { Random } from "./random-source.ts";

/** What a key's value can be. */
export type ValueKind =
  | "time"
  | "number"
  | "size"
  | "boolean"
  | "action"
  | "words"
  | "sleeps"
  | "calendar";

const SIGNS = ["", "", "", "", "+", "-", "+-", "- "];
const SPACES = ["", "", "", " ", "\t", "  "];
const BASES = ["", "", "0x", "0X", "0b", "0B", "0o", "0O", "0", "00"];
const FRACTIONS = [
  ...["", "", "", ".", ".5", ".25", ".999999999", ".05", ".1234567", ".5.5", ". 5", ".+5", ".-5"],
];
const TIME_UNITS = [
  ...["", "", "s", "sec", "second", "seconds", "m", "min", "minute", "minutes", "M", "month"],
  ...["months", "ms", "msec", "us", "usec", "µs", "μs", "h", "hr", "hour", "hours", "d", "day"],
  ...["days", "w", "week", "weeks", "y", "year", "years"],
  ...["S", "Min", "H", "ns", "nsec", "sek", "µ", "mins", "hrs", "secs", "m s"],
];
const SIZE_UNITS = [
  ...["", "", "B", "K", "M", "G", "T", "P", "E", "k", "m", "KB", "KiB", "Z", "%", "‰", "‱", "%%"],
];
const NUMBERS = [
  ...[
    "0",
    "1",
    "8",
    "9",
    "10",
    "15",
    "33",
    "64",
    "99",
    "100",
    "101",
    "1000",
    "1001",
    "4095",
    "4096",
  ],
  ...["4097", "10000", "10001", "65536", "2147483", "2147484", "2147483647", "2147483648"],
  ...["4294967295", "4294967296", "9007199254740991", "9007199254740993", "9223372036854775807"],
  ...["9223372036854775808", "18446744073709", "18446744073710", "18446744073709551616"],
  ...["99999999999999999999", "a", "ff", "0g", "12a", "1e3", "1_000", "٣"],
];
const ODD_NUMBERS = [
  ...["0o+7", "0b+1", "+0b11", "-0b11", "0b0b1", "0o0o7", "0b0", "0x0x1", "0b 1", "0o 7", "0x 7"],
  ...["0x+7", "-0", "+0", "-00", "-0x0", "-0b0", "-0o0", "0o", "0b", "0x", "0_1", "\u00a05"],
  ...["0xFFFFFFFFFFFFFFFF", "0x10000000000000000", "18446744073709551614", "18446744073709551615"],
];
const BOOLEANS = [
  ...[
    "1",
    "yes",
    "y",
    "true",
    "t",
    "on",
    "0",
    "no",
    "n",
    "false",
    "f",
    "off",
    "YES",
    "On",
    "oN",
    "T",
  ],
  ...["enable", "disabled", "2", "-1", "01", "truee", "yes no", "'yes'", '"on"', "yes;", "yes #"],
];
const SLEEPS = ["suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"];
const ACTIONS = [
  ...[...SLEEPS, "ignore", "poweroff", "reboot", "halt", "kexec", "soft-reboot", "sleep", "lock"],
  ...["factory-reset", "secure-attention-key", "Ignore", "LOCK", "power-off", "hybrid_sleep"],
  ...["nothing", "'lock'", "lock sleep", "0", "1"],
];
const CLOSED_WORDS = [
  ...[
    "root",
    "alice",
    "'a b'",
    '"c d"',
    "a\\ b",
    "e\\x20f",
    "\\",
    "\\n",
    'x"y"z',
    "a'b'c d'e'",
    "''",
  ],
  ...['""', "%u", ";", "#", "a;b", "ü", "a\\", "suspend,hibernate", "'a'b", '"a""b"'],
];
const WORDS = [...CLOSED_WORDS, "'unclosed", '"', "it's", '\\"'];
const ANYTHING = ["", " ", "infinity", "-", "+", ".", '"5"', "5 #", "5;", "5\\x20", "default"];

/** A value, as it stands behind the `=`. */
export function randomValue(random: Random, kind: ValueKind): string {
  if (random.oneIn(25)) return random.of(ANYTHING);
  const some = (most: number, one: () => string) =>
    Array.from({ length: 1 + random.below(most) }, one).join(random.of(SPACES));
  const decimal = () => random.of(SIGNS) + randomNumber(random) + random.of(FRACTIONS);
  switch (kind) {
    case "time":
      if (random.oneIn(15)) return random.of(["Infinity", "infinitys", "infinity 1", "1 infinity"]);
      return some(3, () => decimal() + random.of(SPACES) + random.of(TIME_UNITS));
    case "number":
      if (random.oneIn(8)) return random.of(ODD_NUMBERS);
      return random.of(SIGNS) + random.of(BASES) + randomNumber(random) + random.of(["", "", "K"]);
    case "size":
      return some(3, () => decimal() + random.of(SPACES) + random.of(SIZE_UNITS));
    case "boolean":
      return random.of(BOOLEANS);
    case "action":
      return random.of(ACTIONS);
    case "words":
      return some(4, () => random.of(WORDS) + random.of([" ", " ", "", "\t"]));
    case "sleeps":
      // systemd-logind takes a quote that is not closed for a lack of memory, and leaves the whole file.
      return some(4, () => {
        const word = random.of([...SLEEPS, random.of(ACTIONS), random.of(CLOSED_WORDS)]);
        return word + random.of([" ", " ", " ", "\t", ""]);
      });
    case "calendar":
      return random.of(["Sun *-*-* 03:00:00 UTC", "never and ever"]);
  }
}

function randomNumber(random: Random): string {
  if (random.oneIn(3)) return random.of(NUMBERS);
  return random.oneIn(15) ? "" : String(random.below(10 ** (1 + random.below(7))));
}
