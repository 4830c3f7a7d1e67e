/** How many connections one user may have to a socket of ours. */
import { accountOf } from "../users/subordinate.ts";

/** So many connections at once. */
export interface RoomLimits {
  /** Of one user other than root. */
  perUser: number;
  /** Of all other users together, and once more of root, whom no crowd keeps out. */
  total: number;
}

const ROOT = 0;

/**
 * Whether one more of a user's fits in.
 *
 * @param uids whose the connections are that there are already
 */
export function hasRoomFor(
  uid: number,
  uids: readonly number[],
  { perUser, total }: RoomLimits,
): boolean {
  const account = accountOf(uid);
  const own = uids.filter((other) => accountOf(other) === account).length;
  if (uid === ROOT) return own < total;
  return own < perUser && uids.filter((other) => other !== ROOT).length < total;
}
