/** The brightness of a screen's or a keyboard's light (SetBrightness). */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { busErrors } from "../dbus/index.ts";
import { login1Errors } from "./errors.ts";
import type { Session } from "./session.ts";
import { deviceAt, udevRecord } from "./udev.ts";

/**
 * Sets a light of the session's own seat, in the device's own unit: its
 * max_brightness is the brightest.
 *
 * @param subsystem `backlight` or `leds`
 * @throws {BusError} NotSupported, InvalidArgs, NotYourDevice, ENODEV
 * @throws {Error} Node's, if the kernel takes no such value
 */
export async function setBrightness(
  session: Session,
  subsystem: string,
  name: string,
  brightness: number,
): Promise<void> {
  if (subsystem !== "backlight" && subsystem !== "leds") {
    throw busErrors.notSupported(
      `Subsystem type ${subsystem} not supported, must be one of 'backlight' or 'leds'.`,
    );
  }
  if (name === "" || name === "." || name === ".." || /[/\0]/.test(name) || name.length > 255) {
    throw busErrors.invalidArgs(`Not a valid device name ${name}, refusing.`);
  }
  if (!session.seat) throw login1Errors.notYourDevice("Your session has no seat, refusing.");
  if (session.seat.active !== session) {
    throw login1Errors.notYourDevice("Session is not in foreground, refusing.");
  }
  // Names in sysfs have ! for /.
  const device = deviceAt(join("/sys/class", subsystem, name.replaceAll("/", "!")));
  if (!device) {
    throw login1Errors.system(
      "ENODEV",
      `Failed to open device ${subsystem}:${name}: No such device`,
    );
  }
  const record = udevRecord(device);
  if (record?.seatNamed && record.seat !== session.seat.id) {
    throw login1Errors.notYourDevice(
      `Device ${subsystem}:${name} does not belong to your seat ${session.seat.id}, refusing.`,
    );
  }
  // A slow light (I2C) must not hold up the rest of us.
  await writeFile(join(device.syspath, "brightness"), String(brightness), { flag: "r+" });
}
