/** Ends a program in a pid namespace of its own when the work is interrupted. */
import type { ProcessPromise } from "zx";
import { missing } from "./state.ts";

/**
 * Kills by SIGKILL, since unshare and the first process of a namespace ignore anything less. Not by
 * zx, which asks ps first: the interruption ends that ps as well.
 */
export function killOnAbort(program: ProcessPromise, signal: AbortSignal): void {
  const kill = () => {
    if (program.pid === undefined) return;
    try {
      process.kill(program.pid, "SIGKILL");
    } catch (error) {
      missing(error as NodeJS.ErrnoException);
    }
  };
  if (signal.aborted) kill();
  else signal.addEventListener("abort", kill, { once: true });
}
