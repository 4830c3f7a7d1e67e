/** Processes by more than a number, which the kernel gives to another process some time after the end of one. */
import { close, type Fd } from "../ffi/fd.ts";
import { findPidfd, hasEnded, pidfdInode, pidOfPidfd, startTimeOf, uidsOf } from "./process.ts";

/** What tells a process from a later one of its number, until the next boot. */
export interface ProcessIdentity {
  pid: number;
  /** The inode of its pidfd; 0 where pidfds have none of their own (before Linux 6.9). */
  pidfdId: bigint;
  /** Where that is 0: when it started, in clock ticks since boot. */
  startTime: bigint;
}

/**
 * Identifies the process of a pidfd.
 *
 * @param pidfd stays the caller's
 * @returns undefined if the process has ended
 */
export function identityOf(pid: number, pidfd: Fd): ProcessIdentity | undefined {
  const pidfdId = pidfdInode(pidfd);
  const startTime = pidfdId === undefined ? startTimeOf(pid) : 0n;
  // Asked last: what was read of the number above is the process's own if it still runs now.
  if (startTime === undefined || hasEnded(pidfd)) return undefined;
  return { pid, pidfdId: pidfdId ?? 0n, startTime };
}

/** Whether the process still has its number. It does until its parent has waited for it. */
export function hasItsNumber({ pid, pidfdId, startTime }: ProcessIdentity): boolean {
  const pidfd = findPidfd(pid);
  if (pidfd === undefined) return false;
  try {
    return (
      (pidfdInode(pidfd) ?? 0n) === pidfdId && (pidfdId > 0n || startTimeOf(pid) === startTime)
    );
  } finally {
    close(pidfd);
  }
}

/**
 * Identifies the process behind a pidfd that a bus or socket vouches for.
 *
 * @param pidfd stays the caller's
 * @returns undefined if the process has ended, or is outside of our pid namespace
 */
export function identityOfPidfd(pidfd: Fd): ProcessIdentity | undefined {
  const pid = pidOfPidfd(pidfd);
  return pid > 0 ? identityOf(pid, pidfd) : undefined;
}

/**
 * Identifies the process that has a number now, where nothing better than the number is known.
 *
 * @param uid of the process that had the number: a process of another user is a later one, unless
 *   it was root's, which may have changed to another user
 * @returns undefined if no process has it, or a later one
 */
export function identityOfPid(pid: number, uid: number): ProcessIdentity | undefined {
  const pidfd = findPidfd(pid);
  if (pidfd === undefined) return undefined;
  try {
    if (uid !== 0 && !uidsOf(pid)?.includes(uid)) return undefined;
    return identityOf(pid, pidfd);
  } finally {
    close(pidfd);
  }
}
