/** org.freedesktop.login1.Manager: its properties, but for the configured ones. */
import { type Members, membersOf } from "../../dbus/index.ts";
import { NEVER } from "../config-values.ts";
import { docked, lidClosed, onExternalPower } from "../hardware.ts";
import type { Login1 } from "../login1.ts";

const { property } = membersOf<Login1>();

export const managerProperties: Members<Login1> = {
  IdleHint: property("b", "true", ({ manager }) => manager.idle.hint),
  IdleSinceHint: property("t", "true", ({ manager }) => manager.idle.since.realtime),
  IdleSinceHintMonotonic: property("t", "true", ({ manager }) => manager.idle.since.monotonic),
  BlockInhibited: property("s", "true", (_login1) => ""),
  BlockWeakInhibited: property("s", "true", (_login1) => ""),
  DelayInhibited: property("s", "true", (_login1) => ""),
  PreparingForShutdown: property("b", "false", (_login1) => false),
  PreparingForSleep: property("b", "false", (_login1) => false),
  ScheduledShutdown: property("(st)", "true", (_login1): [string, bigint] => ["", NEVER]),
  Docked: property("b", "false", (_login1) => docked()),
  LidClosed: property("b", "true", (_login1) => lidClosed()),
  OnExternalPower: property("b", "false", (_login1) => onExternalPower()),
  NCurrentInhibitors: property("t", "true", (_login1) => 0n),
  NCurrentSessions: property("t", "false", ({ manager }) => BigInt(manager.sessions.size)),
};
