/** What login1 tells of the machine: power, lid, displays, each read from the kernel when asked. */
import { globSync, readFileSync } from "node:fs";
import { hasCode } from "../../linux/index.ts";

function readWord(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    // A device can go away, or not know, between the listing and the reading.
    if (hasCode(error, "ENOENT", "ENODEV", "EINVAL", "EIO", "ENODATA")) return undefined;
    throw error;
  }
}

const words = (pattern: string) => globSync(pattern).map(readWord);

/**
 * True unless the machine runs from its battery: some mains supply is online,
 * or there is no mains supply and no battery that discharges.
 */
export function onExternalPower(): boolean {
  const supplies = globSync("/sys/class/power_supply/*").map((folder) => ({
    type: readWord(`${folder}/type`),
    online: readWord(`${folder}/online`),
    status: readWord(`${folder}/status`),
    scope: readWord(`${folder}/scope`),
  }));
  // A mouse's battery says nothing of the machine's.
  const own = supplies.filter((supply) => supply.scope !== "Device");
  const sources = own.filter(({ type }) => type === "Mains" || type?.startsWith("USB"));
  if (sources.some(({ online }) => online !== undefined && online !== "0")) return true;
  const discharging = own.some(
    ({ type, status }) => type === "Battery" && status === "Discharging",
  );
  return sources.length === 0 && !discharging;
}

/** True if the machine has a lid and it is closed, as the ACPI button driver tells. */
export function lidClosed(): boolean {
  return words("/proc/acpi/button/lid/*/state").some((state) => state?.endsWith("closed"));
}

/** True if a display besides the built-in panel is connected, which logind takes for docked as well. */
export function hasExternalDisplay(): boolean {
  const connected = globSync("/sys/class/drm/card*-*").filter(
    (connector) => readWord(`${connector}/status`) === "connected",
  );
  return connected.filter((name) => !/-(LVDS|eDP|DSI)-/.test(name)).length > 0;
}
