/** Numbers on a command line, as the commands that stand in for systemd's read them. */

/**
 * Reads a whole number. 0x, 0b and 0o say the base, and so does a leading 0, for octal; a sign and
 * spaces may be in front.
 *
 * @returns undefined if it is none
 */
export function parseInteger(text: string): number | undefined {
  const [, sign, digits] = /^\s*([+-]?)(0x[\da-f]+|0b[01]+|0o?[0-7]*|[1-9]\d*)$/i.exec(text) ?? [];
  if (digits === undefined) return undefined;
  const number = Number(digits.replace(/^0(?=[0-7])/, "0o"));
  return Number.isNaN(number) ? undefined : sign === "-" ? -number : number;
}
