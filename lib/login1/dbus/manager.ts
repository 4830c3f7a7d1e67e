/** org.freedesktop.login1.Manager */
import { busErrors, type CallContext, type Interface, membersOf } from "../../dbus/index.ts";
import { type Fd, pidOfPidfd } from "../../linux/index.ts";
import type { CreateRequest } from "../create.ts";
import { findSeat, findSession, findSessionByPid, findUser, findUserByPid } from "../find.ts";
import { docked, lidClosed, onExternalPower } from "../hardware.ts";
import { type Manager, SESSIONS_MAX } from "../manager.ts";
import { requireOwner, requireRoot } from "../permission.ts";
import { runtimeDirectoryInodes, runtimeDirectorySize } from "../runtime-dir.ts";
import { IDLE_AFTER, type Session } from "../session.ts";

const { method, property, signal } = membersOf<Manager>();

/** USEC_INFINITY: a time that never comes. */
const NEVER = 0xffffffffffffffffn;

/** What both CreateSession methods answer: `soshusub`. */
type Created = [string, string, string, Fd, number, string, number, boolean];

async function create(
  manager: Manager,
  request: CreateRequest,
  leader: number,
  byDescriptor: boolean,
  call: CallContext,
): Promise<Created> {
  await requireRoot(call, "create sessions");
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
  what: string,
  call: CallContext,
): Promise<Session> {
  const session = await findSession(manager, id, call);
  await requireOwner(call, session.user.uid, what);
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

export const managerInterface: Interface<Manager> = {
  name: "org.freedesktop.login1.Manager",
  members: {
    GetSession: method("s", ["session_id"], "o", ["object_path"], async (manager, [id], call) => {
      return (await findSession(manager, id, call)).objectPath;
    }),
    GetSessionByPID: method("u", ["pid"], "o", ["object_path"], async (manager, [pid], call) => {
      return (await findSessionByPid(manager, pid, call)).objectPath;
    }),
    GetUser: method("u", ["uid"], "o", ["object_path"], async (manager, [uid], call) => {
      return (await findUser(manager, uid, call)).objectPath;
    }),
    GetUserByPID: method("u", ["pid"], "o", ["object_path"], async (manager, [pid], call) => {
      return (await findUserByPid(manager, pid, call)).objectPath;
    }),
    GetSeat: method("s", ["seat_id"], "o", ["object_path"], async (manager, [id], call) => {
      return (await findSeat(manager, id, call)).objectPath;
    }),
    ListSessions: method("", [], "a(susso)", ["sessions"], (manager) =>
      [...manager.sessions.values()].map((session): [string, number, string, string, string] => [
        session.id,
        session.user.uid,
        session.user.name,
        session.seat?.id ?? "",
        session.objectPath,
      ]),
    ),
    ListSessionsEx: method("", [], "a(sussussbto)", ["sessions"], (manager) =>
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
    ListUsers: method("", [], "a(uso)", ["users"], (manager) =>
      [...manager.users.values()].map((user): [number, string, string] => [
        user.uid,
        user.name,
        user.objectPath,
      ]),
    ),
    ListSeats: method("", [], "a(so)", ["seats"], (manager) =>
      [...manager.seats.values()].map((seat): [string, string] => [seat.id, seat.objectPath]),
    ),
    CreateSession: method(
      "uusssssussbssa(sv)",
      ["uid", "pid", ...CREATE_NAMES, "properties"],
      "soshusub",
      CREATED_NAMES,
      async (manager, body, call): Promise<Created> => {
        // The tuple is too long for the compiler to take apart by itself.
        const [uid, pid, ...rest] = body as unknown as [number, number, ...Described, []];
        const properties = rest[11];
        refuseProperties(properties.length);
        const leader = pid === 0 ? (await call.caller()).pid : pid;
        return create(manager, toRequest(uid, rest), leader, true, call);
      },
    ),
    CreateSessionWithPIDFD: method(
      "uhsssssussbssta(sv)",
      ["uid", "pidfd", ...CREATE_NAMES, "flags", "properties"],
      "soshusub",
      CREATED_NAMES,
      async (manager, body, call): Promise<Created> => {
        const [uid, pidfd, ...rest] = body as unknown as [number, Fd, ...Described, bigint, []];
        const [flags, properties] = [rest[11], rest[12]];
        if (flags !== 0n) throw busErrors.invalidArgs("Flags must be zero");
        refuseProperties(properties.length);
        return create(manager, toRequest(uid, rest), leaderOf(pidfd), false, call);
      },
    ),
    ReleaseSession: method("s", ["session_id"], "", [], async (manager, [id], call) => {
      await requireRoot(call, "release sessions");
      manager.releaseSession(await findSession(manager, id, call));
    }),
    ActivateSession: method("s", ["session_id"], "", [], async (manager, [id], call) => {
      manager.activateSession(await ownSession(manager, id, "activate this session", call));
    }),
    ActivateSessionOnSeat: method(
      "ss",
      ["session_id", "seat_id"],
      "",
      [],
      async (manager, [id, seatId], call) => {
        const session = await ownSession(manager, id, "activate this session", call);
        const seat = await findSeat(manager, seatId, call);
        if (session.seat !== seat) {
          throw busErrors.invalidArgs(`Session ${session.id} is not on seat ${seat.id}`);
        }
        manager.activateSession(session);
      },
    ),
    LockSession: method("s", ["session_id"], "", [], async (manager, [id], call) => {
      manager.lockSession(await ownSession(manager, id, "lock this session", call), true);
    }),
    UnlockSession: method("s", ["session_id"], "", [], async (manager, [id], call) => {
      manager.lockSession(await ownSession(manager, id, "unlock this session", call), false);
    }),
    LockSessions: method("", [], "", [], async (manager, _none, call) => {
      await requireRoot(call, "lock all sessions");
      manager.lockAllSessions(true);
    }),
    UnlockSessions: method("", [], "", [], async (manager, _none, call) => {
      await requireRoot(call, "unlock all sessions");
      manager.lockAllSessions(false);
    }),
    KillSession: method(
      "ssi",
      ["session_id", "whom", "signal_number"],
      "",
      [],
      async (manager, [id, whom, number], call) => {
        const session = await ownSession(manager, id, "signal this session", call);
        manager.killSession(session, whom, number);
      },
    ),
    KillUser: method(
      "ui",
      ["uid", "signal_number"],
      "",
      [],
      async (manager, [uid, number], call) => {
        const user = await findUser(manager, uid, call);
        await requireOwner(call, user.uid, "signal this user's processes");
        manager.killUser(user, number);
      },
    ),
    TerminateSession: method("s", ["session_id"], "", [], async (manager, [id], call) => {
      manager.terminateSession(await ownSession(manager, id, "terminate this session", call));
    }),
    TerminateUser: method("u", ["uid"], "", [], async (manager, [uid], call) => {
      const user = await findUser(manager, uid, call);
      await requireOwner(call, user.uid, "terminate this user's sessions");
      manager.terminateUser(user);
    }),
    TerminateSeat: method("s", ["seat_id"], "", [], async (manager, [id], call) => {
      const seat = await findSeat(manager, id, call);
      await requireRoot(call, "terminate all sessions of a seat");
      manager.terminateSeat(seat);
    }),

    // What follows says what the bridge does, not what somebody configured: it
    // starts no terminals, kills nothing at logout, and leaves keys, lid and
    // idleness alone.
    NAutoVTs: property("u", "const", (_manager) => 0),
    KillOnlyUsers: property("as", "const", (_manager): string[] => []),
    KillExcludeUsers: property("as", "const", (_manager) => ["root"]),
    KillUserProcesses: property("b", "const", (_manager) => false),
    IdleHint: property("b", "true", (manager) => manager.idle.hint),
    IdleSinceHint: property("t", "true", (manager) => manager.idle.since.realtime),
    IdleSinceHintMonotonic: property("t", "true", (manager) => manager.idle.since.monotonic),
    BlockInhibited: property("s", "true", (_manager) => ""),
    BlockWeakInhibited: property("s", "true", (_manager) => ""),
    DelayInhibited: property("s", "true", (_manager) => ""),
    UserStopDelayUSec: property("t", "const", (_manager) => 0n),
    HandlePowerKey: property("s", "const", (_manager) => "ignore"),
    HandlePowerKeyLongPress: property("s", "const", (_manager) => "ignore"),
    HandleRebootKey: property("s", "const", (_manager) => "ignore"),
    HandleRebootKeyLongPress: property("s", "const", (_manager) => "ignore"),
    HandleSuspendKey: property("s", "const", (_manager) => "ignore"),
    HandleSuspendKeyLongPress: property("s", "const", (_manager) => "ignore"),
    HandleHibernateKey: property("s", "const", (_manager) => "ignore"),
    HandleHibernateKeyLongPress: property("s", "const", (_manager) => "ignore"),
    HandleLidSwitch: property("s", "const", (_manager) => "ignore"),
    HandleLidSwitchExternalPower: property("s", "const", (_manager) => "ignore"),
    HandleLidSwitchDocked: property("s", "const", (_manager) => "ignore"),
    IdleAction: property("s", "const", (_manager) => "ignore"),
    IdleActionUSec: property("t", "const", (_manager) => IDLE_AFTER),
    PreparingForShutdown: property("b", "false", (_manager) => false),
    PreparingForSleep: property("b", "false", (_manager) => false),
    ScheduledShutdown: property("(st)", "true", (_manager): [string, bigint] => ["", NEVER]),
    Docked: property("b", "false", (_manager) => docked()),
    LidClosed: property("b", "true", (_manager) => lidClosed()),
    OnExternalPower: property("b", "false", (_manager) => onExternalPower()),
    RemoveIPC: property("b", "const", (_manager) => false),
    RuntimeDirectorySize: property("t", "const", (_manager) => runtimeDirectorySize),
    RuntimeDirectoryInodesMax: property("t", "const", (_manager) => runtimeDirectoryInodes),
    NCurrentInhibitors: property("t", "true", (_manager) => 0n),
    SessionsMax: property("t", "const", (_manager) => BigInt(SESSIONS_MAX)),
    NCurrentSessions: property("t", "false", (manager) => BigInt(manager.sessions.size)),
    StopIdleSessionUSec: property("t", "const", (_manager) => NEVER),
  },
  signals: {
    SessionNew: signal("so", ["session_id", "object_path"]),
    SessionRemoved: signal("so", ["session_id", "object_path"]),
    UserNew: signal("uo", ["uid", "object_path"]),
    UserRemoved: signal("uo", ["uid", "object_path"]),
    SeatNew: signal("so", ["seat_id", "object_path"]),
    SeatRemoved: signal("so", ["seat_id", "object_path"]),
  },
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
