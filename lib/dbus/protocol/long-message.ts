/**
 * A message that is too long to be kept: it is passed over as it comes, and of its header only what an
 * answer needs is read. See "Message Format" in the D-Bus specification.
 */
import { FIXED_HEADER, Field, LITTLE_ENDIAN } from "./message.ts";

/** The longest text of a header that is of use: a unique name. */
const LONGEST_TEXT = 255;

/** What is known of the message when all of it has passed. */
export interface Passed {
  type: number;
  flags: number;
  serial: number;
  length: number;
  /** "" if the header does not say. */
  sender: string;
  /** How many file descriptors belong to it. */
  descriptors: number;
}

/** Where in a header field the reader is. */
type Step =
  | { in: "code" }
  | { in: "signatureLength" }
  | { in: "signature"; left: number }
  /** Of a value that is a signature itself: its length has one byte. */
  | { in: "shortLength" }
  | { in: "number"; bytes: number[] }
  | { in: "text"; left: number; kept: number[] }
  /** Behind the fields, or a field of a type that no field has. */
  | { in: "rest" };

export class LongMessage {
  readonly passed: Passed;
  readonly #little: boolean;
  /** How many bytes of the message have passed, and where its fields end. */
  #at = FIXED_HEADER;
  readonly #fieldsEnd: number;
  #step: Step = { in: "code" };
  #code = 0;
  #type = "";

  /**
   * @param view of the fixed header
   * @param start where that is
   * @param length of the whole message
   */
  constructor(view: DataView, start: number, length: number) {
    this.#little = view.getUint8(start) === LITTLE_ENDIAN;
    this.#fieldsEnd = FIXED_HEADER + view.getUint32(start + 12, this.#little);
    this.passed = {
      type: view.getUint8(start + 1),
      flags: view.getUint8(start + 2),
      serial: view.getUint32(start + 8, this.#little),
      length,
      sender: "",
      descriptors: 0,
    };
  }

  /** Whether all of it has passed. */
  get isOver(): boolean {
    return this.#at >= this.passed.length;
  }

  /**
   * Passes over what has come, from behind the fixed header on.
   *
   * @returns how many of the bytes were the message's
   */
  pass(bytes: Uint8Array): number {
    const own = Math.min(bytes.length, this.passed.length - this.#at);
    let index = 0;
    while (index < own && this.#at < this.#fieldsEnd && this.#step.in !== "rest") {
      const run = this.#textRun(own - index);
      if (run > 0) {
        index += run;
        this.#at += run;
        continue;
      }
      this.#takeByte(bytes[index++] as number);
      this.#at++;
    }
    this.#at += own - index;
    return own;
  }

  /** How many of the next bytes are of a text that is not kept: they are passed over at once. */
  #textRun(most: number): number {
    if (this.#step.in !== "text" || this.#isKept) return 0;
    const run = Math.min(most, this.#step.left - 1);
    if (run > 0) this.#step.left -= run;
    return Math.max(run, 0);
  }

  get #isKept(): boolean {
    return this.#code === Field.SENDER;
  }

  #takeByte(byte: number): void {
    const step = this.#step;
    switch (step.in) {
      case "code":
        // Each field is a struct, which begins at a multiple of eight.
        if (this.#at % 8 !== 0) return;
        this.#code = byte;
        this.#step = { in: "signatureLength" };
        return;
      case "signatureLength":
        this.#type = "";
        this.#step = { in: "signature", left: byte + 1 };
        return;
      case "signature":
        if (--step.left > 0) this.#type += String.fromCharCode(byte);
        else this.#step = this.#valueOf(this.#type);
        return;
      case "shortLength":
        this.#step = { in: "text", left: byte + 1, kept: [] };
        return;
      case "number":
        // Numbers, and the lengths of texts, begin at a multiple of four.
        if (step.bytes.length === 0 && this.#at % 4 !== 0) return;
        step.bytes.push(byte);
        if (step.bytes.length === 4) this.#takeNumber(step.bytes);
        return;
      case "text":
        if (this.#isKept && step.left > 1) step.kept.push(byte);
        if (--step.left > 0) return;
        if (this.#isKept) this.passed.sender = String.fromCharCode(...step.kept);
        this.#step = { in: "code" };
        return;
      case "rest":
        return;
    }
  }

  #valueOf(type: string): Step {
    if (type === "s" || type === "o" || type === "u") return { in: "number", bytes: [] };
    return { in: type === "g" ? "shortLength" : "rest" };
  }

  #takeNumber(bytes: number[]): void {
    const number = new DataView(Uint8Array.from(bytes).buffer).getUint32(0, this.#little);
    if (this.#type === "u") {
      if (this.#code === Field.UNIX_FDS) this.passed.descriptors = number;
      this.#step = { in: "code" };
    } else if (this.#isKept && number > LONGEST_TEXT) {
      this.#step = { in: "rest" };
    } else {
      // With the NUL behind it.
      this.#step = { in: "text", left: number + 1, kept: [] };
    }
  }
}
