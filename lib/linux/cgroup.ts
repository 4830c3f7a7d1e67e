/** The cgroup2 tree; see cgroups(7) and the kernel's cgroup-v2 document. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { hasCode } from "./errors.ts";
import { IN_MODIFY, watchPath } from "./inotify.ts";
import { mounts } from "./mount.ts";
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

/** One cgroup, by its path below the cgroup2 mount. */
export class Cgroup {
  readonly #root: string;
  readonly #folder: string;

  constructor(
    root: string,
    readonly path: string,
  ) {
    this.#root = root;
    this.#folder = join(root, path);
  }

  exists(): boolean {
    return existsSync(this.#folder);
  }

  /** Makes it, and those above it, where they are missing. */
  create(): void {
    mkdirSync(this.#folder, { recursive: true });
  }

  /**
   * Moves a whole process (all its threads) in.
   *
   * @throws {Error} with code ESRCH if the process is gone
   */
  add(pid: number): void {
    writeFileSync(join(this.#folder, "cgroup.procs"), `${pid}`);
  }

  /** The pids in it and, with `deep`, in those below it. Empty if it does not exist. */
  processes(deep = true): number[] {
    let pids: number[];
    try {
      const text = readFileSync(join(this.#folder, "cgroup.procs"), "utf8");
      pids = text.split("\n").filter(Boolean).map(Number);
    } catch (error) {
      if (hasCode(error, "ENOENT", "ENODEV")) return [];
      throw error;
    }
    if (!deep) return pids;
    return [...pids, ...this.#children().flatMap((child) => child.processes())];
  }

  /** It and every cgroup below it that exists, depth first. */
  tree(): Cgroup[] {
    if (!this.exists()) return [];
    return [this, ...this.#children().flatMap((child) => child.tree())];
  }

  /** True if any process is in it or below it (cgroup.events). */
  populated(): boolean {
    try {
      return /^populated 1$/m.test(readFileSync(join(this.#folder, "cgroup.events"), "utf8"));
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
    return watchPath(join(this.#folder, "cgroup.events"), IN_MODIFY, changed);
  }

  /** Sends a signal to every process in it and below it. */
  signal(signal: number): void {
    const SIGKILL = 9;
    const killFile = join(this.#folder, "cgroup.kill");
    if (signal === SIGKILL && existsSync(killFile)) {
      // In one step, so that a process that forks cannot slip away (Linux 5.14).
      writeFileSync(killFile, "1");
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
    if (!this.exists()) return true;
    if (this.populated()) return false;
    for (const child of this.#children()) if (!child.remove()) return false;
    try {
      rmdirSync(this.#folder);
      return true;
    } catch (error) {
      if (hasCode(error, "ENOENT")) return true;
      if (hasCode(error, "EBUSY", "ENOTEMPTY")) return false;
      throw error;
    }
  }

  #children(): Cgroup[] {
    try {
      return readdirSync(this.#folder, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => new Cgroup(this.#root, join(this.path, entry.name)));
    } catch (error) {
      if (hasCode(error, "ENOENT")) return [];
      throw error;
    }
  }
}
