/** What systemd-analyze makes of a calendar event, and what we do. */
import { readCalendar } from "../../../lib/login1/settings/calendar/calendar.ts";

/** How often each event comes that is looked at. */
export const ITERATIONS = 4;

/**
 * What is made of an event: its full form, and the seconds since the epoch when it comes. systemd-analyze
 * says nothing of those where it gives up in the middle of them.
 */
export type Seen = { text: string; comes: number[] | "given up" } | "cannot be read";

export function bySystemd(
  text: string,
  zone: string,
  after: number,
  iterations = ITERATIONS,
): Seen {
  const child = Bun.spawnSync(
    [
      "systemd-analyze",
      "calendar",
      `--base-time=@${after}`,
      `--iterations=${iterations}`,
      "--",
      text,
    ],
    { env: { ...process.env, TZ: zone, LC_ALL: "C.UTF-8", SYSTEMD_COLORS: "0" } },
  );
  const said = child.stdout.toString();
  const form = /^Normalized form: (.*)$/m.exec(said)?.[1];
  if (form === undefined) {
    const error = child.stderr.toString();
    const text = /^Infinite loop in calendar calculation: (.*)$/m.exec(error)?.[1];
    if (text !== undefined) return { text, comes: "given up" };
    if (!error.includes("Failed to parse calendar specification")) throw new Error(error);
    return "cannot be read";
  }
  // Where clocks show UTC, whatever they call it, that is not said once more.
  const lines = said.matchAll(/(?:elapse|Iteration #\d+): (.*)\n(?: +\(in UTC\): (.*)\n)?/g);
  const comes = Array.from(lines, ([, local = "", utc = local]) =>
    Date.parse(`${/\d{4}-\d\d-\d\d \d\d:\d\d:\d\d/.exec(utc)?.[0]}Z`),
  );
  return { text: form, comes: comes.filter(Number.isFinite).map((time) => time / 1000) };
}

export function byOurs(text: string, zone: string, after: number, iterations = ITERATIONS): Seen {
  process.env.TZ = zone;
  const calendar = readCalendar(text);
  if (!calendar) return "cannot be read";
  const comes: number[] = [];
  let at: bigint | undefined = BigInt(after) * 1_000_000n;
  while (comes.length < iterations) {
    at = calendar.next(at);
    if (at === undefined) break;
    comes.push(Number(at / 1_000_000n));
  }
  return { text: calendar.text, comes };
}
