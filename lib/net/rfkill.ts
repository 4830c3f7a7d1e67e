/** Radios, and what switches them off; see rfkill and sysfs-class-rfkill in the kernel's documentation. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { hasCode } from "../linux/index.ts";

/** A wireless LAN's radio that is off. */
export interface Block {
  /** rfkill's own name of it, `rfkill0`. */
  switch: string;
  /** The device: `phy0`, or a laptop's own switch like `ideapad_wlan`. */
  device: string;
  /** Hard is off by a switch of the machine; soft by software, which can undo it. */
  kind: "hard" | "soft";
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder).sort();
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

/**
 * The kernel's wireless devices, `phy0`; none on a system without.
 *
 * @param sysClass /sys/class, or what stands for it
 */
export function wirelessDevices(sysClass: string): string[] {
  return list(join(sysClass, "ieee80211"));
}

/** The blocked radios of wireless LANs; parameter as of `wirelessDevices`. */
export function blocks(sysClass: string): Block[] {
  const blocked: Block[] = [];
  for (const name of list(join(sysClass, "rfkill"))) {
    const read = (file: string) =>
      readFileSync(join(sysClass, "rfkill", name, file), "utf8").trim();
    try {
      if (read("type") !== "wlan") continue;
      const kind = read("hard") === "1" ? "hard" : read("soft") === "1" ? "soft" : undefined;
      if (kind) blocked.push({ switch: name, device: read("name"), kind });
    } catch (error) {
      // Unplugged meanwhile.
      if (!hasCode(error, "ENOENT", "ENODEV")) throw error;
    }
  }
  return blocked;
}
