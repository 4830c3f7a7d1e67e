/** Finding what a caller means: by name, or by who calls ("self", "auto", pid 0). */

import { busErrors, type CallContext, whenKnown } from "../../dbus/index.ts";
import { NO_UIDS } from "../../sd-login/index.ts";
import type { Seat, Session, User } from "../model/objects.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import type { Manager } from "./manager.ts";

/**
 * The session of this id; "self" (or "") is the one that the caller is in, "auto" that one or else the
 * display session of the user in whose slice the caller is. As with logind, to be that user is not
 * enough. Without a promise where the caller need not be asked for.
 *
 * @throws {BusError} NoSuchSession, NoSessionForPID
 */
export function findSession(
  manager: Manager,
  id: string,
  call: Pick<CallContext, "caller">,
): Session | Promise<Session> {
  if (id !== "self" && id !== "auto" && id !== "") return manager.session(id);
  return whenKnown(call.caller(), ({ pid }) => {
    const own = manager.sessionOfPid(pid);
    if (own) return own;
    const display = id === "auto" ? manager.userOfPid(pid)?.display : undefined;
    if (display) return display;
    throw login1Errors.noSessionForPid(pid);
  });
}

/** The session that a process is in; pid 0 is the caller. */
export async function findSessionByPid(
  manager: Manager,
  pid: number,
  call: CallContext,
): Promise<Session> {
  const actual = await actualPid(pid, call);
  const session = manager.sessionOfPid(actual);
  if (!session) throw login1Errors.noSessionForPid(actual);
  return session;
}

/** The highest number that a process can have, and that its type has room for. */
const LAST_PID = 2 ** 31 - 1;

async function actualPid(pid: number, call: CallContext): Promise<number> {
  if (pid > LAST_PID) throw busErrors.invalidArgs(`Invalid PID ${pid}`);
  return pid === 0 ? (await call.caller()).pid : pid;
}

/** The user in whose slice a process is; pid 0 is the caller. */
export async function findUserByPid(
  manager: Manager,
  pid: number,
  call: CallContext,
): Promise<User> {
  const actual = await actualPid(pid, call);
  const user = manager.userOfPid(actual);
  if (!user) throw login1Errors.noUserForPid(actual);
  return user;
}

/**
 * The user of this uid; UINT32_MAX, as libsystemd's clients write it, and 65535, which is no uid either,
 * are the one in whose slice the caller is.
 *
 * @throws {BusError} NoSuchUser, NoUserForPID
 */
export async function findUser(manager: Manager, uid: number, call: CallContext): Promise<User> {
  if (!NO_UIDS.includes(uid)) return manager.user(uid);
  const caller = await call.caller();
  const user = manager.userOfPid(caller.pid);
  if (!user) throw login1Errors.noUserForPid(caller.pid);
  return user;
}

/**
 * The seat of this id; "self" (or "") is that of the caller's session, "auto" that of `findSession`'s auto.
 *
 * @throws {BusError} NoSuchSeat, NoSessionForPID
 */
export async function findSeat(manager: Manager, id: string, call: CallContext): Promise<Seat> {
  if (id !== "self" && id !== "auto" && id !== "") return manager.seat(id);
  const session = await findSession(manager, id, call);
  if (!session.seat) throw login1Errors.sessionHasNoSeat(session.id);
  return session.seat;
}
