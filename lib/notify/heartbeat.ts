/**
 * A daemon of ours and lainos-notifyd, each seeing that the other is alive: the daemon says WATCHDOG=1,
 * and lainos-notifyd answers its barriers. One that hangs has the other restart it.
 */
import type { Logger } from "../cli/index.ts";
import {
  close,
  connectDatagram,
  type Fd,
  hasCode,
  hasHungUp,
  onReadiness,
  send,
  socketPair,
} from "../linux/index.ts";
import { DEFAULT_SOCKET } from "./socket.ts";
import { Restarter } from "./watchdog.ts";

/** Of the watchdog's interval: so often is said that we are alive, as sd_watchdog_enabled(3) advises, and once more. */
const BEATS = 3;
/** After so many beats without an answer lainos-notifyd hangs. A flood of datagrams makes it slower than that by far not. */
const MOST_UNANSWERED = 3;

/** How soon a barrier that there was no room for is sent again, in milliseconds. */
const TRY_AGAIN = 20;

export const NOTIFYD = "lainos-notifyd";

export interface HeartbeatOptions {
  /** The notify socket. */
  socket?: string;
  /** The watchdog's interval in milliseconds; WATCHDOG_USEC where the service has one. */
  interval?: number | undefined;
  /** Restarts lainos-notifyd. */
  restart?: (service: string) => number;
}

/** The watchdog's interval in milliseconds, as the service manager has told it; undefined without one. */
export function watchdogInterval(text = process.env.WATCHDOG_USEC): number | undefined {
  const usec = Number(text);
  return text === undefined || !(usec > 0) ? undefined : usec / 1000;
}

export class Heartbeat {
  readonly #log: Logger;
  readonly #socket: string;
  readonly #restart: (service: string) => number;
  readonly #timer: Timer | undefined;
  #unanswered = 0;
  #endBarrier: (() => void) | undefined;

  /** Begins, if there is a watchdog; it does not hold the process. */
  constructor(log: Logger, options: HeartbeatOptions = {}) {
    const { socket = DEFAULT_SOCKET, interval = watchdogInterval() } = options;
    this.#log = log;
    this.#socket = socket;
    const restarter = new Restarter(log, "programs");
    this.#restart = options.restart ?? ((service) => restarter.restart(service));
    if (interval === undefined) return;
    this.#timer = setInterval(() => this.#beat(), interval / BEATS);
    this.#timer.unref();
    this.#say("READY=1");
    this.#beat();
  }

  /** Says that we stop, so that nobody misses us. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#endBarrier?.();
    this.#say("STOPPING=1");
  }

  #beat(): void {
    this.#say("WATCHDOG=1");
    if (this.#endBarrier) this.#unanswered++;
    else this.#askBarrier();
    if (this.#unanswered < MOST_UNANSWERED) return;
    this.#unanswered = 0;
    this.#endBarrier?.();
    const seconds = this.#restart(NOTIFYD);
    const when = seconds > 0 ? ` in ${seconds} s` : "";
    this.#log.error(`${NOTIFYD} does not answer: it is restarted${when}`);
  }

  /** Sends without waiting; false if lainos-notifyd has no room for it. A socket that is not there has room. */
  #say(text: string, fds: readonly Fd[] = []): boolean {
    try {
      const socket = connectDatagram(this.#socket);
      try {
        return send(socket, Buffer.from(text), fds) !== undefined;
      } finally {
        close(socket);
      }
    } catch (error) {
      // It does not run, and OpenRC sees to that; it is started with an empty slate.
      if (hasCode(error, "ENOENT", "ECONNREFUSED")) return true;
      this.#log.warning(`${NOTIFYD} was not told ${text}: ${String(error)}`);
      return true;
    }
  }

  /**
   * sd_notify_barrier(3): it has read all that was said when it has closed our descriptor. Its queue is
   * short, and full while somebody floods it: then this is tried again, since only a lainos-notifyd
   * that reads nothing leaves no room for as long.
   */
  #askBarrier(): void {
    const [ours, theirs] = socketPair();
    let endWatch = () => {};
    let again: Timer | undefined;
    const end = () => {
      if (this.#endBarrier !== end) return;
      this.#endBarrier = undefined;
      clearInterval(again);
      endWatch();
      if (again !== undefined) close(theirs);
      close(ours);
    };
    this.#endBarrier = end;
    const sent = () => {
      if (!this.#say("BARRIER=1", [theirs])) return false;
      clearInterval(again);
      again = undefined;
      close(theirs);
      endWatch = onReadiness(ours, () => {
        if (!hasHungUp(ours)) return;
        this.#unanswered = 0;
        end();
      });
      return true;
    };
    if (!sent()) again = setInterval(sent, TRY_AGAIN);
  }
}
