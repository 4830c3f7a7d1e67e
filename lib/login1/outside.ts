/**
 * What is done outside of the bridge's sandbox, where it has one: other people's programs, which need
 * all of the system, and what a sandbox is there to refuse. See docs/sandbox.md.
 */
import { existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { outsideFor } from "../cli/index.ts";
import {
  hasCode,
  MS_NODEV,
  MS_NOSUID,
  mount,
  unmount,
  writeFileAtomically,
} from "../linux/index.ts";
import { findCommand, runCommand, runCommandNow } from "./command.ts";

/** How long a hook may take, in milliseconds; systemd's limit. */
const HOOK_TIMEOUT = 90_000;
/** openrc-shutdown only has to tell init. */
const SHUTDOWN_TIMEOUT = 60_000;

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
  const { status, text } = await outside.ask(...order);
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
 * Mounts a tmpfs at a user's runtime directory.
 *
 * @throws {Error} it cannot be mounted; EPERM or EACCES where this process may not
 */
export function mountRuntimeDir(path: string, { uid, gid, size, inodes }: RuntimeLimits): void {
  const outside = outsideFor("system");
  const options = ["mode=0700", `uid=${uid}`, `gid=${gid}`, `size=${size}`, `nr_inodes=${inodes}`];
  if (outside) outside.doNow("mount", uid, gid, size, inodes);
  else mount("tmpfs", path, "tmpfs", MS_NODEV | MS_NOSUID, options.join(","));
}

/**
 * Unmounts what is at a user's runtime directory.
 *
 * @throws {Error} nothing is mounted there
 */
export function unmountRuntimeDir(path: string, uid: number): void {
  const outside = outsideFor("system");
  if (outside) outside.doNow("unmount", uid);
  else unmount(path);
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
