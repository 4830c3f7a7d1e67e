/** The test system as tests use it: start one, look into it, end it. See docs/live.md. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureHostPackages, HostError, hostKind } from "../../scripts/host.ts";
import { installPackage } from "../../scripts/lib/install.ts";
import * as overlay from "../../scripts/lib/overlay.ts";
import { buildPackageStep } from "../../scripts/lib/package-step.ts";
import { quiet, type Reporter } from "../../scripts/lib/progress.ts";
import { ensureRootfs, LIVE_ROOT, type Recipe } from "../../scripts/lib/rootfs.ts";
import { checkName, stateDir } from "../../scripts/lib/state.ts";
import { ensureArchRoot } from "./arch-root.ts";
import { addStandins, configure, LIVE_USER } from "./configure.ts";
import * as container from "./container.ts";
import { type EnterOptions, type ExecOptions, type ExecResult, exec, execHere } from "./enter.ts";
import * as ready from "./ready.ts";

export { SYSTEMDS_OWN } from "../../scripts/lib/rootfs.ts";
export { LIVE_USER } from "./configure.ts";
export type { Ending } from "./container.ts";
export type { ExecOptions, ExecResult } from "./enter.ts";
export type { ServiceState, SessionLine } from "./ready.ts";

export interface LiveOptions {
  /** Lower-case letters, digits and inner hyphens. Systems of different names run side by side. */
  readonly name: string;
  /** A built package; without it the checkout's own is built, where it is not already. */
  readonly packageFile?: string;
  /** Aborts the start; nothing is left then. */
  readonly signal?: AbortSignal;
  readonly report?: Reporter;
  /** Changes the overlay (its path is given) before the boot, after all else. */
  readonly prepare?: (root: string) => Promise<void>;
  /** What its root is made of (LIVE_ROOT). */
  readonly recipe?: Recipe;
  /** Whether to wait for the live user's session and its compositor (true). */
  readonly awaitSession?: boolean;
}

/** A booted test system. */
export class Live {
  constructor(
    readonly name: string,
    /** The init's pid, as the host sees it. */
    readonly initPid: number,
  ) {}

  /** The system's root folder, seen from the host. */
  get root(): string {
    return `/proc/${this.initPid}/root`;
  }

  /** Runs a command inside, outside every session. A status other than 0 is no error. */
  exec(command: readonly string[], options?: ExecOptions): Promise<ExecResult> {
    return exec(this.name, this.initPid, command, options);
  }

  /** The same on this process's own terminal; returns the exit status. */
  execHere(command: readonly string[], options?: EnterOptions): Promise<number> {
    return execHere(this.name, this.initPid, command, options);
  }

  /**
   * Calls a look until it finds something (neither undefined nor false).
   * @throws HostError that names what did not come within the time (30,000 ms).
   */
  waitFor<T>(
    look: () => Promise<T | undefined | false>,
    what: string,
    timeout?: number,
    signal?: AbortSignal,
  ): Promise<T> {
    const alive = async () => {
      const found = await look();
      if (found === undefined || found === false) {
        const ended = await this.ending();
        if (ended) throw new HostError(`${what}: the test system ended before (${ended})`);
      }
      return found;
    };
    return ready.waitFor(alive, what, timeout, signal);
  }

  /** The sessions, by the system's loginctl, which is ours. @throws HostError where it fails. */
  async sessions(): Promise<ready.SessionLine[]> {
    const done = await this.exec(["loginctl", "--no-legend", "--no-pager", "list-sessions"]);
    if (done.code !== 0) throw new HostError(`loginctl list-sessions: ${done.stderr.trim()}`);
    return ready.parseSessions(done.stdout);
  }

  /** The state of every service. */
  services(): Promise<Record<string, ready.ServiceState>> {
    return ready.services(this.root);
  }

  /** Everything that the init and its services printed. */
  consoleLog(): Promise<string> {
    return readFile(join(stateDir(this.name), "console.log"), "utf8");
  }

  /** How the system ended (power-off, reboot); undefined while it runs. */
  ending(): Promise<container.Ending | undefined> {
    return container.ending(this.name);
  }

  /** Powers off through OpenRC and returns how long it took, in milliseconds. */
  async powerOff(timeout = 30_000): Promise<number> {
    const started = performance.now();
    await this.exec(["openrc-shutdown", "--poweroff", "now"]);
    await ready.waitFor(() => this.ending(), "power-off", timeout);
    return performance.now() - started;
  }

  /** Ends it at once and removes all of it. @throws RemovalError that names what could not be. */
  async stop(): Promise<void> {
    await overlay.destroy(this.name);
  }
}

/**
 * Builds what is not built yet, boots a test system and waits for the live user's session.
 * @throws HostError with the end of the console where it does not come up; nothing is left then.
 */
export async function startLive(options: LiveOptions): Promise<Live> {
  const name = checkName(options.name);
  const report = options.report ?? quiet;
  const signal = options.signal ?? new AbortController().signal;
  const rootfs = await prepareLive(options);
  try {
    return await bootAndWait(name, rootfs, report, signal, options.awaitSession ?? true);
  } catch (error) {
    await overlay.destroy(name);
    throw error;
  }
}

/**
 * The first half of a start: the root, and the overlay of that name with the package and the user in
 * it, which is the caller's to boot or destroy.
 * @returns the root file system below the overlay.
 * @throws HostError where a step fails; nothing is left then.
 */
export async function prepareLive(options: Omit<LiveOptions, "awaitSession">): Promise<string> {
  const name = checkName(options.name);
  const report = options.report ?? quiet;
  const signal = options.signal ?? new AbortController().signal;
  const packageFile = options.packageFile ?? (await buildPackageStep(report, signal));
  // A recipe is of Debian's packages.
  const kind = options.recipe === undefined ? await hostKind() : "debian";
  const title = `${kind === "arch" ? "Arch" : "Debian"} root without systemd`;
  const rootfs = await report.step(title, async (detail) => {
    await ensureHostPackages(["unshare", "nsenter", "pacman", "bsdtar"]);
    if (kind === "arch") return await ensureArchRoot(signal, detail);
    await ensureHostPackages(["mmdebstrap", "dpkg-deb"]);
    return await ensureRootfs(options.recipe ?? LIVE_ROOT, signal, detail);
  });
  signal.throwIfAborted();
  await overlay.create(name, rootfs);
  try {
    await report.step("protocol7-core by pacman", async () => {
      if (kind === "debian") await addStandins(name);
      await installPackage(name, rootfs, packageFile, signal);
    });
    await report.step("Live user and greetd", async () => {
      await configure(name, rootfs, kind, signal);
      await options.prepare?.(overlay.upper(name));
    });
    return rootfs;
  } catch (error) {
    await overlay.destroy(name);
    throw error;
  }
}

/** The test system of that name, started by whatever process. @throws HostError where none runs. */
export async function attachLive(name: string): Promise<Live> {
  const initPid = await overlay.runningInit(checkName(name));
  if (initPid === undefined) {
    throw new HostError(`no test system named ${name} runs: start one by bun run live --keep`);
  }
  return new Live(name, initPid);
}

/**
 * The second half of a start: boots a prepared overlay and waits as LiveOptions say.
 * @throws HostError with the end of the console where it does not come up; what there is then is the
 * caller's to destroy.
 */
export async function bootAndWait(
  name: string,
  rootfs: string,
  report: Reporter,
  signal: AbortSignal,
  awaitSession: boolean,
): Promise<Live> {
  let live: Live | undefined;
  try {
    live = await report.step("OpenRC to the runlevel default", async (detail) => {
      const booted = new Live(name, await container.boot(name, rootfs));
      const look = async () => {
        // What OpenRC does, without the "ok" that follows each line.
        const line = (await container.consoleTail(name, 4)).findLast((text) => text.includes("*"));
        detail(line ?? "");
        return await ready.isDefaultReached(booted.root);
      };
      await booted.waitFor(look, "the runlevel default", 60_000, signal);
      return booted;
    });
    if (awaitSession) await awaitDesktop(live, report, signal);
    return live;
  } catch (error) {
    if (!(error instanceof HostError)) throw error;
    throw new HostError(`${error.message}\n${await bootReport(name, live)}`);
  }
}

async function awaitDesktop(live: Live, report: Reporter, signal: AbortSignal): Promise<void> {
  await report.step(`${LIVE_USER}'s session`, () =>
    live.waitFor(
      () => activeSession(live),
      `an active session of ${LIVE_USER} in loginctl list-sessions`,
      30_000,
      signal,
    ),
  );
  await report.step("Sway", () =>
    live.waitFor(() => ready.waylandDisplay(live.root, 1000), "Sway's socket", 30_000, signal),
  );
}

/** The live user's session, unless it is opening or closing. */
async function activeSession(live: Live): Promise<ready.SessionLine | undefined> {
  const session = (await live.sessions()).find(({ user }) => user === LIVE_USER);
  if (session === undefined) return undefined;
  const shown = await live.exec(["loginctl", "show-session", "--property=State", session.id]);
  return shown.stdout.trim() === "State=active" ? session : undefined;
}

/** What tells why a boot failed: the end of the console and of the logs. */
async function bootReport(name: string, live: Live | undefined): Promise<string> {
  const parts = ["console:", ...(await container.consoleTail(name, 30))];
  if (live !== undefined && (await live.ending()) === undefined) {
    const script =
      'for log in $(find /var/log -type f -size +0); do echo "$log:"; tail -n 8 "$log"; done';
    const logs = await live.exec(["sh", "-c", script]);
    parts.push(logs.stdout);
  }
  return parts.map((line) => `  ${line}`).join("\n");
}

/**
 * What a user's compositor shows, as a PNG file on the host (by grim).
 * @throws HostError where there is no Wayland session or grim fails.
 */
export async function screenshot(live: Live, file: string): Promise<void> {
  const display = await ready.waylandDisplay(live.root, 1000);
  if (display === undefined) throw new HostError(`${LIVE_USER} has no Wayland compositor running`);
  const inside = `/tmp/screenshot-${process.pid}.png`;
  const env = { XDG_RUNTIME_DIR: "/run/user/1000", WAYLAND_DISPLAY: display };
  const done = await live.exec(["grim", inside], { user: LIVE_USER, env });
  if (done.code !== 0) throw new HostError(`grim: ${done.stderr.trim()}`);
  await writeFile(file, await readFile(`${live.root}${inside}`));
  await live.exec(["rm", inside]);
}
