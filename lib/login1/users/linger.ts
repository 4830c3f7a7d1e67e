/**
 * Lingering: a user who is kept, with runtime directory and object, while not logged
 * in. A file of the user's name in /var/lib/systemd/linger says so, as logind has it.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "../../linux/index.ts";
import { escapeC, unescapeC } from "../vocabulary/c-escape.ts";

const FOLDER = "/var/lib/systemd/linger";

/** As logind names it: escaped as in C. */
const fileOf = (name: string) => join(FOLDER, escapeC(name));

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
    return readdirSync(FOLDER).sort().map(unescapeC);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
