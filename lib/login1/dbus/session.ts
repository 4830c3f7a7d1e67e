/** org.freedesktop.login1.Session */
import {
  type CallContext,
  drifting,
  type Interface,
  type Members,
  membersOf,
} from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import type { Session } from "../model/objects.ts";
import { ACTIONS } from "../permission/actions.ts";
import { checkKill } from "../sessions/signals.ts";
import { controlMembers, deviceSignals } from "./session-control.ts";

const { method, property, signal } = membersOf<Session>();

const properties: Members<Session> = {
  Id: property("s", "const", (session) => session.id),
  User: property("(uo)", "const", (session): [number, string] => [
    session.user.uid,
    session.user.objectPath,
  ]),
  Name: property("s", "const", (session) => session.user.name),
  Timestamp: property("t", "const", (session) => session.since.realtime),
  TimestampMonotonic: property("t", "const", (session) => session.since.monotonic),
  VTNr: property("u", "const", (session) => session.vtnr),
  Seat: property("(so)", "const", (session): [string, string] => [
    session.seat?.id ?? "",
    session.seat?.objectPath ?? "/",
  ]),
  TTY: property("s", "true", (session) => session.tty),
  Display: property("s", "true", (session) => session.display),
  Remote: property("b", "const", (session) => session.remote),
  RemoteHost: property("s", "const", (session) => session.remoteHost),
  RemoteUser: property("s", "const", (session) => session.remoteUser),
  // Only varlink's CreateSession can ask for devices beyond the seat's.
  ExtraDeviceAccess: property("as", "const", (session) => [...session.extraDeviceAccess]),
  Service: property("s", "const", (session) => session.service),
  Desktop: property("s", "const", (session) => session.desktop),
  Scope: property("s", "const", (session) => session.scope),
  Leader: property("u", "const", (session) => session.leader.pid),
  LeaderPIDFDId: property("t", "const", (session) => session.leader.pidfdId),
  Audit: property("u", "const", (session) => session.audit),
  Type: property("s", "true", (session) => session.type),
  Class: property("s", "true", (session) => session.class),
  Active: property("b", "true", (session) => session.active),
  State: property("s", "true", (session) => session.state),
  IdleHint: drifting(property("b", "true", (session) => session.idle.hint)),
  IdleSinceHint: drifting(property("t", "true", (session) => session.idle.since.realtime)),
  IdleSinceHintMonotonic: drifting(
    property("t", "true", (session) => session.idle.since.monotonic),
  ),
  CanIdle: property("b", "const", (session) => session.canIdle),
  CanLock: property("b", "const", (session) => session.canLock),
  LockedHint: property("b", "true", (session) => session.lockedHint),
};

/**
 * Signals a session, for the Manager's method and for the session's own.
 *
 * @throws {BusError} InvalidArgs before it is looked who asks, as with logind; AccessDenied
 */
export async function killSession(
  { manager, authorizer }: Login1,
  session: Session,
  whom: string,
  number: number,
  call: CallContext,
): Promise<void> {
  checkKill(whom, number);
  await authorizer.authorize(call, {
    action: ACTIONS.manage,
    owner: session.user.uid,
    what: "signal this session",
  });
  manager.killSession(session, whom, number);
}

/** The interface of the sessions that `login1` has. */
export function sessionInterface(login1: Login1): Interface<Session> {
  const { manager, authorizer } = login1;
  return {
    name: "org.freedesktop.login1.Session",
    members: {
      ...properties,
      ...controlMembers(login1),
      Terminate: method("", [], "", [], async (session, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.manage,
          owner: session.user.uid,
          what: "terminate this session",
        });
        manager.terminateSession(session);
      }),
      Activate: method("", [], "", [], async (session, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.switchVt,
          owner: session.user.uid,
          what: "activate this session",
        });
        manager.activateSession(session);
      }),
      Lock: method("", [], "", [], async (session, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.lock,
          owner: session.user.uid,
          what: "lock this session",
        });
        manager.hints.lock(session, true);
      }),
      Unlock: method("", [], "", [], async (session, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.lock,
          owner: session.user.uid,
          what: "unlock this session",
        });
        manager.hints.lock(session, false);
      }),
      SetLockedHint: method("b", ["locked"], "", [], async (session, [locked], call) => {
        await authorizer.authorize(call, {
          action: undefined,
          owner: session.user.uid,
          what: "say that this session is locked",
        });
        manager.hints.setLocked(session, locked);
      }),
      Kill: method("si", ["whom", "signal_number"], "", [], (session, [whom, number], call) =>
        killSession(login1, session, whom, number, call),
      ),
    },
    signals: { ...deviceSignals, Lock: signal("", []), Unlock: signal("", []) },
  };
}
