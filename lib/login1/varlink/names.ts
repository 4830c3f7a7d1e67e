/** Whom a caller of io.systemd.Login means by a name, by "self" or by "auto". */
import { type Parameters, type Peer, VarlinkError } from "../../varlink/index.ts";
import type { Session } from "../model/objects.ts";
import type { Manager } from "../sessions/manager.ts";
import { LOGIN_INTERFACE } from "./login-description.ts";

/** The error that says that there is no such thing. */
export const none = (kind: "Session" | "User" | "Seat") =>
  new VarlinkError(`${LOGIN_INTERFACE}.NoSuch${kind}`);

/** Whether a name stands for what is the caller's own. */
export const isOwn = (id: string) => id === "" || id === "self" || id === "auto";

/** The caller's session; with `isAuto` else the display session of the user in whose slice it is. */
export function ownSession(manager: Manager, peer: Peer, isAuto: boolean): Session | undefined {
  const { pid } = peer;
  if (pid === undefined) return undefined;
  return manager.sessionOfPid(pid) ?? (isAuto ? manager.userOfPid(pid)?.display : undefined);
}

/** What may be a session's name; one that is too long for any is still a name. */
const NAME = /^[A-Za-z0-9]+$/;

/**
 * The session that the parameter Id names.
 *
 * @throws {VarlinkError} NoSuchSession, InvalidParameter
 */
export function namedSession(
  manager: Manager,
  id: string,
  parameters: Parameters,
  peer: Peer,
): Session {
  if (!isOwn(id) && !NAME.test(id)) throw parameters.invalid("Id");
  const found = isOwn(id) ? ownSession(manager, peer, id === "auto") : manager.sessions.get(id);
  if (!found) throw none("Session");
  return found;
}
