/**
 * Input devices for a world: in sysfs, in udev's database, and a fifo in the place of
 * the event node, which takes the bytes of the kernel's struct input_event. The
 * kernel's own ioctls it refuses, as every file does that is no event node.
 */
import { mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { close, makeFifo, O_NONBLOCK, O_RDWR, open } from "../../../lib/linux/index.ts";
import { addDevice, removeDevice } from "./udev-database.ts";
import type { World } from "./world.ts";

const EV_SYN = 0;
const EV_KEY = 1;
const EV_SW = 5;
const TAGS = ["power-switch"];

/** What a world has to run before its bridge starts. */
export const INPUT_SET_UP = `
mount -t tmpfs tmpfs /sys/dev/char
mount -t tmpfs tmpfs /sys/class
mkdir /sys/class/input /sys/class/power_supply /sys/class/drm /dev/input
`;

/** One struct input_event of a 64-bit kernel. */
function inputEvent(type: number, code: number, value: number): Buffer {
  const event = Buffer.alloc(24);
  event.writeUInt16LE(type, 16);
  event.writeUInt16LE(code, 18);
  event.writeInt32LE(value, 20);
  return event;
}

/** Bits as sysfs shows them: words of 64 in hexadecimal, the highest first. */
function bitmap(bits: number[]): string {
  const words = Array.from({ length: (Math.max(0, ...bits) >> 6) + 1 }, () => 0n);
  for (const bit of bits) words[bit >> 6] = (words[bit >> 6] ?? 0n) | (1n << BigInt(bit & 63));
  return words
    .reverse()
    .map((word) => word.toString(16))
    .join(" ");
}

export class InputDevice {
  readonly #world: World;
  readonly #fd: number;
  readonly #number: number;

  /** Plugs it in: `event7` of `input7`. */
  constructor(
    world: World,
    number: number,
    { keys = [], switches = [], seat }: { keys?: number[]; switches?: number[]; seat?: string },
  ) {
    this.#world = world;
    this.#number = number;
    const node = join(world.root, `dev/input/event${number}`);
    makeFifo(node, 0o600);
    // Both ends are open from now on: the reader finds no end of file.
    this.#fd = open(node, O_RDWR | O_NONBLOCK);
    const above = `/run/sys/input${number}`;
    const event = `${above}/event${number}`;
    const write = (path: string, text: string) => {
      mkdirSync(dirname(world.root + path), { recursive: true });
      writeFileSync(world.root + path, `${text}\n`);
    };
    write(`${above}/uevent`, "");
    write(`${above}/name`, `Test ${number}`);
    write(`${above}/capabilities/key`, bitmap(keys));
    write(`${above}/capabilities/sw`, bitmap(switches));
    write(`${event}/uevent`, `MAJOR=13\nMINOR=${64 + number}\nDEVNAME=input/event${number}`);
    symlinkSync(above, `${world.root}${event}/device`);
    for (const folder of [above, event]) {
      symlinkSync("/sys/class/input", `${world.root}${folder}/subsystem`);
    }
    symlinkSync(event, join(world.root, "sys/dev/char", this.#id));
    addDevice(world, `+input:input${number}`, ["seat"], seat ? { ID_SEAT: seat } : {});
    addDevice(world, `c${this.#id}`, TAGS);
  }

  get #id(): string {
    return `13:${64 + this.#number}`;
  }

  get name(): string {
    return `Test ${this.#number}`;
  }

  press(...codes: number[]): void {
    this.#send(codes.map((code) => [EV_KEY, code, 1]));
  }

  letGo(...codes: number[]): void {
    this.#send(codes.map((code) => [EV_KEY, code, 0]));
  }

  switch(code: number, on: boolean): void {
    this.#send([[EV_SW, code, on ? 1 : 0]]);
  }

  /** Unplugs it. */
  remove(): void {
    close(this.#fd);
    removeDevice(this.#world, `c${this.#id}`, TAGS);
    removeDevice(this.#world, `+input:input${this.#number}`, ["seat"]);
    const left = [
      `dev/input/event${this.#number}`,
      `sys/dev/char/${this.#id}`,
      `run/sys/input${this.#number}`,
    ];
    for (const path of left) rmSync(join(this.#world.root, path), { recursive: true });
  }

  #send(events: [number, number, number][]): void {
    const all: [number, number, number][] = [...events, [EV_SYN, 0, 0]];
    writeFileSync(this.#fd, Buffer.concat(all.map((event) => inputEvent(...event))));
  }
}
