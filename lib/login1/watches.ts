/** What the bridge watches for one session, and ends with it. */
import {
  type Cgroup,
  close,
  type Fd,
  hasCode,
  hasHungUp,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  onReadiness,
  open,
  startTimeOf,
  watchPidfd,
} from "../linux/index.ts";
import type { Leader } from "./session.ts";

/** Whether a leader still runs, and not a later process under its number. */
export function isRunning(leader: Leader): boolean {
  return startTimeOf(leader.pid) === leader.startTime;
}

/** The watches of one session. None of the callbacks may throw. */
export class SessionWatches {
  readonly #ends: (() => void)[] = [];
  #endFifo: (() => void) | undefined;
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  /** Calls `gone` when the leader ends. @param pidfd the leader's, which is closed here */
  watchLeader(pidfd: Fd, gone: () => void): void {
    this.#ends.push(watchPidfd(pidfd, gone));
  }

  /** Calls `emptied` whenever the last process has left the scope, if there is such a scope. */
  watchScope(scope: Cgroup, emptied: () => void): void {
    try {
      const end = scope.watch(() => {
        if (!scope.populated()) emptied();
      });
      this.#ends.push(end);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
  }

  /**
   * Calls `closed` when nobody holds the write end of the fifo at `path` any more.
   *
   * @returns a write end, the caller's to close: until then nobody is told
   * @throws {SystemError} ENOENT if there is no such fifo
   */
  watchFifo(path: string, closed: () => void): Fd {
    // The reader first, or opening the writer would fail; and a reader that
    // never had a writer is not told that it has none.
    const reader = open(path, O_RDONLY | O_NONBLOCK);
    let writer: Fd | undefined;
    let end = () => {};
    try {
      writer = open(path, O_WRONLY | O_NONBLOCK);
      // Nobody has anything to say there. What a stranger writes is not read, so
      // that it fills the fifo and not our time.
      end = onReadiness(reader, () => {
        if (hasHungUp(reader)) closed();
      });
    } catch (error) {
      if (writer !== undefined) close(writer);
      close(reader);
      throw error;
    }
    this.#endFifo = () => {
      end();
      close(reader);
    };
    return writer;
  }

  /** Ends the watch of the fifo, which says nothing once the session is ending. */
  endFifo(): void {
    this.#endFifo?.();
    this.#endFifo = undefined;
  }

  /** Takes a step towards the session's end after so many milliseconds, unless that is to come already. */
  after(delay: number, step: "terminate" | "kill", act: () => void): void {
    if (!this.#timers.has(step)) this.#timers.set(step, setTimeout(act, delay));
  }

  /** Ends all of them. */
  end(): void {
    for (const end of this.#ends.splice(0)) end();
    this.endFifo();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
