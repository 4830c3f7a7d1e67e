/** What the assignments of one datagram mean; see sd_notify(3). */
import { errno } from "../../linux/index.ts";
import type { Assignment } from "./datagram.ts";

/** Who may speak for a service; see NotifyAccess= in systemd.service(5). */
export const ACCESS = ["none", "main", "exec", "all"] as const;
export type Access = (typeof ACCESS)[number];

/** The largest number of microseconds; systemd's USEC_INFINITY stands for none. */
const INFINITE = 2n ** 64n - 1n;
const MOST_ERRNO = 4095;

/** One datagram's meaning. What a datagram does not say is absent. */
export interface Notification {
  /** The last of READY=1, RELOADING=1 and STOPPING=1. */
  state?: "ready" | "reloading" | "stopping";
  /** "" takes an earlier one back. */
  status?: string;
  access?: Access;
  errno?: number;
  busError?: string;
  varlinkError?: string;
  exitStatus?: number;
  /** The pid in MAINPID. */
  mainPid?: number;
  /** The inode of the main process's pidfd, for MAINPID to be held against. */
  mainPidfdId?: bigint;
  /** The one descriptor is a pidfd of the main process. */
  mainByPidfd?: boolean;
  watchdog?: "alive" | "trigger";
  /** The watchdog's interval in microseconds; 0 for none. */
  watchdogUsec?: bigint;
  /** By how much the present timeout is put off, in microseconds. */
  extendUsec?: bigint;
  /** CLOCK_MONOTONIC at the sender, in microseconds. */
  monotonicUsec?: bigint;
  restartReset?: boolean;
  /** The descriptors are to be kept, under this name. */
  store?: { name: string; poll: boolean };
  /** The descriptors of this name are to be dropped. */
  remove?: string;
  /** What was ignored, and why, in words for the log. */
  problems: string[];
}

const isErrorName = (text: string) =>
  text.length <= 255 && /^[A-Za-z_]\w*(\.[A-Za-z_]\w*)+$/.test(text);

const isVarlinkError = (text: string) =>
  text.length <= 255 &&
  /^[A-Za-z](-*[A-Za-z0-9])*(\.[A-Za-z0-9](-*[A-Za-z0-9])*)+\.[A-Z][A-Za-z0-9]*$/.test(text);

/** Printable ASCII without the colon that separates them in $LISTEN_FDNAMES. */
export const isDescriptorName = (text: string): boolean =>
  /^[\x20-\x39\x3b-\x7e]{1,255}$/.test(text);

const number = (text: string, most: bigint): bigint | undefined => {
  if (!/^\d{1,20}$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= most ? value : undefined;
};

function errorNumber(text: string): number | undefined {
  const value = number(text, BigInt(MOST_ERRNO));
  if (value !== undefined) return Number(value);
  return Object.hasOwn(errno, text) ? errno[text as keyof typeof errno] : undefined;
}

/** Reads the value of a name that takes one of a kind; what it makes undefined is ignored. */
type Reader = (value: string, into: Notification) => unknown;

const usec =
  (key: "extendUsec" | "monotonicUsec"): Reader =>
  (value, into) => {
    const amount = number(value, INFINITE);
    if (amount !== undefined) into[key] = amount;
    return amount;
  };

/** Of each of these the first in a datagram counts, as with systemd. */
const READERS: Readonly<Record<string, Reader>> = {
  STATUS: (value, into) => {
    into.status = value;
    return value;
  },
  NOTIFYACCESS: (value, into) => {
    const access = ACCESS.find((name) => name === value);
    if (access) into.access = access;
    return access;
  },
  ERRNO: (value, into) => {
    const code = errorNumber(value);
    if (code !== undefined) into.errno = code;
    return code;
  },
  BUSERROR: (value, into) => {
    if (!isErrorName(value)) return undefined;
    into.busError = value;
    return value;
  },
  VARLINKERROR: (value, into) => {
    if (!isVarlinkError(value)) return undefined;
    into.varlinkError = value;
    return value;
  },
  EXIT_STATUS: (value, into) => {
    const status = number(value, 255n);
    if (status !== undefined) into.exitStatus = Number(status);
    return status;
  },
  MAINPID: (value, into) => {
    const pid = number(value, 0x7fffffffn);
    if (pid === undefined || pid < 2n) return undefined;
    into.mainPid = Number(pid);
    return pid;
  },
  MAINPIDFDID: (value, into) => {
    const id = number(value, INFINITE);
    if (id === undefined || id === 0n) return undefined;
    into.mainPidfdId = id;
    return id;
  },
  WATCHDOG_USEC: (value, into) => {
    const amount = number(value, INFINITE);
    // Infinite is none, as 0 is.
    if (amount !== undefined) into.watchdogUsec = amount === INFINITE ? 0n : amount;
    return amount;
  },
  EXTEND_TIMEOUT_USEC: usec("extendUsec"),
  MONOTONIC_USEC: usec("monotonicUsec"),
};

const STATES = { READY: "ready", RELOADING: "reloading", STOPPING: "stopping" } as const;

/**
 * Reads what a datagram says. A value that breaks its rule is ignored and named in `problems`, and
 * the rest counts; a name that nobody knows is nobody's business.
 *
 * @param descriptors how many descriptors came along
 */
export function interpret(assignments: readonly Assignment[], descriptors: number): Notification {
  const said: Notification = { problems: [] };
  const first = new Map<string, string>();
  for (const { name, value } of assignments) {
    if (Object.hasOwn(STATES, name) && value === "1") {
      said.state = STATES[name as keyof typeof STATES];
    }
    if (!first.has(name)) first.set(name, value);
  }
  for (const [name, value] of first) {
    const read = Object.hasOwn(READERS, name) ? READERS[name] : undefined;
    if (read && read(value, said) === undefined) said.problems.push(`${name} has no such value`);
  }
  const has = (name: string, value: string) =>
    assignments.some((entry) => entry.name === name && entry.value === value);
  if (has("RESTART_RESET", "1")) said.restartReset = true;
  if (has("WATCHDOG", "trigger")) said.watchdog = "trigger";
  else if (has("WATCHDOG", "1")) said.watchdog = "alive";
  if (said.mainPidfdId !== undefined && said.mainPid === undefined) {
    said.problems.push("MAINPIDFDID without MAINPID");
  }
  readStore(said, first.get("FDNAME"), has, descriptors);
  return said;
}

/** What is to become of the descriptors that came along, and of those kept. */
function readStore(
  said: Notification,
  name: string | undefined,
  has: (name: string, value: string) => boolean,
  descriptors: number,
): void {
  const isValid = name !== undefined && isDescriptorName(name);
  if (name !== undefined && !isValid) said.problems.push("FDNAME has no such value");
  if (has("FDSTOREREMOVE", "1")) {
    if (isValid) said.remove = name;
    else said.problems.push("FDSTOREREMOVE=1 without FDNAME");
  }
  if (has("MAINPIDFD", "1")) {
    if (descriptors === 1) said.mainByPidfd = true;
    else said.problems.push(`MAINPIDFD=1 with ${descriptors} descriptors instead of one`);
  }
  if (!has("FDSTORE", "1")) return;
  if (said.mainByPidfd) said.problems.push("FDSTORE=1 beside MAINPIDFD=1");
  else if (descriptors === 0) said.problems.push("FDSTORE=1 without descriptors");
  else said.store = { name: isValid ? name : "stored", poll: !has("FDPOLL", "0") };
}

/** Whether it says nothing but WATCHDOG=1, which changes nothing that is written down. */
export const isPing = (said: Notification): boolean =>
  said.watchdog === "alive" && Object.keys(said).length === 2;
