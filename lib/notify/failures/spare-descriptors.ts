/** A few descriptors held back for when this process may open no more. */
import { close, createPlaceholder, type Fd, hasCode } from "../../linux/index.ts";

/** A look at a file takes one, a file that is written and looked at on the way two. */
const COUNT = 2;

/** Whether a call failed because this process, or the system, has no descriptor or no memory to give. */
export const isShortage = (error: unknown): boolean =>
  hasCode(error, "EMFILE", "ENFILE", "ENOMEM", "ENOBUFS");

/**
 * What takes a descriptor for a moment only, such as a look at /proc or the state file, works with
 * these where all others are taken: whose word a datagram is must not depend on how many are left.
 */
export class SpareDescriptors {
  readonly #held: Fd[] = [];
  #isLent = false;

  constructor() {
    this.#hold();
  }

  /**
   * Does something; if it fails for want of descriptors, once more with those held here free.
   *
   * @param work keeps none open, and can be done twice
   */
  use<Value>(work: () => Value): Value {
    if (this.#isLent) return work();
    if (this.#held.length < COUNT) this.#hold();
    try {
      return work();
    } catch (error) {
      if (!hasCode(error, "EMFILE", "ENFILE") || this.#held.length === 0) throw error;
    }
    this.end();
    this.#isLent = true;
    try {
      return work();
    } finally {
      this.#isLent = false;
      this.#hold();
    }
  }

  /** Lets go of them. */
  end(): void {
    for (const fd of this.#held.splice(0)) close(fd);
  }

  /** Takes as many as it can get: what is lacking is taken the next time. */
  #hold(): void {
    try {
      while (this.#held.length < COUNT) this.#held.push(createPlaceholder());
    } catch (error) {
      if (!isShortage(error)) throw error;
    }
  }
}
