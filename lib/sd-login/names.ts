/** The names of sessions and seats, and the numbers that stand for none; see sd-login(3). */

/** UINT64_MAX: a time that never comes (USEC_INFINITY), or no limit (CGROUP_LIMIT_MAX). */
export const UINT64_MAX = 0xffff_ffff_ffff_ffffn;

/** UINT32_MAX, the uid of nobody; to login1's methods it is the caller's own user. */
export const NO_UID = 0xffff_ffff;
/** What is nobody's: that, and the same in 16 bits. */
export const NO_UIDS: readonly number[] = [0xffff, NO_UID];
/** The last uid that can be somebody's. */
export const LAST_UID = NO_UID - 1;

/** Whether a text can be the name of a session: letters and digits. */
export function isSessionId(text: string): boolean {
  return /^[A-Za-z0-9]{1,64}$/.test(text);
}

/** Whether a text can be the name of a seat: `seat0`, `seat-usb1`; udev has no longer names of properties. */
export function isSeatName(text: string): boolean {
  return /^seat[A-Za-z0-9_-]+$/.test(text) && text.length <= 255;
}
