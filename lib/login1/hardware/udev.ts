/** udev's database below /run/udev, as sd-device reads it: which device has which tags and which seat. */

import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  realpathSync,
  statSync,
} from "node:fs";
import { basename, join } from "node:path";
import {
  hasCode,
  IN_CREATE,
  IN_DELETE,
  IN_IGNORED,
  IN_MOVED_TO,
  majorMinor,
  messageOf,
  watchPath,
} from "../../linux/index.ts";
import { isSeatName } from "../../sd-login/index.ts";

const DATA = "/run/udev/data";
const TAGS = "/run/udev/tags";
/** A graphics card or the like makes a seat; see sd-login(3) and the multi-seat document. */
const MASTER_TAG = "master-of-seat";
/** Whoever sits there may open it; see the multi-seat document. */
const ACCESS_TAG = "uaccess";
/** `xaccess-render`: so may a session that asked for `render`, wherever it is; see pam_systemd(8) of systemd 260. */
const EXTRA_ACCESS = "xaccess-";
/** Links to nodes of drivers that are loaded when somebody opens them. */
const STATIC_NODES = `/run/udev/static_node-tags/${ACCESS_TAG}`;
/** Keys and switches that are about the machine's power; see logind.conf(5). */
const POWER_SWITCH_TAG = "power-switch";
/** What to watch, each in the one before it or made later than it. */
const WATCHED = [
  ...["/run", "/run/udev", TAGS],
  ...[MASTER_TAG, ACCESS_TAG, POWER_SWITCH_TAG].map((tag) => join(TAGS, tag)),
  DATA,
];

function readLinkIfThere(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT", "EINVAL")) return undefined;
    throw error;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV", "ENOTDIR", "EISDIR", "ELOOP")) return undefined;
    throw error;
  }
}

/** The seat that a record of the database names; seat0 without one. */
function seatOf(record: string | undefined): string {
  const name = property(record, "ID_SEAT");
  return name !== undefined && isSeatName(name) ? name : "seat0";
}

function property(record: string | undefined, key: string): string | undefined {
  return new RegExp(`^E:${key}=(.+)$`, "m").exec(record ?? "")?.[1];
}

/** Whether a record has a tag now: Q: tells that (G: also of the past), and older ones have G: only. */
function hasTag(record: string | undefined, tag: string): boolean {
  const lines = (record ?? "").split("\n");
  const kind = lines.some((line) => line.startsWith("Q:")) ? "Q" : "G";
  return lines.includes(`${kind}:${tag}`);
}

/** The records that have a tag now, by the key of their device. */
function recordsTagged(tag: string): Map<string, string> {
  const found = new Map<string, string>();
  for (const key of namesIn(join(TAGS, tag))) {
    const record = readIfThere(join(DATA, key));
    // What was tagged once keeps its place in the tag's folder.
    if (record !== undefined && hasTag(record, tag)) found.set(key, record);
  }
  return found;
}

/** The names in a folder of udev's. What is there in its place has none: a damaged database ends no start. */
function namesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return [];
    throw error;
  }
}

/** The seats that have a master device, whether it is there by name or by default (seat0). */
export function seatsOfDevices(): Set<string> {
  return new Set([...recordsTagged(MASTER_TAG).values()].map(seatOf));
}

/** A node below /dev that users may open because of their sessions. */
export interface SharedNode {
  /** Its number, as `major:minor`. */
  number: string;
  path: string;
  /** Whoever sits there may; undefined if that alone does not do. */
  seat: string | undefined;
  /** So may sessions that asked for one of these: `render`. */
  extra: string[];
}

/**
 * The nodes of all devices with the tag `uaccess` or one that begins with `xaccess-`, and the static
 * ones of drivers that are not loaded yet, which are seat0's.
 */
export function sharedNodes(): SharedNode[] {
  const nodes: SharedNode[] = [];
  const tags = namesIn(TAGS).filter((tag) => tag === ACCESS_TAG || tag.startsWith(EXTRA_ACCESS));
  for (const key of new Set(tags.flatMap((tag) => namesIn(join(TAGS, tag))))) {
    const record = readIfThere(join(DATA, key));
    const has = tags.filter((tag) => hasTag(record, tag));
    if (has.length === 0) continue;
    const number = key.slice(1);
    const device = key.startsWith("b") ? deviceAt(`/sys/dev/block/${number}`) : undefined;
    const path = (device ?? (key.startsWith("c") ? characterDevice(number) : undefined))?.node;
    if (path === undefined) continue;
    const extra = has.filter((tag) => tag !== ACCESS_TAG);
    nodes.push({
      number,
      path,
      seat: has.includes(ACCESS_TAG) ? seatOf(record) : undefined,
      extra: extra.map((tag) => tag.slice(EXTRA_ACCESS.length)),
    });
  }
  for (const name of namesIn(STATIC_NODES)) {
    const path = readLinkIfThere(join(STATIC_NODES, name));
    const status = path?.startsWith("/dev/")
      ? statSync(path, { throwIfNoEntry: false })
      : undefined;
    if (!path || !status?.isCharacterDevice()) continue;
    const number = majorMinor(status.rdev);
    if (nodes.some((node) => node.path === path)) continue;
    nodes.push({ number, path, seat: "seat0", extra: [] });
  }
  return nodes;
}

/** A device of the kernel, by its folder in /sys. */
export interface SystemDevice {
  syspath: string;
  /** The last part of its path: `event3`. */
  name: string;
  subsystem: string;
  /** Below /dev; undefined for one without a node. */
  node: string | undefined;
  /** Its key in the database: `c13:67`, `n2`, `+input:input3`. */
  key: string;
}

/**
 * The device in a folder of /sys.
 *
 * @returns undefined if there is none in it
 */
export function deviceAt(path: string): SystemDevice | undefined {
  let syspath: string;
  let subsystem: string;
  try {
    syspath = realpathSync(path);
    subsystem = basename(realpathSync(join(syspath, "subsystem")));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "ELOOP")) return undefined;
    throw error;
  }
  const uevent = readIfThere(join(syspath, "uevent")) ?? "";
  const value = (key: string) => new RegExp(`^${key}=(.+)$`, "m").exec(uevent)?.[1];
  const name = basename(syspath);
  const node = value("DEVNAME");
  const [major, minor, index] = [value("MAJOR"), value("MINOR"), value("IFINDEX")];
  let key = `+${subsystem}:${name}`;
  if (major !== undefined) key = `${subsystem === "block" ? "b" : "c"}${major}:${minor}`;
  else if (index !== undefined) key = `n${index}`;
  return { syspath, name, subsystem, node: node && join("/dev", node), key };
}

/** The character device of this number. */
export function characterDevice(number: string): SystemDevice | undefined {
  return deviceAt(`/sys/dev/char/${number}`);
}

/** The devices of input whose keys and switches are about the machine's power, by the tag `power-switch`. */
export function powerSwitchDevices(): SystemDevice[] {
  return [...recordsTagged(POWER_SWITCH_TAG).keys()]
    .flatMap((key) => characterDevice(/^c(\d+:\d+)$/.exec(key)?.[1] ?? "") ?? [])
    .filter(({ subsystem, name }) => subsystem === "input" && name.startsWith("event"));
}

/** The nearest device above one that is of this subsystem. */
export function parentDevice(
  { syspath }: SystemDevice,
  subsystem: string,
): SystemDevice | undefined {
  for (let at = join(syspath, ".."); at !== "/" && at !== "/sys"; at = join(at, "..")) {
    const device = existsSync(join(at, "uevent")) ? deviceAt(at) : undefined;
    if (device?.subsystem === subsystem) return device;
  }
  return undefined;
}

/** What udev has noted of a device. */
export interface UdevRecord {
  /** It may be given to a seat at all: it has the tag `seat`. */
  hasSeat: boolean;
  seat: string;
  /** Whether the seat is named, and not seat0 for want of a name. */
  seatNamed: boolean;
  /** What a rule that gives it to a seat knows it by. */
  idForSeat: string | undefined;
}

/** udev's record of a device; undefined if udev has none. */
export function udevRecord({ key }: SystemDevice): UdevRecord | undefined {
  const record = readIfThere(join(DATA, key));
  if (record === undefined) return undefined;
  return {
    hasSeat: hasTag(record, "seat"),
    seat: seatOf(record),
    seatNamed: property(record, "ID_SEAT") !== undefined,
    idForSeat: property(record, "ID_FOR_SEAT"),
  };
}

/** How soon what could not be watched is tried again, in milliseconds. */
const TRY_AGAIN = 5000;

/**
 * Calls `changed` when udev has written, tagged or removed a device, also when
 * udev itself is started later than we are.
 *
 * @param changed must not throw; returns false if it could not look at all, and is called again then
 * @param failed told why something cannot be watched (the user's inotify watches are used up, say);
 *   it is tried again, and `changed` called then, as nobody knows what has changed meanwhile
 * @returns a function that ends the watch
 */
export function watchUdev(changed: () => boolean, failed: (reason: string) => void): () => void {
  const watch = new UdevWatch(changed, failed);
  return () => watch.end();
}

class UdevWatch {
  readonly #watches = new Map<string, () => void>();
  #queued = false;
  #ended = false;
  #again: ReturnType<typeof setTimeout> | undefined;

  constructor(
    private readonly changed: () => boolean,
    private readonly failed: (reason: string) => void,
  ) {
    this.#arm();
  }

  end(): void {
    this.#ended = true;
    clearTimeout(this.#again);
    for (const path of [...this.#watches.keys()]) this.#forget(path);
  }

  #arm(): void {
    let failure: unknown;
    for (const path of WATCHED) {
      // Everybody writes in /run: it is watched only until udev's folder is there.
      const wanted = existsSync(path) && !(path === "/run" && existsSync("/run/udev"));
      if (!wanted) this.#forget(path);
      else if (!this.#watches.has(path)) {
        try {
          this.#watch(path);
        } catch (error) {
          // It has gone in this moment, of which the folder it was in tells.
          if (!hasCode(error, "ENOENT", "ENOTDIR")) failure ??= error;
        }
      }
    }
    if (failure === undefined || this.#again !== undefined) return;
    this.failed(messageOf(failure));
    this.#tryAgain();
  }

  #tryAgain(): void {
    this.#again ??= setTimeout(() => {
      this.#again = undefined;
      this.#settle();
    }, TRY_AGAIN);
  }

  #watch(path: string): void {
    const end = watchPath(path, IN_CREATE | IN_MOVED_TO | IN_DELETE, ({ mask }) => {
      if ((mask & IN_IGNORED) !== 0) this.#forget(path);
      queueMicrotask(() => this.#settle());
    });
    this.#watches.set(path, end);
  }

  #forget(path: string): void {
    this.#watches.get(path)?.();
    this.#watches.delete(path);
  }

  /** One look for all that one read brought, since each event is of the same kind. */
  #settle(): void {
    if (this.#queued || this.#ended) return;
    this.#queued = true;
    queueMicrotask(() => {
      this.#queued = false;
      if (this.#ended) return;
      this.#arm();
      if (!this.changed()) this.#tryAgain();
    });
  }
}
