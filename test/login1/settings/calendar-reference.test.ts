/**
 * Calendar events by chance, beside what systemd-analyze makes of them: whether it reads them, their full
 * form, and when they come next.
 *
 * P7_SEED=N repeats a run; FULL=1 looks at many more.
 */
import { afterAll, expect, test } from "bun:test";
import { someExpression, someMoment } from "../support/calendar-expressions.ts";
import { byOurs, bySystemd, ITERATIONS, type Seen } from "../support/calendar-reference.ts";
import { Random } from "../support/random-source.ts";

const SEED = Number(process.env.P7_SEED ?? Date.now() % 2 ** 31);
const COUNT = process.env.FULL === "1" ? 20_000 : 400;

const before = process.env.TZ;
afterAll(() => {
  if (before === undefined) delete process.env.TZ;
  else process.env.TZ = before;
});

/** Where systemd-analyze gives up, it does not say what came before. */
function givenUp(seen: Seen): Seen {
  if (seen === "cannot be read" || seen.comes.length >= ITERATIONS) return seen;
  return { ...seen, comes: "given up" };
}

test(
  `${COUNT} events are what systemd-analyze makes of them`,
  () => {
    console.log(`P7_SEED=${SEED}`);
    const random = new Random(SEED);
    const kinds = { read: 0, unread: 0, never: 0 };
    for (let count = 0; count < COUNT; count++) {
      const { text, zone } = someExpression(random);
      const after = someMoment(random, zone);
      const theirs = bySystemd(text, zone, after);
      const where = `P7_SEED=${SEED}, event ${count}: TZ=${zone} --base-time=@${after} '${text}'`;
      const ours = byOurs(text, zone, after);
      const isGivenUp = theirs !== "cannot be read" && theirs.comes === "given up";
      expect(isGivenUp ? givenUp(ours) : ours, where).toEqual(theirs);
      kinds[theirs === "cannot be read" ? "unread" : theirs.comes.length > 0 ? "read" : "never"]++;
    }
    // Each kind is among them, or the run says nothing of it.
    for (const seen of Object.values(kinds)) expect(seen).toBeGreaterThan(COUNT / 50);
  },
  { timeout: 600_000 },
);
