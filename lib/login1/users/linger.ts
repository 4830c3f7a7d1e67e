/**
 * Lingering: a user who is kept, with runtime directory and object, while not logged
 * in. A file of the user's name in /var/lib/systemd/linger says so, as logind has it.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "../../linux/index.ts";

const FOLDER = "/var/lib/systemd/linger";

const ESCAPES: Record<number, string> = {
  7: "\\a",
  8: "\\b",
  9: "\\t",
  10: "\\n",
  11: "\\v",
  12: "\\f",
  13: "\\r",
  34: '\\"',
  39: "\\'",
  92: "\\\\",
};

/** A user's name as logind names the file: escaped as in C, what is not ASCII in octal. */
export function escapeName(name: string): string {
  return [...Buffer.from(name, "utf8")]
    .map((byte) => {
      const known = ESCAPES[byte];
      if (known !== undefined) return known;
      if (byte >= 32 && byte < 127) return String.fromCharCode(byte);
      return `\\${byte.toString(8).padStart(3, "0")}`;
    })
    .join("");
}

/** The name that `escapeName` made the text of. */
export function unescapeName(text: string): string {
  const bytes: number[] = [];
  for (const [part, octal, letter] of text.matchAll(/\\([0-7]{3})|\\(.)|[^\\]+/g)) {
    if (octal !== undefined) bytes.push(Number.parseInt(octal, 8));
    else if (letter !== undefined) {
      const code = Object.entries(ESCAPES).find(([, escaped]) => escaped === part)?.[0];
      bytes.push(code === undefined ? letter.charCodeAt(0) : Number(code));
    } else bytes.push(...Buffer.from(part, "utf8"));
  }
  return Buffer.from(bytes).toString("utf8");
}

const fileOf = (name: string) => join(FOLDER, escapeName(name));

/** Whether the user of this name lingers. */
export function lingers(name: string): boolean {
  return existsSync(fileOf(name));
}

/**
 * Says for good, across reboots, whether the user of this name lingers.
 *
 * @throws {Error} Node's, with the path
 */
export function setLingers(name: string, enable: boolean): void {
  if (!enable) {
    rmSync(fileOf(name), { force: true });
    return;
  }
  mkdirSync(FOLDER, { recursive: true, mode: 0o755 });
  writeFileSync(fileOf(name), "", { flag: "a", mode: 0o644 });
}

/** The names of all who linger. */
export function lingeringNames(): string[] {
  try {
    return readdirSync(FOLDER).sort().map(unescapeName);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
