/** `bun run bench`: what our login1 costs, beside elogind and systemd-logind; see docs/bench.md. */
import { existsSync } from "node:fs";
import { cpus, release } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { $ } from "zx";
import { version } from "../lib/cli/index.ts";
import { ROOT } from "../scripts/build.ts";
import { ensureHostPackages, HostError, requireRoot } from "../scripts/host.ts";
import { buildPackage } from "../scripts/package.ts";
import { UserError } from "../scripts/user-error.ts";
import { runAgainInTools } from "../testbed/tools/root.ts";
import { type Counts, type Figures, measure, stopMeasuring, Tools } from "./measure.ts";
import { measureNotify } from "./notify.ts";
import { elogindServer, fetchElogind, logindServer, logindVersion, type Server } from "./peer.ts";
import { compare, compareNotify, insertFigures, type OwnFigures, own } from "./report.ts";

const PAGE = join(ROOT, "docs/bench.md");

const USAGE = `usage: bun run bench [--write] [--json] [--rounds=5] [--calls=20000] [--idle=5] [--no-package] [--before=FILE]

  --write       put the tables into docs/bench.md
  --json        print every measurement as JSON instead of the tables
  --rounds      how often each server is started and measured
  --calls       calls in each measurement, after half as many that are not counted; a tenth of both of logins
  --idle        seconds before memory is looked at
  --no-package  do not build the package for its size
  --before      a lainos-dbus-bridge of another commit, to be measured in the others' place
`;

let interrupted = false;

const progress = (text: string) => process.stderr.write(`${text}\n`);

/** The size of the package and of what it installs. */
async function packageSizes(): Promise<Omit<OwnFigures, "starts">> {
  const { packageFile } = await buildPackage({ level: "release", onStep: progress });
  const info = (await $({ quiet: true })`bsdtar -xOf ${packageFile} .PKGINFO`).stdout;
  return {
    packageBytes: Bun.file(packageFile).size,
    installedBytes: Number(/^size = (\d+)$/m.exec(info)?.[1]),
  };
}

/** What was measured, and on what. */
async function machine(elogind: string): Promise<string> {
  const cores = cpus();
  const date = new Date().toISOString().slice(0, 10);
  const bus = (await $({ quiet: true })`dbus-daemon --version`).stdout;
  return (
    `${date}, ${cores.length} cores (${cores[0]?.model ?? "unknown"}), Linux ${release()}; ` +
    `protocol7-core ${version} on Bun ${Bun.version}, elogind ${elogind}, ` +
    `systemd-logind ${await logindVersion()}, dbus-daemon ${/\d[\d.]*/.exec(bus)?.[0]}`
  );
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      write: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
      package: { type: "boolean", default: true },
      rounds: { type: "string", default: "5" },
      calls: { type: "string", default: "20000" },
      idle: { type: "string", default: "5" },
      before: { type: "string" },
    },
    allowNegative: true,
  });
  if (values.help) return void process.stdout.write(USAGE);
  const number = (name: "rounds" | "calls" | "idle") => {
    const value = Number(values[name]);
    if (!(value > 0)) throw new HostError(`--${name}=${values[name]}: not a number above 0`);
    return value;
  };
  const { before } = values;
  if (before !== undefined) {
    if (values.write) throw new HostError("--before: the page is about elogind and systemd-logind");
    if (!existsSync(before)) throw new HostError(`--before=${before}: there is no such file`);
  }
  const calls = number("calls");
  const counts: Counts = {
    rounds: number("rounds"),
    calls,
    warmUp: Math.ceil(calls / 2),
    sessions: 20,
    logins: Math.ceil(calls / 10),
    idle: number("idle"),
    starts: number("rounds") * 4,
  };

  requireRoot();
  const status = await runAgainInTools(ROOT, progress);
  if (status !== undefined) {
    process.exitCode = status;
    return;
  }
  await ensureHostPackages(
    ["gcc", "libc's headers", "libsystemd's headers", "dbus-daemon", "unshare", "nsenter"],
    (packages) => progress(`installing ${packages.join(" ")}`),
  );
  const peer = await fetchElogind();
  const sizes = values.package ? await packageSizes() : {};
  const tools = await Tools.make();
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.once(signal, async () => {
      interrupted = true;
      await stopMeasuring().finally(() => tools.remove());
      process.exit(signal === "SIGINT" ? 130 : 143);
    });
  }
  const others =
    before === undefined
      ? [elogindServer(peer), logindServer(tools.systemd1)]
      : [{ ...tools.bridge, name: "before", command: [resolve(before)] }];
  const servers: Server[] = [tools.bridge, ...others];
  const measured = new Map<string, Figures[]>(servers.map(({ name }) => [name, []]));
  const starts: number[] = [];
  try {
    for (let round = 0; round < counts.rounds; round++) {
      progress(`round ${round + 1} of ${counts.rounds}`);
      // Whoever is first in one round is last in the next.
      for (const server of round % 2 === 0 ? servers : servers.toReversed()) {
        measured.get(server.name)?.push(await measure(tools.client, server, counts));
      }
      while (starts.length < (counts.starts / counts.rounds) * (round + 1)) {
        starts.push(await tools.startInit());
      }
    }
  } finally {
    tools.remove();
  }
  const ownFigures = { ...sizes, starts };
  const notify = await measureNotify(counts.rounds);
  if (values.json) {
    const all = { counts, servers: Object.fromEntries(measured), notify, own: ownFigures };
    process.stdout.write(`${JSON.stringify(all)}\n`);
    return;
  }
  const figures = [
    `Measured ${await machine(peer.version)}. Rounds: ${counts.rounds}; the median, and in parentheses the least and the most.`,
    compare(measured, counts),
    compareNotify(notify),
    own(ownFigures),
  ].join("\n\n");
  process.stdout.write(`${figures}\n`);
  if (values.write) await Bun.write(PAGE, insertFigures(await Bun.file(PAGE).text(), figures));
}

try {
  await main();
} catch (error) {
  // What an interruption breaks off fails; the handler of the signal ends the process.
  if (interrupted) await new Promise(() => {});
  if (!(error instanceof UserError) && !(error instanceof TypeError && "code" in error))
    throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 1;
}
