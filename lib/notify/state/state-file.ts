/**
 * Who said what, as lainos-notifyd writes it down: by rename, so that `status` and `wait` read it
 * whole and inotify tells them of it, and so that it outlives a restart of the daemon.
 */
import { closeSync, constants, fstatSync, openSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { hasCode, IN_MOVED_TO, IN_Q_OVERFLOW, watchPath } from "../../linux/index.ts";
import { ACCESS, type Access } from "../protocol/notification.ts";

export const DEFAULT_STATE = "/run/lainos/notify/state.json";

/** A thousand services with the longest texts have less, in bytes. */
const LONGEST_STATE = 2 ** 23;

/** Version of the file's form; another is read as if there were no file. */
const FORM = 1;

export const STATES = ["starting", "ready", "reloading", "stopping", "ended"] as const;
export type State = (typeof STATES)[number];

/** One sender: a service of OpenRC, or a process that is of none. */
export interface Entry {
  /** The service's name; undefined for a process that is of no service. */
  service?: string | undefined;
  /** The main process of a service, or the process; undefined while there is none that is known. */
  pid?: number | undefined;
  /** When that process started, in clock ticks since boot. */
  startTime?: string | undefined;
  /** Its command and user when it last spoke. */
  command: string;
  uid: number;
  state: State;
  /** Since when it is in that state, in microseconds since the epoch. */
  since: number;
  status?: string | undefined;
  /** NOTIFYACCESS, which counts until the main process changes. */
  access?: Access | undefined;
  /** MAINPID was said: OpenRC's own idea of the main process does not count. */
  told?: boolean | undefined;
  errno?: number | undefined;
  busError?: string | undefined;
  varlinkError?: string | undefined;
  exitStatus?: number | undefined;
  /** The watchdog's interval in microseconds, and whether it was missed. */
  watchdogUsec?: number | undefined;
  watchdogMissed?: boolean | undefined;
  /** Until when a start or stop may take, in microseconds of CLOCK_MONOTONIC. */
  extendedUntil?: number | undefined;
  /** When the last reload began at the service, in microseconds of CLOCK_MONOTONIC. */
  reloadBegan?: number | undefined;
  /** How many descriptors are kept for it. */
  fds: number;
}

type Check = (value: unknown) => boolean;

const isText: Check = (value) => typeof value === "string";
const isFlag: Check = (value) => typeof value === "boolean";
const isOneOf =
  (values: readonly string[]): Check =>
  (value) =>
    values.includes(value as string);
const isWhole =
  (least: number, most: number): Check =>
  (value) =>
    Number.isInteger(value) && (value as number) >= least && (value as number) <= most;
/** Two of the longest spans of sd_notify(3), of 64 bits each. */
const isSpan = isWhole(0, 2 ** 65);

/** What each may be. */
const CHECKS: Readonly<Record<keyof Entry, Check>> = {
  service: (value) => isText(value) && value !== "",
  pid: isWhole(1, 0x7fffffff),
  startTime: (value) => isText(value) && /^\d{1,20}$/.test(value as string),
  command: isText,
  uid: isWhole(0, 0xfffffffe),
  state: isOneOf(STATES),
  since: isWhole(0, Number.MAX_SAFE_INTEGER),
  status: isText,
  access: isOneOf(ACCESS),
  told: isFlag,
  errno: isWhole(0, 4095),
  busError: isText,
  varlinkError: isText,
  exitStatus: isWhole(0, 255),
  watchdogUsec: isSpan,
  watchdogMissed: isFlag,
  extendedUntil: isSpan,
  reloadBegan: isSpan,
  fds: isWhole(0, 2 ** 20),
};

const KEYS = Object.keys(CHECKS) as (keyof Entry)[];

/** Those that an entry has always, and that of which it is nobody's without. */
const NEEDED: readonly (keyof Entry)[] = ["command", "uid", "state", "since", "fds"];

/** An entry as it was found: what of it is not as it is written is left out, and named. */
export interface FoundEntry {
  entry: Partial<Entry>;
  damaged: readonly (keyof Entry)[];
}

function findEntry(value: unknown): FoundEntry {
  const entry: Partial<Entry> = {};
  if (typeof value !== "object" || value === null) return { entry, damaged: NEEDED };
  const given = value as Record<keyof Entry, unknown>;
  const damaged = KEYS.filter((key) =>
    given[key] === undefined ? NEEDED.includes(key) : !CHECKS[key](given[key]),
  );
  for (const key of KEYS) {
    if (given[key] !== undefined && !damaged.includes(key)) {
      Object.assign(entry, { [key]: given[key] });
    }
  }
  return { entry, damaged };
}

/** Whether an entry has all that one needs to be shown. */
const isWholeEntry = ({ entry, damaged }: FoundEntry): boolean =>
  NEEDED.every((key) => entry[key] !== undefined) &&
  !damaged.some((key) => ["service", "pid", "startTime"].includes(key)) &&
  (entry.pid === undefined) === (entry.startTime === undefined);

/**
 * Reads the file, each entry as it was found.
 *
 * @returns undefined if it is not there
 * @throws {Error} if it is not what lainos-notifyd writes
 */
export function findEntries(path: string): FoundEntry[] | undefined {
  const wrong = () => new Error(`${path} is not what lainos-notifyd writes`);
  let fd: number;
  try {
    // The directory is the daemon's own, and root reads here: a fifo or a link in its place is not it.
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    if (hasCode(error, "ELOOP")) throw wrong();
    throw error;
  }
  let text: string;
  try {
    const stats = fstatSync(fd);
    if (!stats.isFile() || stats.size > LONGEST_STATE) throw wrong();
    text = readFileSync(fd, "utf8");
  } finally {
    closeSync(fd);
  }
  let content: { form?: unknown; senders?: unknown };
  try {
    content = JSON.parse(text) as typeof content;
  } catch {
    throw wrong();
  }
  if (content?.form !== FORM || !Array.isArray(content.senders)) throw wrong();
  return content.senders.map(findEntry);
}

/**
 * Reads the file for somebody who looks at it. An entry that says nothing of use any more is left out.
 *
 * @returns undefined if it is not there
 * @throws {Error} if it is not what lainos-notifyd writes
 */
export function readState(path: string): Entry[] | undefined {
  return findEntries(path)
    ?.filter(isWholeEntry)
    .map(({ entry }) => entry as Entry);
}

/** The text of the file. */
export const formatState = (senders: readonly Entry[]): string =>
  `${JSON.stringify({ form: FORM, senders })}\n`;

/**
 * Calls `changed` whenever the file has been written anew, also if it is not there yet.
 *
 * @returns a function that ends the watch
 * @throws {SystemError} ENOENT if its folder is not there: lainos-notifyd has never run
 */
export function watchState(path: string, changed: () => void): () => void {
  const name = basename(path);
  return watchPath(dirname(path), IN_MOVED_TO, (event) => {
    if (event.name === name || event.mask & IN_Q_OVERFLOW) changed();
  });
}
