/** Attacks from inside a daemon's sandbox: see inside.c. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "zx";
import { rulesOf } from "../../../lib/cli/index.ts";
import { assembleFilter, programBytes } from "../../../lib/linux/index.ts";
import { HostError } from "../../../scripts/host.ts";
import type { Live } from "../index.ts";
import type { Attack } from "./table.ts";

const PROGRAM = "/usr/local/bin/attack";
const FILTER = "/usr/local/share/attack.bpf";
/** Where the bridge can write. */
const RESULT = "/run/systemd/attack.out";
const MANAGER = [
  ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
  "org.freedesktop.login1.Manager",
];

const NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
/** What only a sandbox answers; the others are what an attack on nothing would get too. */
const REFUSALS = ["EPERM", "EACCES", "EROFS"];
const ALSO: Readonly<Record<string, readonly string[]>> = {
  home: ["ENOENT"],
  "root-home": ["ENOENT"],
  clone3: ["ENOSYS"],
  "clear-no_new_privs": ["EINVAL"],
  // A kernel without calls of i386 ends the process.
  "i386-call": ["ended by a signal"],
};

/**
 * Runs all of them in the bridge's own sandbox, as a child of the bridge: what it starts to write to
 * terminals is ours here. Then in lainos-notifyd's, which starts nothing, by the same launcher and
 * filter.
 */
export async function attackInside(live: Live): Promise<Attack[]> {
  const folder = await mkdtemp(join(tmpdir(), "p7-attack-"));
  try {
    const program = join(folder, "attack");
    await $({ quiet: true })`gcc -static -O1 -o ${program} ${join(import.meta.dir, "inside.c")}`;
    await writeFile(`${live.root}${PROGRAM}`, await readFile(program), { mode: 0o755 });
  } finally {
    await rm(folder, { recursive: true });
  }
  await must(live, ["sh", "-c", "[ -e /dev/attack-disk ] || mknod /dev/attack-disk b 7 0"]);
  const wall = `${live.root}/usr/local/bin/wall`;
  await writeFile(wall, `#!/bin/sh\n${PROGRAM} >${RESULT}.new 2>&1\nmv ${RESULT}.new ${RESULT}\n`, {
    mode: 0o755,
  });
  await must(live, [...MANAGER, "SetWallMessage", "sb", "attack", "true"]);
  const due = (BigInt(Date.now()) + 600_000n) * 1000n;
  await must(live, [...MANAGER, "ScheduleShutdown", "st", "dry-poweroff", String(due)]);
  const text = await live.waitFor(
    () => readFile(`${live.root}${RESULT}`, "utf8").catch(() => undefined),
    "the attacks from inside the bridge",
  );
  await rm(wall);
  await must(live, [...MANAGER, "CancelScheduledShutdown"]);
  await writeFile(`${live.root}${FILTER}`, programBytes(assembleFilter(rulesOf("notifyd"))));
  const launch = (profile: string, ...words: string[]) =>
    must(live, [
      ...["env", "-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"],
      ...["/usr/libexec/lainos/sandbox", profile, PROGRAM, ...words],
    ]);
  const notifyd = await launch("notifyd", FILTER);
  const unfiltered = {
    bridge: outcomes(await launch("dbus-bridge")),
    notifyd: outcomes(await launch("notifyd")),
  };
  // Last, and in mounts of its own: it takes the first process by ptrace, and mounts what it likes.
  await must(live, ["sh", "-c", MAKE_HOOK]);
  const control = outcomes(await must(live, ["unshare", "--mount", PROGRAM, "--control"]));
  return [
    ...results("inside the bridge", outcomes(text), unfiltered.bridge, control),
    ...results("inside notifyd", outcomes(notifyd), unfiltered.notifyd, control),
  ];
}

const MAKE_HOOK = `mkdir -p /etc/lainos/sleep.d && ln -sf /bin/true /etc/lainos/sleep.d/control`;

/** What became of each attack, by its name. */
function outcomes(text: string): Map<string, string> {
  const lines = text.trim().split("\n");
  if (lines.length < 50) throw new HostError(`the attacks ended early: ${text}`);
  return new Map(
    lines.map((line) => {
      const [name = "", status = ""] = line.split("\t");
      if (status === "255") return [name, "ended by a signal"];
      return [name, NAMES.get(Number(status)) ?? "it succeeded"];
    }),
  );
}

const isRefusal = (name: string, outcome: string) =>
  [...REFUSALS, ...(ALSO[name] ?? [])].includes(outcome);

/** @param unfiltered what became of them in the same sandbox without the filter of system calls */
function results(
  where: string,
  found: Map<string, string>,
  unfiltered: Map<string, string>,
  control: Map<string, string>,
): Attack[] {
  return [...found].map(([name, outcome]) => {
    const without = control.get(name) ?? "";
    return {
      where,
      name,
      outcome,
      refused: isRefusal(name, outcome),
      by: byWhat(name, outcome, unfiltered.get(name) ?? ""),
      control: without,
      unproven: isRefusal(name, without),
    };
  });
}

function byWhat(name: string, outcome: string, unfiltered: string): string {
  if (name.startsWith("outside-") && outcome === "EACCES") return "outside";
  if (!isRefusal(name, unfiltered)) return "filter";
  if (outcome === "EROFS" || outcome === "ENOENT") return "mounts";
  return "capabilities";
}

async function must(live: Live, command: string[]): Promise<string> {
  const done = await live.exec(command);
  if (done.code !== 0) throw new HostError(`${command.join(" ")}: ${done.stderr.trim()}`);
  return done.stdout;
}
