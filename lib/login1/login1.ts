import type { Lid } from "./actions/lid.ts";
import type { Control } from "./devices/control.ts";
import type { Devices } from "./devices/session-devices.ts";
import type { Inhibitors } from "./inhibitors/inhibitors.ts";
import type { Operations } from "./power/operations.ts";
import type { Power } from "./power/shutdown.ts";
import type { Sleeper } from "./power/sleep.ts";
import type { Manager } from "./sessions/manager.ts";
import type { Settings } from "./settings/logind-conf.ts";

/** The parts of login1, as the D-Bus interfaces see them. */
export interface Login1 {
  inhibitors: Inhibitors;
  manager: Manager;
  operations: Operations;
  power: Power;
  sleeper: Sleeper;
  settings: Settings;
  control: Control;
  devices: Devices;
  lid: Lid;
}
