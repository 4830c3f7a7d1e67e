/** Where a caller sits, in polkit's three cases. */
import type { Manager } from "../sessions/manager.ts";

/**
 * `active`: in a session in the foreground of a seat; `inactive`: in one on a
 * seat, in the background; `any`: in one without a seat (ssh), or in none.
 */
export type Locality = "any" | "inactive" | "active";

/**
 * Where a process sits, as polkit finds it: by its session, or else by the display
 * session of the user in whose slice it is.
 */
export function localityOf(manager: Manager, pid: number): Locality {
  const session = manager.sessionOfPid(pid) ?? manager.userOfPid(pid)?.display;
  if (!session?.seat) return "any";
  return session.state === "active" ? "active" : "inactive";
}
