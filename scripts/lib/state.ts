/** What is recorded of each test system, so that `exec` and `stop` in another process find it. */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { HostError } from "../host.ts";

export const RUN_DIR = "/run/protocol7-live";

export interface LiveState {
  readonly name: string;
  /** The root file system below the overlay. */
  readonly rootfs: string;
  /** The process that prepares the system: until it boots, the system lives as long as this one. */
  readonly starter: ProcessId;
}

/** A pid alone can be another process by now; with its start time it cannot. */
export interface ProcessId {
  readonly pid: number;
  readonly startTime: string;
}

export const NAME_RULE = "use up to 32 lower-case letters, digits and inner hyphens";

/** Whether a name is a plain word: it becomes part of paths and the host name. */
export function isName(name: string): boolean {
  return /^[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?$/.test(name);
}

/** @throws HostError where a name is none. */
export function checkName(name: string): string {
  if (isName(name)) return name;
  throw new HostError(`${JSON.stringify(name)} is no name for a test system: ${NAME_RULE}`);
}

export function stateDir(name: string): string {
  return join(RUN_DIR, name);
}

/** The record of the test system NAME; undefined where there is none. */
export async function readState(name: string): Promise<LiveState | undefined> {
  const text = await readFile(join(stateDir(name), "state.json"), "utf8").catch(missing);
  return text === undefined ? undefined : (JSON.parse(text) as LiveState);
}

export async function writeState(state: LiveState): Promise<void> {
  await mkdir(stateDir(state.name), { recursive: true });
  await Bun.write(join(stateDir(state.name), "state.json"), `${JSON.stringify(state, null, 2)}\n`);
}

/** The pid of the system's init as the host sees it, which boot.sh wrote down. */
export async function readInitPid(name: string): Promise<number | undefined> {
  const text = await readFile(join(stateDir(name), "init.pid"), "utf8").catch(missing);
  // An empty file: boot.sh has opened it and not yet written.
  return text === undefined || text.trim() === "" ? undefined : Number(text);
}

/** The names of all test systems, running or left over. */
export async function liveNames(): Promise<string[]> {
  return (await readdir(RUN_DIR).catch(missing)) ?? [];
}

/** The root file systems that lie below a running or left-over test system. */
export async function rootsInUse(): Promise<Set<string>> {
  const states = await Promise.all((await liveNames()).map(readState));
  return new Set(states.flatMap((state) => (state === undefined ? [] : [state.rootfs])));
}

/** @throws HostError where no process has that pid. */
export async function identify(pid: number): Promise<ProcessId> {
  const startTime = await startTimeOf(pid);
  if (startTime === undefined) throw new HostError(`process ${pid} is gone`);
  return { pid, startTime };
}

export async function isAlive({ pid, startTime }: ProcessId): Promise<boolean> {
  return (await startTimeOf(pid)) === startTime;
}

/** Field 22 of /proc/PID/stat (proc(5)), counted after the command, which may hold anything. */
async function startTimeOf(pid: number): Promise<string | undefined> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(missing);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[19];
}

/** For `.catch()`: undefined where the file is not there (any more); other errors go on. */
export function missing(error: NodeJS.ErrnoException): undefined {
  // ESRCH: a process went between the opening of its file and the reading. ENODEV: so did a cgroup.
  if (error.code === "ENOENT" || error.code === "ESRCH" || error.code === "ENODEV")
    return undefined;
  throw error;
}
