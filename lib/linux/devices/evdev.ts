/** Input devices: events, and which switches are on; see the kernel's linux/input.h and linux/input-event-codes.h. */
import { type Fd, ioctl, ioctlBytes } from "../ffi/fd.ts";
import { Memory } from "../ffi/libc.ts";

export const EV_SYN = 0;
export const EV_KEY = 1;
export const EV_SW = 5;
/** The kernel's queue ran over: events were lost. */
export const SYN_DROPPED = 3;

/** struct input_event of a 64-bit kernel: struct timeval, then type, code and value. */
const EVENT_SIZE = 24;
const EVIOCSMASK = 0x4010_4593;
const EVIOCGSW = 0x1b;

/** One event; of a key, the value is 1 for pressed, 0 for released and 2 for repeated. */
export interface InputEvent {
  type: number;
  code: number;
  value: number;
}

/** What a read of an event node gave, which is always whole events. */
export function* parseInputEvents(bytes: Uint8Array): Generator<InputEvent> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + EVENT_SIZE <= bytes.length; at += EVENT_SIZE) {
    yield {
      type: view.getUint16(at + 16, true),
      code: view.getUint16(at + 18, true),
      value: view.getInt32(at + 20, true),
    };
  }
}

/**
 * Asks the kernel to send this descriptor no codes of a type but these; with
 * EV_SYN for a type, no types but these.
 *
 * @throws {SystemError} ENOTTY, EINVAL: this is no event node, or the kernel is older than 4.4
 */
export function setEventMask(fd: Fd, type: number, codes: readonly number[]): void {
  // The kernel takes whole words only.
  const bits = new Memory(((Math.max(0, ...codes) >> 6) + 1) * 8);
  for (const code of codes)
    bits.bytes[code >> 3] = (bits.bytes[code >> 3] ?? 0) | (1 << (code & 7));
  const mask = new Memory(16);
  mask.view.setUint32(0, type, true);
  mask.view.setUint32(4, bits.bytes.length, true);
  mask.setWord(8, bits.address);
  ioctl(fd, EVIOCSMASK, mask.address, "EVIOCSMASK");
}

/**
 * Whether each of these switches is on.
 *
 * @throws {SystemError} ENOTTY: this is no event node
 */
export function switchesOn(fd: Fd, codes: readonly number[]): boolean[] {
  const bits = new Uint8Array(8);
  ioctlBytes(fd, 2 ** 31 + (bits.length << 16) + (0x45 << 8) + EVIOCGSW, bits, "EVIOCGSW");
  return codes.map((code) => (((bits[code >> 3] ?? 0) >> (code & 7)) & 1) === 1);
}

/** Whether a bitmap of /sys/class/input/eventN/device/capabilities has a bit: words of 64 bits in hexadecimal, the highest first. */
export function hasCapability(bitmap: string, bit: number): boolean {
  const word = bitmap
    .trim()
    .split(/\s+/)
    .at(-1 - (bit >> 6));
  return word !== undefined && ((BigInt(`0x${word || "0"}`) >> BigInt(bit & 63)) & 1n) === 1n;
}
