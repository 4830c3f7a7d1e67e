/** org.freedesktop.login1.Manager: its properties, but for the configured ones. */

import { drifting, hidden, type Members, membersOf } from "../../dbus/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";
import { onExternalPower } from "../hardware/power-supply.ts";
import type { Login1 } from "../login1.ts";
import { combineIdle, type Idle } from "../vocabulary/idle.ts";

const { property } = membersOf<Login1>();

/**
 * The machine is idle if all its sessions are, and no inhibitor of idleness is held. As with logind
 * it is so since the manager's start at the earliest, and an inhibitor says nothing of since when.
 */
function idle({ manager, inhibitors }: Login1): Idle {
  return combineIdle([
    manager.idle,
    { hint: !inhibitors.isBlocking("idle"), since: manager.started },
  ]);
}

export const managerProperties: Members<Login1> = {
  IdleHint: drifting(property("b", "true", (login1) => idle(login1).hint)),
  IdleSinceHint: drifting(property("t", "true", (login1) => idle(login1).since.realtime)),
  IdleSinceHintMonotonic: drifting(property("t", "true", (login1) => idle(login1).since.monotonic)),
  Docked: property("b", "false", ({ lid }) => lid.docked),
  LidClosed: property("b", "true", ({ lid }) => lid.closed),
  OnExternalPower: property("b", "false", (_login1) => onExternalPower()),
  UserTasksMax: hidden(
    property("t", "const", ({ manager }) => manager.mostUserTasks ?? UINT64_MAX),
  ),
  NCurrentSessions: property("t", "false", ({ manager }) => BigInt(manager.sessions.size)),
};
