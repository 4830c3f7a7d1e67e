/** Sessions, users, seats and inhibitors as io.systemd.Login describes them: what is not set is left out. */
import { NO_UID } from "../../sd-login/index.ts";
import type { Reply } from "../../varlink/index.ts";
import type { Inhibitor } from "../inhibitors/inhibitor.ts";
import type { Seat, Session, User } from "../model/objects.ts";
import type { Idle } from "../vocabulary/idle.ts";
import { toVarlinkName } from "./login-description.ts";
import { processReply } from "./process.ts";

/** The values that are set: neither undefined nor empty. */
const set = (values: Readonly<Record<string, unknown>>): Reply =>
  Object.fromEntries(
    Object.entries(values).filter(
      ([, value]) =>
        value !== undefined && value !== "" && !(Array.isArray(value) && value.length === 0),
    ),
  );

/** A moment on both clocks, in microseconds; undefined for one that nobody knows. */
const moment = ({ realtime, monotonic }: Idle["since"]): Reply | undefined =>
  realtime === 0n && monotonic === 0n
    ? undefined
    : { realtime: Number(realtime), monotonic: Number(monotonic) };

/** Since when is said only of what is idle, and is null where nobody knows. */
const idleness = ({ hint, since }: Idle): Reply => ({
  IdleHint: hint,
  ...(hint && { IdleSinceHint: moment(since) ?? null }),
});

export const sessionReply = (session: Session): Reply => ({
  context: set({
    UID: session.user.uid,
    PID:
      session.leader.pid > 0 ? processReply(session.leader.pid, session.leader.pidfdId) : undefined,
    Type: session.type,
    Class: toVarlinkName(session.class),
    Service: session.service,
    Desktop: session.desktop,
    Seat: session.seat?.id,
    VTNr: session.vtnr || undefined,
    TTY: session.tty,
    Display: session.display,
    Remote: session.remote,
    RemoteHost: session.remoteHost,
    RemoteUser: session.remoteUser,
    ExtraDeviceAccess: session.extraDeviceAccess,
  }),
  runtime: set({
    Id: session.id,
    Scope: session.scope,
    Audit: session.audit > 0 && session.audit !== NO_UID ? session.audit : undefined,
    Timestamp: moment(session.since),
    State: session.state,
    Active: session.active,
    ...idleness(session.idle),
    LockedHint: session.lockedHint,
    CanIdle: session.canIdle,
    CanLock: session.canLock,
  }),
});

/** There is no service manager of users, so no name of its unit. */
export const userReply = (user: User): Reply => ({
  context: set({
    ...{ UID: user.uid, GID: user.gid, Name: user.name, Linger: user.lingers },
    ...{ Slice: user.slice, RuntimePath: user.runtimePath },
  }),
  runtime: set({
    Display: user.display?.id,
    State: user.state,
    Sessions: [...user.sessions].map(({ id }) => id),
    Timestamp: moment(user.since),
    ...idleness(user.idle),
  }),
});

export const seatReply = (seat: Seat): Reply => ({
  context: { Id: seat.id },
  runtime: set({
    ActiveSession: seat.active?.id,
    Sessions: [...seat.sessions].map(({ id }) => id),
    ...{ CanTTY: seat.hasVts, CanGraphical: seat.canGraphical },
    ...idleness(seat.idle),
  }),
});

export const inhibitorReply = (inhibitor: Inhibitor): Reply => ({
  context: set({
    Id: inhibitor.id,
    What: inhibitor.what.map(toVarlinkName),
    ...{ Who: inhibitor.who, Why: inhibitor.why },
    ...{ Mode: toVarlinkName(inhibitor.mode), UID: inhibitor.uid },
  }),
  runtime: set({
    PID: inhibitor.pid > 0 ? processReply(inhibitor.pid, inhibitor.pidfdId) : undefined,
    Since: moment(inhibitor.since),
  }),
});
