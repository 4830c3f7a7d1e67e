/** Signals by name and number; see signal(7). */
import { constants } from "node:os";

/** What the C library has the real-time signals count from, and the last of them. */
const RTMIN = 34;
const RTMAX = 64;

/** Older names of the same numbers. */
const ALIASES = new Set(["SIGIOT", "SIGPOLL", "SIGUNUSED"]);

/** Name without SIG by number, of all signals. */
export const SIGNALS: ReadonlyMap<number, string> = new Map([
  ...Object.entries(constants.signals)
    .filter(([name]) => !ALIASES.has(name))
    .map(([name, number]): [number, string] => [number, name.slice(3)])
    .sort(([a], [b]) => a - b),
  // The C library keeps two for itself.
  ...[32, 33].map((number): [number, string] => [number, String(number)]),
  ...Array.from({ length: RTMAX - RTMIN + 1 }, (_, at): [number, string] => [
    RTMIN + at,
    `RTMIN+${at}`,
  ]),
]);

/**
 * The number of a signal: `TERM`, `SIGTERM`, `15`, `RTMIN+3` or `RTMAX-3`.
 *
 * @returns undefined if there is no such signal
 */
export function parseSignal(text: string): number | undefined {
  if (/^\d+$/.test(text)) return inRange(Number(text));
  const name = text.replace(/^SIG/, "");
  const named = (constants.signals as Record<string, number>)[`SIG${name}`];
  if (named !== undefined) return named;
  const realTime = /^RT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (!realTime) return undefined;
  const [, end, sign, offset = "0"] = realTime;
  if (sign !== undefined && sign !== (end === "MIN" ? "+" : "-")) return undefined;
  const number = end === "MIN" ? RTMIN + Number(offset) : RTMAX - Number(offset);
  return number >= RTMIN && number <= RTMAX ? number : undefined;
}

const inRange = (number: number) => (number >= 1 && number <= RTMAX ? number : undefined);
