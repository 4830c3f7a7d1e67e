/** What the bridge watches for one session, and ends with it. */
import { existsSync } from "node:fs";
import {
  type Cgroup,
  close,
  hasCode,
  hasHungUp,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  onReadiness,
  open,
  processStatus,
  watchProcess,
} from "../linux/index.ts";
import type { Leader } from "./session.ts";

/** Whether a leader still runs, and not a later process under its number. */
export function isRunning(leader: Leader): boolean {
  const status = processStatus(leader.pid);
  return status !== undefined && status.startTime === leader.startTime && status.state !== "Z";
}

/** The watches of one session. None of the callbacks may throw. */
export class SessionWatches {
  readonly #ends: (() => void)[] = [];
  #endFifo: (() => void) | undefined;
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  /** Calls `gone` when the leader ends; if it has ended already, nothing is watched. */
  watchLeader(leader: Leader, gone: () => void): void {
    if (!isRunning(leader)) return;
    try {
      this.#ends.push(watchProcess(leader.pid, gone));
    } catch (error) {
      if (!hasCode(error, "ESRCH")) throw error;
    }
  }

  /** Calls `emptied` whenever the last process has left the scope. */
  watchScope(scope: Cgroup, emptied: () => void): void {
    const end = scope.watch(() => {
      if (!scope.populated()) emptied();
    });
    this.#ends.push(end);
  }

  /** Calls `closed` when nobody holds the write end of the fifo at `path` any more. */
  watchFifo(path: string, closed: () => void): void {
    if (!existsSync(path)) return;
    const reader = open(path, O_RDONLY | O_NONBLOCK);
    // A reader that never had a writer is not told that it has none.
    close(open(path, O_WRONLY | O_NONBLOCK));
    // Nobody has anything to say there. What a stranger writes is not read, so
    // that it fills the fifo and not our time.
    const end = onReadiness(reader, () => {
      if (hasHungUp(reader)) closed();
    });
    this.#endFifo = () => {
      end();
      close(reader);
    };
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
