/**
 * The form of the files under /run/systemd that libsystemd's sd-login reads: KEY=VALUE
 * lines as in environment files, which is what its parser takes.
 */

const HEADER = "# This is private data. Do not parse.\n";

/** What a file says, by its keys. Those whose value is undefined or "" are left out; true is 1, false 0. */
export type Values = Record<string, string | number | bigint | boolean | undefined>;

/** Something that a shell would not take as one plain word. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NEEDS_QUOTES = /[\s\x00-\x1f\x7f"\\`$'*?[\]<>()|;&!#~{}]/;

/** Formats one value: quoted where it needs to be, with a backslash before " \ ` and $. */
function quote(value: string): string {
  if (!NEEDS_QUOTES.test(value)) return value;
  return `"${value.replace(/["\\`$]/g, "\\$&")}"`;
}

/** The text of a state file. */
export function formatState(values: Values): string {
  let text = HEADER;
  // Not by Object.entries, which makes an array for each, at every login.
  for (const key in values) {
    const value = values[key];
    if (value === undefined || value === "") continue;
    const plain = typeof value === "boolean" ? (value ? "1" : "0") : String(value);
    text += `${key}=${quote(plain)}\n`;
  }
  return text;
}

/**
 * What `formatState` wrote, as strings. Lines that are no assignment are passed over. Of a key that is
 * there twice the first counts: we write each once, so the second is damage.
 */
export function parseState(text: string): Map<string, string> {
  const values = new Map<string, string>();
  // A quoted value may hold newlines, so the whole text is scanned, not line by line.
  const assignment = /^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\[\s\S])*)"|(.*))$/gm;
  for (const [, key, quoted, plain] of text.matchAll(assignment)) {
    if (key === undefined || values.has(key)) continue;
    values.set(key, quoted === undefined ? (plain ?? "") : quoted.replace(/\\([\s\S])/g, "$1"));
  }
  return values;
}
