/**
 * A daemon of ours and lainos-notifyd, each seeing that the other is alive: the daemon says WATCHDOG=1,
 * and lainos-notifyd answers its barriers. One that hangs has the other restart it.
 */
import type { Logger } from "../../cli/index.ts";
import {
  close,
  connectDatagram,
  type Fd,
  hasCode,
  hasHungUp,
  LONGEST_TIMEOUT,
  onReadiness,
  send,
  socketPair,
} from "../../linux/index.ts";
import { LastingFailure } from "../failures/lasting-failure.ts";
import { DEFAULT_SOCKET } from "../protocol/socket.ts";
import { describePlan, Restarter, type RestartPlan } from "../services/restarter.ts";

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
  restart?: (service: string) => RestartPlan;
}

/** The watchdog's interval in milliseconds, as the service manager has told it; undefined without one. */
export function watchdogInterval(text = process.env.WATCHDOG_USEC): number | undefined {
  const usec = Number(text);
  return text === undefined || !(usec > 0) ? undefined : usec / 1000;
}

/** Says things one after the other, each until there is room for it. */
class Speaker {
  readonly #queue: { text: string; fds: readonly Fd[]; said: () => void }[] = [];
  #again: Timer | undefined;
  #isFailing = false;

  constructor(
    readonly socket: string,
    readonly failure: LastingFailure,
  ) {}

  /** Whether it is of this process that nothing can be said, and not of lainos-notifyd. */
  get isFailing(): boolean {
    return this.#isFailing;
  }

  /** @param said called when it is in the socket, or can never be */
  say(text: string, fds: readonly Fd[] = [], said: () => void = () => {}): void {
    // What was not said in time is said by the next of its kind.
    if (this.#queue.some((waiting) => waiting.text === text)) {
      said();
      return;
    }
    this.#queue.push({ text, fds, said });
    this.#work();
  }

  #work(): void {
    for (let [next] = this.#queue; next && this.#send(next.text, next.fds); [next] = this.#queue) {
      this.#queue.shift();
      next.said();
    }
    if (this.#queue.length === 0) this.end();
    else if (this.#again === undefined) {
      this.#again = setInterval(() => this.#work(), TRY_AGAIN);
      this.#again.unref();
    }
  }

  /** Sends without waiting; false if lainos-notifyd has no room for it, or this process none to say it. */
  #send(text: string, fds: readonly Fd[]): boolean {
    try {
      const socket = connectDatagram(this.socket);
      try {
        const isSent = send(socket, Buffer.from(text), fds) !== undefined;
        this.failure.worked();
        this.#isFailing = false;
        return isSent;
      } finally {
        close(socket);
      }
    } catch (error) {
      // One that does not run OpenRC starts, with an empty slate.
      if (hasCode(error, "ENOENT", "ECONNREFUSED")) return true;
      this.failure.failed(error);
      this.#isFailing = true;
      return false;
    }
  }

  /** What is not said by now is not said any more. */
  end(): void {
    clearInterval(this.#again);
    this.#again = undefined;
    for (const { said } of this.#queue.splice(0)) said();
  }
}

export class Heartbeat {
  readonly #log: Logger;
  readonly #failure: LastingFailure;
  readonly #restart: (service: string) => RestartPlan;
  readonly #timer: Timer | undefined;
  /** What is said for the watchdog, and the barriers: one that waits must not hold the other up. */
  readonly #alive: Speaker;
  readonly #questions: Speaker;
  #unanswered = 0;
  #endBarrier: (() => void) | undefined;

  /** Begins, if there is a watchdog; it does not hold the process. */
  constructor(log: Logger, options: HeartbeatOptions = {}) {
    const { socket = DEFAULT_SOCKET, interval = watchdogInterval() } = options;
    this.#log = log;
    const restarter = new Restarter(log, { kind: "programs" });
    this.#restart = options.restart ?? ((service) => restarter.restart(service));
    const failure = new LastingFailure(
      log,
      `no sign of life to ${NOTIFYD}`,
      `${NOTIFYD} is told again that this daemon is alive`,
    );
    this.#failure = failure;
    this.#alive = new Speaker(socket, failure);
    this.#questions = new Speaker(socket, failure);
    if (interval === undefined) return;
    this.#timer = setInterval(() => this.#beat(), Math.min(interval / BEATS, LONGEST_TIMEOUT));
    this.#timer.unref();
    this.#alive.say("READY=1");
    this.#beat();
  }

  /** Says that we stop, so that nobody misses us. */
  stop(): void {
    if (this.#timer === undefined) return;
    clearInterval(this.#timer);
    this.#endBarrier?.();
    this.#questions.end();
    this.#alive.say("STOPPING=1");
    this.#alive.end();
  }

  #beat(): void {
    try {
      this.#alive.say("WATCHDOG=1");
      if (!this.#endBarrier) this.#askBarrier();
      else if (!this.#questions.isFailing) this.#unanswered++;
    } catch (error) {
      this.#failure.failed(error);
    }
    if (this.#unanswered < MOST_UNANSWERED) return;
    this.#unanswered = 0;
    this.#endBarrier?.();
    this.#log.error(`${NOTIFYD} does not answer: ${describePlan(this.#restart(NOTIFYD))}`);
  }

  /**
   * sd_notify_barrier(3): it has read all that was said when it has closed our descriptor. Its queue is
   * short, and full while somebody floods it: then this is tried again, since only a lainos-notifyd
   * that reads nothing leaves no room for as long.
   */
  #askBarrier(): void {
    const [ours, theirs] = socketPair();
    let endWatch: () => void;
    const end = () => {
      if (this.#endBarrier !== end) return;
      this.#endBarrier = undefined;
      endWatch();
      close(ours);
    };
    try {
      endWatch = onReadiness(ours, () => {
        if (!hasHungUp(ours)) return;
        this.#unanswered = 0;
        end();
      });
    } catch (error) {
      for (const fd of [ours, theirs]) close(fd);
      throw error;
    }
    this.#endBarrier = end;
    // Our own copy would keep the other end from hanging up.
    this.#questions.say("BARRIER=1", [theirs], () => close(theirs));
  }
}
