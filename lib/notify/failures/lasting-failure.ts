/** A failure that is tried again and again, and fills no log meanwhile. */
import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";

/** Logs a failure when it begins and when it turns into another, and says when it is over. */
export class LastingFailure {
  readonly #log: Logger;
  readonly #what: string;
  readonly #over: string;
  readonly #level: "warning" | "error";
  #last: string | undefined;

  /**
   * @param what the start of the line that says why it fails
   * @param over the line that says that it works again
   */
  constructor(log: Logger, what: string, over: string, level: "warning" | "error" = "error") {
    this.#log = log;
    this.#what = what;
    this.#over = over;
    this.#level = level;
  }

  /** It failed, once more or for the first time. */
  failed(error: unknown): void {
    const why = messageOf(error);
    if (why === this.#last) return;
    this.#last = why;
    this.#log[this.#level](`${this.#what}: ${why}`);
  }

  /** It worked. */
  worked(): void {
    if (this.#last === undefined) return;
    this.#last = undefined;
    this.#log.info(this.#over);
  }
}
