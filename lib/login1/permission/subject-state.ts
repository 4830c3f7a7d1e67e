/** Where a caller sits, in polkit's three cases. */
import type { Session, User } from "../model/objects.ts";

/**
 * `active`: in a session in the foreground of a seat; `inactive`: in one on a
 * seat, in the background; `any`: in one without a seat (ssh), or in none.
 */
export type Locality = "any" | "inactive" | "active";

/** Says what processes belong to; see Membership in sessions/. */
export interface Processes {
  sessionOfPid(pid: number): Session | undefined;
  userOfPid(pid: number): User | undefined;
}

/**
 * Where a process sits, as polkit finds it: by its session, or else by the display
 * session of the user in whose slice it is.
 */
export function localityOf(processes: Processes, pid: number): Locality {
  const session = processes.sessionOfPid(pid) ?? processes.userOfPid(pid)?.display;
  if (!session?.seat) return "any";
  return session.state === "active" ? "active" : "inactive";
}
