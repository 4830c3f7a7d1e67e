/**
 * The input devices that have keys and switches for the machine's power, read
 * from evdev. Each is told apart from what it is not asked for: the kernel sends
 * no other key here (EVIOCSMASK).
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../cli/index.ts";
import {
  close,
  EV_KEY,
  EV_SW,
  EV_SYN,
  type Fd,
  hasCapability,
  hasCode,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDONLY,
  onReadiness,
  open,
  parseInputEvents,
  readSome,
  SYN_DROPPED,
  setEventMask,
  switchesOn,
} from "../../linux/index.ts";
import {
  parentDevice,
  powerSwitchDevices,
  type SystemDevice,
  udevRecord,
} from "../hardware/udev.ts";

/** linux/input-event-codes.h's SW_LID and SW_DOCK. */
export const SW_LID = 0;
export const SW_DOCK = 5;
const SWITCHES = [SW_LID, SW_DOCK];

/** An open device. */
export interface PowerSwitch {
  /** What it calls itself: `Power Button`. */
  readonly name: string;
  readonly seat: string;
}

/** Who is told. None of these may throw. */
export interface PowerSwitchEvents {
  /** A key was pressed (true) or let go. */
  key(device: PowerSwitch, code: number, pressed: boolean): void;
  /** A switch is on or off; `initial` if it was found so. */
  switched(device: PowerSwitch, code: number, on: boolean, initial: boolean): void;
  /** What the device said until now does not count any more: it is gone, or its events were lost. */
  forgotten(device: PowerSwitch): void;
}

interface Opened extends PowerSwitch {
  readonly fd: Fd;
  readonly syspath: string;
  readonly switches: number[];
  endWatch: () => void;
}

export class PowerSwitches {
  readonly #opened = new Map<string, Opened>();
  /** Those that could not be opened, so that it is said once. */
  readonly #failed = new Set<string>();
  readonly #log: Logger;
  readonly #events: PowerSwitchEvents;
  readonly #keys: () => readonly number[];

  /** @param keys the codes of the keys that are wanted now */
  constructor(log: Logger, events: PowerSwitchEvents, keys: () => readonly number[]) {
    this.#log = log;
    this.#events = events;
    this.#keys = keys;
  }

  /**
   * Opens what udev has tagged since, and lets go of what is gone.
   *
   * @throws {SystemError} EMFILE, ENFILE: some were not opened, and it is to be tried again
   */
  refresh(): void {
    const there = new Map(powerSwitchDevices().map((device) => [device.syspath, device]));
    for (const syspath of [...this.#opened.keys()]) {
      if (!there.has(syspath)) this.#close(syspath);
    }
    for (const syspath of this.#failed) if (!there.has(syspath)) this.#failed.delete(syspath);
    let lacking: unknown;
    for (const [syspath, device] of there) {
      if (this.#opened.has(syspath) || this.#failed.has(syspath) || !this.#isSuitable(device))
        continue;
      try {
        this.#open(device);
      } catch (error) {
        if (hasCode(error, "EMFILE", "ENFILE")) {
          lacking = error;
          continue;
        }
        this.#failed.add(syspath);
        this.#log.error(`the keys of ${device.node} are not heard: ${(error as Error).message}`);
      }
    }
    if (lacking !== undefined) throw lacking;
  }

  /** Asks for other keys than before. */
  keysChanged(): void {
    for (const opened of this.#opened.values()) this.#mask(opened);
  }

  /** Closes all. */
  stop(): void {
    for (const syspath of [...this.#opened.keys()]) this.#close(syspath);
  }

  /** udev's tag is on every keyboard, whether any of its keys is wanted or not. */
  #isSuitable(device: SystemDevice): boolean {
    const has = (kind: string, codes: readonly number[]) => {
      const bitmap = attribute(device, `capabilities/${kind}`) ?? "";
      return codes.some((code) => hasCapability(bitmap, code));
    };
    return has("key", this.#keys()) || has("sw", SWITCHES);
  }

  #open(device: SystemDevice): void {
    const { syspath, node } = device;
    if (node === undefined) return;
    const fd = open(node, O_RDONLY | O_NOCTTY | O_NONBLOCK);
    const name = attribute(device, "name") ?? node;
    const bitmap = attribute(device, "capabilities/sw") ?? "";
    const switches = SWITCHES.filter((code) => hasCapability(bitmap, code));
    const opened: Opened = { fd, syspath, name, seat: seatOf(device), switches, endWatch() {} };
    this.#opened.set(syspath, opened);
    try {
      this.#mask(opened);
      opened.endWatch = onReadiness(fd, () => this.#drain(opened));
    } catch (error) {
      this.#opened.delete(syspath);
      close(fd);
      throw error;
    }
    this.#log.info(`the power keys and switches of ${name} (${node}) are heard`);
    this.#readSwitches(opened);
  }

  #close(syspath: string): void {
    const opened = this.#opened.get(syspath);
    if (!opened) return;
    this.#opened.delete(syspath);
    opened.endWatch();
    close(opened.fd);
    this.#log.info(`${opened.name} is gone`);
    this.#events.forgotten(opened);
  }

  /** Without a mask everything comes, and what is not wanted is passed over. */
  #mask({ fd, name }: Opened): void {
    try {
      setEventMask(fd, EV_SYN, [EV_SYN, EV_KEY, EV_SW]);
      setEventMask(fd, EV_KEY, this.#keys());
      setEventMask(fd, EV_SW, SWITCHES);
    } catch (error) {
      this.#log.warning(`${name} sends all of its events: ${(error as Error).message}`);
    }
  }

  #readSwitches(opened: Opened): void {
    const { fd, name, switches } = opened;
    if (switches.length === 0) return;
    try {
      for (const [index, on] of switchesOn(fd, switches).entries()) {
        this.#events.switched(opened, switches[index] ?? 0, on, true);
      }
    } catch (error) {
      this.#log.warning(
        `how the switches of ${name} stand is known when they move: ${(error as Error).message}`,
      );
    }
  }

  #drain(opened: Opened): void {
    try {
      while (this.#opened.get(opened.syspath) === opened) {
        const bytes = readSome(opened.fd);
        if (!bytes) return;
        if (bytes.length === 0) {
          this.#close(opened.syspath);
          return;
        }
        for (const { type, code, value } of parseInputEvents(bytes)) {
          if (type === EV_KEY && value !== 2) {
            if (this.#keys().includes(code)) this.#events.key(opened, code, value === 1);
          } else if (type === EV_SW) {
            if (SWITCHES.includes(code)) this.#events.switched(opened, code, value !== 0, false);
          } else if (type === EV_SYN && code === SYN_DROPPED) {
            this.#events.forgotten(opened);
            this.#readSwitches(opened);
          }
        }
      }
    } catch (error) {
      // The node of a device that is pulled out ends before udev says so.
      if (!hasCode(error, "ENODEV")) {
        this.#failed.add(opened.syspath);
        this.#log.error(`${opened.name} is not heard any more: ${(error as Error).message}`);
      }
      this.#close(opened.syspath);
    }
  }
}

/** A file of the input device above an event node. */
function attribute({ syspath }: SystemDevice, name: string): string | undefined {
  try {
    return readFileSync(join(syspath, "device", name), "utf8").trim();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}

/** The seat of the input device above an event node, which is what udev gives to seats. */
function seatOf(device: SystemDevice): string {
  const above = parentDevice(device, "input");
  return (above && udevRecord(above)?.seat) ?? "seat0";
}
