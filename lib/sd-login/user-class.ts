/** Which class a session of this user has, where nobody says it; see pam_systemd(8) and UIDS-GIDS of systemd. */
import { isGraphical, type SessionClass, type SessionType } from "./classes.ts";
import { NO_UID } from "./names.ts";

const ROOT = 0;
const NOBODY = 65534;
/** The last uid of a system user, as systemd and Arch's login.defs (SYS_UID_MAX) have it. */
const SYSTEM_UID_MAX = 999;
/** Users that are made for a while: greeters, and those of services. */
const TRANSIENT: readonly (readonly [number, number])[] = [
  [60578, 60705],
  [61184, 65519],
];

/** Whether a uid is below those of people. */
export const isSystemUid = (uid: number): boolean => uid <= SYSTEM_UID_MAX;

/** Whether no person is behind a uid: root, nobody, system users, and those that are made for a while. */
export function isSystemUser(uid: number): boolean {
  const within = ([first, last]: readonly [number, number]) => uid >= first && uid <= last;
  return uid === NOBODY || isSystemUid(uid) || TRANSIENT.some(within);
}

/**
 * The class of a session for which none is asked. Root may log in before others may, and no system user
 * is to have services of its own started but for a desktop.
 */
export function impliedClass(type: SessionType, uid: number): SessionClass {
  const isJob = type === "unspecified";
  if (uid === NO_UID || !isSystemUser(uid)) return isJob ? "background" : "user";
  if (isJob) return "background-light";
  if (uid === ROOT) return "user-early";
  return isGraphical(type) ? "user" : "user-light";
}
