/**
 * Who keeps everybody else waiting. The bus puts all calls to us in one row, so
 * one client that sends faster than we answer makes the others wait for all of
 * what it sent. While the row does not get shorter, each client has a few of its
 * calls done of every buffer that is read, and the rest is refused at once.
 */

/** So many full buffers one after the other, and it is a flood: over three thousand calls of the usual size. */
const FLOOD = 8;
/** How many calls of one client are then done of each buffer. */
const SHARE = 16;

export class Crowd {
  #full = 0;
  readonly #calls = new Map<string, number>();

  /** Takes note of a read: whether it filled the buffer, so that more waits. */
  read(full: boolean): void {
    this.#full = full ? this.#full + 1 : 0;
    this.#calls.clear();
  }

  /** Counts a call that was read, and tells whether it is to be refused. */
  refuses(sender: string): boolean {
    if (this.#full < FLOOD) return false;
    const count = (this.#calls.get(sender) ?? 0) + 1;
    this.#calls.set(sender, count);
    return count > SHARE;
  }
}
