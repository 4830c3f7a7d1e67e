import type { Inhibitors } from "./inhibitors.ts";
import type { Manager } from "./manager.ts";

/** The parts of login1, as the D-Bus interfaces see them. */
export interface Login1 {
  inhibitors: Inhibitors;
  manager: Manager;
}
