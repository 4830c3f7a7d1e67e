/** org.freedesktop.login1.Manager: the methods about sessions, users and seats. */
import {
  type CallContext,
  type Members,
  membersOf,
  privileged,
  whenKnown,
} from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import type { Session } from "../model/objects.ts";
import { ACTIONS, type Action } from "../permission/actions.ts";
import {
  findSeat,
  findSession,
  findSessionByPid,
  findUser,
  findUserByPid,
} from "../sessions/lookup.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { killSession } from "./session.ts";

const { method } = membersOf<Login1>();

/** For a method that the owner of a session may call: finds it and checks that. */
async function ownSession(
  { manager, authorizer }: Login1,
  id: string,
  action: Action,
  what: string,
  call: CallContext,
): Promise<Session> {
  const session = await findSession(manager, id, call);
  await authorizer.authorize(call, { action, owner: session.user.uid, what });
  return session;
}

/** The methods that are about sessions, users and seats. */
export const sessionMethods: Members<Login1> = {
  GetSession: method("s", ["session_id"], "o", ["object_path"], async ({ manager }, [id], call) => {
    return (await findSession(manager, id, call)).objectPath;
  }),
  GetSessionByPID: method("u", ["pid"], "o", ["object_path"], async ({ manager }, [pid], call) => {
    return (await findSessionByPid(manager, pid, call)).objectPath;
  }),
  GetUser: method("u", ["uid"], "o", ["object_path"], async ({ manager }, [uid], call) => {
    return (await findUser(manager, uid, call)).objectPath;
  }),
  GetUserByPID: method("u", ["pid"], "o", ["object_path"], async ({ manager }, [pid], call) => {
    return (await findUserByPid(manager, pid, call)).objectPath;
  }),
  GetSeat: method("s", ["seat_id"], "o", ["object_path"], async ({ manager }, [id], call) => {
    return (await findSeat(manager, id, call)).objectPath;
  }),
  ListSessions: method("", [], "a(susso)", ["sessions"], ({ manager }) =>
    [...manager.sessions.values()].map((session): [string, number, string, string, string] => [
      session.id,
      session.user.uid,
      session.user.name,
      session.seat?.id ?? "",
      session.objectPath,
    ]),
  ),
  ListSessionsEx: method("", [], "a(sussussbto)", ["sessions"], ({ manager }) =>
    [...manager.sessions.values()].map(
      (
        session,
      ): [string, number, string, string, number, string, string, boolean, bigint, string] => {
        const { hint, since } = session.idle;
        return [
          session.id,
          session.user.uid,
          session.user.name,
          session.seat?.id ?? "",
          session.leader.pid,
          session.class,
          session.tty,
          hint,
          since.monotonic,
          session.objectPath,
        ];
      },
    ),
  ),
  ListUsers: method("", [], "a(uso)", ["users"], ({ manager }) =>
    [...manager.users.values()].map((user): [number, string, string] => [
      user.uid,
      user.name,
      user.objectPath,
    ]),
  ),
  ListSeats: method("", [], "a(so)", ["seats"], ({ manager }) =>
    [...manager.seats.values()].map((seat): [string, string] => [seat.id, seat.objectPath]),
  ),
  ReleaseSession: privileged(
    method("s", ["session_id"], "", [], ({ manager, authorizer, afterReply }, [id], call) =>
      whenKnown(authorizer.authorize(call, { action: undefined, what: "release sessions" }), () =>
        whenKnown(findSession(manager, id, call), (session) =>
          manager.releaseSession(session, afterReply),
        ),
      ),
    ),
  ),
  ActivateSession: method("s", ["session_id"], "", [], async (login1, [id], call) => {
    login1.manager.activateSession(
      await ownSession(login1, id, ACTIONS.switchVt, "activate this session", call),
    );
  }),
  ActivateSessionOnSeat: method(
    "ss",
    ["session_id", "seat_id"],
    "",
    [],
    async ({ manager, authorizer }, [id, seatId], call) => {
      const session = await findSession(manager, id, call);
      const seat = await findSeat(manager, seatId, call);
      if (session.seat !== seat) throw login1Errors.sessionNotOnSeat(session.id, seat.id);
      await authorizer.authorize(call, { action: ACTIONS.switchVt, what: "activate this session" });
      manager.activateSession(session);
    },
  ),
  LockSession: method("s", ["session_id"], "", [], async (login1, [id], call) => {
    login1.manager.hints.lock(
      await ownSession(login1, id, ACTIONS.lock, "lock this session", call),
      true,
    );
  }),
  UnlockSession: method("s", ["session_id"], "", [], async (login1, [id], call) => {
    login1.manager.hints.lock(
      await ownSession(login1, id, ACTIONS.lock, "unlock this session", call),
      false,
    );
  }),
  LockSessions: method("", [], "", [], async ({ manager, authorizer }, _none, call) => {
    await authorizer.authorize(call, {
      action: ACTIONS.lock,
      what: "lock all sessions",
    });
    manager.hints.lockAll(true);
  }),
  UnlockSessions: method("", [], "", [], async ({ manager, authorizer }, _none, call) => {
    await authorizer.authorize(call, {
      action: ACTIONS.lock,
      what: "unlock all sessions",
    });
    manager.hints.lockAll(false);
  }),
  KillSession: method(
    "ssi",
    ["session_id", "whom", "signal_number"],
    "",
    [],
    async (login1, [id, whom, number], call) => {
      const session = await findSession(login1.manager, id, call);
      await killSession(login1, session, whom, number, call);
    },
  ),
  KillUser: method(
    "ui",
    ["uid", "signal_number"],
    "",
    [],
    async ({ manager, authorizer }, [uid, number], call) => {
      const user = await findUser(manager, uid, call);
      await authorizer.authorize(call, {
        action: ACTIONS.manage,
        owner: user.uid,
        what: "signal this user's processes",
      });
      manager.killUser(user, number);
    },
  ),
  TerminateSession: method("s", ["session_id"], "", [], async (login1, [id], call) => {
    login1.manager.terminateSession(
      await ownSession(login1, id, ACTIONS.manage, "terminate this session", call),
    );
  }),
  TerminateUser: method("u", ["uid"], "", [], async ({ manager, authorizer }, [uid], call) => {
    const user = await findUser(manager, uid, call);
    await authorizer.authorize(call, {
      action: ACTIONS.manage,
      owner: user.uid,
      what: "terminate this user's sessions",
    });
    manager.terminateUser(user);
  }),
  TerminateSeat: method("s", ["seat_id"], "", [], async ({ manager, authorizer }, [id], call) => {
    const seat = await findSeat(manager, id, call);
    await authorizer.authorize(call, {
      action: ACTIONS.manage,
      what: "terminate all sessions of a seat",
    });
    manager.terminateSeat(seat);
  }),
};
