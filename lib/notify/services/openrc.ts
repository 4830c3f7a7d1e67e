/** OpenRC's own word on its services, by inotify on the links in /run/openrc. */
import { join } from "node:path";
import { hasCode, IN_DELETE, IN_Q_OVERFLOW, watchPath } from "../../linux/index.ts";
import type { Places } from "./service-of-process.ts";

/**
 * Calls `stopped` with the name of each service that is no longer marked as started, and again when it
 * is no longer marked as stopping: it is being stopped or restarted, or is gone. A restart has no mark
 * between the two halves, for as long as OpenRC takes to read what it depends on.
 *
 * @param missed called when the kernel has lost some of it: any service may have been stopped
 * @returns a function that ends the watch; undefined where there is no OpenRC
 */
export function watchStops(
  places: Places,
  stopped: (service: string) => void,
  missed: () => void,
): (() => void) | undefined {
  const ends: (() => void)[] = [];
  for (const state of ["started", "stopping"]) {
    try {
      const endWatch = watchPath(join(places.state, state), IN_DELETE, ({ mask, name }) => {
        if (mask & IN_DELETE) stopped(name);
        else if (mask & IN_Q_OVERFLOW) missed();
      });
      ends.push(endWatch);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }
  if (ends.length === 0) return undefined;
  return () => {
    for (const end of ends) end();
  };
}
