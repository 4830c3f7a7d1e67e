/** systemd's configuration files: where they are, and their lines; see systemd.syntax(7). */
import { readdirSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { hasCode, messageOf } from "../../linux/index.ts";
import { readPlainFile } from "../host/plain-file.ts";

/** One `Key=value`, and where it stands. */
export interface Assignment {
  section: string;
  key: string;
  value: string;
  /** `/etc/lainos/logind.conf:12` */
  where: string;
}

/** What systemd calls white space, and strips. */
const WHITE = " \t\n\r";

/** No regular expression: one that looks for spaces at the end begins anew at each that is elsewhere. */
function strip(text: string): string {
  const isWhite = (at: number) => WHITE.includes(text.charAt(at));
  let [start, end] = [0, text.length];
  while (start < end && isWhite(start)) start++;
  while (end > start && isWhite(end - 1)) end--;
  return text.slice(start, end);
}

/** A line goes on in the next where its last character is a backslash that no other backslash is before. */
const goesOn = (line: string) => /^(?:[^\\]|\\.)*\\$/su.test(line);

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** A line as text, which is told apart from bytes that are none. */
function decode(line: string): string | undefined {
  try {
    return decoder.decode(Buffer.from(line, "latin1"));
  } catch (error) {
    if (error instanceof TypeError) return undefined;
    throw error;
  }
}

/**
 * Splits a file into its assignments. Comments begin with # or ; and a line that
 * ends with a backslash goes on in the next.
 *
 * @param onBad told of each line that is none of these
 */
export function parseConfig(
  bytes: Buffer,
  path: string,
  onBad: (where: string, what: string) => void,
): Assignment[] {
  const assignments: Assignment[] = [];
  let section = "";
  let begun: { text: string; line: number } | undefined;
  // Byte by byte: each line is decoded by itself, so that one that is no text spoils no other.
  const lines = bytes
    .toString("latin1")
    .replace(/^\xef\xbb\xbf/, "")
    .split(/\r\n|\n\r|[\n\r\0]/);
  for (const [index, raw] of lines.entries()) {
    // Inside of a line that goes on too, as systemd has it.
    if (/^[ \t]*[#;]/.test(raw)) continue;
    // What is before it ends with a space, so that only the line itself is to be looked at: a file of
    // nothing but lines that go on is one line, and is not to be looked at as often as it has lines.
    const more = goesOn(raw);
    const whole = `${begun?.text ?? ""}${more ? `${raw.slice(0, -1)} ` : raw}`;
    const start: number = begun?.line ?? index + 1;
    begun = more && index < lines.length - 1 ? { text: whole, line: start } : undefined;
    if (begun) continue;
    const where = `${path}:${start}`;
    const text = decode(whole);
    if (text === undefined) {
      onBad(where, "it is not UTF-8");
      continue;
    }
    const line = strip(text);
    if (line === "") continue;
    const header = /^\[(.*)\]$/.exec(line);
    const equals = line.indexOf("=");
    if (header) section = header[1] ?? "";
    else if (equals < 1) onBad(where, `there is no Key= in '${line}'`);
    else if (section === "") onBad(where, "it stands before the first [section]");
    else {
      const key = strip(line.slice(0, equals));
      assignments.push({ section, key, value: strip(line.slice(equals + 1)), where });
    }
  }
  return assignments;
}

/**
 * The files of one configuration in the order in which they are read: the main one
 * of the first folder that has it, then the drop-ins of all folders by name, where
 * the same name in an earlier folder hides that in a later one, and a link to
 * /dev/null hides it altogether.
 *
 * @param folders `/etc/lainos` and so on, the strongest first
 * @param onBad told of each folder and file that cannot be looked at
 */
export function configFiles(
  folders: string[],
  name: string,
  onBad: (where: string, what: string) => void,
): string[] {
  const list = (folder: string) => attempt(() => readdirSync(folder), [], folder, onBad);
  const isMasked = (path: string) =>
    attempt(() => readlinkSync(path) === "/dev/null", false, path, onBad);
  const main = folders
    .map((folder) => join(folder, name))
    .find((path) => list(join(path, "..")).includes(name));
  const dropIns = new Map<string, string>();
  for (const folder of folders) {
    const below = join(folder, `${name}.d`);
    for (const entry of list(below)) {
      if (entry.endsWith(".conf") && !dropIns.has(entry)) dropIns.set(entry, join(below, entry));
    }
  }
  const sorted = [...dropIns].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, path]) => path);
  return [...(main ? [main] : []), ...sorted].filter((path) => !isMasked(path));
}

/** What `look` returns; `none` where there is nothing, and where it cannot be looked at. */
function attempt<Found>(
  look: () => Found,
  none: Found,
  path: string,
  onBad: (where: string, what: string) => void,
): Found {
  try {
    return look();
  } catch (error) {
    // A file that is no link is EINVAL.
    if (!hasCode(error, "ENOENT", "ENOTDIR", "EINVAL")) onBad(path, messageOf(error));
    return none;
  }
}

/** Reads a file's assignments; one that cannot be read is told to `onBad` and is as if empty. */
export function loadConfig(
  path: string,
  onBad: (where: string, what: string) => void,
): Assignment[] {
  try {
    return parseConfig(readPlainFile(path, "configuration"), path, onBad);
  } catch (error) {
    onBad(path, messageOf(error));
    return [];
  }
}
