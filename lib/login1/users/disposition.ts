/** What kind of account a uid is, by the ranges of systemd's documents (Users, Groups, UIDs and GIDs). */

/** The last uid of a system user, as systemd and Arch's login.defs (SYS_UID_MAX) have it. */
const SYSTEM_UID_MAX = 999;
const NOBODY = 65534;
/** Of greeters that a display manager makes as it needs them, and of services with DynamicUser=. */
const MADE_AS_NEEDED = [
  [60578, 60705],
  [61184, 65519],
] as const;

/** A uid below those of people. */
export const isSystemUid = (uid: number): boolean => uid <= SYSTEM_UID_MAX;

/** Whether an account is a program's and no person's: root, nobody, system users, those made as needed. */
export function isProgramsUid(uid: number): boolean {
  return (
    isSystemUid(uid) ||
    uid === NOBODY ||
    MADE_AS_NEEDED.some(([first, last]) => uid >= first && uid <= last)
  );
}
