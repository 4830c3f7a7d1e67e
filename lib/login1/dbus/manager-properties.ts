/** org.freedesktop.login1.Manager: its properties. */
import { type Members, membersOf } from "../../dbus/index.ts";
import { docked, lidClosed, onExternalPower } from "../hardware.ts";
import type { Login1 } from "../login1.ts";
import { SESSIONS_MAX } from "../manager.ts";
import { runtimeDirectoryInodes, runtimeDirectorySize } from "../runtime-dir.ts";
import { IDLE_AFTER } from "../session.ts";

const { property } = membersOf<Login1>();

/** USEC_INFINITY: a time that never comes. */
const NEVER = 0xffffffffffffffffn;

export const managerProperties: Members<Login1> = {
  // What follows says what the bridge does, not what somebody configured: it
  // starts no terminals, kills nothing at logout, and leaves keys, lid and
  // idleness alone.
  NAutoVTs: property("u", "const", (_login1) => 0),
  KillOnlyUsers: property("as", "const", (_login1): string[] => []),
  KillExcludeUsers: property("as", "const", (_login1) => ["root"]),
  KillUserProcesses: property("b", "const", (_login1) => false),
  IdleHint: property("b", "true", ({ manager }) => manager.idle.hint),
  IdleSinceHint: property("t", "true", ({ manager }) => manager.idle.since.realtime),
  IdleSinceHintMonotonic: property("t", "true", ({ manager }) => manager.idle.since.monotonic),
  UserStopDelayUSec: property("t", "const", (_login1) => 0n),
  HandlePowerKey: property("s", "const", (_login1) => "ignore"),
  HandlePowerKeyLongPress: property("s", "const", (_login1) => "ignore"),
  HandleRebootKey: property("s", "const", (_login1) => "ignore"),
  HandleRebootKeyLongPress: property("s", "const", (_login1) => "ignore"),
  HandleSuspendKey: property("s", "const", (_login1) => "ignore"),
  HandleSuspendKeyLongPress: property("s", "const", (_login1) => "ignore"),
  HandleHibernateKey: property("s", "const", (_login1) => "ignore"),
  HandleHibernateKeyLongPress: property("s", "const", (_login1) => "ignore"),
  HandleLidSwitch: property("s", "const", (_login1) => "ignore"),
  HandleLidSwitchExternalPower: property("s", "const", (_login1) => "ignore"),
  HandleLidSwitchDocked: property("s", "const", (_login1) => "ignore"),
  IdleAction: property("s", "const", (_login1) => "ignore"),
  IdleActionUSec: property("t", "const", (_login1) => IDLE_AFTER),
  Docked: property("b", "false", (_login1) => docked()),
  LidClosed: property("b", "true", (_login1) => lidClosed()),
  OnExternalPower: property("b", "false", (_login1) => onExternalPower()),
  RemoveIPC: property("b", "const", (_login1) => false),
  RuntimeDirectorySize: property("t", "const", (_login1) => runtimeDirectorySize),
  RuntimeDirectoryInodesMax: property("t", "const", (_login1) => runtimeDirectoryInodes),
  SessionsMax: property("t", "const", (_login1) => BigInt(SESSIONS_MAX)),
  NCurrentSessions: property("t", "false", ({ manager }) => BigInt(manager.sessions.size)),
  StopIdleSessionUSec: property("t", "const", (_login1) => NEVER),
};
