/**
 * The overlay over a root in which a test system or the stand-in medium is made, with its cgroups: made
 * empty, worked in, and removed with all that runs in it.
 */
import { mkdir, rmdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { $ } from "zx";
import { HostError } from "../host.ts";
import { sourceDate } from "../makepkg.ts";
import {
  type CgroupPart,
  cgroupTree,
  createCgroups,
  destroyCgroups,
  holds,
  isPopulated,
} from "./cgroup.ts";
import { killOnAbort } from "./kill-on-abort.ts";
import { mounts, unmountBelow } from "./mounts.ts";
import {
  identify,
  isAlive,
  missing,
  RUN_DIR,
  readInitPid,
  readState,
  stateDir,
  writeState,
} from "./state.ts";

/** Something of a test system could not be removed. */
export class RemovalError extends HostError {
  override name = "RemovalError";
}

/** The memory that a test system's files may take. */
const OVERLAY_SIZE = "4g";

/**
 * Makes the folder, the cgroups and the empty overlay of a new test system; leftovers of an earlier
 * one of that name are removed.
 * @throws HostError where one of that name runs or is being started.
 */
export async function create(name: string, rootfs: string): Promise<void> {
  const old = await readState(name);
  if ((await runningInit(name)) !== undefined || (old && (await isAlive(old.starter)))) {
    throw new HostError(
      `a test system named ${name} is there already: stop it (bun run live stop --name ${name}) or use another --name`,
    );
  }
  await destroy(name);
  const dir = stateDir(name);
  await mkdir(dir, { recursive: true, mode: 0o755 });
  await $({
    quiet: true,
  })`mount -t tmpfs -o ${`size=${OVERLAY_SIZE},mode=755`} protocol7-live ${dir}`;
  await writeState({ name, rootfs, starter: await identify(process.pid) });
  for (const part of ["upper", "work", "merged"]) await mkdir(join(dir, part));
  await createCgroups(await cgroupTree(name));
}

/**
 * Runs a command on the host's files where the overlay is mounted at `merged(name)`; it ends with
 * all that it started. Before the boot only: an overlay has one mount at a time.
 * @throws HostError with the command's last lines where it fails.
 */
export async function withOverlay(
  name: string,
  rootfs: string,
  command: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const part: CgroupPart = "prepare";
  const cgroup = join(await cgroupTree(name), part);
  const script = join(import.meta.dir, "with-overlay.sh");
  const running = $({
    nothrow: true,
    quiet: true,
    // What is made in it has the date of the checkout: useradd, dracut and pacman's hooks ask.
    env: { ...process.env, SOURCE_DATE_EPOCH: await sourceDate() },
  })`sh ${script} ${cgroup} ${rootfs} ${stateDir(name)} ${command}`;
  if (signal) killOnAbort(running, signal);
  const done = await running;
  signal?.throwIfAborted();
  if (done.exitCode !== 0) {
    const lines = done.text().trim().split("\n").concat(done.stderr.trim().split("\n")).slice(-8);
    throw new HostError(
      `${command.slice(0, 3).join(" ")}: status ${done.exitCode}\n  ${lines.join("\n  ")}`,
    );
  }
  return done.stdout;
}

/** Where the overlay is mounted, for `withOverlay`'s command. */
export function merged(name: string): string {
  return join(stateDir(name), "merged");
}

/** Where a file that is put before the boot lands in the overlay. */
export function upper(name: string): string {
  return join(stateDir(name), "upper");
}

/** The init's pid while it runs. */
export async function runningInit(name: string): Promise<number | undefined> {
  const pid = await readInitPid(name);
  return pid !== undefined && (await holds(await cgroupTree(name), pid)) ? pid : undefined;
}

/**
 * Removes all of a test system, running or left over in whatever state: processes, cgroups, mounts,
 * files. Every step is tried; namespaces go with their processes.
 * @throws RemovalError that names each step that failed.
 */
export async function destroy(name: string): Promise<void> {
  const dir = stateDir(name);
  const failures: string[] = [];
  const attempt = async (step: () => Promise<unknown>) => {
    await step().catch((error: Error) => failures.push(error.message));
  };
  await attempt(() => killInit(name));
  await attempt(async () => destroyCgroups(await cgroupTree(name)));
  await attempt(() => unmountBelow(dir));
  // Never a recursive removal here: what is still mounted would be emptied.
  if (!(await mounts()).some(({ point }) => point === dir)) {
    await attempt(() => rmdir(dir).catch(missing));
    // The folder of all goes with the last of them.
    await attempt(() => rmdir(RUN_DIR).catch(notEmptyOrMissing));
  }
  if (failures.length > 0) {
    throw new RemovalError(`not all of ${name} could be removed: ${failures.join("; ")}`);
  }
}

/**
 * With the init ends its pid namespace, and each process outside that waits for one inside sees it
 * end; killed all at once they would leave zombies to the host's init.
 */
async function killInit(name: string): Promise<void> {
  const init = await runningInit(name);
  if (init === undefined) return;
  process.kill(init, "SIGKILL");
  const tree = await cgroupTree(name);
  for (let tries = 0; tries < 100 && (await isPopulated(tree)); tries++) await sleep(10);
}

function notEmptyOrMissing(error: NodeJS.ErrnoException): void {
  if (error.code !== "ENOTEMPTY" && error.code !== "EEXIST") missing(error);
}
