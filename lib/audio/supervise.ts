/** Starts servers of which the later are clients of the first, and starts again what dies. */

import { setTimeout as sleep } from "node:timers/promises";
import { type Logger, settle } from "../cli/index.ts";
import { messageOf } from "../linux/index.ts";
import type { Environment, Server } from "./servers.ts";

/** How servers are started, started again, and ended; times in milliseconds. */
export interface Rules {
  /** How long one may take until it is usable. */
  patience: number;
  /** How long one may take to end after SIGTERM before it is killed. */
  grace: number;
  /** How long after the death of one it is started again. */
  delay: number;
  /** How often it may be started again within a minute. */
  most: number;
}

const MINUTE = 60_000;

/** One server, and what became of it. */
interface Place {
  readonly server: Server;
  /** The process, if it is ours and has not ended. */
  child?: Bun.Subprocess;
  /** Aborted when that process has ended. */
  gone: AbortController;
  /** When it was started again. */
  restarts: number[];
  /** waiting: to be started. foreign: somebody else's runs. out: not to be started any more. */
  state: "waiting" | "foreign" | "ours" | "out";
}

export class Supervisor {
  readonly #places: Place[];
  readonly #dead = new Set<Place>();
  #onDeath: () => void = () => {};
  readonly #ending = new Set<Place>();
  /** False once a server was not usable in time, or was given up. */
  good = true;

  constructor(
    servers: readonly Server[],
    readonly environment: Environment,
    readonly log: Logger,
    readonly rules: Rules,
  ) {
    this.#places = servers.map((server) => ({
      ...{ server, gone: new AbortController(), restarts: [], state: "waiting" },
    }));
  }

  get #first(): Place {
    const [first] = this.#places;
    if (!first) throw new Error("no server to supervise");
    return first;
  }

  /** Keeps the servers running until none of them is ours any more, or the first cannot run. */
  async keep(stop: AbortSignal): Promise<void> {
    for (;;) {
      for (const place of this.#places) {
        await this.#start(place, stop);
        // A client of a server that has just died would only die too.
        if (this.#dead.has(this.#first)) break;
        if (this.#first.state === "out") {
          const { program } = this.#first.server;
          this.log.warning(`without ${program} there is no sound, and the others are not started`);
          return;
        }
      }
      if (this.#dead.size === 0 && !this.#places.some(({ child }) => child)) return;
      settle(this.log);
      await this.#death(stop);
      if (this.#dead.has(this.#first)) {
        // Its clients go with it, by themselves or not, and are not to be blamed for that.
        await this.end();
        for (const place of this.#dead) if (place !== this.#first) this.#dead.delete(place);
      }
      if (!this.#mayRestart()) return;
      await sleep(this.rules.delay, undefined, { signal: stop });
    }
  }

  /** Starts a server if it does not run, and waits until it is usable. */
  async #start(place: Place, stop: AbortSignal): Promise<void> {
    const { program, args, sign } = place.server;
    if (place.child || place.state === "out") return;
    const late = AbortSignal.timeout(this.rules.patience);
    const { log } = this;
    try {
      const signal = AbortSignal.any([stop, late]);
      if (await place.server.running(signal)) {
        if (place.state !== "foreign") {
          log.info(`${program}: left alone, since ${sign} is there already`);
        }
        place.state = "foreign";
        return;
      }
      const path = Bun.which(program, { PATH: this.environment.PATH ?? "" });
      if (path === null) {
        log.warning(`${program} is not installed, so it is not started`);
        place.state = "out";
        return;
      }
      this.#spawn(place, [path, ...args]);
      const deaths = [place.gone.signal, this.#first.gone.signal];
      await place.server.ready(AbortSignal.any([signal, ...deaths]));
      log.info(`${program}: started, ${sign} is there`);
    } catch (error) {
      stop.throwIfAborted();
      const ended = place.gone.signal.aborted || this.#first.gone.signal.aborted;
      const reason = messageOf(error);
      const why = late.aborted && !ended ? `not within ${this.rules.patience / 1000} s` : reason;
      log.error(`${program}: ${sign} did not come: ${why}`);
      if (ended) return;
      this.good = false;
      // Of the others it may still come; without the first there is nothing to wait for.
      if (place === this.#first) place.state = "out";
    }
  }

  #spawn(place: Place, command: string[]): void {
    const child = Bun.spawn(command, {
      env: this.environment,
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
    const gone = new AbortController();
    place.child = child;
    place.gone = gone;
    place.state = "ours";
    void child.exited.then(() => {
      delete place.child;
      place.state = "waiting";
      gone.abort(new Error("it ended before that"));
      if (this.#ending.has(place)) return;
      const how = child.signalCode ?? `status ${child.exitCode}`;
      this.log.error(`${place.server.program} ended with ${how}`);
      this.#dead.add(place);
      this.#onDeath();
    });
  }

  /** Resolves when one that is ours has died. */
  async #death(stop: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onDeath = resolve;
    stop.addEventListener("abort", () => resolve(), { once: true });
    if (this.#dead.size === 0 && !stop.aborted) await promise;
    stop.throwIfAborted();
  }

  /**
   * Counts the restarts that the deaths ask for, and gives up what died too often.
   *
   * @returns false if that is the first server
   */
  #mayRestart(): boolean {
    const now = performance.now();
    for (const place of this.#dead) {
      const { program } = place.server;
      place.restarts = place.restarts.filter((time) => now - time < MINUTE);
      if (place.restarts.length < this.rules.most) {
        place.restarts.push(now);
        continue;
      }
      place.state = "out";
      this.good = false;
      this.log.error(
        `${program} was started again ${this.rules.most} times within a minute, so no more: ` +
          "mend it, then start lainos-audio-init again",
      );
    }
    this.#dead.clear();
    return this.#first.state !== "out";
  }

  /** Ends what was started here, the last one first, since it is a client of those before it. */
  async end(): Promise<void> {
    for (const place of this.#places.toReversed()) {
      const { child, server } = place;
      if (!child) continue;
      this.#ending.add(place);
      child.kill("SIGTERM");
      const timer = setTimeout(() => {
        this.log.warning(
          `${server.program} did not end within ${this.rules.grace / 1000} s, so it is killed`,
        );
        child.kill("SIGKILL");
      }, this.rules.grace);
      await child.exited;
      clearTimeout(timer);
      this.#ending.delete(place);
    }
  }
}
