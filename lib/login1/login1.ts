import type { Settings } from "./config.ts";
import type { Manager } from "./manager.ts";

/** The parts of login1, as the D-Bus interfaces see them. */
export interface Login1 {
  manager: Manager;
  settings: Settings;
}
