/** Writes down who said what, so that it outlives the daemon. */
import { mkdirSync, readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import type { Logger } from "../../cli/index.ts";
import { hasCode, removeFile, writeFileAtomically } from "../../linux/index.ts";
import { LastingFailure } from "../failures/lasting-failure.ts";
import type { SpareDescriptors } from "../failures/spare-descriptors.ts";
import { type Entry, formatState } from "./state-file.ts";

/** Changes are written together, so many milliseconds after the first of them. */
const SOON = 20;

/** Writing may take a tenth of the time at most, however fast things change. */
const REST = 10;

/** How soon what could not be written is tried again, in milliseconds. */
const TRY_AGAIN = 1000;

/**
 * Writes the file, which everybody may read, when something has changed. What is true is in memory
 * already: nothing here throws, and what cannot be written now is written when that is possible.
 */
export class StateWriter {
  readonly #path: string;
  readonly #failure: LastingFailure;
  readonly #spare: SpareDescriptors;
  readonly #entries: () => readonly Entry[];
  #timer: Timer | undefined;
  #restUntil = 0;
  #isSwept = false;

  constructor(path: string, log: Logger, spare: SpareDescriptors, entries: () => readonly Entry[]) {
    this.#path = path;
    this.#failure = new LastingFailure(
      log,
      "the state is not written",
      "the state is written again",
    );
    this.#spare = spare;
    this.#entries = entries;
  }

  /** It is to be written soon. */
  changed(): void {
    this.#timer ??= setTimeout(
      () => this.flush(),
      Math.max(SOON, this.#restUntil - performance.now()),
    );
  }

  /** Writes it at once if anything has changed. */
  flush(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const began = performance.now();
    try {
      this.#spare.use(() => this.#write());
      this.#failure.worked();
    } catch (error) {
      this.#failure.failed(error);
      this.#timer = setTimeout(() => this.flush(), TRY_AGAIN);
    }
    const ended = performance.now();
    this.#restUntil = ended + (ended - began) * REST;
  }

  /** Writes it for the last time, if anything has changed. */
  end(): void {
    this.flush();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #write(): void {
    const text = formatState(this.#entries());
    try {
      writeFileAtomically(this.#path, text);
    } catch (error) {
      if (!hasCode(error, "ENOENT")) throw error;
      mkdirSync(dirname(this.#path), { recursive: true, mode: 0o755 });
      writeFileAtomically(this.#path, text);
    }
    if (this.#isSwept) return;
    removeUnfinished(this.#path);
    this.#isSwept = true;
  }
}

/** Removes what runs that were killed have left of writing a file, which nobody else writes now. */
function removeUnfinished(path: string): void {
  const start = `.#${basename(path)}`;
  for (const name of readdirSync(dirname(path))) {
    if (name.startsWith(start) && /^[0-9a-z]+$/.test(name.slice(start.length))) {
      removeFile(join(dirname(path), name));
    }
  }
}
