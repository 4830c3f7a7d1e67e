/** What a person may have meant by a word that does not exist. */

/** How many letters may differ for a word to be worth a mention. */
const FARTHEST = 5;

/**
 * The word that comes closest: of those that begin with what was written the shortest, else the one
 * that fewest edits lead to; the first of several.
 *
 * @returns undefined if none is near
 */
export function closestWord(written: string, words: readonly string[]): string | undefined {
  const begun = words.filter((word) => word.startsWith(written));
  const shortest = Math.min(...begun.map((word) => word.length));
  if (begun.length > 0) return begun.find((word) => word.length === shortest);
  const distances = words.map((word) => editDistance(written, word));
  const least = Math.min(...distances);
  return least <= FARTHEST ? words[distances.indexOf(least)] : undefined;
}

/** How many letters have to be added, removed or replaced to make one word of the other (Levenshtein). */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, at) => at);
  for (const [index, letter] of [...from].entries()) {
    const next = [index + 1];
    for (let at = 0; at < to.length; at++) {
      const replaced = (row[at] ?? 0) + (to[at] === letter ? 0 : 1);
      next.push(Math.min(replaced, (next[at] ?? 0) + 1, (row[at + 1] ?? 0) + 1));
    }
    row = next;
  }
  return row.at(-1) ?? 0;
}
