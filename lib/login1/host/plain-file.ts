/** Files of the bridge's own that may be damaged, or something else altogether. */
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
} from "node:fs";
import { hasCode, removeFile } from "../../linux/index.ts";

/** The longest that is read, in bytes: what the bridge writes is far shorter. */
const LONGEST = 2 ** 20;

/**
 * Reads a file that has to be a plain one. Nothing is waited for, as a fifo in its place would have it.
 *
 * @param kind state is ours alone: it is no link, and nobody else's file is believed
 * @throws {Error} Node's, with the path: ENOENT if there is none, ELOOP for a link; or one that says
 *   what is there in its place
 */
export function readPlainFile(path: string, kind: "state" | "configuration"): Buffer {
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = constants;
  const isState = kind === "state";
  const fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | (isState ? O_NOFOLLOW : 0));
  try {
    const status = fstatSync(fd);
    if (!status.isFile()) throw new Error(`${path} is no plain file`);
    if (isState && status.uid !== process.getuid?.()) {
      throw new Error(`${path} belongs to user ${status.uid}`);
    }
    if (status.size > LONGEST) throw new Error(`${path} is longer than ${LONGEST} bytes`);
    return readFileSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Removes a file, if it is there, or whatever is in its place; no link is followed. */
export function removeAny(path: string | Buffer): void {
  try {
    removeFile(path);
  } catch (error) {
    if (!hasCode(error, "EISDIR", "EPERM")) throw error;
    rmSync(path, { recursive: true, force: true });
  }
}

/**
 * What is in a folder under names that are no UTF-8: as text they are the names of something else, by
 * which nothing can be removed.
 *
 * @returns the paths as they are
 */
export function unspeakableIn(folder: string): Buffer[] {
  return readdirSync(folder, { encoding: "buffer" })
    .filter((name) => !Buffer.from(name.toString()).equals(name))
    .map((name) => Buffer.concat([Buffer.from(`${folder}/`), name]));
}
