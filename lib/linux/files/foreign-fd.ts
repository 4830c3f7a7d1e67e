/** What can be learned of a file descriptor that a stranger sent, without waiting for its file system. */
import { readlinkSync } from "node:fs";
import { check } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { libc } from "../ffi/libc.ts";
import { AT_EMPTY_PATH, S_IFCHR, statx } from "./statx.ts";

/** What answers poll(2) by itself: a FUSE file asks its server, and an epoll instance may hold one. */
const POLLS_AT_ONCE =
  /^(?:socket|pipe|pidfd):|^anon_inode:\[?(?:eventfd|timerfd|signalfd|pidfd|inotify)\b/;

/**
 * Whether it can be polled without waiting for anybody, by the name that the kernel gives its kind in
 * /proc/PID/fd (proc(5)), which asks no file system.
 */
export function isSafeToPoll(fd: Fd): boolean {
  return POLLS_AT_ONCE.test(readlinkSync(`/proc/self/fd/${fd}`));
}

const F_GETFL = 3;
const O_PATH = 0o10000000;

/**
 * The character device that it is an open file of, as `MAJOR:MINOR`. A FUSE file is none: what its
 * server says of it is not asked for (AT_STATX_DONT_SYNC in statx(2)), and what it once said cannot
 * have made open(2) give a device out.
 *
 * @returns undefined if it is anything else
 * @throws {SystemError}
 */
export function characterDeviceOf(fd: Fd): string | undefined {
  const subject = `descriptor ${fd}`;
  if (check(libc.fcntl(fd, F_GETFL, 0), "fcntl F_GETFL", subject) & O_PATH) return undefined;
  const { type, number } = statx(fd, "", AT_EMPTY_PATH, subject);
  return type === S_IFCHR ? number : undefined;
}
