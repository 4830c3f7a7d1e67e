import type { Settings } from "./config.ts";
import type { Control } from "./controller.ts";
import type { Devices } from "./devices.ts";
import type { Inhibitors } from "./inhibitors.ts";
import type { Lid } from "./lid.ts";
import type { Manager } from "./manager.ts";
import type { Operations } from "./operations.ts";
import type { Power } from "./power.ts";
import type { Sleeper } from "./sleep.ts";

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
