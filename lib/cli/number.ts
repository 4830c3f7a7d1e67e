/** Numbers on a command line and in configuration files, as systemd's commands read them. */

/** strtol(3)'s bases, and Python's, before which systemd takes no sign but behind which it does. */
const C = /^[ \t\n\r]*([+-]?)(0x[\da-f]+|0[0-7]*|[1-9]\d*)$/i;
const PYTHON = /^[ \t\n\r]*0([bo])[ \t\n\r]*([+-]?)(\d+)$/i;

/**
 * Reads a whole number of any size. 0x, 0b and 0o say the base, and so does a leading 0, for octal; a
 * sign and spaces may be in front.
 *
 * @returns undefined if it is none
 */
export function parseBigInteger(text: string): bigint | undefined {
  const [, base = "", inner, after = ""] = PYTHON.exec(text) ?? [];
  const [, outer, before = ""] = C.exec(text) ?? [];
  const digits = base === "" ? before.replace(/^0(?=[0-7])/, "0o") : `0${base}${after}`;
  if (digits === "" || !/^0b[01]+$|^0o[0-7]+$|^0x|^\d+$/i.test(digits)) return undefined;
  const number = BigInt(digits);
  return (inner ?? outer) === "-" ? -number : number;
}

/** The same as a number, which is exact up to 2^53. */
export function parseInteger(text: string): number | undefined {
  const number = parseBigInteger(text);
  return number === undefined ? undefined : Number(number);
}
