/** Free texts that callers give: they are kept, written into files and shown to others. */
import { busErrors } from "../../dbus/index.ts";

/** The longest of each, in bytes of UTF-8. logind has no limit; a user could fill /run and our memory. */
export const LONGEST_TEXT = {
  /** A display, a desktop's name, a service, a remote user or host. */
  name: 255,
  /** The program that inhibits. */
  who: 255,
  /** Its reason, for people. */
  why: 1024,
} as const;

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const CONTROL = /[\x00-\x1f\x7f]/;

/**
 * Checks a text.
 *
 * @param what it is, as the error says it
 * @throws {BusError} InvalidArgs if it is too long or has a control character in it
 */
export function checkText(
  what: string,
  text: string,
  kind: keyof typeof LONGEST_TEXT = "name",
): void {
  checkLength(what, text, kind);
  if (CONTROL.test(text)) {
    throw busErrors.invalidArgs(`The ${what} has a control character in it`);
  }
}

/** Checks the length alone: inhibitors' texts may have line breaks, as with logind. */
export function checkLength(what: string, text: string, kind: keyof typeof LONGEST_TEXT): void {
  const most = LONGEST_TEXT[kind];
  if (Buffer.byteLength(text) <= most) return;
  throw busErrors.invalidArgs(`The ${what} is longer than ${most} bytes: shorten it`);
}

/**
 * Checks a desktop's name: a text without quotes and backslashes, as with logind.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkDesktopName(text: string): void {
  checkText("desktop", text);
  if (/["'\\]/.test(text)) {
    throw busErrors.invalidArgs(`The desktop '${text}' has a quote or backslash in it`);
  }
}

/** Whether a text is one that `checkText` lets pass. */
export function isText(text: string): boolean {
  return Buffer.byteLength(text) <= LONGEST_TEXT.name && !CONTROL.test(text);
}

/** Whether a text is a tty's name below /dev, with no way out of it. */
export function isTtyName(text: string): boolean {
  return isText(text) && /^[A-Za-z0-9]+(?:\/[A-Za-z0-9]+)*$/.test(text);
}

/** Whether a text can be a tag of udev's. */
export function isUdevTag(text: string): boolean {
  return /^[A-Za-z0-9_-]{1,200}$/.test(text);
}
