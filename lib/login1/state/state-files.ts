/**
 * The state files on their way to the disk. What happens to sessions never waits for them, and never
 * fails with them: what cannot be written or removed now (a full /run) is logged and tried again.
 */
import { existsSync } from "node:fs";
import type { Logger } from "../../cli/index.ts";
import { hasCode, messageOf, writeFileAtomically } from "../../linux/index.ts";
import { formatState, parseState, type Values } from "../../sd-login/index.ts";
import { removeAny } from "../host/plain-file.ts";
import { readState } from "./env-file.ts";

/** How long until what failed is tried again, in milliseconds: at first, and at most. */
const FIRST_RETRY = 1000;
const LAST_RETRY = 30_000;

export class StateFiles {
  /** The text that each file got from us last, or had when we read it, by its path. */
  readonly #written = new Map<string, string>();
  /** What has failed, by path. Only the last of each counts, and it writes what is so when it is done. */
  readonly #failed = new Map<string, () => void>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #retry = FIRST_RETRY;

  constructor(private readonly log: Logger) {}

  /**
   * Writes a file whole, world-readable, by rename. One that says the same already is left alone: of
   * twenty sessions of a user a new one changes few, and who watches the folder is not woken for the rest.
   *
   * @param values what it is to say, asked for again where it is written later
   */
  save(path: string, values: () => Values): void {
    this.#do(path, () => {
      const text = formatState(values());
      if (this.#written.get(path) === text && existsSync(path)) return;
      write(path, text);
      this.#written.set(path, text);
    });
  }

  /** Removes a file, if it is there. */
  remove(path: string): void {
    this.#written.delete(path);
    this.#do(path, () => removeAny(path));
  }

  /**
   * Does something else to a file, at once or, where that fails, later.
   *
   * @param act may be called again until it does not throw
   */
  change(path: string, act: () => void): void {
    this.#do(path, act);
  }

  /**
   * Reads a file.
   *
   * @returns undefined if there is none
   * @throws {Error} Node's, with the path
   */
  load(path: string): Map<string, string> | undefined {
    const text = readState(path);
    if (text === undefined) return undefined;
    this.#written.set(path, text);
    // A line without its end is of a file that was cut off: a number in it may be another.
    return parseState(text.slice(0, text.lastIndexOf("\n") + 1));
  }

  /** Tries once more what has failed, and then no more. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [path, act] of this.#failed) {
      try {
        act();
      } catch (error) {
        this.log.error(`${path} is not as it should be: ${messageOf(error)}`);
      }
    }
    this.#failed.clear();
  }

  #do(path: string, act: () => void): void {
    this.#failed.delete(path);
    try {
      act();
    } catch (error) {
      if (this.#timer === undefined) {
        const reason = messageOf(error);
        this.log.error(`${path}: ${reason}: it is tried again, and all goes on meanwhile`);
        this.#wait();
      } else if (this.#retry > FIRST_RETRY) {
        // Something may have changed: what lasts longer than that does not keep this waiting.
        clearTimeout(this.#timer);
        this.#retry = FIRST_RETRY;
        this.#wait();
      }
      this.#failed.set(path, act);
    }
  }

  #wait(): void {
    this.#timer = setTimeout(() => this.#tryAgain(), this.#retry);
  }

  #tryAgain(): void {
    let isBetter = false;
    for (const [path, act] of [...this.#failed]) {
      try {
        act();
        this.#failed.delete(path);
        isBetter = true;
      } catch (error) {
        this.log.debug(`${path}: ${messageOf(error)}`);
      }
    }
    this.#timer = undefined;
    if (this.#failed.size === 0) {
      this.#retry = FIRST_RETRY;
      this.log.info("the state files are written again");
      return;
    }
    this.#retry = isBetter ? FIRST_RETRY : Math.min(this.#retry * 2, LAST_RETRY);
    this.#wait();
  }
}

/** Whatever is in its place goes, as with `remove`: a folder would keep the file from ever being written. */
function write(path: string, text: string): void {
  try {
    writeFileAtomically(path, text, 0o644);
  } catch (error) {
    if (!hasCode(error, "EISDIR")) throw error;
    removeAny(path);
    writeFileAtomically(path, text, 0o644);
  }
}
