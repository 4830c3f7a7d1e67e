/** The brightness of a screen's or a keyboard's light (SetBrightness). */
import { writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { busErrors } from "../../dbus/index.ts";
import { deviceAt, udevRecord } from "../hardware/udev.ts";
import { setBrightnessOutside } from "../host/privileged.ts";
import type { Seat, Session } from "../model/objects.ts";
import { login1Errors } from "../vocabulary/errors.ts";

/** A light of the seat that a session is in the foreground of. */
export interface LightOfSession {
  seat: Seat;
  subsystem: "backlight" | "leds";
  name: string;
}

/**
 * Whether there can be such a light for a session; logind says so before it looks who asks.
 *
 * @param subsystem `backlight` or `leds`
 * @throws {BusError} NotSupported, InvalidArgs, NotYourDevice
 */
export function lightOfSession(session: Session, subsystem: string, name: string): LightOfSession {
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
  return { seat: session.seat, subsystem, name };
}

/**
 * Sets a light, in the device's own unit: its max_brightness is the brightest.
 *
 * @throws {BusError} NotYourDevice, ENODEV
 * @throws {Error} Node's, if the kernel takes no such value
 */
export async function setBrightness(
  { seat, subsystem, name }: LightOfSession,
  brightness: number,
): Promise<void> {
  // Names in sysfs have ! for /.
  const device = deviceAt(join("/sys/class", subsystem, name.replaceAll("/", "!")));
  if (!device) {
    throw login1Errors.system(
      "ENODEV",
      `Failed to open device ${subsystem}:${name}: No such device`,
    );
  }
  const record = udevRecord(device);
  if (record?.seatNamed && record.seat !== seat.id) {
    throw login1Errors.notYourDevice(
      `Device ${subsystem}:${name} does not belong to your seat ${seat.id}, refusing.`,
    );
  }
  await light(subsystem, device.syspath).set(brightness);
}

/** One light. A slow one (I2C) must not hold up the rest of us, nor be asked for what is past. */
class Light {
  #running: Promise<void> | undefined;
  #next: { value: number; done: Promise<void> } | undefined;

  constructor(private readonly write: (value: number) => Promise<void>) {}

  /** Sets it. Of several values that come while it is being set the last counts, for all of them. */
  set(value: number): Promise<void> {
    if (this.#next) {
      this.#next.value = value;
      return this.#next.done;
    }
    if (!this.#running) return this.#run(value);
    const next = { value, done: Promise.resolve() };
    // Whether the one before it failed is told to who asked for that.
    next.done = this.#running
      .catch(() => {})
      .then(() => {
        this.#next = undefined;
        return this.#run(next.value);
      });
    this.#next = next;
    return next.done;
  }

  #run(value: number): Promise<void> {
    const running = this.write(value).finally(() => {
      if (this.#running === running) this.#running = undefined;
    });
    this.#running = running;
    return running;
  }

  get isIdle(): boolean {
    return this.#running === undefined && this.#next === undefined;
  }
}

/** Those that are being set, by their directories in /sys/devices. */
const lights = new Map<string, Light>();

function light(subsystem: "backlight" | "leds", syspath: string): Light {
  for (const [known, { isIdle }] of lights) if (isIdle) lights.delete(known);
  const found =
    lights.get(syspath) ??
    new Light(async (value) => {
      if (await setBrightnessOutside(subsystem, basename(syspath), value)) return;
      await writeFile(join(syspath, "brightness"), String(value), { flag: "r+" });
    });
  lights.set(syspath, found);
  return found;
}
