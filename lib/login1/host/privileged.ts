/**
 * What is done outside of the bridge's sandbox, where it has one: other people's programs, which need
 * all of the system, and what a sandbox is there to refuse. See docs/sandbox.md.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { outsideFor } from "../../cli/index.ts";
import { hasCode, writeFileAtomically } from "../../linux/index.ts";
import { findCommand, runCommand, runCommandNow } from "./run-program.ts";

/** How long a hook may take, in milliseconds; systemd's limit. */
const HOOK_TIMEOUT = 90_000;
/** openrc-shutdown only has to tell init. */
const SHUTDOWN_TIMEOUT = 60_000;
/** How much longer an answer from outside is waited for: there the same limits are kept. */
const ANSWER_TIMEOUT = 10_000;

/** Where logind, too, writes which device is whose. */
const RULES = "/etc/udev/rules.d";
/** There while udev runs. */
const UDEV_CONTROL = "/run/udev/control";
const UDEV_TIMEOUT = 5000;
const OUR_RULE = /^72-seat-.*\.rules$/;
/** See nologin(5). */
export const NOLOGIN = "/run/nologin";
const NOBODY_MAY = "The system goes down. Nobody but root may log in any more.\n";

/**
 * Runs a program to its end, outside by an order or here.
 *
 * @throws {Error} it could not be started, failed or took too long, with its path and how it ended
 */
async function runProgram(
  order: [string, ...string[]],
  command: [string, ...string[]],
  timeout: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  const outside = outsideFor("programs");
  if (!outside) return runCommand(command, timeout, environment);
  const { status, text } = await outside.askWithin(timeout + ANSWER_TIMEOUT, ...order);
  if (status === 0) return;
  const said = text.trim() && `: ${text.trim()}`;
  if (status === 137) throw new Error(`${command[0]} was ended by SIGKILL${said}`);
  throw new Error(`${command[0]} failed with exit status ${status}${said}`);
}

/** Runs one sleep hook; throws as `runCommand` does. */
export function runHook(path: string, moment: "pre" | "post", way: string): Promise<void> {
  const environment = { SYSTEMD_SLEEP_ACTION: way };
  const order: [string, ...string[]] = ["hook", moment, way, path];
  return runProgram(order, [path, moment, way], HOOK_TIMEOUT, environment);
}

/**
 * Has openrc-shutdown tell init; throws as `runCommand` does.
 *
 * @param option `--poweroff` and so on
 */
export function runShutdown(path: string, option: string): Promise<void> {
  return runProgram(["shut-down", option], [path, option, "now"], SHUTDOWN_TIMEOUT);
}

/** Whose a runtime directory is, and how much goes into it. */
export interface RuntimeLimits {
  uid: number;
  gid: number;
  /** In bytes. */
  size: bigint;
  inodes: bigint;
}

/**
 * Makes a user's runtime directory outside, or puts right what is there. In the sandbox there is no
 * /run/user: what is in it is the users' own.
 *
 * @returns false without a sandbox: then this process does it by itself
 * @throws {Error} something else is in its place, or nothing can be mounted there
 */
export function makeRuntimeDirOutside({ uid, gid, size, inodes }: RuntimeLimits): boolean {
  const outside = outsideFor("system");
  outside?.doNow("make-runtime-dir", uid, gid, size, inodes);
  return outside !== undefined;
}

/**
 * Unmounts and removes a user's runtime directory outside.
 *
 * @returns false without a sandbox
 * @throws {Error} it stays
 */
export function removeRuntimeDirOutside(uid: number): boolean {
  const outside = outsideFor("system");
  outside?.doNow("remove-runtime-dir", uid);
  return outside !== undefined;
}

/** Whether this process sees no more of /run than its sandbox has. */
export function isInSandbox(): boolean {
  return outsideFor("system") !== undefined;
}

/**
 * Has the kernel announce a device and all below it, so that udev's rules run over them.
 *
 * @param syspath a directory below /sys/devices, or /sys/devices itself
 * @returns false without a sandbox
 */
export function announceOutside(syspath: string): boolean {
  const outside = outsideFor("system");
  outside?.doNow("announce", syspath);
  return outside !== undefined;
}

/**
 * Sets a light outside.
 *
 * @param name its name in sysfs
 * @returns undefined without a sandbox
 * @throws {Error} the kernel takes no such value
 */
export async function setBrightnessOutside(
  subsystem: "backlight" | "leds",
  name: string,
  value: number,
): Promise<true | undefined> {
  const outside = outsideFor("programs");
  if (!outside) return undefined;
  const words = ["brightness", subsystem, String(value), name] as const;
  const { status, text } = await outside.askWithin(ANSWER_TIMEOUT, ...words);
  if (status !== 0) throw new Error(text.trim() || `brightness ended with status ${status}`);
  return true;
}

/**
 * Sets a variable of the next boot outside: `setup` to 0 or 1, `menu` to seconds, `entry` to a name;
 * the last two to "" for none.
 *
 * @returns false without a sandbox
 */
export function setFirmwareOutside(which: "setup" | "menu" | "entry", value: string): boolean {
  const outside = outsideFor("system");
  outside?.doNow("firmware", which, value);
  return outside !== undefined;
}

/** Asks outside whether there is a tree that a soft reboot would go to; undefined without a sandbox. */
export function hasNextRootOutside(): boolean | undefined {
  const outside = outsideFor("system");
  return outside && outside.doNow("next-root") === "yes";
}

/**
 * Writes the udev rule that gives a device to a seat, and has udev read it; both names have been checked.
 *
 * @throws {Error} Node's, with the path; or udev does not answer
 */
export function writeSeatRule(seat: string, idForSeat: string): void {
  const outside = outsideFor("system");
  if (outside) {
    outside.doNow("attach", seat, idForSeat);
    return;
  }
  mkdirSync(RULES, { recursive: true, mode: 0o755 });
  const rule = `TAG=="seat", ENV{ID_FOR_SEAT}=="${idForSeat}", ENV{ID_SEAT}="${seat}"\n`;
  writeFileAtomically(join(RULES, `72-seat-${idForSeat}.rules`), rule);
  reloadRules();
}

/** Removes all rules of `writeSeatRule`, and no others; throws as that does. */
export function removeSeatRules(): void {
  const outside = outsideFor("system");
  if (outside) {
    outside.doNow("flush");
    return;
  }
  for (const name of ourRules()) rmSync(join(RULES, name), { force: true });
  reloadRules();
}

/** udev looks for changed rules once in three seconds, and what is announced next is to go by them. */
function reloadRules(): void {
  const udevadm = findCommand("udevadm");
  if (udevadm === undefined || !existsSync(UDEV_CONTROL)) return;
  runCommandNow([udevadm, "control", "--reload", "--timeout=5"], UDEV_TIMEOUT);
}

function ourRules(): string[] {
  try {
    return readdirSync(RULES, { withFileTypes: true })
      .filter((entry) => entry.isFile() && OUR_RULE.test(entry.name))
      .map(({ name }) => name);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}

/** Says that nobody but root may log in any more, by nologin(5), or takes that back. */
export function setNoLogin(enable: boolean): void {
  const outside = outsideFor("system");
  if (outside) outside.doNow(enable ? "forbid-logins" : "allow-logins");
  else if (enable) writeFileSync(NOLOGIN, NOBODY_MAY, { mode: 0o644 });
  else rmSync(NOLOGIN, { force: true });
}
