/** Files that are whole or not there at all. */
import {
  closeSync,
  fchmodSync,
  fchownSync,
  openSync,
  renameSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { errno, hasCode, SystemError } from "../ffi/errors.ts";

/**
 * Writes a file under a temporary dot name beside it, then renames it into
 * place: a reader sees the old one or the new one, and an inotify watcher one
 * IN_MOVED_TO. sd_login_monitor(3) relies on just that.
 *
 * @param mode the file's permission bits, whatever the umask
 * @throws {Error} with the path, ENOSPC if not all of it can be written. The file is as it was before
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
      writeAll(fd, Buffer.from(text, "utf8"), temporary);
      umask ??= process.umask();
      if ((mode & umask) !== 0) fchmodSync(fd, mode);
      if (owner) fchownSync(fd, owner.uid, owner.gid);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    removeAfterFailure(temporary);
    throw error;
  }
}

/**
 * write(2) until all is written: where a file system is nearly full, one call takes a part without an
 * error.
 */
function writeAll(fd: number, bytes: Uint8Array, path: string): void {
  for (let at = 0; at < bytes.length; ) {
    const written = writeSync(fd, bytes, at);
    if (written === 0) throw new SystemError("write", errno.ENOSPC, path);
    at += written;
  }
}

/** Whatever keeps it from being removed, or from being there at all, is not what the caller is to know. */
function removeAfterFailure(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // The next write of that file removes it: see openNew.
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
    removeFile(path);
    return openSync(path, "wx", mode);
  }
}

/** Removes a file, if it is there; in one call, where rm looks at it first. */
export function removeFile(path: string | Buffer): void {
  try {
    unlinkSync(path);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
}
