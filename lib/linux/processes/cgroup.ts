/** The cgroup2 tree; see cgroups(7) and the kernel's cgroup-v2 document. */
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { IN_MODIFY, watchPath } from "../events/inotify.ts";
import { hasCode, messageOf } from "../ffi/errors.ts";
import { mounts } from "../files/mount.ts";
import { kill } from "./process.ts";

/** Where cgroup2 is mounted; undefined where it is not. */
export function cgroupRoot(): string | undefined {
  return mounts().find((entry) => entry.type === "cgroup2")?.target;
}

/**
 * The cgroup2 path of a process, `/user.slice/...`, as /proc/PID/cgroup has it.
 *
 * @returns undefined if there is no such process or it is in none
 */
export function cgroupOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/cgroup`, "utf8");
    return /^0::(\/.*)$/m.exec(text)?.[1]?.replace(/ \(deleted\)$/, "");
  } catch (error) {
    if (hasCode(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** TASKS_MAX of systemd: the kernel has no more pids (PID_MAX_LIMIT). */
const MOST_TASKS = 4_194_303n;

/**
 * How many processes and threads there can be: the least of kernel.pid_max, kernel.threads-max and
 * what the topmost cgroup is limited to, which has a limit in a container. systemd reckons so too.
 *
 * @param root where cgroup2 is mounted
 */
export function mostTasks(root: string): bigint {
  const limits = ["/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max", `${root}/pids.max`];
  return limits.reduce((least, path) => {
    const limit = limitIn(path);
    return limit !== undefined && limit < least ? limit : least;
  }, MOST_TASKS);
}

function limitIn(path: string): bigint | undefined {
  try {
    const text = readFileSync(path, "utf8").trim();
    return /^\d+$/.test(text) ? BigInt(text) : undefined;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/** The files that a cgroup is delegated by, where the kernel does not list them in /sys/kernel/cgroup/delegate. */
const DELEGATED_FILES = ["cgroup.procs", "cgroup.threads", "cgroup.subtree_control"];

let delegated: string[] | undefined;

/** The same until the next boot, so it is read once. */
function delegatedFiles(): string[] {
  try {
    delegated ??= readFileSync("/sys/kernel/cgroup/delegate", "utf8").split("\n").filter(Boolean);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
    delegated = DELEGATED_FILES;
  }
  return delegated;
}

/** One cgroup, by its path below the cgroup2 mount. */
export class Cgroup {
  readonly #root: string;
  readonly #folder: string | Buffer;

  /** @param folder in bytes where it is no text: the owner of a delegated tree may give names that are no UTF-8 */
  constructor(
    root: string,
    readonly path: string,
    folder: string | Buffer = `${root}${path}`,
  ) {
    this.#root = root;
    this.#folder = folder;
  }

  #file(name: string | Buffer): string | Buffer {
    if (typeof this.#folder === "string" && typeof name === "string") {
      return `${this.#folder}/${name}`;
    }
    return Buffer.concat([Buffer.from(this.#folder), Buffer.from("/"), Buffer.from(name)]);
  }

  #write(name: string, value: string): void {
    // It is there, or it cannot be made; and truncating it means nothing.
    writeFileSync(this.#file(name), value, { flag: "r+" });
  }

  #words(name: string): string[] {
    return readFileSync(this.#file(name), "utf8").split(/\s+/).filter(Boolean);
  }

  /** The cgroup of that name right below it, which need not exist. */
  child(name: string | Buffer): Cgroup {
    return new Cgroup(this.#root, `${this.path}/${name}`, this.#file(name));
  }

  exists(): boolean {
    return existsSync(this.#folder);
  }

  /** Makes it, and those above it, where they are missing. */
  create(): void {
    mkdirSync(this.#folder, { recursive: true });
  }

  /** Makes it, unless it is there. @returns false if the one above is not there, and then nothing is made */
  createAlone(): boolean {
    try {
      mkdirSync(this.#folder);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      if (!hasCode(error, "EEXIST")) throw error;
    }
    return true;
  }

  /** Limits how far it may grow: whoever owns it must not fill the kernel's memory, nor make a path too long. */
  limit({ depth, descendants }: { depth?: number; descendants?: number }): void {
    if (depth !== undefined) this.#write("cgroup.max.depth", `${depth}`);
    if (descendants !== undefined) this.#write("cgroup.max.descendants", `${descendants}`);
  }

  /**
   * Limits the processes and threads in it and below it, with the controller `pids`.
   *
   * @param most undefined for no limit
   * @returns false if it does not have that controller
   */
  limitTasks(most: bigint | undefined): boolean {
    try {
      this.#write("pids.max", most === undefined ? "max" : `${most}`);
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }

  /** Whether those right below it have a controller. */
  passed(controller: string): boolean {
    try {
      return this.#words("cgroup.subtree_control").includes(controller);
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }

  /**
   * Lets those right below it have a controller. @returns false if it has none to give, or the kernel
   * refuses because processes are in it
   */
  passOn(controller: string): boolean {
    if (this.passed(controller)) return true;
    try {
      this.#write("cgroup.subtree_control", `+${controller}`);
      return true;
    } catch (error) {
      // ENOENT: a version 1 hierarchy holds it.
      if (hasCode(error, "ENOENT", "EBUSY", "EOPNOTSUPP", "ENOTSUP")) return false;
      throw error;
    }
  }

  /**
   * Moves a whole process (all its threads) in.
   *
   * @throws {Error} with code ESRCH if the process is gone
   */
  add(pid: number): void {
    this.#write("cgroup.procs", `${pid}`);
  }

  /**
   * Lets those below it have every controller that it has.
   *
   * @returns those that they have, and those that the kernel refuses, each with the reason
   */
  passOnControllers(): { passed: string[]; refused: string[] } {
    const controllers = this.#words("cgroup.controllers");
    if (controllers.length === 0) return { passed: [], refused: [] };
    const passed = this.#words("cgroup.subtree_control");
    const refused: string[] = [];
    for (const controller of controllers) {
      if (passed.includes(controller)) continue;
      try {
        // One at a time: the kernel takes all of a line or nothing.
        this.#write("cgroup.subtree_control", `+${controller}`);
        passed.push(controller);
      } catch (error) {
        refused.push(`${controller} (${messageOf(error)})`);
      }
    }
    return { passed, refused };
  }

  /**
   * Gives it to a user, who may from then on make cgroups in it, and move
   * processes between those: the kernel's "model of delegation" in cgroup-v2.
   * Its own limits stay root's, and so does the way out of it, since moving a
   * process needs write access to the cgroup.procs of the common ancestor.
   *
   * @param controllers those that it has: no others have files to be given
   */
  delegate(uid: number, gid: number, controllers: readonly string[] = []): void {
    for (const name of delegatedFiles()) {
      const part = name.slice(0, name.indexOf("."));
      if (part !== "cgroup" && !controllers.includes(part)) continue;
      try {
        chownSync(this.#file(name), uid, gid);
      } catch (error) {
        // One that this kernel has not, or only in some cgroups.
        if (!hasCode(error, "ENOENT")) throw error;
      }
    }
    chownSync(this.#folder, uid, gid);
  }

  /** The pids in it and, with `deep`, in those below it. Empty if it does not exist. */
  processes(deep = true): number[] {
    let pids: number[];
    try {
      const text = readFileSync(this.#file("cgroup.procs"), "utf8");
      pids = text.split("\n").filter(Boolean).map(Number);
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENODEV")) return [];
      // A threaded cgroup has threads; its processes are in the one above that is the threads' domain.
      // Bun gives EOPNOTSUPP the other name of its number.
      if (!hasCode(error, "EOPNOTSUPP", "ENOTSUP")) throw error;
      pids = [];
    }
    if (!deep) return pids;
    return [...pids, ...this.children().flatMap((child) => child.processes())];
  }

  /** It and every cgroup below it that exists, depth first. */
  tree(): Cgroup[] {
    if (!this.exists()) return [];
    return [this, ...this.children().flatMap((child) => child.tree())];
  }

  /** True if any process is in it or below it (cgroup.events). */
  populated(): boolean {
    try {
      return /^populated 1$/m.test(readFileSync(this.#file("cgroup.events"), "utf8"));
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENODEV")) return false;
      throw error;
    }
  }

  /**
   * Calls `changed` when it turns populated or empty, by inotify on cgroup.events.
   *
   * @returns a function that ends the watch
   */
  watch(changed: () => void): () => void {
    return watchPath(this.#file("cgroup.events").toString(), IN_MODIFY, changed);
  }

  /** Sends a signal to every process in it and below it. */
  signal(signal: number): void {
    const SIGKILL = 9;
    const killFile = this.#file("cgroup.kill");
    if (signal === SIGKILL && existsSync(killFile)) {
      // In one step, so that a process that forks cannot slip away (Linux 5.14).
      this.#write("cgroup.kill", "1");
      return;
    }
    for (const pid of this.processes()) {
      try {
        kill(pid, signal);
      } catch (error) {
        if (!hasCode(error, "ESRCH")) throw error;
      }
    }
  }

  /**
   * Removes it and those below it.
   *
   * @returns false if processes are still inside, and then it stays
   */
  remove(): boolean {
    // Nor is one that does not exist.
    if (this.populated()) return false;
    for (const child of this.children()) if (!child.remove()) return false;
    return this.removeAlone();
  }

  /** Removes it, but nothing below it. @returns false if processes or cgroups are inside */
  removeAlone(): boolean {
    try {
      rmdirSync(this.#folder);
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return true;
      if (hasCode(error, "EBUSY", "ENOTEMPTY")) return false;
      throw error;
    }
  }

  /** Those right below it; none if it does not exist. */
  children(): Cgroup[] {
    try {
      // A folder has a link of each folder in it, and two of its own.
      if (lstatSync(this.#folder).nlink === 2) return [];
      return readdirSync(this.#folder, { encoding: "buffer" })
        .filter((name) => lstatSync(this.#file(name), { throwIfNoEntry: false })?.isDirectory())
        .map((name) => this.child(name));
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENODEV")) return [];
      throw error;
    }
  }
}
