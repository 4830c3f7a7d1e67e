/**
 * What the firmware and the boot loader can be told about the next boot, by EFI
 * variables: see the UEFI specification's OsIndications and systemd's "Boot Loader
 * Interface". Loaders that do not take part (GRUB, Syslinux) set none of these.
 */

import { closeSync, existsSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { hasCode, setImmutable } from "../../linux/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";
import { setFirmwareOutside } from "../host/privileged.ts";

const VARIABLES = "/sys/firmware/efi/efivars";
const FIRMWARE = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
const LOADER = "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f";
/** Kept over a reset, and seen by the boot loader and the running system. */
const ATTRIBUTES = 7;
const ATTRIBUTES_SIZE = 4;

const BOOT_TO_SETUP = 1n;
const CAN_SHOW_MENU_ONCE = 2n;
const CAN_BOOT_ENTRY_ONCE = 8n;

const pathOf = (name: string, vendor: string) => `${VARIABLES}/${name}-${vendor}`;

function read(name: string, vendor: string): Buffer | undefined {
  try {
    return readFileSync(pathOf(name, vendor)).subarray(ATTRIBUTES_SIZE);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * The same of what is only told: firmware has errors of its own (EIO, EINVAL, EACCES), and what it does
 * not say it does not have, as with logind.
 */
function look(name: string, vendor: string): Buffer | undefined {
  try {
    return read(name, vendor);
  } catch (error) {
    if (error instanceof Error && "syscall" in error) return undefined;
    throw error;
  }
}

const numberOf = (bytes: Buffer | undefined): bigint | undefined =>
  bytes && bytes.length >= 8 ? bytes.readBigUInt64LE() : undefined;

function readText(name: string): string | undefined {
  return look(name, LOADER)?.toString("utf16le").replace(/\0+$/, "");
}

/**
 * The kernel makes most variables immutable, so that no rm -rf breaks a machine.
 *
 * @returns whether it was
 */
function unlock(path: string): boolean {
  try {
    return setImmutable(path, false);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTTY")) return false;
    throw error;
  }
}

/**
 * Sets a variable, in one write as the kernel wants it, or removes it. One that was immutable is so
 * again afterwards, however this ends.
 *
 * @throws {Error} the firmware does not take it
 */
function write(name: string, vendor: string, value: Uint8Array | undefined): void {
  const path = pathOf(name, vendor);
  const locked = unlock(path);
  try {
    if (value) writeWhole(path, value);
    else rmSync(path, { force: true });
  } finally {
    if (locked && existsSync(path)) setImmutable(path, true);
  }
}

function writeWhole(path: string, value: Uint8Array): void {
  const bytes = Buffer.alloc(ATTRIBUTES_SIZE + value.length);
  bytes.writeUInt32LE(ATTRIBUTES);
  bytes.set(value, ATTRIBUTES_SIZE);
  const fd = openSync(path, "w", 0o644);
  try {
    const taken = writeSync(fd, bytes);
    if (taken < bytes.length) throw new Error(`${path} took ${taken} of ${bytes.length} bytes`);
  } finally {
    closeSync(fd);
  }
}

const writeText = (name: string, text: string | undefined) =>
  write(name, LOADER, text === undefined ? undefined : Buffer.from(`${text}\0`, "utf16le"));

const loaderCan = (feature: bigint) =>
  ((numberOf(look("LoaderFeatures", LOADER)) ?? 0n) & feature) !== 0n;

/** UINT64_MAX: no menu. */
export const NO_MENU = UINT64_MAX;
const SECOND = 1_000_000n;

export const firmware = {
  /** Whether the next boot can end in the firmware's setup. */
  get canBootToSetup(): boolean {
    return ((numberOf(look("OsIndicationsSupported", FIRMWARE)) ?? 0n) & BOOT_TO_SETUP) !== 0n;
  },

  get bootsToSetup(): boolean {
    return ((numberOf(look("OsIndications", FIRMWARE)) ?? 0n) & BOOT_TO_SETUP) !== 0n;
  },

  set bootsToSetup(wanted: boolean) {
    // What cannot be read would be lost.
    const before = numberOf(read("OsIndications", FIRMWARE)) ?? 0n;
    const after = wanted ? before | BOOT_TO_SETUP : before & ~BOOT_TO_SETUP;
    if (after === before || setFirmwareOutside("setup", wanted ? "1" : "0")) return;
    const bytes = Buffer.alloc(8);
    bytes.writeBigUInt64LE(after);
    write("OsIndications", FIRMWARE, bytes);
  },

  /** Whether the boot loader can show its menu at the next boot. */
  get canShowMenu(): boolean {
    return loaderCan(CAN_SHOW_MENU_ONCE);
  },

  /** For how many microseconds it will, 0 for without an end, `NO_MENU` for not at all. */
  get menuTimeout(): bigint {
    const seconds = /^\d{1,20}$/.exec(readText("LoaderConfigTimeoutOneShot") ?? "")?.[0];
    const timeout = seconds === undefined ? NO_MENU : BigInt(seconds) * SECOND;
    return timeout < NO_MENU ? timeout : NO_MENU;
  },

  /** The loader counts in seconds; what is less is one. */
  set menuTimeout(timeout: bigint) {
    const seconds = timeout === NO_MENU ? undefined : String((timeout + SECOND - 1n) / SECOND);
    if (setFirmwareOutside("menu", seconds ?? "")) return;
    writeText("LoaderConfigTimeoutOneShot", seconds);
  },

  /** Whether the boot loader can boot another entry once. */
  get canBootEntry(): boolean {
    return loaderCan(CAN_BOOT_ENTRY_ONCE);
  },

  /** The entries that the boot loader has found. */
  get entries(): string[] {
    return (readText("LoaderEntries") ?? "").split("\0").filter((entry) => entry !== "");
  },

  /** The entry for the next boot; "" for the usual one. */
  get entry(): string {
    return readText("LoaderEntryOneShot") ?? "";
  },

  set entry(name: string) {
    if (setFirmwareOutside("entry", name)) return;
    writeText("LoaderEntryOneShot", name === "" ? undefined : name);
  },
};

/**
 * Sets one of them by the words of an order, as `setFirmwareOutside` gives it.
 *
 * @throws {RangeError} there is no such variable, value or entry
 * @throws {Error} Node's, if the firmware does not take it
 */
export function setFirmware(which: string, value: string): void {
  const refuse = () => new RangeError(`${which} ${JSON.stringify(value)}: no value that it takes`);
  switch (which) {
    case "setup":
      if (value !== "0" && value !== "1") throw refuse();
      firmware.bootsToSetup = value === "1";
      return;
    case "menu":
      if (!/^\d{0,14}$/.test(value)) throw refuse();
      firmware.menuTimeout = value === "" ? NO_MENU : BigInt(value) * SECOND;
      return;
    case "entry":
      if (value !== "" && !firmware.entries.includes(value)) throw refuse();
      firmware.entry = value;
      return;
    default:
      throw refuse();
  }
}
