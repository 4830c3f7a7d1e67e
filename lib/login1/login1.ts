import type { Control } from "./controller.ts";
import type { Devices } from "./devices.ts";
import type { Manager } from "./manager.ts";

/** The parts of login1, as the D-Bus interfaces see them. */
export interface Login1 {
  manager: Manager;
  control: Control;
  devices: Devices;
}
