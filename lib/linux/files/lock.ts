/** Locks on files that go with the process that holds them; see F_OFD_SETLK in fcntl(2). */
import { check, hasCode } from "../ffi/errors.ts";
import { close, type Fd, O_NOFOLLOW, O_RDWR, open } from "../ffi/fd.ts";
import { libc, Memory } from "../ffi/libc.ts";

const O_CREAT = 0o100;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
/** struct flock: type, whence, start, length (0: to the end), pid (0 for this kind of lock) */
const FLOCK_SIZE = 32;

/**
 * Takes an exclusive lock on a file, which is made (0600, empty) if it is missing, without
 * waiting. The kernel drops it when the descriptor closes, so also with a process that is
 * killed; a child does not keep it, since the descriptor is close-on-exec. The file stays: to
 * remove it would let two processes lock two files of one name.
 *
 * @returns the descriptor, which holds the lock until it is closed; undefined if another
 *   process holds it
 * @throws {SystemError} ELOOP if the path is a symbolic link
 */
export function lockFile(path: string): Fd | undefined {
  const fd = open(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  const lock = new Memory(FLOCK_SIZE);
  lock.view.setInt16(0, F_WRLCK, true);
  try {
    check(libc.fcntl(fd, F_OFD_SETLK, lock.address), "fcntl F_OFD_SETLK", path);
    return fd;
  } catch (error) {
    close(fd);
    if (hasCode(error, "EAGAIN", "EACCES")) return undefined;
    throw error;
  }
}
