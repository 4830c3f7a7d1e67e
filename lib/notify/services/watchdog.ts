/** Services that have to say WATCHDOG=1 in time. */

/** setTimeout takes no more milliseconds. */
const LONGEST = 2 ** 31 - 1;

interface Watched {
  /** In milliseconds. */
  interval: number;
  deadline: number;
  timer: Timer;
}

/** One timer for each service that has an interval; a ping moves only the deadline. */
export class Watchdogs {
  readonly #watched = new Map<string, Watched>();
  readonly #missed: (service: string) => void;

  /** @param missed called once when a service's time is up; it is watched no more then */
  constructor(missed: (service: string) => void) {
    this.#missed = missed;
  }

  /**
   * Watches a service from now on.
   *
   * @param usec the interval in microseconds; 0 ends the watch
   */
  set(service: string, usec: bigint): void {
    this.end(service);
    if (usec === 0n) return;
    const interval = Math.min(Math.max(1, Number(usec) / 1000), LONGEST);
    const watched = { interval, deadline: performance.now() + interval } as Watched;
    watched.timer = setTimeout(() => this.#look(service), interval);
    this.#watched.set(service, watched);
  }

  /** The service is alive. Nothing happens if it is not watched. */
  ping(service: string): void {
    const watched = this.#watched.get(service);
    if (watched) watched.deadline = performance.now() + watched.interval;
  }

  isWatched(service: string): boolean {
    return this.#watched.has(service);
  }

  end(service: string): void {
    clearTimeout(this.#watched.get(service)?.timer);
    this.#watched.delete(service);
  }

  endAll(): void {
    for (const service of [...this.#watched.keys()]) this.end(service);
  }

  #look(service: string): void {
    const watched = this.#watched.get(service);
    if (!watched) return;
    const left = watched.deadline - performance.now();
    if (left > 0) {
      watched.timer = setTimeout(() => this.#look(service), left);
      return;
    }
    this.#watched.delete(service);
    this.#missed(service);
  }
}
