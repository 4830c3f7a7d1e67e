/**
 * The values of systemd's configuration files, read as systemd itself reads them: numbers, sizes,
 * percentages and lists; booleans and time spans are in lib/cli. Each reader returns undefined for what
 * cannot be read.
 */
import { NEVER, parseBigInteger } from "../../cli/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";

/** The largest first. */
const STEPS = ["E", "P", "T", "G", "M", "K", "B", ""];

/**
 * `64M`, `1.5G`, `1G 5M`, `1024`: bytes (or whatever is counted), to the base 1024, the larger units
 * before the smaller ones.
 */
export function readSize(text: string): bigint | undefined {
  const part = /[ \t\n\r]*\+?(\d+)(\.(\d*))?[ \t\n\r]*([BKMGTPE]?)/y;
  let sum = 0n;
  let largest = 0;
  do {
    const [, before, , behind = "", step = ""] = part.exec(text) ?? [];
    const at = STEPS.indexOf(step);
    if (before === undefined || at < largest || BigInt(behind || "0") > UINT64_MAX)
      return undefined;
    largest = at + 1;
    const unit = 1024n ** BigInt(Math.max(0, STEPS.length - 2 - at));
    // A double, as with systemd: what it does not hold is not there.
    const fraction = [...behind].reduce((value) => value / 10, Number(behind));
    if (BigInt(before) + BigInt(Math.ceil(fraction)) > UINT64_MAX / unit) return undefined;
    sum += BigInt(before) * unit + BigInt(Math.floor(fraction * Number(unit)));
    if (sum > UINT64_MAX) return undefined;
  } while (part.lastIndex < text.length);
  return sum;
}

/** A number of things, or a part of them all, in ten thousandths. */
export type Bound = { count: bigint } | { share: bigint } | "infinity";

/** `4096`, `33%`, `5‰` or `infinity`, as TasksMax= of systemd.resource-control(5). */
export function readBound(text: string): Bound | undefined {
  if (text === "infinity") return text;
  const share = readShare(text);
  if (share !== undefined) return share > 0n ? { share } : undefined;
  const count = readNumber(text, NEVER - 1n);
  return count ? { count } : undefined;
}

/**
 * A size, or a part of so many pages as `readShare` has it, in bytes of whole pages: a size is rounded up,
 * and a part down. Zero is none.
 */
export function readSizeOf(text: string, pages: bigint, page: bigint): bigint | undefined {
  const share = readShare(text);
  if (share) return ((pages * share) / 10_000n) * page;
  const size = readSize(text);
  return size ? ((size + page - 1n) / page) * page : undefined;
}

/** `10%`, `12.34%`, `5.5‰` or `7‱`, in ten thousandths: all of it at most. */
export function readShare(text: string): bigint | undefined {
  const [, before = "", behind = "", sign = ""] =
    /^([^.]*)(?:\.(\d{1,2}))?([%‰‱])$/.exec(text) ?? [];
  const digits = "‱‰%".indexOf(sign);
  const number = parseBigInteger(before);
  if (sign === "" || behind.length > digits || number === undefined || number < 0n)
    return undefined;
  const share = number * 10n ** BigInt(digits) + BigInt(behind.padEnd(digits, "0") || "0");
  return share <= 10_000n ? share : undefined;
}

/** `10`, `+10`, `0x10`, `0b10`, and `010` to the base 8: a number of 64 bits. */
export function readNumber(text: string, most = UINT64_MAX): bigint | undefined {
  const number = parseBigInteger(text);
  return number !== undefined && number >= 0n && number <= most ? number : undefined;
}

/** Words between white space. What is in quotes may have white space in it; a backslash is a character like others. */
export function readWords(text: string): string[] | undefined {
  const words: string[] = [];
  const word = /[ \t\n\r]*((?:"[^"]*"|'[^']*'|[^ \t\n\r"'])+)[ \t\n\r]*/y;
  while (word.lastIndex < text.length) {
    const [, found] = word.exec(text) ?? [];
    if (found === undefined) return undefined;
    words.push(found.replace(/"([^"]*)"|'([^']*)'/g, "$1$2"));
  }
  return words;
}
