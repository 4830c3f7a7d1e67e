/** What the attacked daemons hold, read from /proc, and how they are brought back. */
import { readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../../../scripts/host.ts";
import type { Live } from "../index.ts";

/** The daemons that are looked at, by what /proc/PID/comm says. dbus-daemon is not ours. */
export const DAEMONS = {
  bridge: "lainos-dbus-bri",
  notifyd: "lainos-notifyd",
  bus: "dbus-daemon",
} as const;
export type Daemon = keyof typeof DAEMONS;

/** One process at one time. Sizes are in KiB. */
export interface Held {
  readonly pid: number;
  readonly descriptors: number;
  readonly memory: number;
  /** The most that was resident since `resetPeak`. */
  readonly peak: number;
  /** How many descriptors there are of each kind, by what their links in /proc say. */
  readonly kinds: ReadonlyMap<string, number>;
}

/** The oldest process of that name in the system; of dbus-daemons it is the system's own. */
export async function pidOf(live: Live, daemon: Daemon): Promise<number | undefined> {
  const proc = `${live.root}/proc`;
  const pids = (await readdir(proc)).filter((name) => /^\d+$/.test(name)).map(Number);
  for (const pid of pids.sort((a, b) => a - b)) {
    const comm = await readFile(`${proc}/${pid}/comm`, "utf8").catch(() => "");
    if (comm.trim() === DAEMONS[daemon]) return pid;
  }
  return undefined;
}

/** What a daemon holds; undefined while it is not there. */
export async function held(live: Live, daemon: Daemon): Promise<Held | undefined> {
  const pid = await pidOf(live, daemon);
  if (pid === undefined) return undefined;
  const proc = `${live.root}/proc/${pid}`;
  try {
    const status = await readFile(`${proc}/status`, "utf8");
    const rollup = await readFile(`${proc}/smaps_rollup`, "utf8");
    const size = (text: string, key: string) =>
      Number(new RegExp(`^${key}:\\s+(\\d+) kB`, "m").exec(text)?.[1] ?? 0);
    return {
      pid,
      descriptors: (await readdir(`${proc}/fd`)).length,
      memory: size(rollup, "Pss"),
      peak: size(status, "VmHWM"),
      kinds: await kindsOf(`${proc}/fd`),
    };
  } catch (error) {
    // It ended meanwhile.
    if (["ENOENT", "ESRCH"].includes((error as NodeJS.ErrnoException).code ?? "")) return undefined;
    throw error;
  }
}

/** Has `peak` count from now on; see /proc/PID/clear_refs in proc(5). */
export async function resetPeak(live: Live, pid: number): Promise<void> {
  await writeFile(`${live.root}/proc/${pid}/clear_refs`, "5");
}

/** How many descriptors of each kind a process has. */
async function kindsOf(folder: string): Promise<Map<string, number>> {
  const counts = new Map<string, number>();
  for (const fd of await readdir(folder)) {
    const target = await readlink(`${folder}/${fd}`).catch(() => "closed meanwhile");
    const kind = target.replace(/:?\[\d+\]$/, "");
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}

/** Of what kinds there are more than before. */
export function moreKinds(before: Held, now: Held): string {
  return [...now.kinds]
    .filter(([kind, count]) => count > (before.kinds.get(kind) ?? 0))
    .map(([kind, count]) => `${count - (before.kinds.get(kind) ?? 0)} ${kind}`)
    .join(", ");
}

/** The size of the daemons' logs, and what is used of /run, in KiB. */
export async function filled(live: Live): Promise<{ logs: number; run: number }> {
  let logs = 0;
  for (const name of ["lainos-dbus-bridge", "lainos-notifyd"]) {
    const log = await stat(`${live.root}/var/log/lainos/${name}.log`).catch(() => undefined);
    logs += (log?.size ?? 0) / 1024;
  }
  const { stdout } = await live.exec(["df", "--output=used", "-k", "/run"]);
  return { logs: Math.round(logs), run: Number(stdout.trim().split("\n").at(-1)) };
}

const PING = [
  ...["busctl", "--timeout=3", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
  ...["org.freedesktop.login1.Manager", "ListSeats"],
];
const BARRIER = `import socket,os,select,array
r,w=os.pipe();s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM);s.connect("/run/systemd/notify")
s.sendmsg([b"BARRIER=1"],[(1,1,array.array("i",[w]))]);os.close(w);exit(0 if select.select([r],[],[],3)[0] else 1)`;

async function answer(live: Live): Promise<boolean> {
  const bus = await live.exec(PING, { timeout: 20_000 });
  if (bus.code !== 0) return false;
  return (await live.exec(["python3", "-c", BARRIER])).code === 0;
}

/**
 * Starts the daemons anew, so that what an attack has left in them does not count for the next.
 * A dbus-daemon that an attack has broken is started anew too.
 *
 * @throws HostError if they do not come back
 */
export async function renew(live: Live): Promise<void> {
  for (const services of [
    ["lainos-notifyd", "lainos-dbus-bridge"],
    ["dbus", "lainos-notifyd", "lainos-dbus-bridge"],
  ]) {
    for (const service of services) {
      // With "start" for one that OpenRC has given up, which "restart" would start as well but fails
      // over what is left of it.
      const script = `rc-service ${service} restart || { rc-service ${service} zap; rc-service ${service} start; }`;
      await live.exec(["sh", "-c", script], { timeout: 120_000 });
    }
    for (let tries = 0; tries < 10; tries++) {
      if (await answer(live)) return;
      await sleep(500);
    }
  }
  throw new HostError("the daemons do not come back after an attack");
}
