/** Idle hints: what graphical sessions say of themselves, and how that is kept; see org.freedesktop.login1(5). */
import { busErrors } from "../../dbus/index.ts";
import { now } from "../../linux/index.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import { combineIdle, type Idle, type Session } from "../model/session.ts";
import type { Manager } from "./manager.ts";

/** The properties that tell of idleness, the same four objects over. */
export const IDLE_PROPERTIES = ["IdleHint", "IdleSinceHint", "IdleSinceHintMonotonic"] as const;

/**
 * Takes note of what a graphical session says of itself. Saying the same again
 * changes nothing, the time since when least of all.
 *
 * @throws {BusError} NotSupported for a session whose idleness is not its own
 *   to say: a tty's is its terminal's, and a background session has none
 */
export function setIdleHint(manager: Manager, session: Session, hint: boolean): void {
  if (!session.canIdle || !session.graphical) {
    throw busErrors.notSupported(
      "Idle hint control is not supported on non-graphical and non-user sessions",
    );
  }
  if (session.idleHint.hint === hint) return;
  session.idleHint = { hint, since: now() };
  manager.idleChanged(session);
}

/** Whether the machine is idle: all its sessions are, and no inhibitor of idleness is held. */
export function machineIdle(manager: Manager, inhibitors: Inhibitors): Idle {
  const since = inhibitors.blockedSince("idle");
  return since ? combineIdle([manager.idle, { hint: false, since }]) : manager.idle;
}

/** How a session's own hint is kept in its state file. */
export function savedIdle({ hint, since }: Idle): Record<string, boolean | bigint | undefined> {
  if (since.monotonic === 0n) return {};
  return {
    IDLE_HINT: hint,
    IDLE_SINCE_REALTIME: since.realtime,
    IDLE_SINCE_MONOTONIC: since.monotonic,
  };
}

/** The hint that `savedIdle` kept; not idle where there is none. */
export function loadIdle(values: Map<string, string>): Idle {
  const time = (key: string) => BigInt(/^\d+$/.exec(values.get(key) ?? "")?.[0] ?? "0");
  return {
    hint: values.get("IDLE_HINT") === "1",
    since: {
      realtime: time("IDLE_SINCE_REALTIME"),
      monotonic: time("IDLE_SINCE_MONOTONIC"),
    },
  };
}
