/** org.freedesktop.login1.Manager: the methods about sessions, users and seats. */
import {
  busErrors,
  type CallContext,
  type Members,
  membersOf,
  privileged,
  whenKnown,
} from "../../dbus/index.ts";
import { type Fd, pidOfPidfd } from "../../linux/index.ts";
import type { Login1 } from "../login1.ts";
import type { Session } from "../model/session.ts";
import { ACTIONS, type Action, authorize } from "../permission/authorize.ts";
import {
  findSeat,
  findSession,
  findSessionByPid,
  findUser,
  findUserByPid,
} from "../sessions/lookup.ts";
import type { Manager } from "../sessions/manager.ts";
import type { CreateRequest } from "../sessions/session-request.ts";
import { login1Errors } from "../vocabulary/errors.ts";

const { method } = membersOf<Login1>();

/** What both CreateSession methods answer: `soshusub`. */
type Created = [string, string, string, Fd, number, string, number, boolean];

/** Before anything else of the call is looked at. */
const mayCreate = (call: CallContext) =>
  authorize(call, { action: undefined, what: "create sessions" });

function create(
  manager: Manager,
  request: CreateRequest,
  leader: number,
  byDescriptor: boolean,
): Created {
  const { session, fd } = manager.createSession(request, leader, byDescriptor);
  return [
    session.id,
    session.objectPath,
    session.user.runtimePath,
    fd,
    session.user.uid,
    session.seat?.id ?? "",
    session.vtnr,
    false,
  ];
}

/** For a method that the owner of a session may call: finds it and checks that. */
async function ownSession(
  manager: Manager,
  id: string,
  action: Action,
  what: string,
  call: CallContext,
): Promise<Session> {
  const session = await findSession(manager, id, call);
  await authorize(call, { action, owner: session.user.uid, what });
  return session;
}

const CREATE_NAMES = [
  "service",
  "type",
  "class",
  "desktop",
  "seat_id",
  "vtnr",
  "tty",
  "display",
  "remote",
  "remote_user",
  "remote_host",
];
const CREATED_NAMES = [
  "session_id",
  "object_path",
  "runtime_path",
  "fifo_fd",
  "uid",
  "seat_id",
  "vtnr",
  "existing",
];

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
  CreateSession: privileged(
    method(
      "uusssssussbssa(sv)",
      ["uid", "pid", ...CREATE_NAMES, "properties"],
      "soshusub",
      CREATED_NAMES,
      ({ manager }, body, call) =>
        whenKnown(mayCreate(call), () => {
          // The tuple is too long for the compiler to take apart by itself.
          const [uid, pid, ...rest] = body as unknown as [number, number, ...Described, []];
          const properties = rest[11];
          refuseProperties(properties.length);
          return whenKnown(pid === 0 ? call.caller() : { pid }, (leader) =>
            create(manager, toRequest(uid, rest), leader.pid, true),
          );
        }),
    ),
  ),
  CreateSessionWithPIDFD: privileged(
    method(
      "uhsssssussbssta(sv)",
      ["uid", "pidfd", ...CREATE_NAMES, "flags", "properties"],
      "soshusub",
      CREATED_NAMES,
      ({ manager }, body, call) =>
        whenKnown(mayCreate(call), () => {
          const [uid, pidfd, ...rest] = body as unknown as [number, Fd, ...Described, bigint, []];
          const [flags, properties] = [rest[11], rest[12]];
          if (flags !== 0n) throw busErrors.invalidArgs("Flags must be zero");
          refuseProperties(properties.length);
          return create(manager, toRequest(uid, rest), leaderOf(pidfd), false);
        }),
    ),
  ),
  ReleaseSession: privileged(
    method("s", ["session_id"], "", [], ({ manager }, [id], call) =>
      whenKnown(authorize(call, { action: undefined, what: "release sessions" }), () =>
        whenKnown(findSession(manager, id, call), (session) => manager.releaseSession(session)),
      ),
    ),
  ),
  ActivateSession: method("s", ["session_id"], "", [], async ({ manager }, [id], call) => {
    manager.activateSession(
      await ownSession(manager, id, ACTIONS.switchVt, "activate this session", call),
    );
  }),
  ActivateSessionOnSeat: method(
    "ss",
    ["session_id", "seat_id"],
    "",
    [],
    async ({ manager }, [id, seatId], call) => {
      const session = await findSession(manager, id, call);
      const seat = await findSeat(manager, seatId, call);
      if (session.seat !== seat) throw login1Errors.sessionNotOnSeat(session.id, seat.id);
      await authorize(call, { action: ACTIONS.switchVt, what: "activate this session" });
      manager.activateSession(session);
    },
  ),
  LockSession: method("s", ["session_id"], "", [], async ({ manager }, [id], call) => {
    manager.lockSession(
      await ownSession(manager, id, ACTIONS.lock, "lock this session", call),
      true,
    );
  }),
  UnlockSession: method("s", ["session_id"], "", [], async ({ manager }, [id], call) => {
    manager.lockSession(
      await ownSession(manager, id, ACTIONS.lock, "unlock this session", call),
      false,
    );
  }),
  LockSessions: method("", [], "", [], async ({ manager }, _none, call) => {
    await authorize(call, {
      action: ACTIONS.lock,
      what: "lock all sessions",
    });
    manager.lockAllSessions(true);
  }),
  UnlockSessions: method("", [], "", [], async ({ manager }, _none, call) => {
    await authorize(call, {
      action: ACTIONS.lock,
      what: "unlock all sessions",
    });
    manager.lockAllSessions(false);
  }),
  KillSession: method(
    "ssi",
    ["session_id", "whom", "signal_number"],
    "",
    [],
    async ({ manager }, [id, whom, number], call) => {
      const session = await ownSession(manager, id, ACTIONS.manage, "signal this session", call);
      manager.killSession(session, whom, number);
    },
  ),
  KillUser: method(
    "ui",
    ["uid", "signal_number"],
    "",
    [],
    async ({ manager }, [uid, number], call) => {
      const user = await findUser(manager, uid, call);
      await authorize(call, {
        action: ACTIONS.manage,
        owner: user.uid,
        what: "signal this user's processes",
      });
      manager.killUser(user, number);
    },
  ),
  TerminateSession: method("s", ["session_id"], "", [], async ({ manager }, [id], call) => {
    manager.terminateSession(
      await ownSession(manager, id, ACTIONS.manage, "terminate this session", call),
    );
  }),
  TerminateUser: method("u", ["uid"], "", [], async ({ manager }, [uid], call) => {
    const user = await findUser(manager, uid, call);
    await authorize(call, {
      action: ACTIONS.manage,
      owner: user.uid,
      what: "terminate this user's sessions",
    });
    manager.terminateUser(user);
  }),
  TerminateSeat: method("s", ["seat_id"], "", [], async ({ manager }, [id], call) => {
    const seat = await findSeat(manager, id, call);
    await authorize(call, {
      action: ACTIONS.manage,
      what: "terminate all sessions of a seat",
    });
    manager.terminateSeat(seat);
  }),
};

type Described = [
  string,
  string,
  string,
  string,
  string,
  number,
  string,
  string,
  boolean,
  string,
  string,
];

function toRequest(uid: number, described: [...Described, ...unknown[]]): CreateRequest {
  const [service, type, kind, desktop, seat, vtnr, tty, display, remote, remoteUser, remoteHost] =
    described;
  return {
    uid,
    service,
    type,
    class: kind,
    desktop,
    seat,
    vtnr,
    tty,
    display,
    remote,
    remoteUser,
    remoteHost,
    // The bus has no argument for it.
    extraDeviceAccess: [],
  };
}

/** These are systemd's unit properties (MemoryMax and the like), which no cgroup controller here enforces. */
function refuseProperties(count: number): void {
  if (count > 0) throw busErrors.notSupported("Scope properties are not supported");
}

function leaderOf(pidfd: Fd): number {
  let pid: number;
  try {
    pid = pidOfPidfd(pidfd);
  } catch {
    throw busErrors.invalidArgs("The leader's descriptor is not a pidfd");
  }
  if (pid <= 0) throw busErrors.invalidArgs("The leader is gone, or not to be seen from here");
  return pid;
}
