/** What login1 tells of the machine: power, lid, displays, each read from the kernel when asked. */
import { existsSync, globSync, readFileSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { hasCode } from "../../linux/index.ts";

function readWord(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    // A device goes away, or its driver does not know: with what it has of errors (ENXIO, EAGAIN, ETIMEDOUT,
    // EREMOTEIO, …). As with systemd that is a word less, and no answer less.
    if (error instanceof Error && "syscall" in error) return undefined;
    throw error;
  }
}

const words = (pattern: string) => globSync(pattern).map(readWord);

/**
 * False only while the machine runs from its battery, by systemd's rule: no other supply is online, and
 * a battery of the machine's own discharges. What ACPI's mains says counts for nothing while the battery
 * charges or is full: a charger by USB-C need not be it.
 */
export function onExternalPower(): boolean {
  const supplies = globSync("/sys/class/power_supply/*").map((folder) => ({
    folder,
    type: readWord(`${folder}/type`),
  }));
  const isOnline = ({ folder, type }: (typeof supplies)[number]) =>
    type !== undefined &&
    type !== "Battery" &&
    (type !== "USB" || isPowerSink(folder)) &&
    // 1 and 2 are two ways to be online.
    Number(readWord(`${folder}/online`) ?? 0) > 0;
  if (supplies.some(isOnline)) return true;
  return !supplies.some(({ folder, type }) => type === "Battery" && isDischarging(folder));
}

/** Whether a battery runs the machine. One that does not tell of its status is taken to. */
function isDischarging(folder: string): boolean {
  // A mouse's says nothing of the machine's.
  if (readWord(`${folder}/scope`) === "Device") return false;
  if (readWord(`${folder}/present`) === "0") return false;
  return (readWord(`${folder}/status`) ?? "Discharging") === "Discharging";
}

/** Whether power comes in by a USB supply: not if each of the ports beside it gives power to others. */
function isPowerSink(folder: string): boolean {
  const controller = deviceAbove(folder);
  if (controller === undefined) return false;
  const roles = globSync("/sys/class/typec/*").flatMap((port) => {
    const isBeside = realPath(port)?.startsWith(`${controller}/`) ?? false;
    return isBeside ? (readWord(`${port}/power_role`) ?? []) : [];
  });
  const has = (role: string) => roles.some((words) => words.includes(`[${role}]`));
  return has("sink") || !has("source");
}

/** The folder of the device that one in /sys/class belongs to; undefined if it has gone. */
function deviceAbove(folder: string): string | undefined {
  let at = realPath(folder);
  while (at !== undefined && at !== "/") {
    at = dirname(at);
    if (existsSync(join(at, "uevent"))) return at;
  }
  return undefined;
}

function realPath(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** True if the machine has a lid and it is closed, as the ACPI button driver tells. */
export function lidClosed(): boolean {
  return words("/proc/acpi/button/lid/*/state").some((state) => state?.endsWith("closed"));
}

/**
 * The connectors that a laptop's own panel is never on, by the kernel's names for them
 * (drm_connector_enum_list). Others are no dock: `Unknown`, `Virtual`, `DPI`, `Writeback`.
 */
const EXTERNAL = /\/card\d+-(?:VGA|DVI-[ADI]|Composite|SVIDEO|Component|DIN|DP|HDMI-[AB]|TV)-/;

/**
 * True if an external display is in use, which logind takes for docked as well: a connector that is
 * enabled and not known to be disconnected.
 */
export function hasExternalDisplay(): boolean {
  return globSync("/sys/class/drm/card*-*").some(
    (connector) =>
      EXTERNAL.test(connector) &&
      readWord(`${connector}/enabled`) === "enabled" &&
      readWord(`${connector}/status`) !== "disconnected",
  );
}
