/**
 * statx(2), which never waits: a file system that would have to ask a server (FUSE, a network's)
 * answers with what it knows already.
 */
import { check } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { cString, libc, Memory } from "../ffi/libc.ts";

export const AT_FDCWD = -100;
export const AT_SYMLINK_NOFOLLOW = 0x100;
/** With an empty path: the file that the descriptor itself is open on. */
export const AT_EMPTY_PATH = 0x1000;
const AT_STATX_DONT_SYNC = 0x4000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_ATTR_MOUNT_ROOT = 0x2000;
const S_IFMT = 0o170000;
export const S_IFCHR = 0o020000;
export const S_IFDIR = 0o040000;

/** What is known of a file. */
export interface FileStatus {
  /** Its type, S_IFCHR and so on. */
  type: number;
  /** The permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Of a device node: its own number, as `major:minor`. */
  number: string;
  /** The device that its file system is on, as `major:minor`. */
  fileSystem: string;
  /** Whether a mount begins there; undefined if the kernel does not tell (before 5.8). */
  isMountRoot: boolean | undefined;
}

const status = new Memory(256);

/**
 * Looks at a file.
 *
 * @param flags AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH
 * @param what names the file in an error
 * @throws {SystemError}
 */
export function statx(folder: Fd, path: string, flags: number, what: string): FileStatus {
  const { bytes, view } = status;
  const all = flags | AT_STATX_DONT_SYNC;
  check(libc.statx(folder, cString(path), all, STATX_BASIC_STATS, bytes), "statx", what);
  const bits = view.getUint16(28, true);
  const pair = (at: number) => `${view.getUint32(at, true)}:${view.getUint32(at + 4, true)}`;
  // The low half of a 64-bit mask: which attributes there are, and which the kernel tells.
  const attribute = (at: number) => (view.getUint32(at, true) & STATX_ATTR_MOUNT_ROOT) !== 0;
  return {
    type: bits & S_IFMT,
    mode: bits & 0o7777,
    uid: view.getUint32(20, true),
    gid: view.getUint32(24, true),
    number: pair(128),
    fileSystem: pair(136),
    isMountRoot: attribute(56) ? attribute(8) : undefined,
  };
}
