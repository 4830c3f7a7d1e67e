/** An event at a moment of the time of day, which JavaScript's timers do not know; see timerfd_create(2). */
import { close } from "../ffi/fd.ts";
import { createTimer, setTimerAt } from "../time/timer.ts";
import { onceReadable } from "./readiness.ts";

/**
 * Calls `fire` once, when the time of day is `moment` (microseconds since the
 * epoch) or later, whatever the clock is set to meanwhile.
 *
 * @returns a function that ends the watch; not needed after `fire`
 * @throws {SystemError}
 */
export function atRealtime(moment: bigint, fire: () => void): () => void {
  const fd = createTimer("realtime");
  let open = true;
  const end = () => {
    if (!open) return;
    open = false;
    endWatch();
    close(fd);
  };
  let endWatch = () => {};
  try {
    setTimerAt(fd, moment);
    endWatch = onceReadable(fd, () => {
      end();
      fire();
    });
  } catch (error) {
    end();
    throw error;
  }
  return end;
}
