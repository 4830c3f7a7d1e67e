/** Who may speak for a service, and which process it may name as its main one. */
import { type Credentials, type Fd, pidfdInodeOf, pidOfPidfd } from "../../linux/index.ts";
import type { Access, Notification } from "../protocol/notification.ts";
import type { ProcessId, SenderProcess, ServiceLookup } from "./service-of-process.ts";

/**
 * Why a sender may not speak for its service, or undefined if it may; see NotifyAccess= in
 * systemd.service(5). Where the main process is not known, root's processes are taken for it.
 */
export function refusal(
  access: Access,
  main: number | undefined,
  origin: SenderProcess,
  sender: Credentials,
): string | undefined {
  if (access === "all") return undefined;
  if (access === "none") return "nobody may speak for it";
  if (origin.pid === main || (main === undefined && sender.uid === 0)) return undefined;
  if (access === "exec" && origin.isControl) return undefined;
  const who = `its main process${access === "exec" ? " and its script" : ""}`;
  return `only ${who} may speak for it (${main === undefined ? "not known" : `pid ${main}`})`;
}

/**
 * The process that MAINPID, MAINPIDFDID and MAINPIDFD name: a living one of the service, which is
 * not of its script; root may name one from elsewhere.
 *
 * @param fd the descriptor that came with MAINPIDFD=1
 * @returns a string that says why it is refused
 */
export function namedMain(
  lookup: ServiceLookup,
  service: string,
  sender: Credentials,
  said: Notification,
  fd: Fd | undefined,
): ProcessId | string {
  const pid = said.mainByPidfd ? pidBehind(fd) : said.mainPid;
  if (pid === undefined) return "the descriptor is no pidfd of a process that is there";
  if (pid === 1 || pid === process.pid) return `pid ${pid} is the service manager's`;
  if (!said.mainByPidfd && said.mainPidfdId !== undefined) {
    const id = pidfdInodeOf(pid);
    if (id !== undefined && id !== said.mainPidfdId) return `pid ${pid} is another process now`;
  }
  const main = lookup.find({ pid, uid: 0, gid: 0 });
  if (!main) return `there is no pid ${pid}`;
  if (main.isControl) return `pid ${pid} is of the service's script`;
  if (main.service !== service && sender.uid !== 0) return `pid ${pid} is not of ${service}`;
  return main;
}

function pidBehind(fd: Fd | undefined): number | undefined {
  if (fd === undefined) return undefined;
  try {
    const pid = pidOfPidfd(fd);
    return pid > 0 ? pid : undefined;
  } catch {
    // It is a descriptor of another kind, which is the sender's mistake.
    return undefined;
  }
}
