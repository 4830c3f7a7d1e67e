/** Services that have to say WATCHDOG=1 in time. */

import { now, setLongTimeout } from "../../linux/index.ts";

/** Times in microseconds. */
interface Watched {
  interval: bigint;
  deadline: bigint;
  endTimer: () => void;
}

/** One timer for each service that has an interval; a ping moves only the deadline. */
export class Watchdogs {
  readonly #watched = new Map<string, Watched>();
  readonly #missed: (service: string) => void;
  readonly #clock: () => bigint;

  /**
   * @param missed called once when a service's time is up; it is watched no more then
   * @param clock the time, in microseconds
   */
  constructor(missed: (service: string) => void, clock = () => now().monotonic) {
    this.#missed = missed;
    this.#clock = clock;
  }

  /**
   * Watches a service from now on.
   *
   * @param usec the interval in microseconds; 0 ends the watch
   */
  set(service: string, usec: bigint): void {
    this.end(service);
    if (usec === 0n) return;
    const watched = { interval: usec, deadline: this.#clock() + usec, endTimer() {} };
    this.#watched.set(service, watched);
    this.#wait(service, watched);
  }

  /** The service is alive. Nothing happens if it is not watched. */
  ping(service: string): void {
    const watched = this.#watched.get(service);
    if (watched) watched.deadline = this.#clock() + watched.interval;
  }

  isWatched(service: string): boolean {
    return this.#watched.has(service);
  }

  end(service: string): void {
    this.#watched.get(service)?.endTimer();
    this.#watched.delete(service);
  }

  endAll(): void {
    for (const service of [...this.#watched.keys()]) this.end(service);
  }

  #wait(service: string, watched: Watched): void {
    const left = watched.deadline - this.#clock();
    watched.endTimer = setLongTimeout(left, () => this.#look(service));
  }

  #look(service: string): void {
    const watched = this.#watched.get(service);
    if (!watched) return;
    if (watched.deadline > this.#clock()) {
      this.#wait(service, watched);
      return;
    }
    this.#watched.delete(service);
    this.#missed(service);
  }
}
