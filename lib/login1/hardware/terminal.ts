/** The terminals of sessions, by their names below /dev. */
import { type BigIntStats, readFileSync, statSync } from "node:fs";
import { deviceNodeAt, deviceNodeOf, type Fd, hasCode, processStatus } from "../../linux/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";
import { characterDevice } from "./udev.ts";

const O_ACCMODE = 3;
const O_RDWR = 2;
const O_PATH = 0o10000000;

/** A folder below /dev may be a user's (/dev/shm), and what is mounted in it need not answer. */
const ROOTS_OWN = /^(?:pts\/\d+|[^/]+)$/;

/** How a descriptor is open; see the flags in proc_pid_fdinfo(5). */
function flagsOf(fd: Fd): number {
  const line = /^flags:\t(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"));
  return Number.parseInt(line?.[1] ?? "0", 8);
}

/** Whether a descriptor, of whoever sent it, is open for reading and writing. */
export const isReadWrite = (fd: Fd) => (flagsOf(fd) & O_ACCMODE) === O_RDWR;

/**
 * The name of the terminal that a descriptor is open on. Anybody can have a pseudo terminal of the
 * same number in a user namespace of their own, and a file that looks like one: so it has to be the
 * very node that has the name here. No file system is asked that could keep us waiting.
 *
 * @returns undefined if it is none of this system's
 */
export function terminalName(fd: Fd): string | undefined {
  if ((flagsOf(fd) & O_PATH) !== 0) return undefined;
  const found = deviceNodeOf(fd);
  if (!found) return undefined;
  const name = pseudoTerminal(found.number) ?? virtualOrSerial(found.number);
  if (name === undefined) return undefined;
  const ours = deviceNodeAt(`/dev/${name}`);
  const isOurs = ours?.number === found.number && ours.fileSystem === found.fileSystem;
  return isOurs ? name : undefined;
}

/** Unix98 pseudo terminals have the majors 136 to 143; sysfs does not know them. */
function pseudoTerminal(number: string): string | undefined {
  const [major = 0, minor = 0] = number.split(":").map(Number);
  return major >= 136 && major <= 143 ? `pts/${(major - 136) * 256 + minor}` : undefined;
}

function virtualOrSerial(number: string): string | undefined {
  const device = characterDevice(number);
  return device?.subsystem === "tty" ? device.node?.replace("/dev/", "") : undefined;
}

/**
 * The name of a process's controlling terminal. The kernel counts by device numbers: in a container with
 * terminals of its own they name others.
 *
 * @returns undefined if it has none, or that process is gone
 */
export function terminalOfProcess(pid: number): string | undefined {
  const number = processStatus(pid)?.tty ?? 0;
  if (number === 0) return undefined;
  // As the kernel packs them: see tty_nr in proc_pid_stat(5).
  const [major, minor] = [(number >> 8) & 0xfff, (number & 0xff) | ((number >>> 12) & 0xfff00)];
  const device = `${major}:${minor}`;
  return pseudoTerminal(device) ?? virtualOrSerial(device);
}

/** Whose a terminal is; undefined if there is no such terminal. */
export function ownerOfTerminal(name: string): number | undefined {
  const status = statusOf(name);
  return status && Number(status.uid);
}

/**
 * When somebody last typed at a terminal, in microseconds since the epoch; see the access time of
 * terminals in w(1). Its user can set that to anything: what 64 bits do not hold is never, as logind
 * has it, by which the terminal is not idle.
 *
 * @returns undefined if there is no such terminal
 */
export function lastTouched(name: string): bigint | undefined {
  const status = statusOf(name);
  if (!status) return undefined;
  const touched = status.atimeNs / 1000n;
  return touched >= 0n && touched < UINT64_MAX ? touched : UINT64_MAX;
}

function statusOf(name: string): BigIntStats | undefined {
  if (!ROOTS_OWN.test(name)) return undefined;
  try {
    return statSync(`/dev/${name}`, { bigint: true });
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}
