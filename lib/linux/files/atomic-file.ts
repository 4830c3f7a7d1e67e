/** Files that are whole or not there at all. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  openSync,
  renameSync,
  rmSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { hasCode } from "../ffi/errors.ts";

/**
 * Writes a file under a temporary dot name beside it, then renames it into
 * place: a reader sees the old one or the new one, and an inotify watcher one
 * IN_MOVED_TO. sd_login_monitor(3) relies on just that.
 *
 * @param mode the file's permission bits, whatever the umask
 * @throws {Error} Node's, with the path; nothing is left behind
 */
export function writeFileAtomically(
  path: string,
  text: string,
  mode = 0o644,
  owner?: { uid: number; gid: number },
): void {
  const name = path.lastIndexOf("/") + 1;
  const temporary = `${path.slice(0, name)}.#${path.slice(name)}${process.pid.toString(36)}`;
  try {
    const fd = openNew(temporary, mode);
    try {
      writeSync(fd, text);
      umask ??= process.umask();
      if ((mode & umask) !== 0) fchmodSync(fd, mode);
      if (owner) fchownSync(fd, owner.uid, owner.gid);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}

/** What the kernel takes off the mode of a new file: as it was at the start, since nobody here changes it. */
let umask: number | undefined;

/** Opens a file that is not there; one that is was left by a run that was killed, and goes. */
function openNew(path: string, mode: number): number {
  try {
    return openSync(path, "wx", mode);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    rmSync(path, { force: true });
    return openSync(path, "wx", mode);
  }
}

/** Removes a file, if it is there; in one call, where rm looks at it first. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}

/** A dev_t of the kernel as `major:minor`; see makedev(3). */
export function majorMinor(device: number): string {
  const bits = BigInt(device);
  const major = ((bits >> 8n) & 0xfffn) | ((bits >> 32n) & ~0xfffn);
  const minor = (bits & 0xffn) | ((bits >> 12n) & ~0xffn & 0xffffff00n);
  return `${major}:${minor}`;
}
