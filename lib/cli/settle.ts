/** What a daemon does once it has started. */
import { messageOf, releaseExecutable } from "../linux/index.ts";
import type { Logger } from "./log.ts";

/** How long after it can be used a daemon goes on with what only a start needs, in milliseconds. */
const SETTLED = 1000;

/** Gives back, a moment later, what was mapped for the start: two thirds of what a daemon has. */
export function settle(log: Logger): void {
  const timer = setTimeout(() => {
    try {
      const bytes = releaseExecutable();
      log.debug(`${Math.round(bytes / 2 ** 20)} MB of the executable are mapped no more`);
    } catch (error) {
      log.warning(`the executable stays mapped: ${messageOf(error)}`);
    }
  }, SETTLED);
  timer.unref();
}
