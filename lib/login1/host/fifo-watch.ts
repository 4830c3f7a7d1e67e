/** A fifo whose write end somebody was given: it says when nobody has that any more. */
import { fstatSync } from "node:fs";
import {
  close,
  createPipe,
  DescriptorWatch,
  type Fd,
  hasHungUp,
  O_NOFOLLOW,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  open,
} from "../../linux/index.ts";

/** The fifos, none of which anybody writes to. */
const fifos = new DescriptorWatch("hang-ups");

/** The read end of one fifo or pipe. */
export class FifoWatch {
  #reader: Fd | undefined;

  private constructor(reader: Fd, closed: () => void) {
    // Nobody has anything to say there. What a stranger writes is not read, so
    // that it fills the fifo and not our time.
    fifos.add(reader, closed);
    this.#reader = reader;
  }

  /**
   * Calls `closed` when nobody holds the write end of the fifo at `path` any more. It must not throw.
   *
   * @returns the watch, and a write end, the caller's to close: until then nobody is told
   * @throws {SystemError} ENOENT if there is nothing
   * @throws {Error} it is no fifo
   */
  static open(path: string, closed: () => void): { watch: FifoWatch; writer: Fd } {
    // The reader first, or opening the writer would fail; and a reader that
    // never had a writer is not told that it has none.
    const reader = open(path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW);
    let writer: Fd | undefined;
    try {
      // Nothing else would ever say that it is closed.
      if (!fstatSync(reader).isFIFO()) throw new Error(`${path} is no fifo`);
      writer = open(path, O_WRONLY | O_NONBLOCK | O_NOFOLLOW);
      return { watch: new FifoWatch(reader, closed), writer };
    } catch (error) {
      if (writer !== undefined) close(writer);
      close(reader);
      throw error;
    }
  }

  /** The same with a pipe, which has no name and so does not outlive this process. */
  static pipe(closed: () => void): { watch: FifoWatch; writer: Fd } {
    const { reader, writer } = createPipe();
    try {
      return { watch: new FifoWatch(reader, closed), writer };
    } catch (error) {
      close(writer);
      close(reader);
      throw error;
    }
  }

  /** Whether there is no writer any more, though nobody was told yet: that takes a turn of the event loop. */
  get closed(): boolean {
    return this.#reader !== undefined && hasHungUp(this.#reader);
  }

  /** Ends the watch. */
  end(): void {
    if (this.#reader === undefined) return;
    fifos.remove(this.#reader);
    close(this.#reader);
    this.#reader = undefined;
  }
}
