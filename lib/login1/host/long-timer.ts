/** One-shot timers over spans that logind.conf(5) can name and setTimeout cannot: up to for ever. */

/** setTimeout takes no more, in milliseconds. */
const LONGEST = 2 ** 31 - 1;

/**
 * Calls `fire` once, so many microseconds from now, the time asleep not counted.
 *
 * @returns a function that ends the wait
 */
export function setLongTimeout(microseconds: bigint, fire: () => void): () => void {
  let left = microseconds > 0n ? (microseconds + 999n) / 1000n : 0n;
  let timer: ReturnType<typeof setTimeout>;
  const wait = () => {
    const step = left < LONGEST ? Number(left) : LONGEST;
    left -= BigInt(step);
    timer = setTimeout(left > 0n ? wait : fire, step);
  };
  wait();
  return () => clearTimeout(timer);
}
