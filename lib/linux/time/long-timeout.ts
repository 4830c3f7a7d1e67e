/** One-shot timers over spans that are configured in 64 bits and that setTimeout cannot: up to for ever. */

/** setTimeout and setInterval take no more, in milliseconds; what is longer fires at once. */
export const LONGEST_TIMEOUT = 2 ** 31 - 1;

/**
 * Calls `fire` once, so many microseconds from now, the time asleep not counted.
 *
 * @returns a function that ends the wait
 */
export function setLongTimeout(microseconds: bigint, fire: () => void): () => void {
  let left = microseconds > 0n ? (microseconds + 999n) / 1000n : 0n;
  let timer: ReturnType<typeof setTimeout>;
  const wait = () => {
    const step = left < LONGEST_TIMEOUT ? Number(left) : LONGEST_TIMEOUT;
    left -= BigInt(step);
    timer = setTimeout(left > 0n ? wait : fire, step);
  };
  wait();
  return () => clearTimeout(timer);
}
