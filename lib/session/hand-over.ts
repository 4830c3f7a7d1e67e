/** Becoming the desktop: what is undone of this process before it executes another program. */
import { Failure } from "../cli/index.ts";
import {
  closeOnExecFrom,
  processStatus,
  resetSignal,
  signalOnParentDeath,
} from "../linux/index.ts";

/** This process's parent now; process.ppid may be an older answer. */
export function parentNow(): number {
  return processStatus(process.pid)?.parent ?? 0;
}

/**
 * Executes a program in place of this one, with nothing of ours left in it: descriptors 0 to 2
 * alone, no ignored signal of Bun's, and SIGTERM when the parent (the login manager's process, or
 * xinit) ends, so that a desktop does not outlive its login. The kernel drops that last one for an
 * executable with set-user-ID or file capabilities; see PR_SET_PDEATHSIG in prctl(2).
 *
 * @param parent our parent as it was when we started, to notice that it ended meanwhile
 * @throws {Failure} if the parent is gone, or the program cannot be executed
 */
export function handOver(
  path: string,
  argv: readonly string[],
  environment: Record<string, string>,
  parent: number,
): never {
  signalOnParentDeath("SIGTERM");
  // The signal is for a death from here on: an earlier one must be seen by hand.
  if (parentNow() !== parent) {
    throw new Failure("whoever started this session has ended meanwhile: log in again");
  }
  closeOnExecFrom(3);
  // Bun leaves these two ignored, and an ignored signal stays so through exec.
  resetSignal("SIGPIPE");
  resetSignal("SIGXFSZ");
  if (!process.execve) throw new Failure("this Bun has no process.execve: build with 1.4.5");
  const { emitWarning } = process;
  try {
    // It warns that it is experimental, which is nothing that a person logging in should read.
    process.emitWarning = () => {};
    return process.execve(path, argv, environment);
  } catch (error) {
    process.emitWarning = emitWarning;
    throw new Failure(
      `${path} cannot be executed: ${(error as Error).message} (reinstall its package)`,
    );
  }
}
