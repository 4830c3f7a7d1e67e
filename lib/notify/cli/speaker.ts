/** Whose word systemd-notify brings: the process that a message is about, and comes from. */
import { parseInteger, say } from "../../cli/index.ts";
import {
  close,
  errno,
  findPidfd,
  pidfdInode,
  pidfdInodeOf,
  processStatus,
} from "../../linux/index.ts";
import { NotifyError } from "./notify-error.ts";

/** process.ppid may be an older answer. */
const parent = () => processStatus(process.pid)?.parent ?? process.ppid;

/**
 * The process that started this command, a script's shell for one, unless that is the service manager,
 * which does not send to itself.
 */
export function speaker(): number {
  const pid = parent();
  return pid <= 1 || pid === managerPid() ? process.pid : pid;
}

/** The service manager of a user, by what it tells its services of itself; undefined without one. */
function managerPid(): number | undefined {
  const { MANAGERPID, MANAGERPIDFDID } = process.env;
  if (MANAGERPID === undefined) return undefined;
  const pid = parseInteger(MANAGERPID) ?? 0;
  const inode = pid > 0 ? inodeOf(pid) : undefined;
  if (!inode) {
    say("warning", `$MANAGERPID is set to an invalid PID, ignoring: ${MANAGERPID}`);
    return undefined;
  }
  if (MANAGERPIDFDID === undefined) return pid;
  if (!/^\d+$/.test(MANAGERPIDFDID)) {
    const what = "$MANAGERPIDFDID is not set to a valid inode number, ignoring";
    say("warning", `${what}: ${MANAGERPIDFDID}`);
    return undefined;
  }
  // Another one says that the number is somebody else's by now.
  return inode.id === undefined || inode.id === BigInt(MANAGERPIDFDID) ? pid : undefined;
}

/** What identifies a process; its `id` is undefined on old kernels. Undefined without such a process. */
function inodeOf(pid: number): { id: bigint | undefined } | undefined {
  const pidfd = findPidfd(pid);
  if (pidfd === undefined) return undefined;
  try {
    return { id: pidfdInode(pidfd) };
  } finally {
    close(pidfd);
  }
}

/**
 * Reads what --pid= says.
 *
 * @throws {NotifyError} if it is no process
 */
export function parsePid(text: string): number {
  if (text === "" || text === "auto") return speaker();
  if (text === "parent") return parent();
  if (text === "self") return process.pid;
  const number = parseInteger(text);
  const what = `Failed to refer to --pid='${text}'`;
  if (number === undefined) throw NotifyError.of(what, errno.EINVAL);
  if (number < 1 || number > 0x7fffffff) throw NotifyError.of(what, errno.ERANGE);
  if (!inodeOf(number)) throw NotifyError.of(what, errno.ESRCH);
  return number;
}

/** The lines that make a process the service's main one. */
export function mainProcess(pid: number): string[] {
  const id = pidfdInodeOf(pid);
  return [`MAINPID=${pid}`, ...(id === undefined ? [] : [`MAINPIDFDID=${id}`])];
}
