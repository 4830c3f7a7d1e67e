/** Which device node a file is, without asking anybody for it. */
import { hasCode } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { AT_EMPTY_PATH, AT_FDCWD, S_IFCHR, statx } from "../files/statx.ts";

/** Which device node a file is. */
export interface NodeStatus {
  /** Its own number, as `major:minor`. */
  number: string;
  /** The device that its file system is on, as `major:minor`. */
  fileSystem: string;
}

function characterNode(
  folder: Fd,
  path: string,
  flags: number,
  what: string,
): NodeStatus | undefined {
  const { type, number, fileSystem } = statx(folder, path, flags, what);
  return type === S_IFCHR ? { number, fileSystem } : undefined;
}

/**
 * Which character device a descriptor is open on. It does not wait, whoever opened it: a file system
 * that will not say at once is that of no device.
 *
 * @returns undefined if it is open on something else
 * @throws {SystemError} EBADF
 */
export function deviceNodeOf(fd: Fd): NodeStatus | undefined {
  try {
    return characterNode(fd, "", AT_EMPTY_PATH, `descriptor ${fd}`);
  } catch (error) {
    if (!hasCode(error, "EBADF")) return undefined;
    throw error;
  }
}

/** Which character device a path names; undefined if it is another file or not there. Links are followed. */
export function deviceNodeAt(path: string): NodeStatus | undefined {
  try {
    return characterNode(AT_FDCWD, path, 0, path);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
