/** A failed system call as an exception that names the call, what it was on, and why. */
import { constants } from "node:os";
import { lastErrno, libc, stringAt } from "./libc.ts";

// EWOULDBLOCK and EDEADLOCK are second names of errors that have one already.
const names = new Map<number, string>(
  Object.entries(constants.errno)
    .filter(([name]) => name !== "EWOULDBLOCK" && name !== "EDEADLOCK")
    .map(([name, value]) => [value, name]),
);

/** The errno values by name. */
export const errno = constants.errno;

const meanings: Record<string, string> = {
  EACCES: "permission denied",
  EADDRINUSE: "address already in use",
  EAGAIN: "would block",
  EBADF: "bad file descriptor",
  EBUSY: "device or resource busy",
  ECONNREFUSED: "nobody listens there",
  EEXIST: "it exists already",
  EINVAL: "invalid argument",
  ELOOP: "too many symbolic links",
  EMFILE: "too many open files",
  ENAMETOOLONG: "name too long",
  ENODEV: "no such device",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on the device",
  ENOSYS: "the kernel does not have this call",
  ENOTDIR: "not a directory",
  ENOTTY: "not a device of that kind",
  ENXIO: "no such device or address",
  EPERM: "operation not permitted",
  EPIPE: "the other end is closed",
  EROFS: "read-only file system",
  ESRCH: "no such process",
};

/** One failed system call. `code` is the errno's name, as in Node's own errors. */
export class SystemError extends Error {
  readonly code: string;

  constructor(
    readonly syscall: string,
    readonly errno: number,
    /** What the call was on: a path, `pid 12`, `descriptor 7`. */
    readonly subject: string,
  ) {
    const code = names.get(errno) ?? `errno ${errno}`;
    const meaning = meanings[code];
    super(`${syscall} ${subject}: ${meaning ? `${meaning} (${code})` : code}`);
    this.name = "SystemError";
    this.code = code;
  }
}

/** What libc calls an errno, `No such file or directory`: for messages that have to be the same as others'. */
export const describeErrno = (number: number): string => stringAt(Number(libc.strerror(number)));

/** True if the call that just failed would have had to wait, or was interrupted: no error, try later. */
export function mustWait(): boolean {
  const number = lastErrno();
  return number === errno.EAGAIN || number === errno.EINTR;
}

/** True if `error` is a failed system call (ours or Node's) with one of these errno names. */
export function hasCode(error: unknown, ...codes: string[]): boolean {
  return error instanceof Error && codes.includes((error as NodeJS.ErrnoException).code ?? "");
}

/** What went wrong, in words, whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * Passes a call's result through, or throws what went wrong if it is negative.
 *
 * @throws {SystemError} with the errno of the call just made
 */
export function check(result: number | bigint, syscall: string, subject: string): number {
  if (result < 0) throw new SystemError(syscall, lastErrno(), subject);
  return Number(result);
}
