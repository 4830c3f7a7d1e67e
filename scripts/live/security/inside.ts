/** Attacks from inside a daemon's sandbox: see inside.c. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { constants, tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "zx";
import { rulesOf } from "../../../lib/cli/index.ts";
import { assembleFilter, programBytes } from "../../../lib/linux/index.ts";
import { HostError } from "../../host.ts";
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
  const notifyd = await must(live, [
    ...["env", "-i", "PATH=/usr/bin:/bin:/usr/sbin:/sbin"],
    ...["/usr/libexec/lainos/sandbox", "notifyd", PROGRAM, FILTER],
  ]);
  return [...results("inside the bridge", text), ...results("inside notifyd", notifyd)];
}

function results(where: string, text: string): Attack[] {
  const lines = text.trim().split("\n");
  if (lines.length < 50) throw new HostError(`the attacks ${where} ended early: ${text}`);
  return lines.map((line) => {
    const [name = "", status = ""] = line.split("\t");
    const outcome =
      status === "255" ? "ended by a signal" : (NAMES.get(Number(status)) ?? "it succeeded");
    const refused = [...REFUSALS, ...(ALSO[name] ?? [])].includes(outcome);
    return { where, name, outcome, refused };
  });
}

async function must(live: Live, command: string[]): Promise<string> {
  const done = await live.exec(command);
  if (done.code !== 0) throw new HostError(`${command.join(" ")}: ${done.stderr.trim()}`);
  return done.stdout;
}
