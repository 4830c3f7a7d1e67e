/**
 * What the state files of sessions, users and seats say, in the order in which logind writes them;
 * libsystemd reads them (sd-login(3)), and `saved.ts` after a restart.
 */
import { mkdirSync } from "node:fs";
import type { Values } from "../../sd-login/index.ts";
import { NO_AUDIT, type Seat, type Session, type User } from "../model/objects.ts";
import type { Idle } from "../vocabulary/idle.ts";
import { MACHINES, SEATS, SESSIONS, USERS } from "../vocabulary/paths.ts";

/** Makes the folders that sd_login_monitor_new(3) fails without. */
export function ensureStateFolders(): void {
  for (const folder of [SESSIONS, USERS, SEATS, MACHINES]) {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  }
}

/** @param isDisplay whether it stands for its user (`User.display`, which looks at all: ask once) */
export function sessionValues(session: Session, isDisplay: boolean): Values {
  return {
    UID: session.user.uid,
    ACTIVE: session.active,
    IS_DISPLAY: isDisplay,
    STATE: session.state,
    REMOTE: session.remote,
    STOPPING: session.stopping,
    TERMINATED: session.terminatedAt,
    USER: session.user.name,
    TYPE: session.type,
    ORIGINAL_TYPE: session.originalType,
    CLASS: session.class,
    SCOPE: session.scope,
    FIFO: session.hasFifo ? session.fifo : undefined,
    SEAT: session.seat?.id,
    TTY: session.tty,
    TTY_VALIDITY: session.ttyValidity,
    DISPLAY: session.display,
    REMOTE_HOST: session.remoteHost,
    REMOTE_USER: session.remoteUser,
    SERVICE: session.service,
    DESKTOP: session.desktop,
    POSITION: session.position > 0 ? session.position : undefined,
    VTNR: session.seat && session.vtnr > 0 ? session.vtnr : undefined,
    LEADER: session.leader.pid,
    LEADER_PIDFDID: session.leader.pidfdId > 0n ? session.leader.pidfdId : undefined,
    LEADER_START: session.leader.startTime > 0n ? session.leader.startTime : undefined,
    AUDIT: session.audit === NO_AUDIT ? undefined : session.audit,
    LOCKED_HINT: session.lockedHint,
    REALTIME: session.since.realtime,
    MONOTONIC: session.since.monotonic,
    CONTROLLER: session.controller,
    DEVICES: [...session.devices].join(" "),
    EXTRA_DEVICE_ACCESS: session.extraDeviceAccess.join(" "),
    ...idleValues(session.idleHint),
  };
}

/** A session's own hint. */
function idleValues({ hint, since }: Idle): Values {
  if (since.monotonic === 0n) return {};
  return {
    IDLE_HINT: hint,
    IDLE_SINCE_REALTIME: since.realtime,
    IDLE_SINCE_MONOTONIC: since.monotonic,
  };
}

/** Sessions and their seats as a user's file lists them. */
function list(sessions: Session[]): { ids: string; seats: string } {
  const seats = new Set<string>();
  for (const { seat } of sessions) if (seat) seats.add(seat.id);
  return { ids: sessions.map(({ id }) => id).join(" "), seats: [...seats].join(" ") };
}

/** @param display the session that stands for the user (`User.display`, as in `sessionValues`) */
export function userValues(user: User, display: Session | undefined): Values {
  const sessions = user.newestFirst;
  const openSessions = sessions.filter(({ stopping }) => !stopping);
  const activeSessions = openSessions.filter(({ active }) => active);
  // Most often all of them are, and a user may have a thousand.
  const all = list(sessions);
  const open = openSessions.length === sessions.length ? all : list(openSessions);
  const active = activeSessions.length === openSessions.length ? open : list(activeSessions);
  const { state } = user;
  return {
    NAME: user.name,
    STATE: state,
    STOPPING: state === "closing",
    GID: user.gid,
    RUNTIME: user.runtimePath,
    DISPLAY: display?.id,
    REALTIME: user.since.realtime,
    MONOTONIC: user.since.monotonic,
    LAST_SESSION_TIMESTAMP: user.lastSessionEnd,
    SESSIONS: all.ids,
    SEATS: all.seats,
    ACTIVE_SESSIONS: active.ids,
    ONLINE_SESSIONS: open.ids,
    ACTIVE_SEATS: active.seats,
    ONLINE_SEATS: open.seats,
  };
}

export function seatValues(seat: Seat): Values {
  // SESSIONS and UIDS need as many words each, or sd_seat_get_sessions(3) fails.
  const sessions = seat.newestFirst;
  return {
    IS_SEAT0: seat.id === "seat0",
    CAN_MULTI_SESSION: true,
    CAN_TTY: seat.hasVts,
    CAN_GRAPHICAL: seat.canGraphical,
    ACTIVE: seat.active?.id,
    ACTIVE_UID: seat.active?.user.uid,
    SESSIONS: sessions.map((session) => session.id).join(" "),
    UIDS: sessions.map((session) => session.user.uid).join(" "),
  };
}
