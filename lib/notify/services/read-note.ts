/**
 * What OpenRC, services and administrators have noted in small files. A pid file may be in a directory
 * of the service's own user, who can put anything in its place: nothing but a plain file is read, and
 * nothing else is waited for.
 */
import { closeSync, constants, fstatSync, openSync, readdirSync, readSync } from "node:fs";
import { hasCode } from "../../linux/index.ts";

/** The longest note, in bytes; of a longer one the rest is left out. */
const LONGEST = 4096;

/** What is in the way of reading one that is not as it should be. */
const UNREADABLE = [
  ...["ENOENT", "ENOTDIR", "EISDIR", "ELOOP", "ENAMETOOLONG", "EACCES", "EPERM"],
  ...["ENXIO", "ENODEV", "EINVAL", "EIO", "ESTALE"],
];

/**
 * The text of a plain file.
 *
 * @param most how many bytes of it are read
 * @returns undefined if something else is there
 * @throws {Error} Node's, with the path
 */
export function readPlainFile(path: string, most: number): string | undefined {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK | constants.O_NOCTTY);
  try {
    if (!fstatSync(fd).isFile()) return undefined;
    const bytes = Buffer.alloc(most);
    let length = 0;
    for (let count = -1; count !== 0 && length < most; length += count) {
      count = readSync(fd, bytes, length, most - length, null);
    }
    return bytes.toString("utf8", 0, length);
  } finally {
    closeSync(fd);
  }
}

/** The text of a note; "" if there is none. */
export function readNote(path: string): string {
  try {
    return readPlainFile(path, LONGEST) ?? "";
  } catch (error) {
    if (hasCode(error, ...UNREADABLE)) return "";
    throw error;
  }
}

/** The names in a directory of notes; none if it is not there. */
export function readNoteNames(path: string): string[] {
  try {
    return readdirSync(path);
  } catch (error) {
    if (hasCode(error, ...UNREADABLE)) return [];
    throw error;
  }
}
