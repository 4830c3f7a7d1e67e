/** What the state files of sessions, users and seats say, in the order in which logind writes them. */
import { existsSync, mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { removeFile } from "../../linux/index.ts";
import type { Seat } from "../model/seat.ts";
import {
  SESSION_CLASSES,
  SESSION_TYPES,
  Session,
  type SessionClass,
  type SessionType,
} from "../model/session.ts";
import type { User } from "../model/user.ts";
import { loadIdle, savedIdle } from "../sessions/idle-hints.ts";
import { MACHINES, SEATS, SESSIONS, USERS } from "../vocabulary/paths.ts";
import { loadState, removeState, saveState } from "./env-file.ts";

/** Makes the folders that sd_login_monitor_new(3) fails without. */
export function ensureStateFolders(): void {
  for (const folder of [SESSIONS, USERS, SEATS, MACHINES]) {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
  }
}

/** @param isDisplay whether it stands for its user (`User.display`, which looks at all: ask once) */
export function saveSession(session: Session, isDisplay: boolean): void {
  saveState(session.stateFile, {
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
    DISPLAY: session.display,
    REMOTE_HOST: session.remoteHost,
    REMOTE_USER: session.remoteUser,
    SERVICE: session.service,
    DESKTOP: session.desktop,
    POSITION: session.position > 0 ? session.position : undefined,
    VTNR: session.vtnr > 0 ? session.vtnr : undefined,
    LEADER: session.leader.pid,
    LEADER_PIDFDID: session.leader.pidfdId > 0n ? session.leader.pidfdId : undefined,
    LEADER_START: session.leader.startTime > 0n ? session.leader.startTime : undefined,
    AUDIT: session.audit > 0 ? session.audit : undefined,
    LOCKED_HINT: session.lockedHint,
    REALTIME: session.since.realtime,
    MONOTONIC: session.since.monotonic,
    CONTROLLER: session.controller,
    DEVICES: [...session.devices].join(" "),
    EXTRA_DEVICE_ACCESS: session.extraDeviceAccess.join(" "),
    ...savedIdle(session.idleHint),
  });
}

/** Sessions and their seats as a user's file lists them. */
function list(sessions: Session[]): { ids: string; seats: string } {
  const seats = new Set<string>();
  for (const { seat } of sessions) if (seat) seats.add(seat.id);
  return { ids: sessions.map(({ id }) => id).join(" "), seats: [...seats].join(" ") };
}

/** @param display the session that stands for the user (`User.display`, as in `saveSession`) */
export function saveUser(user: User, display: Session | undefined): void {
  const sessions = [...user.sessions];
  const openSessions = sessions.filter(({ stopping }) => !stopping);
  const activeSessions = openSessions.filter(({ active }) => active);
  // Most often all of them are, and a user may have a thousand.
  const all = list(sessions);
  const open = openSessions.length === sessions.length ? all : list(openSessions);
  const active = activeSessions.length === openSessions.length ? open : list(activeSessions);
  const { state } = user;
  saveState(user.stateFile, {
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
  });
}

export function saveSeat(seat: Seat): void {
  // SESSIONS and UIDS need as many words each, or sd_seat_get_sessions(3) fails.
  const sessions = [...seat.sessions];
  saveState(seat.stateFile, {
    IS_SEAT0: seat.id === "seat0",
    CAN_MULTI_SESSION: true,
    CAN_TTY: seat.hasVts,
    CAN_GRAPHICAL: seat.canGraphical,
    ACTIVE: seat.active?.id,
    ACTIVE_UID: seat.active?.user.uid,
    SESSIONS: sessions.map((session) => session.id).join(" "),
    UIDS: sessions.map((session) => session.user.uid).join(" "),
  });
}

/** The ids of the seats that a file is there for. */
export function savedSeats(): string[] {
  return listFiles(SEATS).map((path) => path.slice(SEATS.length + 1));
}

/** The id of the session that was in a seat's foreground when its file was written. */
export function loadActiveSession(seat: Seat): string | undefined {
  return loadState(seat.stateFile)?.get("ACTIVE");
}

/** A user as its file has it, with what sets it apart from a new one. */
export interface SavedUser {
  uid: number;
  gid: number;
  name: string;
  runtimePath: string;
  since: { realtime: bigint; monotonic: bigint };
  lastSessionEnd: bigint | undefined;
}

/** Every user that a file is there for; a file that makes no sense goes to `onBad` and is passed over. */
export function loadUsers(onBad: (path: string, reason: string) => void): SavedUser[] {
  return listFiles(USERS).flatMap((path) => {
    const values = loadState(path);
    const uid = Number(path.slice(USERS.length + 1));
    const gid = Number(values?.get("GID"));
    const name = values?.get("NAME");
    const runtimePath = values?.get("RUNTIME");
    if (!values || !name || !runtimePath || !Number.isInteger(uid) || !Number.isInteger(gid)) {
      onBad(path, "it lacks NAME, GID or RUNTIME");
      return [];
    }
    const lastSessionEnd = microseconds(values, "LAST_SESSION_TIMESTAMP");
    return [{ uid, gid, name, runtimePath, since: timestamps(values), lastSessionEnd }];
  });
}

/** Every session that a file is there for, in the order in which they began; see `loadUsers`. */
export function loadSessions(
  userOf: (uid: number) => User | undefined,
  seatOf: (id: string) => Seat | undefined,
  onBad: (path: string, reason: string) => void,
): Session[] {
  const sessions = listFiles(SESSIONS).flatMap((path) => {
    const id = path.slice(SESSIONS.length + 1);
    const values = loadState(path);
    if (!/^[A-Za-z0-9]+$/.test(id) || !values) return [];
    const text = (key: string) => values.get(key) ?? "";
    const user = userOf(Number(text("UID")));
    const type = text("TYPE") as SessionType;
    const kind = text("CLASS") as SessionClass;
    const pid = Number(text("LEADER"));
    const pidfdId = BigInt(text("LEADER_PIDFDID") || "0");
    if (!user || !SESSION_TYPES.includes(type) || !SESSION_CLASSES.includes(kind) || !(pid > 0)) {
      onBad(path, "its UID, TYPE, CLASS or LEADER is missing or wrong");
      return [];
    }
    const session = new Session({
      id,
      user,
      leader: {
        pid,
        pidfdId,
        startTime: pidfdId > 0n ? 0n : BigInt(text("LEADER_START") || "0"),
      },
      service: text("SERVICE"),
      type,
      class: kind,
      desktop: text("DESKTOP"),
      seat: seatOf(text("SEAT")),
      vtnr: Number(text("VTNR") || "0"),
      tty: text("TTY"),
      display: text("DISPLAY"),
      remote: text("REMOTE") === "1",
      remoteHost: text("REMOTE_HOST"),
      remoteUser: text("REMOTE_USER"),
      extraDeviceAccess: text("EXTRA_DEVICE_ACCESS").split(" ").filter(Boolean),
      audit: Number(text("AUDIT") || "0"),
      since: timestamps(values),
      hasFifo: text("FIFO") !== "",
    });
    session.stopping = text("STOPPING") === "1";
    session.terminatedAt = microseconds(values, "TERMINATED");
    session.lockedHint = text("LOCKED_HINT") === "1";
    session.originalType =
      SESSION_TYPES.find((known) => known === text("ORIGINAL_TYPE")) ?? session.type;
    session.wasActive = text("ACTIVE") === "1";
    session.controller = text("CONTROLLER") || undefined;
    for (const device of text("DEVICES").split(" ").filter(Boolean)) session.devices.add(device);
    session.position = Number(text("POSITION") || "0");
    session.idleHint = loadIdle(values);
    return [session];
  });
  return sessions.sort((a, b) => Number(a.since.monotonic - b.since.monotonic));
}

function timestamps(values: Map<string, string>) {
  const number = (key: string) => microseconds(values, key) ?? 0n;
  return { realtime: number("REALTIME"), monotonic: number("MONOTONIC") };
}

function microseconds(values: Map<string, string>, key: string): bigint | undefined {
  const digits = /^\d+$/.exec(values.get(key) ?? "")?.[0];
  return digits === undefined ? undefined : BigInt(digits);
}

/** The state files in a folder: temporary dotfiles and fifos left out. */
function listFiles(folder: string): string[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && !entry.name.startsWith("."))
    .map((entry) => join(folder, entry.name));
}

/** Removes the files of a session. */
export function removeSession(session: Session): void {
  removeState(session.stateFile);
  removeFile(session.fifo);
}

/** Removes the file of a seat. */
export function removeSeat(seat: Seat): void {
  removeState(seat.stateFile);
}

/** Removes the file of a user. */
export function removeUser(user: User): void {
  removeState(user.stateFile);
}
