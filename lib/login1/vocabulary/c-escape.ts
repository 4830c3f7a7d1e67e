/** Text with C's backslash escapes, as logind's state files have free text in. */

const NAMED: Readonly<Record<number, string>> = {
  7: "a",
  8: "b",
  9: "t",
  10: "n",
  11: "v",
  12: "f",
  13: "r",
  34: '"',
  39: "'",
  92: "\\",
};
const CODES = new Map(Object.entries(NAMED).map(([code, letter]) => [letter, Number(code)]));

/** Escapes quotes, backslashes, control characters and all bytes of UTF-8 that are not ASCII. */
export function escapeC(text: string): string {
  let escaped = "";
  for (const byte of Buffer.from(text, "utf8")) {
    const letter = NAMED[byte];
    if (letter !== undefined) escaped += `\\${letter}`;
    else if (byte < 32 || byte >= 127) escaped += `\\${byte.toString(8).padStart(3, "0")}`;
    else escaped += String.fromCharCode(byte);
  }
  return escaped;
}

/** What `escapeC` escaped; an escape that it does not write stays as it is. */
export function unescapeC(text: string): string {
  const bytes: number[] = [];
  const pattern = /\\([0-3][0-7]{2})|\\([abtnvfr"'\\])|([\s\S])/gu;
  for (const [, octal, letter, plain] of text.matchAll(pattern)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (letter !== undefined) bytes.push(CODES.get(letter) ?? 0);
    else bytes.push(...Buffer.from(plain ?? "", "utf8"));
  }
  return Buffer.from(bytes).toString("utf8");
}
