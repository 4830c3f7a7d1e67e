/** Waiting in tests for what nothing tells of. */

/**
 * Waits until `probe` gives something other than undefined or false.
 *
 * @param what it waits for, in words: they are the failure
 * @param seconds at most, below a test's own time limit
 */
export async function until<Result>(
  what: string,
  probe: () => Result | undefined | false | Promise<Result | undefined | false>,
  seconds = 20,
): Promise<Result> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const result = await probe();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > end) throw new Error(`waited ${seconds} s in vain: ${what}`);
    await Bun.sleep(1);
  }
}
