/** org.freedesktop.login1.Manager: its properties, but for the configured ones. */
import { hidden, type Members, membersOf } from "../../dbus/index.ts";
import { docked, lidClosed, onExternalPower } from "../hardware.ts";
import type { Login1 } from "../login1.ts";

const { property } = membersOf<Login1>();

/** CGROUP_LIMIT_MAX of systemd: no limit. */
const UNLIMITED = 0xffffffffffffffffn;

export const managerProperties: Members<Login1> = {
  IdleHint: property("b", "true", ({ manager }) => manager.idle.hint),
  IdleSinceHint: property("t", "true", ({ manager }) => manager.idle.since.realtime),
  IdleSinceHintMonotonic: property("t", "true", ({ manager }) => manager.idle.since.monotonic),
  Docked: property("b", "false", (_login1) => docked()),
  LidClosed: property("b", "true", (_login1) => lidClosed()),
  OnExternalPower: property("b", "false", (_login1) => onExternalPower()),
  // Long obsolete, and never obeyed here: what limits a user's tasks is pam_limits or a cgroup.
  UserTasksMax: hidden(property("t", "const", (_login1) => UNLIMITED)),
  NCurrentSessions: property("t", "false", ({ manager }) => BigInt(manager.sessions.size)),
};
