/** Runs commands inside a booted test system. */
import { mkdir, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cgroupTree } from "../../scripts/lib/cgroup.ts";
import { missing } from "../../scripts/lib/state.ts";

export interface EnterOptions {
  /** Whose ids and groups the command gets: root where none is named. No PAM, so no session. */
  readonly user?: string;
  readonly env?: Readonly<Record<string, string>>;
}

export interface ExecOptions extends EnterOptions {
  readonly stdin?: string;
  /** Milliseconds until the command and all that it started are killed (30,000). */
  readonly timeout?: number;
}

export interface ExecResult {
  readonly stdout: string;
  readonly stderr: string;
  /** The exit status; 128 and the signal's number where a signal ended it. */
  readonly code: number;
}

const PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
const NAMESPACES = ["--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup"];

let count = 0;

/**
 * Runs a command in all the system's namespaces and in a cgroup of its own, outside every session.
 * @throws Error where it has not ended in time.
 */
export async function exec(
  name: string,
  initPid: number,
  command: readonly string[],
  options: ExecOptions = {},
): Promise<ExecResult> {
  return await inOwnCgroup(name, async (cgroup) => {
    const child = Bun.spawn(entering(initPid, cgroup, command, options), {
      stdin: options.stdin === undefined ? "ignore" : Buffer.from(options.stdin),
      stdout: "pipe",
      stderr: "pipe",
    });
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      // The whole cgroup: nsenter would leave what it started behind.
      writeFile(join(cgroup, "cgroup.kill"), "1").catch(missing);
    }, options.timeout ?? 30_000);
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    await child.exited;
    clearTimeout(timer);
    if (late) throw new Error(`${command.join(" ")}: not done in time\n${stdout}${stderr}`);
    return { stdout, stderr, code: statusOf(child) };
  });
}

/** The same with this terminal as the command's own; returns its exit status. */
export async function execHere(
  name: string,
  initPid: number,
  command: readonly string[],
  options: EnterOptions = {},
): Promise<number> {
  return await inOwnCgroup(name, async (cgroup) => {
    const child = Bun.spawn(entering(initPid, cgroup, command, options), {
      stdio: ["inherit", "inherit", "inherit"],
    });
    await child.exited;
    return statusOf(child);
  });
}

/** A command that starts another in the system. */
function entering(
  initPid: number,
  cgroup: string,
  command: readonly string[],
  options: EnterOptions,
): string[] {
  return [
    // Joins the cgroup while the host's cgroups can still be seen, then becomes the command.
    ...["sh", "-c", 'echo 0 >"$1/cgroup.procs" && shift && exec "$@"', "sh", cgroup],
    ...["nsenter", `--target=${initPid}`, ...NAMESPACES],
    ...asUser(command, options),
  ];
}

/** A command that becomes another, with that user's ids and an environment made for it. */
export function asUser(command: readonly string[], { user, env = {} }: EnterOptions): string[] {
  const home = user === undefined ? "/root" : `/home/${user}`;
  const login = user ?? "root";
  const variables = {
    PATH,
    HOME: home,
    USER: login,
    LOGNAME: login,
    SHELL: "/bin/bash",
    LANG: "C.UTF-8",
    TERM: process.env.TERM ?? "dumb",
    ...env,
  };
  const identity =
    user === undefined ? [] : ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups"];
  return [
    ...identity,
    ...["env", "-i", ...Object.entries(variables).map(([key, value]) => `${key}=${value}`)],
    ...command,
  ];
}

async function inOwnCgroup<T>(name: string, run: (cgroup: string) => Promise<T>): Promise<T> {
  const cgroup = join(await cgroupTree(name), "system", `exec-${process.pid}-${++count}`);
  await mkdir(cgroup);
  try {
    return await run(cgroup);
  } finally {
    // Busy where the command left something running: that is in the system's tree and ends with it.
    await rmdir(cgroup).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "EBUSY") missing(error);
    });
  }
}

function statusOf(child: Bun.Subprocess): number {
  if (child.exitCode !== null) return child.exitCode;
  const numbers: Readonly<Record<string, number>> = {
    SIGHUP: 1,
    SIGINT: 2,
    SIGKILL: 9,
    SIGTERM: 15,
  };
  return 128 + (numbers[child.signalCode ?? ""] ?? 0);
}
