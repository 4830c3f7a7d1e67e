/** The values of one state file, each read as what it has to be. */

import { now, type Timestamp } from "../../linux/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";

export class SavedValues {
  readonly #wrong = new Set<string>();

  /** @param onWrong told of each value that is not what its key asks for, once */
  constructor(
    readonly values: ReadonlyMap<string, string>,
    private readonly onWrong: (reason: string) => void,
  ) {}

  /** A text that is as it has to be; "" if it is not, or not there. */
  text(key: string, isRight: (text: string) => boolean): string {
    const text = this.values.get(key) ?? "";
    if (text === "" || isRight(text)) return text;
    this.#refuse(key);
    return "";
  }

  /** Words with spaces between, those left out that are not as they have to be. */
  words(key: string, isRight: (word: string) => boolean): string[] {
    const words = (this.values.get(key) ?? "").split(" ").filter(Boolean);
    const right = words.filter(isRight);
    if (right.length < words.length) this.#refuse(key);
    return right;
  }

  /** 1 or 0; false if it is neither, or not there. */
  flag(key: string): boolean {
    return this.text(key, (text) => text === "0" || text === "1") === "1";
  }

  /** A number in decimal digits within bounds; undefined if it is none, or not there. */
  integer(key: string, least: number, most: number): number | undefined {
    const number = this.unsigned(key);
    if (number === undefined) return undefined;
    if (number >= least && number <= most) return Number(number);
    this.#refuse(key);
    return undefined;
  }

  /** The same of 64 bits. */
  unsigned(key: string): bigint | undefined {
    const isNumber = (text: string) => /^\d{1,20}$/.test(text) && BigInt(text) <= UINT64_MAX;
    const text = this.text(key, isNumber);
    return text === "" ? undefined : BigInt(text);
  }

  /** A moment of the monotonic clock, in microseconds; what is still to come is taken to be now. */
  monotonic(key: string): bigint | undefined {
    const moment = this.unsigned(key);
    if (moment === undefined) return undefined;
    const { monotonic } = now();
    // Math.min knows no bigint.
    if (moment > monotonic) return monotonic;
    return moment;
  }

  /** REALTIME and MONOTONIC: since when there is what the file is of; zeros where that is not known. */
  since(): Timestamp {
    return {
      realtime: this.unsigned("REALTIME") ?? 0n,
      monotonic: this.monotonic("MONOTONIC") ?? 0n,
    };
  }

  #refuse(key: string): void {
    if (this.#wrong.has(key)) return;
    this.#wrong.add(key);
    this.onWrong(`${key} is not as it has to be`);
  }
}
