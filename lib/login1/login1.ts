/** The parts of login1, as D-Bus and varlink see them. */
import type { Control } from "./devices/control.ts";
import type { Devices } from "./devices/session-devices.ts";
import type { Inhibitors } from "./inhibitors/inhibitors.ts";
import type { Authorizer } from "./permission/authorize.ts";
import type { Operations } from "./power/operations.ts";
import type { Power } from "./power/shutdown.ts";
import type { Sleeper } from "./power/sleep.ts";
import type { AfterReply } from "./sessions/create-session.ts";
import type { Manager } from "./sessions/manager.ts";
import type { Settings } from "./settings/logind-conf.ts";

/** How the laptop stands. */
export interface LidState {
  readonly closed: boolean;
  readonly docked: boolean;
}

export interface Login1 {
  readonly manager: Manager;
  readonly settings: Settings;
  readonly inhibitors: Inhibitors;
  readonly operations: Operations;
  readonly power: Power;
  readonly sleeper: Sleeper;
  readonly control: Control;
  readonly devices: Devices;
  readonly authorizer: Authorizer;
  readonly lid: LidState;
  /** Does something once the answer to the call by D-Bus that is being answered is on its way. */
  readonly afterReply: AfterReply;
}
