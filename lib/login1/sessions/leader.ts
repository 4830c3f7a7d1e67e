/** The process that is to lead a session, held by a descriptor so that its number cannot become another's. */
import { duplicate, type Fd, findPidfd, isPidfd, pidOfPidfd } from "../../linux/index.ts";
import { invalidArgument } from "./session-request.ts";

export interface Leader {
  readonly pid: number;
  /** Whoever has the leader closes it. */
  readonly pidfd: Fd;
}

/**
 * The leader by its number, where nothing better than the number is known.
 *
 * @throws {CreateError} InvalidArgs
 */
export function leaderOfPid(pid: number): Leader {
  if (pid <= 1) throw invalidArgument("leader", `PID ${pid} cannot lead a session`);
  const pidfd = findPidfd(pid);
  if (pidfd === undefined) throw noLeader(pid);
  return { pid, pidfd };
}

/**
 * The leader by a descriptor that its login program has of it, so that it is that process and no later one.
 *
 * @param given stays the caller's
 * @throws {CreateError} InvalidArgs
 */
export function leaderOfPidfd(given: Fd): Leader {
  if (!isPidfd(given)) throw invalidArgument("leader", "The leader's descriptor is not a pidfd");
  const pid = pidOfPidfd(given);
  if (pid <= 1) throw invalidArgument("leader", "The leader is gone, or not to be seen from here");
  return { pid, pidfd: duplicate(given) };
}

export const noLeader = (pid: number) =>
  invalidArgument("leader", `There is no process ${pid} to lead the session`);
