/** What an inhibitor is; see systemd's "Inhibitor Locks" and org.freedesktop.login1(5). */
import { busErrors } from "../../dbus/index.ts";
import type { Timestamp } from "../../linux/index.ts";

/** What can be inhibited, in the order in which logind lists them. */
export const INHIBIT_WHATS = [
  "shutdown",
  "sleep",
  "idle",
  "handle-power-key",
  "handle-suspend-key",
  "handle-hibernate-key",
  "handle-lid-switch",
  "handle-reboot-key",
] as const;
/** The strongest first. */
export const INHIBIT_MODES = ["block", "block-weak", "delay"] as const;

export type InhibitWhat = (typeof INHIBIT_WHATS)[number];
export type InhibitMode = (typeof INHIBIT_MODES)[number];

export interface Inhibitor {
  readonly id: string;
  readonly what: readonly InhibitWhat[];
  readonly mode: InhibitMode;
  readonly who: string;
  readonly why: string;
  readonly uid: number;
  /** Whose it counts as: see accountOf. */
  readonly account: number;
  readonly pid: number;
  /** The inode of a pidfd of it; 0 where that is not known. */
  readonly pidfdId: bigint;
  /** When it was made, or taken up again by a new bridge. */
  readonly since: Timestamp;
}

/**
 * What is to be inhibited, from its colon-separated form, each once and in logind's order.
 *
 * @throws {BusError} InvalidArgs
 */
export function parseInhibitWhat(text: string): InhibitWhat[] {
  const words = text.split(":");
  if (!words.every((word) => (INHIBIT_WHATS as readonly string[]).includes(word))) {
    throw busErrors.invalidArgs(`Invalid what specification ${text.slice(0, 200)}`);
  }
  return INHIBIT_WHATS.filter((what) => words.includes(what));
}

/** @throws {BusError} InvalidArgs */
export function parseInhibitMode(text: string): InhibitMode {
  const mode = INHIBIT_MODES.find((known) => known === text);
  if (!mode) throw busErrors.invalidArgs(`Invalid mode specification ${text.slice(0, 200)}`);
  return mode;
}

/**
 * Checks that a mode is one that these can be inhibited in.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkInhibitMode(what: readonly InhibitWhat[], mode: InhibitMode): void {
  if (mode === "delay" && what.some((one) => one !== "shutdown" && one !== "sleep")) {
    throw busErrors.invalidArgs("Delay inhibitors only supported for shutdown and sleep");
  }
}
