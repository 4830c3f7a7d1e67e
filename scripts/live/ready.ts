/** When a test system is up, and how its services are. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../host.ts";
import { missing } from "./state.ts";

export type ServiceState = "started" | "starting" | "inactive" | "failed" | "crashed";

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

/** Whether OpenRC has brought up the runlevel default and starts nothing more (librc's files). */
export async function isDefaultReached(root: string): Promise<boolean> {
  const state = join(root, "run/openrc");
  const runlevel = await readFile(join(state, "softlevel"), "utf8").catch(missing);
  if (runlevel?.trim() !== "default") return false;
  const entries = (await readdir(state).catch(missing)) ?? [];
  const starting = (await readdir(join(state, "starting")).catch(missing)) ?? [];
  return starting.length === 0 && !entries.includes("rc.starting");
}

/** Every service that OpenRC has a state of. Its entries are links that lead nowhere from outside. */
export async function services(root: string): Promise<Record<string, ServiceState>> {
  const found: Record<string, ServiceState> = {};
  for (const state of ["started", "starting", "inactive", "failed"] as const) {
    const names = (await readdir(join(root, "run/openrc", state)).catch(missing)) ?? [];
    for (const name of names) found[name] = state;
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

/** Reads what `loginctl list-sessions --no-legend` prints; an empty column is left out there. */
export function parseSessions(text: string): SessionLine[] {
  return text.split("\n").flatMap((line) => {
    const [id, uid, user, seat = ""] = line.trim().split(/\s+/);
    if (id === undefined || uid === undefined || user === undefined) return [];
    return [{ id, uid: Number(uid), user, seat }];
  });
}

/** A socket of a Wayland compositor in a user's runtime folder. */
export async function waylandDisplay(root: string, uid: number): Promise<string | undefined> {
  const names = (await readdir(join(root, "run/user", String(uid))).catch(missing)) ?? [];
  return names.find((entry) => /^wayland-\d+$/.test(entry));
}
