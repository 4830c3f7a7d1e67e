/** Processes: pidfds, signals, prctl, and what /proc says of them (proc(5)). */
import { fstatSync, readdirSync, readFileSync, readlinkSync, statfsSync } from "node:fs";
import { constants } from "node:os";
import { DescriptorWatch } from "../events/descriptor-watch.ts";
import { isReadable } from "../events/poll.ts";
import { check, hasCode } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { libc, Memory } from "../ffi/libc.ts";

const SYS_PIDFD_SEND_SIGNAL = 424;
const SYS_PIDFD_OPEN = 434;
const PR_SET_PDEATHSIG = 1;
const SIG_DFL = null;

/**
 * A descriptor that stays with this process even if its number is used again; see pidfd_open(2).
 *
 * @throws {SystemError} ESRCH if there is no such process
 */
export function openPidfd(pid: number): Fd {
  return check(libc.syscall(SYS_PIDFD_OPEN, pid, 0, 0, 0, 0), "pidfd_open", `pid ${pid}`);
}

/** The same, but undefined if there is no such process, or the number is a thread's. */
export function findPidfd(pid: number): Fd | undefined {
  try {
    return openPidfd(pid);
  } catch (error) {
    // A thread is EINVAL, and ENOENT to later kernels (6.18).
    if (hasCode(error, "ESRCH", "EINVAL", "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * The pid behind a pidfd; see /proc/PID/fdinfo in proc(5).
 *
 * @returns -1 if that process is gone, 0 if it is outside our pid namespace
 * @throws {Error} if the descriptor is not a pidfd
 */
export function pidOfPidfd(fd: Fd): number {
  const pid = pidIn(fd);
  if (pid === undefined) throw new Error(`descriptor ${fd} is not a pidfd`);
  return pid;
}

/** Whether a descriptor, of whoever sent it, is a pidfd. */
export function isPidfd(fd: Fd): boolean {
  return pidIn(fd) !== undefined;
}

function pidIn(fd: Fd): number | undefined {
  const pid = /^Pid:\t(-?\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** The file system of pidfds that have an inode each; see PIDFS_MAGIC in statfs(2). */
const PIDFS = 0x50494446;
/** Whether this kernel's pidfds are on it, once that is known. */
let havePidfs: boolean | undefined;

/**
 * What names a process until the next boot: the inode of its pidfd, on Linux 6.9 and later.
 *
 * @returns undefined where the kernel gives all pidfds one inode
 */
export function pidfdInode(pidfd: Fd): bigint | undefined {
  havePidfs ??= statfsSync(`/proc/self/fd/${pidfd}`).type === PIDFS;
  return havePidfs ? fstatSync(pidfd, { bigint: true }).ino : undefined;
}

/** The same of a process by its number; undefined also if there is none. */
export function pidfdInodeOf(pid: number): bigint | undefined {
  const pidfd = findPidfd(pid);
  if (pidfd === undefined) return undefined;
  try {
    return pidfdInode(pidfd);
  } finally {
    close(pidfd);
  }
}

/**
 * kill(2).
 *
 * @throws {SystemError} ESRCH, EPERM or EINVAL
 */
export function kill(pid: number, signal: number): void {
  check(libc.kill(pid, signal), `kill -${signal}`, `pid ${pid}`);
}

/**
 * Signals the process of a pidfd, and never a later one of its number; see pidfd_send_signal(2).
 *
 * @throws {SystemError} ESRCH if it has ended, EPERM or EINVAL
 */
export function killPidfd(pidfd: Fd, signal: number): void {
  const result = libc.syscall(SYS_PIDFD_SEND_SIGNAL, pidfd, signal, 0, 0, 0);
  check(result, `pidfd_send_signal ${signal}`, `descriptor ${pidfd}`);
}

/**
 * Calls `gone` once when the process ends.
 *
 * @returns a function that ends the watch, to be called even after `gone` was
 * @throws {SystemError} ESRCH if it has ended already
 */
export function watchProcess(pid: number, gone: () => void): () => void {
  return watchPidfd(openPidfd(pid), gone);
}

/** The same of a process that we have a pidfd of. It is closed here, at the end of the watch or if that fails. */
export function watchPidfd(pidfd: Fd, gone: () => void): () => void {
  let open = true;
  const end = () => {
    if (!open) return;
    open = false;
    endings.remove(pidfd);
    close(pidfd);
  };
  try {
    endings.add(pidfd, gone);
  } catch (error) {
    end();
    throw error;
  }
  return end;
}

/** One epoll instance for all processes: to have Bun wait for each costs much more. */
const endings = new DescriptorWatch("readable");

/** Whether the process of a pidfd has ended, waited for or not. */
export function hasEnded(pidfd: Fd): boolean {
  return isReadable(pidfd);
}

/** Puts a signal back to what it does by default. */
export function resetSignal(name: NodeJS.Signals): void {
  libc.signal(constants.signals[name], SIG_DFL);
}

/** Asks the kernel to send us `signal` when our parent ends; see PR_SET_PDEATHSIG in prctl(2). */
export function signalOnParentDeath(signal: NodeJS.Signals): void {
  const result = libc.prctl(PR_SET_PDEATHSIG, constants.signals[signal], 0, 0, 0);
  check(result, "prctl PR_SET_PDEATHSIG", signal);
}

/** How many files a process may have open (RLIMIT_NOFILE in getrlimit(2)); Infinity for no limit. */
export interface OpenFilesLimit {
  soft: number;
  hard: number;
}

/**
 * The limit of open files of any process, from /proc/PID/limits, which everybody may read.
 *
 * @returns undefined if there is no such process or /proc hides it
 */
export function openFilesLimit(pid: number): OpenFilesLimit | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/limits`, "utf8");
    const line = /^Max open files +(\d+|unlimited) +(\d+|unlimited)/m.exec(text);
    const value = (word = "unlimited") => (word === "unlimited" ? Infinity : Number(word));
    return line ? { soft: value(line[1]), hard: value(line[2]) } : undefined;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/**
 * Sets how many files this process may have open; see prlimit(2).
 *
 * @throws {SystemError} EINVAL if soft is above hard, EPERM if hard is above what it was
 */
export function setOpenFilesLimit({ soft, hard }: OpenFilesLimit): void {
  const RLIMIT_NOFILE = 7;
  const RLIM_INFINITY = 0xffff_ffff_ffff_ffffn;
  const value = (limit: number) => (limit === Infinity ? RLIM_INFINITY : BigInt(limit));
  const memory = new Memory(16);
  memory.view.setBigUint64(0, value(soft), true);
  memory.view.setBigUint64(8, value(hard), true);
  const result = libc.prlimit(0, RLIMIT_NOFILE, memory.bytes, null);
  check(result, "prlimit RLIMIT_NOFILE", `${soft} to ${hard}`);
}

/** What /proc/PID/stat says of a process. */
export interface ProcessStatus {
  pid: number;
  parent: number;
  /** R, S, D, Z (a zombie: ended, and not yet waited for) and so on. */
  state: string;
  /** The kernel's name for it, at most 15 bytes, chosen by the process itself. */
  command: string;
  /** When it started, in clock ticks since boot: with the pid it names one process for good. */
  startTime: bigint;
  /** Its controlling terminal as a device number, 0 for none. */
  tty: number;
}

/**
 * Reads a process's status.
 *
 * @returns undefined if there is no such process
 */
export function processStatus(pid: number): ProcessStatus | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
  // The command is in parentheses and may itself hold spaces and parentheses.
  const open = stat.indexOf("(");
  const end = stat.lastIndexOf(")");
  const fields = stat.slice(end + 2).split(" ");
  return {
    pid,
    parent: Number(fields[1]),
    state: fields[0] ?? "",
    command: stat.slice(open + 1, end),
    startTime: BigInt(fields[19] ?? "0"),
    tty: Number(fields[4]),
  };
}

/**
 * The real, effective, saved and file system uid of a process.
 *
 * @returns undefined if there is no such process
 */
export function uidsOf(pid: number): number[] | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "latin1");
    return (/^Uid:\t(.*)$/m.exec(status)?.[1] ?? "").split("\t").map(Number);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/**
 * When a process started, as `startTime` in ProcessStatus: a quick look whether a pid is still whose it was.
 *
 * @returns undefined if there is no such process, or it has ended and is not yet waited for
 */
export function startTimeOf(pid: number): bigint | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : BigInt(fields[19] ?? "0");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/**
 * The words that a process was started with; none for a kernel thread and a zombie.
 *
 * @returns undefined if there is no such process
 */
export function commandWords(pid: number): string[] | undefined {
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    return words.at(-1) === "" ? words.slice(0, -1) : words;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/**
 * The file that a process executes.
 *
 * @returns undefined if there is no such process, it executes none, or we may not know
 */
export function executableOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/exe`);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  }
}

/** The pids of all processes that we can see. */
export function allProcesses(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

/**
 * The audit session of a process (/proc/PID/sessionid), which the kernel sets once at login.
 *
 * @returns undefined where there is none or the kernel has no audit
 */
export function auditSession(pid: number): number | undefined {
  const none = 0xffffffff;
  try {
    const id = Number(readFileSync(`/proc/${pid}/sessionid`, "utf8"));
    return id === none || id === 0 || !Number.isInteger(id) ? undefined : id;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
