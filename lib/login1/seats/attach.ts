/** Giving devices to seats, and taking them back; see loginctl(1), attach and flush-devices. */
import { readdirSync, writeFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { busErrors } from "../../dbus/index.ts";
import { hasCode } from "../../linux/index.ts";
import { isSeatName } from "../../sd-login/index.ts";
import { deviceAt, udevRecord } from "../hardware/udev.ts";
import { announceOutside, removeSeatRules, writeSeatRule } from "../host/privileged.ts";
import { login1Errors } from "../vocabulary/errors.ts";

/**
 * Whether a path can be a device's: logind says so before it asks who may.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkPath(path: string): void {
  if (normalize(path) !== path) throw busErrors.invalidArgs(`Path ${path} is not normalized`);
  if (!`${path}/`.startsWith("/sys/")) throw busErrors.invalidArgs(`Path ${path} is not in /sys`);
}

/**
 * A name that a seat can have, of which there need be none yet.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkedSeat(name: string): string {
  if (!isSeatName(name)) throw busErrors.invalidArgs(`Seat name ${name} is not valid`);
  return name;
}

/**
 * Gives a device to a seat, for good: by a udev rule, which udev then follows.
 *
 * @param path the device's folder in /sys, by `checkPath`
 * @param seat it need not exist yet: a graphics card brings it into being
 * @throws {BusError} ENODEV for a device that cannot be given away
 */
export function attachDevice(seat: string, path: string): void {
  const refuse = (reason: string) => login1Errors.system("ENODEV", reason);
  const device = deviceAt(path);
  if (!device) throw refuse(`Failed to open device '${path}': No such device`);
  const record = udevRecord(device);
  if (!record?.hasSeat) throw refuse(`Device '${path}' lacks 'seat' udev tag.`);
  const { idForSeat } = record;
  if (idForSeat === undefined || !/^[^/"\\\s]+$/.test(idForSeat)) {
    throw refuse(`Device '${path}' lacks 'ID_FOR_SEAT' udev property.`);
  }
  writeSeatRule(seat, idForSeat);
  announce(device.syspath);
}

/** Takes back what `attachDevice` gave, of all devices. */
export function flushDevices(): void {
  removeSeatRules();
  announce("/sys/devices");
}

/**
 * Has the kernel announce a folder's device and all below it anew, which is what
 * udevadm trigger does: udev's rules then run over them.
 */
function announce(syspath: string): void {
  if (!announceOutside(syspath)) triggerBelow(syspath);
}

function triggerBelow(folder: string): void {
  const entries = readFolder(folder);
  if (entries.some((entry) => entry.name === "uevent")) {
    try {
      writeFileSync(join(folder, "uevent"), "change", { flag: "r+" });
    } catch (error) {
      // Some devices take no such request, and some are gone by now; the others are to be told.
      if (!(error instanceof Error && "errno" in error)) throw error;
    }
  }
  for (const entry of entries) if (entry.isDirectory()) triggerBelow(join(folder, entry.name));
}

function readFolder(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV", "EACCES")) return [];
    throw error;
  }
}
