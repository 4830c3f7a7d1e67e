/** The one way in which a test waits: it says for what, and what it saw last if that does not come. */

/** A busy machine takes its time; only a fault takes as long, in milliseconds. A test's own limit is above. */
const PATIENCE = 25_000;

/** How often it is looked, in milliseconds. */
const LOOK_AGAIN = 5;

/** What a look may give while it is not so. */
export type Nothing = undefined | null | false | 0 | "";

/**
 * Waits until what `look` gives is as it should be.
 *
 * @param what what is waited for, in words after "not in time:"
 * @param isSo whether it is; by default whether it is anything but undefined, null, false, 0 and ""
 * @param patience how long at most, in milliseconds
 * @returns what was seen then
 * @throws {Error} with what was waited for and what was seen last
 */
export function until<Seen>(
  what: string,
  look: () => Seen | Promise<Seen>,
): Promise<Exclude<Seen, Nothing>>;
export function until<Seen>(
  what: string,
  look: () => Seen | Promise<Seen>,
  isSo?: (seen: Seen) => unknown,
  patience?: number,
): Promise<Seen>;
export async function until<Seen>(
  what: string,
  look: () => Seen | Promise<Seen>,
  isSo: (seen: Seen) => unknown = Boolean,
  patience = PATIENCE,
): Promise<Seen> {
  const end = performance.now() + patience;
  for (;;) {
    const seen = await look();
    if (isSo(seen)) return seen;
    if (performance.now() > end) throw new Error(`not in time: ${what}; seen last: ${show(seen)}`);
    await Bun.sleep(LOOK_AGAIN);
  }
}

/** A text's end says most; anything else is shown as a test shows it. */
const show = (seen: unknown): string =>
  typeof seen === "string" ? `…${seen.slice(-2000)}` : Bun.inspect(seen);

/**
 * Lets time pass in which something could happen that must not: what does happen is waited for with `until`.
 *
 * @param what what must not happen meanwhile
 */
export const quietFor = (milliseconds: number, what: string): Promise<void> => {
  if (what === "") throw new Error("say what must not happen");
  return Bun.sleep(milliseconds);
};
