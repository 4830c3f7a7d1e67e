/** OpenRC's own word on its services, by inotify on the links in /run/openrc/started. */
import { join } from "node:path";
import { hasCode, IN_DELETE, watchPath } from "../linux/index.ts";
import type { Places } from "./origin.ts";

/**
 * Calls `stopped` with the name of each service that is no longer marked as started: it is being
 * stopped or restarted, or is gone.
 *
 * @returns a function that ends the watch; undefined where there is no OpenRC
 */
export function watchStops(
  places: Places,
  stopped: (service: string) => void,
): (() => void) | undefined {
  try {
    return watchPath(join(places.state, "started"), IN_DELETE, ({ mask, name }) => {
      if (mask & IN_DELETE) stopped(name);
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
