/**
 * The sessions, users and seats of the last run, from their state files. A file may be damaged, and
 * whoever had a session is to keep it: what can be known otherwise is, what cannot is as in a new
 * session, and only a session whose user or leader nobody knows is passed over.
 */
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import {
  hasCode,
  messageOf,
  now,
  type ProcessIdentity,
  type Timestamp,
  userById,
} from "../../linux/index.ts";
import {
  isSeatName,
  isSessionId,
  LAST_UID,
  SESSION_CLASSES,
  SESSION_TYPES,
  type SessionClass,
  type SessionType,
} from "../../sd-login/index.ts";
import { hasVts, MOST_VTS, vtNumber } from "../hardware/vt.ts";
import { removeAny, unspeakableIn } from "../host/plain-file.ts";
import {
  type IdleRule,
  NO_AUDIT,
  type Seat,
  Session,
  TTY_VALIDITIES,
  User,
} from "../model/objects.ts";
import { runtimePath } from "../users/runtime-dir.ts";
import type { Idle } from "../vocabulary/idle.ts";
import { SEATS, SESSIONS, USERS } from "../vocabulary/paths.ts";
import { isText, isTtyName, isUdevTag } from "../vocabulary/texts.ts";
import { SavedValues } from "./saved-values.ts";
import type { StateFiles } from "./state-files.ts";

/** The kernel's PID_MAX_LIMIT. */
const LAST_PID = 2 ** 22;
const UNIQUE_NAME = /^:\d+\.\d+$/;
const DEVICE = /^\d{1,4}:\d{1,7}$/;

/** Told of each file, or what in it, that is not used. */
export type OnBad = (path: string, reason: string) => void;

/** The ids of the seats that a file is there for. */
export function savedSeats(): string[] {
  return listFiles(SEATS).map(({ name }) => name);
}

/** The id of the session that was in a seat's foreground when its file was written. */
export function loadActiveSession(files: StateFiles, seat: Seat, onBad: OnBad): string | undefined {
  return load(files, seat.stateFile, onBad)?.values.get("ACTIVE");
}

/**
 * Every user that a file is there for; who has left nothing else but the number is looked up. What is no
 * user's file goes, since sd_get_uids(3) would go on listing it.
 */
export function loadUsers(files: StateFiles, onBad: OnBad): User[] {
  return listFiles(USERS).flatMap(({ path, name }) => {
    const uid = /^(?:0|[1-9]\d{0,9})$/.test(name) ? Number(name) : undefined;
    if (uid === undefined || uid > LAST_UID) {
      onBad(path, "its name is no UID");
      files.remove(path);
      return [];
    }
    const saved = load(files, path, onBad);
    if (!saved) return [];
    const gid = saved.integer("GID", 0, LAST_UID);
    const known = saved.text("NAME", (text) => text !== "" && isText(text));
    const account =
      gid === undefined || known === "" || saved.values.get("RUNTIME") !== runtimePath(uid)
        ? userById(uid)
        : { uid, gid, name: known };
    if (!account) {
      onBad(path, `its NAME, GID or RUNTIME is missing or wrong, and there is no user ${uid}`);
      files.remove(path);
      return [];
    }
    const user = new User(uid, account.gid, account.name, runtimePath(uid), saved.since());
    user.lastSessionEnd = saved.monotonic("LAST_SESSION_TIMESTAMP");
    return [user];
  });
}

/** What `loadSessions` needs to know of the rest. */
export interface SessionWorld {
  /** The user of this uid and name, whom the session may be the only one to tell of; undefined if there is none. */
  userOf(uid: number, name: string): User | undefined;
  /** The seat of this name; undefined if it never was. */
  seatOf(id: string, isEnding: boolean): Seat | undefined;
  idleRule: IdleRule;
}

/** Every session that a file is there for, in the order in which they began; a file that is of none goes. */
export function loadSessions(files: StateFiles, world: SessionWorld, onBad: OnBad): Session[] {
  const sessions = listFiles(SESSIONS).flatMap(({ path, name }) => {
    const isId = isSessionId(name);
    const saved = isId ? load(files, path, onBad) : undefined;
    const session = saved && readSession(name, saved, world);
    if (session) return [session];
    if (isId && !saved) {
      if (!existsSync(path)) files.remove(`${path}.ref`);
      return [];
    }
    onBad(
      path,
      isId
        ? "its UID, USER, TYPE, CLASS or LEADER is missing or wrong"
        : "its name is no session's",
    );
    // Or sd_get_sessions(3) would list a session that there is not.
    files.remove(path);
    files.remove(`${path}.ref`);
    return [];
  });
  return sessions.sort((a, b) => Number(a.since.monotonic - b.since.monotonic));
}

function readSession(
  id: string,
  saved: SavedValues,
  { userOf, seatOf, idleRule }: SessionWorld,
): Session | undefined {
  const uid = saved.integer("UID", 0, LAST_UID);
  const type = saved.values.get("TYPE") as SessionType;
  const kind = saved.values.get("CLASS") as SessionClass;
  const pid = saved.integer("LEADER", 2, LAST_PID);
  if (uid === undefined || pid === undefined) return undefined;
  if (!SESSION_TYPES.includes(type) || !SESSION_CLASSES.includes(kind)) return undefined;
  // The two say who it is: where they do not agree neither is to be believed.
  const user = userOf(uid, saved.values.get("USER") ?? "");
  if (!user) return undefined;
  const session = new Session({
    id,
    user,
    leader: readLeader(pid, saved),
    service: saved.text("SERVICE", isText),
    type,
    class: kind,
    desktop: saved.text("DESKTOP", isText),
    ...readPlace(saved, seatOf),
    display: saved.text("DISPLAY", isText),
    remote: saved.flag("REMOTE"),
    remoteHost: saved.text("REMOTE_HOST", isText),
    remoteUser: saved.text("REMOTE_USER", isText),
    extraDeviceAccess: saved.words("EXTRA_DEVICE_ACCESS", isUdevTag),
    audit: saved.integer("AUDIT", 0, LAST_UID) ?? NO_AUDIT,
    since: saved.since(),
    // The file of the fifo itself tells best.
    hasFifo: existsSync(`${SESSIONS}/${id}.ref`),
    idleRule,
  });
  restoreState(session, saved);
  if (saved.flag("IS_DISPLAY")) user.display ??= session;
  return session;
}

/** Who leads it; zeros where what tells it from a later process of its number is not known. */
function readLeader(pid: number, saved: SavedValues): ProcessIdentity {
  const pidfdId = saved.unsigned("LEADER_PIDFDID") ?? 0n;
  const startTime = saved.unsigned("LEADER_START") ?? 0n;
  return { pid, pidfdId, startTime: pidfdId > 0n ? 0n : startTime };
}

/** Where somebody sits, as `placeSession` would have it: far away on no seat, on a VT on seat0. */
function readPlace(saved: SavedValues, seatOf: SessionWorld["seatOf"]) {
  const tty = saved.text("TTY", isTtyName);
  if (saved.flag("REMOTE")) return { seat: undefined, vtnr: 0, tty };
  const vtnr = vtNumber(tty) ?? saved.integer("VTNR", 1, MOST_VTS) ?? 0;
  const named = saved.text("SEAT", isSeatName);
  if (vtnr > 0 && hasVts()) return { seat: seatOf("seat0", false), vtnr, tty };
  // With VTs there is no place on seat0 without one.
  const isNone = named === "" || (named === "seat0" && hasVts());
  return { seat: isNone ? undefined : seatOf(named, saved.flag("STOPPING")), vtnr: 0, tty };
}

/** What has become of it since it began. */
function restoreState(session: Session, saved: SavedValues): void {
  session.stopping = saved.flag("STOPPING");
  session.terminatedAt = saved.monotonic("TERMINATED");
  session.lockedHint = saved.flag("LOCKED_HINT");
  session.originalType =
    SESSION_TYPES.find((known) => known === saved.values.get("ORIGINAL_TYPE")) ?? session.type;
  session.ttyValidity =
    TTY_VALIDITIES.find((known) => known === saved.values.get("TTY_VALIDITY")) ??
    session.ttyValidity;
  session.wasActive = saved.flag("ACTIVE");
  session.controller = saved.text("CONTROLLER", (text) => UNIQUE_NAME.test(text)) || undefined;
  // They are the controller's: without one nobody has them.
  const devices = session.controller === undefined ? [] : saved.words("DEVICES", isDevice);
  for (const device of devices) session.devices.add(device);
  session.position = saved.integer("POSITION", 1, 0xffff) ?? 0;
  session.idleHint = readIdle(saved);
}

const isDevice = (word: string) => DEVICE.test(word);

function readIdle(saved: SavedValues): Idle {
  const since: Timestamp = {
    realtime: saved.unsigned("IDLE_SINCE_REALTIME") ?? 0n,
    monotonic: saved.monotonic("IDLE_SINCE_MONOTONIC") ?? 0n,
  };
  return { hint: saved.flag("IDLE_HINT"), since };
}

/**
 * The user of a session, whose own file is missing or has another name in it, if there is such an account.
 *
 * @param known what that file says
 */
export function userOfSession(uid: number, name: string, known?: User): User | undefined {
  if (known?.name === name) return known;
  const account = userById(uid);
  if (account?.name !== name) return undefined;
  return new User(uid, account.gid, name, runtimePath(uid), known?.since ?? now());
}

/** What a file says; undefined if it cannot be read. What is in its place then goes, unless it may be read another time. */
function load(files: StateFiles, path: string, onBad: OnBad): SavedValues | undefined {
  try {
    const values = files.load(path);
    return values && new SavedValues(values, (reason) => onBad(path, reason));
  } catch (error) {
    onBad(path, messageOf(error));
    if (isDamage(error)) files.remove(path);
    return undefined;
  }
}

/** Whether it is the file that is wrong, and not what keeps us from reading it just now. */
const isDamage = (error: unknown) =>
  !(error instanceof Error && "code" in error) || hasCode(error, "ELOOP", "EISDIR", "ENXIO");

/**
 * Removes what a run that was killed left unfinished: files under their temporary names, and fifos of
 * sessions that have no file. What is never ours, and sd_get_sessions(3) and the others would list, goes
 * with it: fifos' names elsewhere, and names that are no text.
 */
export function removeUnfinished(files: StateFiles): void {
  for (const folder of [SESSIONS, USERS, SEATS]) {
    const names = readdirSync(folder);
    for (const name of names) {
      const isOurs = folder === SESSIONS && names.includes(name.slice(0, -".ref".length));
      const isFifo = name.endsWith(".ref") && !isOurs;
      if (name.startsWith(".#") || isFifo) files.remove(join(folder, name));
    }
    for (const path of unspeakableIn(folder)) files.change(`${path}`, () => removeAny(path));
  }
}

/** What is in the place of state files in a folder: temporary dotfiles and fifos left out. */
function listFiles(folder: string): { path: string; name: string }[] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => !name.startsWith(".") && !name.endsWith(".ref"))
    .map((name) => ({ path: join(folder, name), name }));
}
