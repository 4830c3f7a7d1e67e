/**
 * The files under /run/systemd that libsystemd's sd-login reads: KEY=VALUE
 * lines as in environment files, which is what its parser takes.
 */
import { existsSync, readFileSync } from "node:fs";
import { hasCode, removeFile, writeFileAtomically } from "../../linux/index.ts";

const HEADER = "# This is private data. Do not parse.\n";

type Value = string | number | bigint | boolean | undefined;

/** Something that a shell would not take as one plain word. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const NEEDS_QUOTES = /[\s\x00-\x1f\x7f"\\`$'*?[\]<>()|;&!#~{}]/;

/** Formats one value: quoted where it needs to be, with a backslash before " \ ` and $. */
function quote(value: string): string {
  if (!NEEDS_QUOTES.test(value)) return value;
  return `"${value.replace(/["\\`$]/g, "\\$&")}"`;
}

/** The text of a state file. Keys whose value is undefined or "" are left out; true is 1, false 0. */
export function formatState(values: Record<string, Value>): string {
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

/** What `formatState` wrote, as strings. Lines that are no assignment are passed over. */
export function parseState(text: string): Map<string, string> {
  const values = new Map<string, string>();
  // A quoted value may hold newlines, so the whole text is scanned, not line by line.
  const assignment = /^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\[\s\S])*)"|(.*))$/gm;
  for (const [, key, quoted, plain] of text.matchAll(assignment)) {
    if (key === undefined) continue;
    values.set(key, quoted === undefined ? (plain ?? "") : quoted.replace(/\\([\s\S])/g, "$1"));
  }
  return values;
}

/** The text that each file got from us last, or had when we read it, by its path. */
const written = new Map<string, string>();

/**
 * Writes a state file whole, world-readable, by rename. One that says the same
 * already is left alone: of twenty sessions of a user a new one changes few, and
 * who watches the folder is not woken for the rest.
 */
export function saveState(path: string, values: Record<string, Value>): void {
  const text = formatState(values);
  if (written.get(path) === text && existsSync(path)) return;
  writeFileAtomically(path, text, 0o644);
  written.set(path, text);
}

/** Removes a state file, if it is there. */
export function removeState(path: string): void {
  written.delete(path);
  removeFile(path);
}

/** Reads a state file; undefined if there is none. */
export function loadState(path: string): Map<string, string> | undefined {
  try {
    const text = readFileSync(path, "utf8");
    written.set(path, text);
    return parseState(text);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
