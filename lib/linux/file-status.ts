/** What statx(2) says of a file without asking anybody for it. */
import { check, hasCode } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { cString, libc, Memory } from "./libc.ts";

const AT_FDCWD = -100;
const AT_EMPTY_PATH = 0x1000;
/** What is known already will do: FUSE and network file systems would have to ask a server, and wait for it. */
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_TYPE = 1;
const S_IFMT = 0o170000;
const S_IFCHR = 0o020000;

/** Which device node a file is. */
export interface NodeStatus {
  /** Its own number, as `major:minor`. */
  number: string;
  /** The device that its file system is on, as `major:minor`. */
  fileSystem: string;
}

const status = new Memory(256);

function characterNode(
  folder: Fd,
  path: string,
  flags: number,
  what: string,
): NodeStatus | undefined {
  const { bytes, view } = status;
  const all = flags | AT_STATX_DONT_SYNC;
  check(libc.statx(folder, cString(path), all, STATX_TYPE, bytes), "statx", what);
  if ((view.getUint16(28, true) & S_IFMT) !== S_IFCHR) return undefined;
  const pair = (at: number) => `${view.getUint32(at, true)}:${view.getUint32(at + 4, true)}`;
  return { number: pair(128), fileSystem: pair(136) };
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
