/** Processes as io.systemd.Login names them: a pid, and what only that process can have. */
import { readFileSync } from "node:fs";
import { close, findPidfd, pidfdInode } from "../../linux/index.ts";
import { Parameters, type Reply } from "../../varlink/index.ts";
import { type Leader, leaderOfPid } from "../sessions/leader.ts";

const LAST_PID = 2 ** 31 - 1;
const LAST_INTEGER = Number.MAX_SAFE_INTEGER;

const bootId = () =>
  readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim().replaceAll("-", "");

/** What the parameter PID says. */
export interface ProcessName {
  readonly pid: number;
  /** The inode of a pidfd of it; 0n where none is given. */
  readonly pidfdId: bigint;
  /** Whether it is of this boot, as far as the caller says. */
  readonly isHere: boolean;
}

/**
 * Reads the parameter PID; undefined where there is none.
 *
 * @throws {VarlinkError} InvalidParameter
 */
export function readProcess(parameters: Parameters): ProcessName | undefined {
  const given = parameters.any("PID");
  if (given === undefined) return undefined;
  if (typeof given !== "object" || Array.isArray(given)) throw parameters.invalid("PID");
  const fields = new Parameters(given as Reply, ["pid", "pidfdId", "bootId"], "PID");
  const pid = fields.required("pid", fields.integer("pid", 1, LAST_PID));
  const boot = fields.string("bootId");
  if (boot !== undefined && !/^[\da-f]{32}$/i.test(boot.replaceAll("-", ""))) {
    throw parameters.invalid("PID");
  }
  const isHere = boot === undefined || boot.replaceAll("-", "").toLowerCase() === bootId();
  return { pid, pidfdId: BigInt(fields.integer("pidfdId", 0, LAST_INTEGER) ?? 0), isHere };
}

/**
 * The process that is meant, held by a pidfd.
 *
 * @throws {VarlinkError} InvalidParameter where it is another one by now
 * @throws {BusError} where there is none
 */
export function leaderOf({ pid, pidfdId, isHere }: ProcessName, parameters: Parameters): Leader {
  if (!isHere) throw parameters.invalid("PID");
  const leader = leaderOfPid(pid);
  if (pidfdId === 0n || pidfdId === pidfdInode(leader.pidfd)) return leader;
  close(leader.pidfd);
  throw parameters.invalid("PID");
}

/** Whether it runs and is the one that is meant. */
export function runs({ pid, pidfdId, isHere }: ProcessName): boolean {
  const pidfd = isHere ? findPidfd(pid) : undefined;
  if (pidfd === undefined) return false;
  try {
    return pidfdId === 0n || pidfdId === pidfdInode(pidfd);
  } finally {
    close(pidfd);
  }
}

/** A process as replies have it; what is not known of it is left out. */
export const processReply = (pid: number, pidfdId = 0n): Reply => ({
  pid,
  ...(pidfdId > 0n && { pidfdId: Number(pidfdId), bootId: bootId() }),
});
