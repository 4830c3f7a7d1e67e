/** Idleness of sessions, users, seats and the machine; see org.freedesktop.login1(5). */
import type { Timestamp } from "../../linux/index.ts";

/** Whether something is idle, and since when; zeros where that is not known. */
export interface Idle {
  hint: boolean;
  since: Timestamp;
}

/** Of what nobody knows since when. */
export const NOT_IDLE: Idle = { hint: false, since: { realtime: 0n, monotonic: 0n } };

/** The properties that tell of idleness, the same four objects over. */
export const IDLE_PROPERTIES = ["IdleHint", "IdleSinceHint", "IdleSinceHintMonotonic"] as const;

/**
 * Idle only if all are, and then since the last of them became so; if not,
 * since the first of those that are not. With none, idle, and nobody knows since when.
 *
 * @param which of those that are not idle says since when: for a seat the last, as with logind
 */
export function combineIdle(parts: Idle[], which: "first" | "last" = "first"): Idle {
  const hint = parts.every((part) => part.hint);
  const [first, ...others] = parts.filter((part) => part.hint === hint);
  const takesLater = hint || which === "last";
  const since = others.reduce(
    (chosen, { since }) =>
      since.monotonic > chosen.monotonic === takesLater && since.monotonic !== chosen.monotonic
        ? since
        : chosen,
    first?.since ?? NOT_IDLE.since,
  );
  return { hint, since };
}
