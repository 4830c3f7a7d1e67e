/**
 * Attacks that take as long as one likes: descriptors that harm whoever closes them, and more or
 * longer messages than anybody needs. Meanwhile others use the daemons, and what they meet is
 * measured; afterwards the daemons have to be what they were.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../../../scripts/host.ts";
import type { Live } from "../index.ts";
import {
  type Daemon,
  filled,
  type Held,
  held,
  moreKinds,
  pidOf,
  renew,
  resetPeak,
} from "./daemons.ts";
import { buildProgram } from "./programs.ts";
import type { Attack } from "./table.ts";

/** What a daemon may need, and what others may meet. */
export interface Bounds {
  /** The 99th percentile of others' calls, in milliseconds. */
  readonly calls: number;
  /** The longest login, in milliseconds; each has to have a session in any case. */
  readonly login: number;
  /** How long a daemon may wait in one system call, in milliseconds. */
  readonly stuck: number;
  /** What stays of memory afterwards, and what it may be at most meanwhile, in KiB. */
  readonly growth: number;
  readonly peak: number;
}

/** What the project promises. */
export const STRICT: Bounds = {
  calls: 100,
  login: 1000,
  stuck: 100,
  growth: 48 * 1024,
  peak: 160 * 1024,
};
/**
 * For a machine that is busy with other tests. Less than the short form goes on, so that who hangs for
 * all of it is seen.
 */
export const LOOSE: Bounds = {
  calls: 1500,
  login: 5000,
  stuck: 1000,
  growth: 200 * 1024,
  peak: 400 * 1024,
};

/** The log and /run may grow by so much for each second of an attack, and in the first moment, in KiB. */
const LOG_RATE = 16;
const RUN_RATE = 64;
const AT_FIRST = 512;
/** How long the daemons have to give back what an attack cost, in milliseconds. */
const SETTLE = 10_000;

/** A daemon opens some at its first need of them, and keeps them: to the log, for what it does aside. */
const SPARE = 2;

/** polkit is the measure of the bus: a call to another service, which goes the same way through dbus-daemon. */
type Probe = "ListSeats" | "GetSession" | "varlink" | "BARRIER" | "fdstore" | "login" | "polkit";
const ALL: readonly Probe[] = [
  ...(["ListSeats", "GetSession", "varlink", "BARRIER", "fdstore", "login", "polkit"] as const),
];

interface Flood {
  readonly name: string;
  /** Words for hostile.c; SECONDS and SESSION stand for themselves. */
  readonly words: readonly string[];
  /** In a session of the attacker's own. */
  readonly inSession?: boolean;
  readonly probes?: readonly Probe[];
  /** Whether dbus-daemon itself hangs over it, so that what comes by it says nothing of ours. */
  readonly hangsBus?: boolean;
  /** Not in the short form. */
  readonly long?: boolean;
  /** Asked while it goes on; what is wrong with the answer. */
  readonly during?: (live: Live) => Promise<string | undefined>;
}

const without = (...names: Probe[]) => ALL.filter((name) => !names.includes(name));

/** Which kinds of kinds.h harm whoever closes or looks at one. */
const HARMFUL = ["linger", "fuse-flush-eio", "fuse-flush-hang"] as const;
const ALSO_HARMFUL = [
  ...["nested-linger", "fuse-release-hang", "fuse-stat-hang", "fuse-poll-hang"],
] as const;
// What wakes the daemon's only thread by a signal ends some waits, and is not to help here.
const TARGETS: readonly (readonly [target: string, probes: readonly Probe[]])[] = [
  ["bus", without("varlink")],
  ["varlink", ALL],
  ["notify", without("fdstore")],
  ["fdstore", ALL],
];

const ID = (kind: string) => (kind.includes("linger") ? "H1" : kind === "harmless" ? "H" : "H2");

const descriptors = (kind: string, long: boolean): Flood[] =>
  TARGETS.map(([target, probes]) => ({
    name: `${ID(kind)} ${kind} to ${target}`,
    words: ["fds", kind, target, "SECONDS"],
    probes,
    long,
    hangsBus: target === "bus",
  }));

/** Whether the one at the screen may still do what polkit allows who sits there. */
async function seatedMay(live: Live): Promise<string | undefined> {
  const script = `busctl --timeout=10 call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager`;
  const pid = (await live.exec(["pgrep", "-o", "-x", "sway"])).stdout.trim();
  // From inside liveuser's session, whose cgroup polkit goes by.
  const cgroup = (await live.exec(["cat", `/proc/${pid}/cgroup`])).stdout.trim().split("::")[1];
  const ask = `echo 0 >/sys/fs/cgroup${cgroup}/cgroup.procs && exec setpriv --reuid=liveuser --regid=liveuser --init-groups ${script}`;
  const may = await live.exec(["sh", "-c", `${ask} CanPowerOff`]);
  if (!may.stdout.includes('"yes"')) {
    return `liveuser's CanPowerOff: ${may.stdout.trim()}${may.stderr.trim()}`;
  }
  const inhibit = await live.exec(["sh", "-c", `${ask} Inhibit ssss sleep a b delay`]);
  return inhibit.code === 0 ? undefined : `liveuser's Inhibit: ${inhibit.stderr.trim()}`;
}

const FLOODS: readonly Flood[] = [
  ...HARMFUL.flatMap((kind) => descriptors(kind, false)),
  ...ALSO_HARMFUL.flatMap((kind) => descriptors(kind, true)),
  ...descriptors("harmless", false),
  { name: "D1 inhibitors of 24 MB each", words: ["inhibitors", "SECONDS"] },
  { name: "D1 inhibitors of 2 KB each", words: ["short-inhibitors", "SECONDS"], long: true },
  { name: "D1 SetDisplay of 31 MB", words: ["display", "SECONDS", "SESSION"], inSession: true },
  { name: "D2 bodies of 30 MB, av", words: ["bodies", "SECONDS", "av"] },
  { name: "D2 bodies of 30 MB, aas", words: ["bodies", "SECONDS", "aas"], long: true },
  { name: "D2 bodies of 30 MB, ay", words: ["bodies", "SECONDS", "ay"], long: true },
  { name: "D3 GetUnitProcesses", words: ["processes", "SECONDS", "SESSION"], inSession: true },
  { name: "D4 a path of 32 MiB", words: ["long", "SECONDS", "path"] },
  { name: "D4 ListInhibitors with 36 MB", words: ["list", "SECONDS"] },
  { name: "D5 descriptors that are not there", words: ["index", "SECONDS"] },
  {
    name: "D6 questions to a silent agent",
    words: ["questions", "SECONDS"],
    during: seatedMay,
  },
  { name: "calls whose replies nobody reads", words: ["calls", "SECONDS"] },
  { name: "calls that want no reply", words: ["silent", "SECONDS"], long: true },
  { name: "datagrams to notify", words: ["notices", "SECONDS"] },
  {
    name: "connections to varlink",
    words: ["connections", "SECONDS", "/run/systemd/io.systemd.Login"],
    long: true,
  },
  {
    name: "connections to fdstore",
    words: ["connections", "SECONDS", "/run/lainos/fdstore"],
    long: true,
  },
];

export interface FloodOptions {
  /** How long each goes on, in seconds. */
  readonly seconds: number;
  readonly bounds: Bounds;
  /** Only those of the short form. */
  readonly short?: boolean;
  /** Only those whose name has this in it. */
  readonly only?: string;
  /** Is told what goes on. */
  readonly report?: (line: string) => void;
}

const OTHER = "victim";

/** In the short form: a busy machine makes everybody wait once, an attack that works does so each time. */
const MOST_TRIES = 3;

/** Runs them one after the other, each with the daemons as they are after a start. */
export async function attackByFloods(
  live: Live,
  user: string,
  options: FloodOptions,
): Promise<Attack[]> {
  const added = await live.exec(["useradd", "-m", "-s", "/bin/bash", OTHER]);
  if (added.code !== 0) throw new HostError(`useradd: ${added.stderr.trim()}`);
  for (const name of ["hostile", "bystander"]) {
    await buildProgram(name, `${live.root}/usr/local/bin/${name}`);
  }
  // As on every system that has udev.
  await live.exec(["sh", "-c", "[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229"]);
  const session = (await live.sessions()).find((one) => one.user === "liveuser")?.id ?? "none";
  const attacks: Attack[] = [];
  for (const flood of FLOODS) {
    if (options.short && flood.long) continue;
    if (options.only !== undefined && !flood.name.includes(options.only)) continue;
    let attack: Attack;
    let tries = options.short ? MOST_TRIES : 1;
    do {
      attack = await run(live, user, session, flood, options);
      options.report?.(`${attack.refused ? "held" : "FELL"}  ${attack.name}: ${attack.outcome}`);
      if (!attack.refused) await renew(live);
    } while (!attack.refused && --tries > 0);
    attacks.push(attack);
  }
  return attacks;
}

interface Answers {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly longest: number;
  readonly failed: number;
  readonly without: number;
  readonly last: string;
}

/** What bystander.c prints. */
function readAnswers(text: string): Map<string, Answers> {
  const lines = text.trim().split("\n");
  return new Map(
    lines.map((line) => {
      const [name = "", ...fields] = line.split("\t");
      const [count = 0, p50 = 0, p99 = 0, longest = 0, failed = 0, without = 0] =
        fields.map(Number);
      return [name, { count, p50, p99, longest, failed, without, last: fields[6] ?? "" }];
    }),
  );
}

const IN_SESSION =
  "session=$(sed -n 's/.*session-\\(.*\\)\\.scope.*/\\1/p' /proc/self/cgroup); exec hostile";

async function run(
  live: Live,
  user: string,
  session: string,
  flood: Flood,
  { seconds, bounds }: FloodOptions,
): Promise<Attack> {
  const before = await look(live);
  const start = await filled(live);
  const pids = Object.values(before).map(({ pid }) => String(pid));
  for (const { pid } of Object.values(before)) await resetPeak(live, pid);
  const probes = flood.probes ?? ALL;
  // It begins a moment after the attack and ends before it; what waits then waits for its end.
  const bystander = live.exec(["bystander", String(seconds), OTHER, session, ...probes, ...pids], {
    timeout: (seconds + 120) * 1000,
  });
  const words = flood.words.map((word) => (word === "SECONDS" ? String(seconds + 0.5) : word));
  const timeout = (seconds + 60) * 1000;
  const attacker = flood.inSession
    ? live.exec(
        [
          "su",
          "-l",
          user,
          "-c",
          `${IN_SESSION} ${words.join(" ").replace("SESSION", '"$session"')}`,
        ],
        { timeout },
      )
    : live.exec(["hostile", ...words], { user, timeout });
  const problems: string[] = [];
  if (flood.during) {
    await sleep(1000);
    const wrong = await flood.during(live);
    if (wrong) problems.push(wrong);
  }
  const [seen, done] = await Promise.all([bystander, attacker]);
  if (seen.code !== 0) throw new HostError(`bystander: ${seen.stderr.trim()}`);
  const did = new Map(
    done.stdout.matchAll(/^(\w+)=(.*)$/gm).map(([, key = "", value = ""]) => [key, value]),
  );
  const answers = readAnswers(seen.stdout);
  const figures = judgeAnswers(answers, flood, before, bounds, problems);
  figures.push(...(await judgeDaemons(live, before, bounds, problems)));
  const end = await filled(live);
  const logs = end.logs - start.logs;
  const more = end.run - start.run;
  if (logs > AT_FIRST + LOG_RATE * seconds) problems.push(`the logs grew by ${logs} KiB`);
  if (more > AT_FIRST + RUN_RATE * seconds) problems.push(`/run grew by ${more} KiB`);
  figures.push(`log +${logs} KiB`, `/run +${more} KiB`, `it: ${describeAttack(did)}`);
  // One that never came to its attack shows nothing.
  const unproven = did.get("close") === "none of it here" || done.stdout.trim() === "";
  return {
    where: "another user",
    name: flood.name,
    by: "its bounds",
    refused: problems.length === 0,
    unproven,
    outcome: [...problems, ...figures].join("; "),
  };
}

const describeAttack = (did: Map<string, string>) =>
  [...did]
    .filter(([, value]) => value !== "0")
    .map(([key, value]) => `${key} ${value}`)
    .join(", ") || "nothing";

async function look(live: Live): Promise<Record<Daemon, Held>> {
  const all = {} as Record<Daemon, Held>;
  for (const daemon of ["bridge", "notifyd", "bus"] as const) {
    const found = await held(live, daemon);
    if (!found) throw new HostError(`${daemon} does not run`);
    all[daemon] = found;
  }
  return all;
}

const BY_BUS: readonly string[] = ["ListSeats", "GetSession", "login"];

/** Compares what others met with the bounds; the figures. */
function judgeAnswers(
  answers: Map<string, Answers>,
  flood: Flood,
  before: Record<Daemon, Held>,
  bounds: Bounds,
  problems: string[],
): string[] {
  const busWaited = answers.get(String(before.bus.pid))?.longest ?? 0;
  // dbus-daemon closes its own copies too: what it made others wait for is not ours to answer.
  const excused = flood.hangsBus === true && busWaited > bounds.stuck;
  // And as long as dbus-daemon takes for a service that nobody floods is its own too.
  const ofBus = answers.get("polkit")?.p99 ?? 0;
  const figures: string[] = [];
  for (const [name, one] of answers) {
    const daemon = (Object.keys(before) as Daemon[]).find(
      (each) => String(before[each].pid) === name,
    );
    if (daemon) {
      const call = `${daemon} waited ${Math.round(one.longest)} ms in call ${one.count}`;
      if (one.longest <= bounds.stuck) continue;
      if (daemon === "bus") figures.push(`dbus-daemon's own: ${call}`);
      else problems.push(call);
      continue;
    }
    figures.push(`${name} ${one.p50}/${one.p99}/${one.longest} ms of ${one.count}`);
    if (excused && (name === "polkit" || BY_BUS.includes(name))) continue;
    if (one.failed > 0) problems.push(`${name}: ${one.failed} of ${one.count} failed: ${one.last}`);
    if (one.without > 0) problems.push(`${one.without} of ${one.count} logins had no session`);
    if (name === "polkit") continue;
    const [measured, bound] =
      name === "login"
        ? [one.longest, bounds.login]
        : [one.p99, bounds.calls + (BY_BUS.includes(name) ? ofBus : 0)];
    if (measured > bound) problems.push(`${name} took ${Math.round(measured)} ms`);
  }
  return figures;
}

/** Compares the daemons with what they were; the figures. */
async function judgeDaemons(
  live: Live,
  before: Record<Daemon, Held>,
  bounds: Bounds,
  problems: string[],
): Promise<string[]> {
  const figures: string[] = [];
  for (const daemon of ["bridge", "notifyd"] as const) {
    const then = before[daemon];
    let now = await held(live, daemon);
    const end = Date.now() + SETTLE;
    while (Date.now() < end && now?.pid === then.pid) {
      if (now.descriptors <= then.descriptors + SPARE && now.memory - then.memory <= bounds.growth)
        break;
      await sleep(250);
      now = await held(live, daemon);
    }
    if (!now || now.pid !== then.pid) {
      problems.push(`${daemon} is ${now ? "another process" : "gone"}`);
      continue;
    }
    const [more, grown] = [now.descriptors - then.descriptors, now.memory - then.memory];
    const peak = now.peak - then.memory;
    figures.push(`${daemon} fds ${sign(more)}, memory ${sign(grown)} KiB, peak ${sign(peak)} KiB`);
    if (more > SPARE) {
      problems.push(`${daemon} keeps ${more} descriptors: ${moreKinds(then, now)}`);
    }
    if (grown > bounds.growth) problems.push(`${daemon} has grown by ${grown} KiB`);
    if (peak > bounds.peak) problems.push(`${daemon} took ${peak} KiB meanwhile`);
  }
  const bus = await held(live, "bus");
  if (bus) {
    figures.push(
      `dbus-daemon fds ${sign(bus.descriptors - before.bus.descriptors)}, ` +
        `memory ${sign(bus.memory - before.bus.memory)} KiB`,
    );
  }
  if ((await pidOf(live, "bus")) !== before.bus.pid) figures.push("dbus-daemon is another process");
  return figures;
}

const sign = (value: number) => (value < 0 ? String(value) : `+${value}`);
