/** When a test system is up, and how its services are. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../../scripts/host.ts";
import { missing } from "../../scripts/lib/state.ts";

/** "stopped" is a service of a runlevel that does not run: it failed, or was stopped since. */
export type ServiceState = "started" | "starting" | "inactive" | "failed" | "stopped";

/**
 * Calls a look until it finds something, at most so many milliseconds.
 * @throws HostError that names what did not come.
 */
export async function waitFor<T>(
  look: () => Promise<T | undefined | false>,
  what: string,
  timeout = 30_000,
  signal?: AbortSignal,
): Promise<T> {
  for (const deadline = Date.now() + timeout; ; ) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    signal?.throwIfAborted();
    if (Date.now() > deadline) {
      throw new HostError(`${what}: not within ${timeout / 1000} seconds`);
    }
    await sleep(50, undefined, signal ? { signal } : {});
  }
}

/**
 * Whether OpenRC has brought up the runlevel default and starts nothing more (librc's files). It names
 * the runlevel a moment before it makes rc.starting, so one that has started nothing yet does not
 * count; that something has been started is looked at first, and rc.starting last.
 */
export async function isDefaultReached(root: string): Promise<boolean> {
  const state = join(root, "run/openrc");
  const names = async (folder: string) => (await readdir(folder).catch(missing)) ?? [];
  const runlevel = await readFile(join(state, "softlevel"), "utf8").catch(missing);
  if (runlevel?.trim() !== "default") return false;
  const wanted = await names(join(root, "etc/runlevels/default"));
  const begun = new Set<string>();
  for (const folder of ["started", "failed", "inactive"]) {
    for (const name of await names(join(state, folder))) begun.add(name);
  }
  if (wanted.length > 0 && !wanted.some((name) => begun.has(name))) return false;
  const starting = await names(join(state, "starting"));
  return starting.length === 0 && !(await names(state)).includes("rc.starting");
}

/** The runlevels that a boot goes through; the kernel's command line could name another default. */
const RUNLEVELS = ["sysinit", "boot", "default"];

/**
 * Every service of the runlevels, and every other that OpenRC started. Names only: the entries are
 * links that lead nowhere from outside. One whose start_post fails is in no folder of states.
 */
export async function services(root: string): Promise<Record<string, ServiceState>> {
  const found: Record<string, ServiceState> = {};
  const note = async (folder: string, state: ServiceState) => {
    const names = (await readdir(join(root, folder)).catch(missing)) ?? [];
    for (const name of names) found[name] = state;
  };
  for (const runlevel of RUNLEVELS) await note(join("etc/runlevels", runlevel), "stopped");
  for (const state of ["started", "starting", "inactive", "failed"] as const) {
    await note(join("run/openrc", state), state);
  }
  return Object.fromEntries(Object.entries(found).sort());
}

/** A session as `loginctl list-sessions` prints it. */
export interface SessionLine {
  readonly id: string;
  readonly uid: number;
  readonly user: string;
  readonly seat: string;
}

/** Reads what `loginctl list-sessions --no-legend` prints; a dash stands for what is not set. */
export function parseSessions(text: string): SessionLine[] {
  return text.split("\n").flatMap((line) => {
    const [id, uid, user, seat = ""] = line.trim().split(/\s+/);
    if (id === undefined || uid === undefined || user === undefined) return [];
    return [{ id, uid: Number(uid), user, seat: seat === "-" ? "" : seat }];
  });
}

/** A socket of a Wayland compositor in a user's runtime folder. */
export async function waylandDisplay(root: string, uid: number): Promise<string | undefined> {
  const names = (await readdir(join(root, "run/user", String(uid))).catch(missing)) ?? [];
  return names.find((entry) => /^wayland-\d+$/.test(entry));
}
