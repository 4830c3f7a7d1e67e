/**
 * What can be reached from inside each sandbox, by reach.c, held against what its file in reach/
 * names; and the attacks of findings.c, at the same places.
 */
import { readFile, rm, writeFile } from "node:fs/promises";
import { constants } from "node:os";
import { join } from "node:path";
import { rulesOf } from "../../../lib/cli/index.ts";
import { assembleFilter, programBytes } from "../../../lib/linux/index.ts";
import { HostError } from "../../../scripts/host.ts";
import type { Live } from "../index.ts";
import { buildProgram } from "./programs.ts";
import type { Attack } from "./table.ts";

const MANAGER = [
  ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
  "org.freedesktop.login1.Manager",
];
/** Started by the launcher, with the filter set by the program itself. */
const LAUNCHED = ["notifyd", "ghost-units", "net-init"] as const;
/** Where the bridge can write. */
const RESULTS = "/run/systemd/reach";
const PROGRAMS = ["reach", "findings"] as const;

const ERRORS = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));
const SUCCESS = "it succeeded";
/** What findings.c printed after a name. */
const outcomeOf = (status: string) => ERRORS.get(Number(status)) ?? SUCCESS;

/** Tries everything from inside of each sandbox. */
export async function attackByReach(live: Live): Promise<Attack[]> {
  for (const name of PROGRAMS) await buildProgram(name, `${live.root}/usr/local/bin/${name}`);
  await prepare(live);
  const control = await must(live, ["unshare", "--mount", "findings", "--control"]);
  const attacks: Attack[] = [];
  for (const profile of LAUNCHED) {
    const filter = `/usr/local/share/${profile}.bpf`;
    await writeFile(`${live.root}${filter}`, programBytes(assembleFilter(rulesOf(profile))));
    const reach = await launch(live, profile, "/usr/local/bin/reach", filter);
    const findings = await launch(live, profile, "/usr/local/bin/findings", filter);
    attacks.push(...(await judge(profile, reach)), ...judgeFindings(profile, findings, control));
  }
  const { reach, findings } = await insideBridge(live);
  await must(live, ["sh", "-c", "rm -r /etc/lainos/sleep.d; umount /proc/sys/fs/binfmt_misc"]);
  attacks.push(
    ...(await judge("dbus-bridge", reach)),
    ...judgeFindings("dbus-bridge", findings, control),
  );
  return attacks;
}

/** What the attacks need to be possible at all: a hook that takes its time, and a mount below /proc. */
async function prepare(live: Live): Promise<void> {
  const script = `mkdir -p /etc/lainos/sleep.d
printf '#!/bin/sh\\nsleep 3\\n' >/etc/lainos/sleep.d/slow && chmod 755 /etc/lainos/sleep.d/slow
grep -q ' /proc/sys/fs/binfmt_misc ' /proc/self/mounts || mount -t tmpfs tmpfs /proc/sys/fs/binfmt_misc`;
  await must(live, ["sh", "-c", script]);
}

function launch(live: Live, profile: string, ...words: string[]): Promise<string> {
  return must(live, [
    ...["env", "-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"],
    // Without the sockets of a daemon that opens its own before.
    ...["/usr/libexec/lainos/sandbox", "--listening", profile, ...words],
  ]);
}

/** As a child of the bridge, which starts wall(1) when somebody asks for a shutdown. */
async function insideBridge(live: Live): Promise<Record<(typeof PROGRAMS)[number], string>> {
  const wall = `${live.root}/usr/local/bin/wall`;
  const runs = PROGRAMS.map((name) => `/usr/local/bin/${name} >${RESULTS}.${name} 2>&1`);
  const script = `#!/bin/sh\n${runs.join("\n")}\n: >${RESULTS}.done\n`;
  await writeFile(wall, script, { mode: 0o755 });
  await must(live, [...MANAGER, "SetWallMessage", "sb", "attack", "true"]);
  const due = (BigInt(Date.now()) + 600_000n) * 1000n;
  await must(live, [...MANAGER, "ScheduleShutdown", "st", "dry-poweroff", String(due)]);
  const read = (name: string) => readFile(`${live.root}${RESULTS}.${name}`, "utf8");
  await live.waitFor(
    () =>
      read("done").then(
        () => true,
        () => undefined,
      ),
    "what the bridge reaches",
    60_000,
  );
  await rm(wall);
  await must(live, [...MANAGER, "CancelScheduledShutdown"]);
  const [reach, findings] = [await read("reach"), await read("findings")];
  await must(live, ["sh", "-c", `rm ${RESULTS}.*`]);
  return { reach, findings };
}

const where = (profile: string) => `inside ${profile === "dbus-bridge" ? "the bridge" : profile}`;

/** One attack for each kind: everything of it that the profile does not name. */
async function judge(profile: string, text: string): Promise<Attack[]> {
  if (!text.endsWith("end\t\n")) throw new HostError(`reach in ${profile}: ${text.slice(-300)}`);
  const lines = text.trim().split("\n");
  const named = await readNames(profile);
  const kinds = new Map<string, { count: number; more: Set<string> }>();
  for (const kind of KINDS) kinds.set(kind, { count: 0, more: new Set() });
  for (const line of lines) {
    const [kind = "", what = ""] = line.split("\t");
    const found = kinds.get(kind);
    if (!found) continue;
    found.count++;
    if (!named.some((one) => one.kind === kind && one.pattern.test(what))) found.more.add(what);
  }
  return [...kinds].map(([kind, { count, more }]) => ({
    where: where(profile),
    name: `reach: ${kind}`,
    by: "the profile",
    refused: more.size === 0,
    outcome:
      more.size === 0
        ? `${count}, all named`
        : `${more.size} of ${count} are not named: ${[...more].sort().slice(0, 40).join(", ")}`,
  }));
}

const KINDS = [
  ...["socket", "fifo-read", "fifo-write", "device-read", "device-write", "file", "directory"],
  ...["signal", "prlimit", "process", "family", "inherited"],
];

/** A pattern of reach/: ** is anything, * anything without a slash, {a,b} one of them. */
function toExpression(pattern: string): RegExp {
  const parts = pattern.split(/(\*\*|\*|\{[^}]*\})/).map((part) => {
    if (part === "**") return ".*";
    if (part === "*") return "[^/]*";
    if (part.startsWith("{")) return `(?:${part.slice(1, -1).replaceAll(",", "|")})`;
    return part.replace(/[\\^$.|?*+()[\]{}]/g, "\\$&");
  });
  return new RegExp(`^${parts.join("")}$`);
}

async function readNames(profile: string) {
  const text = await readFile(join(import.meta.dir, "reach", `${profile}.txt`), "utf8");
  return text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => {
      const [kind = "", pattern = ""] = line.split("\t");
      return { kind, pattern: toExpression(pattern) };
    });
}

/** What a daemon is there to do. */
const ITS_JOB: Readonly<Record<string, readonly string[]>> = {
  "dbus-bridge": ["N5 signal-to-a-daemon"],
};

function judgeFindings(profile: string, text: string, controlText: string): Attack[] {
  const read = (lines: string) =>
    new Map(
      lines
        .trim()
        .split("\n")
        .map((line) => line.split("\t") as [string, string]),
    );
  const control = read(controlText);
  const found = read(text);
  if (!found.has("O1 many-programs"))
    throw new HostError(`findings in ${profile}: ${text.slice(-300)}`);
  return [...found]
    .filter(([name]) => !ITS_JOB[profile]?.includes(name))
    .map(([name, status]) => {
      const outcome = outcomeOf(status);
      const without = outcomeOf(control.get(name) ?? "");
      return {
        where: where(profile),
        name,
        outcome,
        by: name.startsWith("N2 restart") || name.startsWith("O1") ? "outside" : "the sandbox",
        refused: outcome !== SUCCESS,
        control: without,
        unproven: without !== SUCCESS,
      };
    });
}

async function must(live: Live, command: string[]): Promise<string> {
  const done = await live.exec(command, { timeout: 60_000 });
  if (done.code !== 0) throw new HostError(`${command.join(" ")}: ${done.stderr.trim()}`);
  return done.stdout;
}
