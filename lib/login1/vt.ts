/** Virtual terminals; see console_ioctl(2) and the kernel's /sys/class/tty/tty0/active. */
import { existsSync, readFileSync } from "node:fs";
import {
  close,
  IN_MODIFY,
  ioctl,
  O_NOCTTY,
  O_NONBLOCK,
  O_RDWR,
  open,
  watchPath,
} from "../linux/index.ts";

const ACTIVE_FILE = "/sys/class/tty/tty0/active";
const CONSOLE = "/dev/tty0";
const VT_ACTIVATE = 0x5606;

/** The kernel has no more than this (MAX_NR_CONSOLES). */
export const MOST_VTS = 63;

/** True where the system has VTs; a container and some servers have none. */
export function hasVts(): boolean {
  return existsSync(CONSOLE) && existsSync(ACTIVE_FILE);
}

/** The number of the VT in the foreground; undefined if it is a console of another kind. */
export function activeVt(): number | undefined {
  return vtNumber(readFileSync(ACTIVE_FILE, "utf8").trim());
}

/** The VT that a tty name (`tty7`, `/dev/tty7`) stands for; undefined for any other tty. */
export function vtNumber(tty: string): number | undefined {
  const digits = /^(?:\/dev\/)?tty([1-9]\d?)$/.exec(tty)?.[1];
  const number = Number(digits);
  return digits !== undefined && number <= MOST_VTS ? number : undefined;
}

/**
 * Calls `changed` after each VT switch, by the kernel's notification on its sysfs file.
 *
 * @returns a function that ends the watch
 */
export function watchActiveVt(changed: () => void): () => void {
  return watchPath(ACTIVE_FILE, IN_MODIFY, changed);
}

/**
 * Brings a VT to the foreground.
 *
 * @throws {SystemError} that names the ioctl
 */
export function switchVt(number: number): void {
  const console = open(CONSOLE, O_RDWR | O_NOCTTY | O_NONBLOCK);
  try {
    ioctl(console, VT_ACTIVATE, number, "VT_ACTIVATE");
  } finally {
    close(console);
  }
}
