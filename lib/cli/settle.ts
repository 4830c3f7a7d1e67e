/** What a daemon gives back when it comes to rest. */
import { messageOf, releaseExecutable } from "../linux/index.ts";
import type { Logger } from "./log.ts";

/** How long it waits for more of the kind, in milliseconds. */
const SETTLED = 1000;

let timer: ReturnType<typeof setTimeout> | undefined;

/**
 * Gives back, a moment later, what of the executable was mapped for the start, or for something else
 * that is done seldom and has just been done: two thirds of what a daemon has. Said again before, it
 * waits anew.
 */
export function settle(log: Logger): void {
  clearTimeout(timer);
  timer = setTimeout(() => {
    try {
      const bytes = releaseExecutable();
      log.debug(`${Math.round(bytes / 2 ** 20)} MB of the executable are mapped no more`);
    } catch (error) {
      log.warning(`the executable stays mapped: ${messageOf(error)}`);
    }
  }, SETTLED);
  timer.unref();
}
