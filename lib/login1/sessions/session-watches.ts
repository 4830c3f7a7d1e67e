/** What the bridge watches for one session, and ends with it. */
import {
  type Cgroup,
  close,
  DescriptorWatch,
  type Fd,
  hasCode,
  hasEnded,
  hasHungUp,
  killPidfd,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  open,
  watchPidfd,
} from "../../linux/index.ts";

/** The fifos, none of which anybody writes to. */
const fifos = new DescriptorWatch("hang-ups");

/** What may be still to come towards a session's end. */
export type SessionStep = "terminate" | "kill" | "finish" | "watch";

/** The watches of one session. None of the callbacks may throw. */
export class SessionWatches {
  #leader: Fd | undefined;
  #endLeader: (() => void) | undefined;
  #endScope: (() => void) | undefined;
  #fifo: Fd | undefined;
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
    try {
      writer = open(path, O_WRONLY | O_NONBLOCK);
      // Nobody has anything to say there. What a stranger writes is not read, so
      // that it fills the fifo and not our time.
      fifos.add(reader, closed);
    } catch (error) {
      if (writer !== undefined) close(writer);
      close(reader);
      throw error;
    }
    this.#fifo = reader;
    return writer;
  }

  /** Whether the fifo that is watched has no writer any more, though nobody was told yet: that takes a turn of the event loop. */
  get fifoClosed(): boolean {
    return this.#fifo !== undefined && hasHungUp(this.#fifo);
  }

  /** Ends the watch of the fifo, which says nothing once the session is ending. */
  endFifo(): void {
    if (this.#fifo === undefined) return;
    fifos.remove(this.#fifo);
    close(this.#fifo);
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
