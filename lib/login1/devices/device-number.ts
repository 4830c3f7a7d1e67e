/** The numbers that devices are called by: of callers, in state files, and in what keeps their descriptors. */
import { busErrors } from "../../dbus/index.ts";
import type { Session } from "../model/objects.ts";

/** The kernel's own: 12 bits of major and 20 of minor. */
const MOST_MAJOR = 0xfff;
const MOST_MINOR = 0xfffff;

/** @throws {BusError} InvalidArgs for what the kernel has no such numbers for */
export function checkDeviceNumber(major: number, minor: number): void {
  if (major > MOST_MAJOR || minor > MOST_MINOR) {
    throw busErrors.invalidArgs("Device major/minor is not valid.");
  }
}

/** As one text, `226:0`; throws as `checkDeviceNumber` does. */
export function deviceNumber(major: number, minor: number): string {
  checkDeviceNumber(major, minor);
  return `${major}:${minor}`;
}

/** Major and minor of such a text. */
export function parts(number: string): [number, number] {
  const [major = 0, minor = 0] = number.split(":").map(Number);
  return [major, minor];
}

/** As logind names what it leaves with systemd. */
export function storeName({ id }: Session, number: string): string {
  return `session-${id}-device-${number.replace(":", "-")}`;
}

/** The device that `storeName` has put into a name. */
export function numberIn(name: string): string {
  return name.split("-").slice(-2).join(":");
}
