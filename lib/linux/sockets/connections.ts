/** Taking connections from a listening socket, so that a storm of them keeps nobody waiting. */
import { onReadiness } from "../events/readiness.ts";
import { messageOf } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { accept } from "./socket.ts";

/** After so many in a row, everybody else gets a turn. */
const MOST_AT_ONCE = 64;
/** When accept(2) is tried again after it failed for want of descriptors, in milliseconds: nothing tells of one that is free. */
const RETRY_DELAY = 1000;

/**
 * Calls `admit` for every connection, non-blocking, which is its to close.
 *
 * @param failed is told what accept(2) or `admit` has thrown, and of what lasts once; it must not throw
 * @returns a function that ends it; it does not close `listener`
 * @throws {SystemError}
 */
export function onConnection(
  listener: Fd,
  admit: (fd: Fd) => void,
  failed: (error: unknown) => void,
): () => void {
  let timer: ReturnType<typeof setTimeout> | undefined;
  let endWatch = () => {};
  /** What accept(2) and `admit` failed of the last time, until they work again. */
  let lasting: string | undefined;
  let refused: string | undefined;
  const tryAgain = (error: unknown) => {
    if (messageOf(error) !== lasting) failed(error);
    lasting = messageOf(error);
    endWatch();
    timer = setTimeout(() => {
      try {
        watch();
      } catch (again) {
        tryAgain(again);
      }
    }, RETRY_DELAY);
  };
  const watch = () => {
    timer = undefined;
    endWatch = onReadiness(listener, acceptAll);
  };
  const acceptAll = (): boolean => {
    for (let count = 0; count < MOST_AT_ONCE; count++) {
      let fd: Fd | undefined;
      try {
        fd = accept(listener);
      } catch (error) {
        tryAgain(error);
        return false;
      }
      lasting = undefined;
      if (fd === undefined) return false;
      try {
        admit(fd);
        refused = undefined;
      } catch (error) {
        // That one's alone, but whoever lacks descriptors fails at each.
        if (messageOf(error) !== refused) failed(error);
        refused = messageOf(error);
      }
    }
    return true;
  };
  watch();
  return () => {
    endWatch();
    clearTimeout(timer);
  };
}
