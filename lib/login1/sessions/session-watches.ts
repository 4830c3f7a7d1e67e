/** What the bridge watches for one session, and ends with it. */
import {
  type Cgroup,
  type Fd,
  hasCode,
  hasEnded,
  killPidfd,
  watchPidfd,
} from "../../linux/index.ts";
import { FifoWatch } from "../host/fifo-watch.ts";

/** What may be still to come towards a session's end. */
export type SessionStep = "terminate" | "kill" | "finish" | "watch";

/** The watches of one session. None of the callbacks may throw. */
export class SessionWatches {
  #leader: Fd | undefined;
  #endLeader: (() => void) | undefined;
  #endScope: (() => void) | undefined;
  #fifo: FifoWatch | undefined;
  readonly #timers = new Map<string, ReturnType<typeof setTimeout>>();

  /** Calls `gone` when the leader ends. @param pidfd the leader's, which is closed here */
  watchLeader(pidfd: Fd, gone: () => void): void {
    this.#endLeader = watchPidfd(pidfd, gone);
    this.#leader = pidfd;
  }

  /** Whether the leader that is watched still runs. */
  get leaderRuns(): boolean {
    return this.#leader !== undefined && !hasEnded(this.#leader);
  }

  /** Signals the leader. @returns false if it has ended */
  signalLeader(signal: number): boolean {
    if (this.#leader === undefined) return false;
    try {
      killPidfd(this.#leader, signal);
      return true;
    } catch (error) {
      if (hasCode(error, "ESRCH")) return false;
      throw error;
    }
  }

  /** Calls `emptied` whenever nothing runs in the scope any more, also if that is so already. */
  watchScope(scope: Cgroup, emptied: () => void): void {
    if (this.#endScope) return;
    const look = () => {
      if (!scope.populated()) emptied();
    };
    try {
      this.#endScope = scope.watch(look);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
    }
    look();
  }

  /** Watches the fifo at `path`, as `FifoWatch.open` does; returns its write end, the caller's to close. */
  watchFifo(path: string, closed: () => void): Fd {
    const { watch, writer } = FifoWatch.open(path, closed);
    this.#fifo = watch;
    return writer;
  }

  /** The same with a pipe, which no later run finds. */
  watchPipe(closed: () => void): Fd {
    const { watch, writer } = FifoWatch.pipe(closed);
    this.#fifo = watch;
    return writer;
  }

  /** Whether the fifo that is watched has no writer any more, though nobody was told yet: that takes a turn of the event loop. */
  get fifoClosed(): boolean {
    return this.#fifo?.closed ?? false;
  }

  /** Ends the watch of the fifo, which says nothing once the session is ending. */
  endFifo(): void {
    this.#fifo?.end();
    this.#fifo = undefined;
  }

  /** Takes a step towards the session's end after so many milliseconds, unless that is to come already. */
  after(delay: number, step: SessionStep, act: () => void): void {
    if (this.#timers.has(step)) return;
    const timer = setTimeout(() => {
      this.#timers.delete(step);
      act();
    }, delay);
    this.#timers.set(step, timer);
  }

  /** Ends all of them. */
  end(): void {
    this.#endLeader?.();
    this.#leader = undefined;
    this.#endScope?.();
    this.endFifo();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }
}
