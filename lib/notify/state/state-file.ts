/**
 * Who said what, as lainos-notifyd writes it down: by rename, so that `status` and `wait` read it
 * whole and inotify tells them of it, and so that it outlives a restart of the daemon.
 */
import { closeSync, constants, fstatSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import type { Logger } from "../../cli/index.ts";
import {
  hasCode,
  IN_MOVED_TO,
  IN_Q_OVERFLOW,
  watchPath,
  writeFileAtomically,
} from "../../linux/index.ts";
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

const optional = (value: unknown, kind: "string" | "number" | "boolean") =>
  value === undefined || typeof value === kind;

function isEntry(value: unknown): value is Entry {
  if (typeof value !== "object" || value === null) return false;
  const entry = value as Record<keyof Entry, unknown>;
  return (
    STATES.includes(entry.state as State) &&
    (entry.access === undefined || ACCESS.includes(entry.access as Access)) &&
    typeof entry.command === "string" &&
    [entry.uid, entry.since, entry.fds].every(Number.isFinite) &&
    [entry.pid, entry.errno, entry.exitStatus, entry.watchdogUsec].every((part) =>
      optional(part, "number"),
    ) &&
    [entry.extendedUntil, entry.reloadBegan].every((part) => optional(part, "number")) &&
    [entry.service, entry.status, entry.busError, entry.varlinkError].every((part) =>
      optional(part, "string"),
    ) &&
    (entry.startTime === undefined || /^\d+$/.test(String(entry.startTime))) &&
    [entry.told, entry.watchdogMissed].every((part) => optional(part, "boolean"))
  );
}

/**
 * Reads the file.
 *
 * @returns undefined if it is not there
 * @throws {Error} if it is not what lainos-notifyd writes
 */
export function readState(path: string): Entry[] | undefined {
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
  if (!content.senders.every(isEntry)) throw wrong();
  return content.senders;
}

/** Changes are written together, so many milliseconds after the first of them. */
const SOON = 20;

/** Writing may take a tenth of the time at most, however fast things change. */
const REST = 10;

/** Writes the file, which everybody may read, when something has changed. */
export class StateWriter {
  readonly #path: string;
  readonly #log: Logger;
  readonly #entries: () => readonly Entry[];
  #timer: Timer | undefined;
  #restUntil = 0;

  constructor(path: string, log: Logger, entries: () => readonly Entry[]) {
    this.#path = path;
    this.#log = log;
    this.#entries = entries;
    mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  }

  /** It is to be written soon. */
  changed(): void {
    this.#timer ??= setTimeout(
      () => this.flush(),
      Math.max(SOON, this.#restUntil - performance.now()),
    );
  }

  /** Writes it at once if anything has changed. */
  flush(): void {
    if (this.#timer === undefined) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const began = performance.now();
    try {
      const content = { form: FORM, senders: this.#entries() };
      writeFileAtomically(this.#path, `${JSON.stringify(content)}\n`);
    } catch (error) {
      this.#log.error(`the state is not written: ${(error as Error).message}`);
    }
    const ended = performance.now();
    this.#restUntil = ended + (ended - began) * REST;
  }
}

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
