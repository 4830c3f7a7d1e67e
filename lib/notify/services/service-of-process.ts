/** Which OpenRC service a process belongs to, by what only root can arrange: cgroups and supervisors. */
import { existsSync, lstatSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Logger, outsideFor } from "../../cli/index.ts";
import {
  type Credentials,
  commandWords,
  executableOf,
  hasCode,
  type ProcessStatus,
  processStatus,
  startTimeOf,
  uidsOf,
} from "../../linux/index.ts";
import { LastingFailure } from "../failures/lasting-failure.ts";
import type { SpareDescriptors } from "../failures/spare-descriptors.ts";
import { readNote, readNoteNames } from "./read-note.ts";

/** Where OpenRC has its things. */
export interface Places {
  /** The services' scripts, /etc/init.d. */
  scripts: string;
  /** Their settings, /etc/conf.d. */
  settings: string;
  /** OpenRC's state, /run/openrc. */
  state: string;
}

/** The places below a root folder, "/" but in a test. */
export const placesBelow = (root: string): Places => ({
  scripts: join(root, "etc/init.d"),
  settings: join(root, "etc/conf.d"),
  state: join(root, "run/openrc"),
});

/** One process for good: a pid and when it started. */
export interface ProcessId {
  pid: number;
  startTime: bigint;
}

/** What is known of a sender. */
export interface SenderProcess extends ProcessId {
  command: string;
  uids: readonly number[];
  /** The service that it belongs to. */
  service?: string;
  /** The pid of the service's main process, if a supervisor is above the sender. */
  supervised?: number;
  /** Whether it is of the service's script, and not of its daemon. */
  isControl: boolean;
}

/** No tree of processes is deeper; a bound for one that changes while it is walked. */
const DEEPEST = 64;

/** So many senders are remembered; the oldest is forgotten for a new one. */
const MOST_SENDERS = 4096;

/** After so many milliseconds a remembered sender is looked at again: it may have been moved. */
const FRESH = 1000;

/** A pid does not come to a new process within so many milliseconds: the kernel goes through all others first. */
const CERTAIN = 20;

/** What the kernel has of supervise-daemon's name: 15 bytes. */
const SUPERVISOR = "supervise-daemo";

const SERVICE_NAME = /^[A-Za-z0-9_][A-Za-z0-9_.+@-]*$/;

interface Remembered {
  origin: SenderProcess;
  found: number;
  checked: number;
}

/** Finds and remembers what senders are. */
export class ServiceLookup {
  readonly #places: Places;
  readonly #spare: SpareDescriptors;
  readonly #failure: LastingFailure;
  readonly #remembered = new Map<number, Remembered>();
  /** What was answered of a service's pid files, and when. */
  readonly #pids = new Map<string, { asked: number; pids: number[] }>();

  constructor(places: Places, log: Logger, spare: SpareDescriptors) {
    this.#places = places;
    this.#spare = spare;
    this.#failure = new LastingFailure(
      log,
      "main processes are not known by their pid files",
      "pid files are looked at again",
    );
  }

  /**
   * What the sender of a message is.
   *
   * @returns undefined if it has ended, or if the uid is none of the process's: the pid is another's now
   */
  find(sender: Credentials): SenderProcess | undefined {
    return this.#spare.use(() => this.#find(sender));
  }

  #find(sender: Credentials): SenderProcess | undefined {
    const now = performance.now();
    let entry = this.#remembered.get(sender.pid);
    if (entry && now - entry.checked > CERTAIN) {
      const same = startTimeOf(sender.pid) === entry.origin.startTime;
      entry = same && now - entry.found < FRESH ? entry : undefined;
      if (entry) entry.checked = now;
    }
    if (!entry || !fits(entry.origin, sender)) entry = this.#look(sender.pid, now);
    return entry && fits(entry.origin, sender) ? entry.origin : undefined;
  }

  #look(pid: number, now: number): Remembered | undefined {
    this.#remembered.delete(pid);
    const status = processStatus(pid);
    const uids = uidsOf(pid);
    if (!status || !uids || status.state === "Z") return undefined;
    const { startTime, command } = status;
    const origin = { pid, startTime, command, uids, ...this.#placeOf(status) };
    const entry = { origin, found: now, checked: now };
    if (this.#remembered.size >= MOST_SENDERS) {
      const [oldest] = this.#remembered.keys();
      if (oldest !== undefined) this.#remembered.delete(oldest);
    }
    this.#remembered.set(pid, entry);
    return entry;
  }

  /** Whether OpenRC has a service of this name. */
  isService(name: string): boolean {
    if (!SERVICE_NAME.test(name)) return false;
    return existsSync(join(this.#places.scripts, name)) || this.isIn("started", name);
  }

  /** Whether OpenRC has the service in this state: started, starting, stopping. */
  isIn(state: string, name: string): boolean {
    // They are links, which point nowhere when looked at from another root.
    return SERVICE_NAME.test(name) && isThere(join(this.#places.state, state, name));
  }

  /** The service and part of a process: the cgroup decides, and where it says nothing the tree. */
  #placeOf(status: ProcessStatus): Pick<SenderProcess, "service" | "supervised" | "isControl"> {
    const cgroup = serviceOfCgroups(readText(`/proc/${status.pid}/cgroup`), (name) =>
      this.isService(name),
    );
    let service = cgroup === "elsewhere" ? undefined : cgroup;
    if (cgroup === "elsewhere") return { isControl: false };
    let below = status;
    let isControl = false;
    for (let depth = 0; depth < DEEPEST; depth++) {
      const part = this.#partOf(below);
      if (part?.kind === "script" && (service ?? part.service) === part.service) {
        service = part.service;
        isControl = true;
      }
      const parent = below.parent > 1 ? processStatus(below.parent) : undefined;
      if (!parent) break;
      const above = this.#partOf(parent, below.pid);
      if (above?.kind === "supervisor" && (service ?? above.service) === above.service) {
        return { service: above.service, supervised: below.pid, isControl };
      }
      below = parent;
    }
    return service === undefined ? { isControl: false } : { service, isControl };
  }

  /**
   * Whether a process is OpenRC's own: a supervisor, or a service's script. Only root's can be.
   *
   * @param child a child of it, if one is known
   */
  #partOf({ pid, command }: ProcessStatus, child?: number) {
    // The command is the cheapest to look at, and rarely one of these.
    const isSupervisor = command === SUPERVISOR;
    if (!isSupervisor && !command.startsWith("openrc-run")) return undefined;
    if (uidsOf(pid)?.[0] !== 0) return undefined;
    if (isSupervisor) {
      const service = commandWords(pid)?.[1] ?? "";
      const does = this.isService(service) && this.#supervises(pid, service, child);
      return does ? ({ kind: "supervisor", service } as const) : undefined;
    }
    const script = commandWords(pid)?.find((word) => word.startsWith(`${this.#places.scripts}/`));
    const service = basename(script ?? "");
    return this.isService(service) ? ({ kind: "script", service } as const) : undefined;
  }

  /**
   * The main process of a service as OpenRC knows it: what supervise-daemon noted, or the pid file
   * that start-stop-daemon was given. It counts only if it is of that service.
   */
  mainOf(service: string): ProcessId | undefined {
    return this.#spare.use(() => this.#mainOf(service));
  }

  #mainOf(service: string): ProcessId | undefined {
    for (const noted of [this.#childOf(service), ...this.#pidsOf(service)]) {
      const found = noted === undefined ? undefined : this.#look(noted, performance.now());
      if (!found || found.origin.service !== service) continue;
      const { pid, startTime, command } = found.origin;
      if (command === SUPERVISOR && this.#supervises(pid, service)) continue;
      return { pid, startTime };
    }
    return undefined;
  }

  /**
   * Whether a process with that name is supervise-daemon: by what it executes, or, where a sandbox
   * keeps us from knowing that, by what OpenRC has noted: the supervisor its child's pid, and
   * start-stop-daemon's pid file the supervisor's own.
   */
  #supervises(pid: number, service: string, child?: number): boolean {
    const executable = executableOf(pid);
    if (executable !== undefined) return basename(executable) === "supervise-daemon";
    if (child !== undefined && this.#childOf(service) === child) return true;
    return this.#pidsOf(service).includes(pid);
  }

  /** The pid that a service's supervisor has noted of its child. */
  #childOf(service: string): number | undefined {
    return pidIn(join(this.#places.state, "options", service, "child_pid"));
  }

  /** What the pid files have that OpenRC noted for a service. */
  #pidsOf(service: string): (number | undefined)[] {
    // In its sandbox this process sees no pid files. What works outside is asked once in a while.
    const outside = outsideFor("services");
    if (!outside) return this.#pidFiles(service);
    const now = performance.now();
    const known = this.#pids.get(service);
    if (known && now - known.asked < FRESH) return known.pids;
    try {
      const said = outside.doNow("pids", service);
      const pids = said.split(/\s+/).filter(Boolean).map(Number);
      this.#pids.set(service, { asked: now, pids });
      this.#failure.worked();
      return pids;
    } catch (error) {
      // What was so before may still be: each is held against the kernel's word on that process.
      this.#failure.failed(error);
      return known?.pids ?? [];
    }
  }

  #pidFiles(service: string): (number | undefined)[] {
    const daemons = join(this.#places.state, "daemons", service);
    return readNoteNames(daemons).map((name) => {
      const file = /^pidfile=(\/.*)$/m.exec(readNote(join(daemons, name)))?.[1];
      return file === undefined ? undefined : pidIn(file);
    });
  }
}

/** Root may stand in for anybody; another uid has to be one of the process's own. */
const fits = ({ uids }: SenderProcess, { uid }: Credentials) => uid === 0 || uids.includes(uid);

/**
 * The service that the lines of /proc/PID/cgroup name. OpenRC puts a service into /openrc.NAME
 * (0.50 and later) or /NAME of cgroup2, and into /NAME of the v1 hierarchy `openrc`.
 *
 * @param isService whether there is a service of that name
 * @returns "elsewhere" for a cgroup that is no service's, such as a session's; undefined if the
 *   process is at the top, where it says nothing
 */
export function serviceOfCgroups(
  text: string,
  isService: (name: string) => boolean,
): string | "elsewhere" | undefined {
  const first = (path: string | undefined) => path?.split("/")[1] || undefined;
  const unified = first(/^0::(\/.*)$/m.exec(text)?.[1]);
  if (unified !== undefined) {
    const name = unified.replace(/^openrc\./, "");
    return isService(name) ? name : "elsewhere";
  }
  const named = first(/^\d+:name=openrc:(\/.*)$/m.exec(text)?.[1]);
  return named !== undefined && isService(named) ? named : undefined;
}

/** The pid that a file has; undefined without one. */
function pidIn(path: string): number | undefined {
  const pid = /^\s*(\d{1,10})\s*$/.exec(readNote(path))?.[1];
  return pid === undefined ? undefined : Number(pid);
}

/** A file of /proc; "" if it is not there. */
function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH", "ENOTDIR")) return "";
    throw error;
  }
}

function isThere(path: string): boolean {
  try {
    return lstatSync(path, { throwIfNoEntry: false }) !== undefined;
  } catch (error) {
    if (hasCode(error, "ENOTDIR", "ENAMETOOLONG", "ELOOP")) return false;
    throw error;
  }
}
