/** Keeps one sender from filling the log. */
import { reportFailures } from "../linux/index.ts";
import type { Level, Logger } from "./log.ts";

/** How much one sender may say. */
export interface Limit {
  /** So many in one window. */
  messages: number;
  /** The window's length, in milliseconds, counted from a sender's first message in it. */
  window: number;
  /** So many senders are remembered at once; the oldest is forgotten for a new one. */
  senders: number;
}

interface Sender {
  ends: number;
  count: number;
  suppressed: number;
  timer?: Timer;
}

/** Counts by sender. It sets a timer for a sender that went over the limit, and for no other. */
export class RateLimiter {
  readonly #senders = new Map<string, Sender>();

  /**
   * @param report called at the end of a window in which `suppressed` messages of a sender were refused
   */
  constructor(
    readonly limit: Limit,
    readonly report: (sender: string, suppressed: number) => void,
  ) {}

  /** Counts one message; false if it is one too many. */
  allow(key: string, now = performance.now()): boolean {
    let sender = this.#senders.get(key);
    if (sender && now >= sender.ends) {
      this.#end(key, sender);
      sender = undefined;
    }
    if (!sender) {
      sender = { ends: now + this.limit.window, count: 0, suppressed: 0 };
      this.#makeRoom(now);
      this.#senders.set(key, sender);
    }
    if (++sender.count <= this.limit.messages) return true;
    sender.suppressed++;
    const counted = sender;
    sender.timer ??= setTimeout(() => this.#end(key, counted), sender.ends - now);
    return false;
  }

  /** Reports what is open and forgets everybody. */
  flush(): void {
    for (const [key, sender] of this.#senders) this.#end(key, sender);
  }

  #end(key: string, sender: Sender): void {
    clearTimeout(sender.timer);
    if (this.#senders.get(key) === sender) this.#senders.delete(key);
    if (sender.suppressed > 0) this.report(key, sender.suppressed);
  }

  /** A Map keeps the order of insertion and every window is of one length, so the oldest is first. */
  #makeRoom(now: number): void {
    for (const [key, sender] of this.#senders) {
      if (now < sender.ends && this.#senders.size < this.limit.senders) return;
      this.#end(key, sender);
    }
  }
}

/** What one account that brings nothing about may have in a daemon's log. */
export const FEW_LINES: Limit = { messages: 20, window: 10_000, senders: 4096 };

/** A log of what strangers bring about: each has a few lines, and one line says how many more there were. */
export class LimitedLog {
  readonly #log: Logger;
  readonly #limiter: RateLimiter;

  constructor(log: Logger, limit = FEW_LINES) {
    this.#log = log;
    this.#limiter = new RateLimiter(limit, (account, suppressed) =>
      log.warning(`${account}: ${suppressed} more lines of this kind were left out`),
    );
  }

  /** Writes a line that `account` has brought about, if that has not too many already. */
  write(level: Level, account: string, message: string): void {
    if (this.#limiter.allow(account)) this.#log[level](message);
  }
}

/** What was thrown, with where, for a log. */
export const traceOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** Has what callbacks of the event loop throw written to a daemon's log; the event loop goes on. */
export function logFailures(log: Logger): void {
  const limited = new LimitedLog(log);
  reportFailures((error) =>
    limited.write("error", "callbacks", `a callback failed: ${traceOf(error)}`),
  );
}
