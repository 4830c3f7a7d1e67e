/**
 * Who uses which of the cache's roots, so that none is removed under its users: processes that were
 * given one, test systems, and overlays over one in whatever mount namespace.
 */
import { readdir, readFile, readlink, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { removeAtExit } from "../build.ts";
import { lock } from "../lock.ts";
import { lowerFolders } from "./mounts.ts";
import { identify, isAlive, missing, rootsInUse } from "./state.ts";

/** A mark that a process uses a root: its number and start time, and the root's name. */
const MARK = /^\.used-(\d+)-(\d+)-(.+)$/;

/** Holds off whoever marks or removes a root of that folder meanwhile. */
export function lockRoots(base: string): Promise<() => void> {
  return lock(join(base, ".lock"));
}

const marked = new Set<string>();

/** Notes that this process uses the root until it ends. Under the folder's lock only. */
export async function markUse(root: string): Promise<void> {
  if (marked.has(root)) return;
  const { pid, startTime } = await identify(process.pid);
  const mark = join(dirname(root), `.used-${pid}-${startTime}-${basename(root)}`);
  await writeFile(mark, "");
  removeAtExit(mark);
  marked.add(root);
}

/** The roots of a folder that are used; marks of processes that are gone are removed. */
export async function usedRoots(base: string): Promise<Set<string>> {
  const used = await rootsInUse();
  for (const folder of await allLowerFolders()) used.add(folder);
  for (const name of await readdir(base)) {
    const [, pid, startTime = "", root] = MARK.exec(name) ?? [];
    if (root === undefined) continue;
    if (await isAlive({ pid: Number(pid), startTime })) used.add(join(base, root));
    else await rm(join(base, name), { force: true });
  }
  return used;
}

/** What lies below an overlay in any mount namespace that this process may look into. */
async function allLowerFolders(): Promise<Set<string>> {
  const seen = new Set<string>();
  const found = new Set<string>();
  for (const pid of await readdir("/proc")) {
    if (!/^\d+$/.test(pid)) continue;
    const namespace = await readlink(`/proc/${pid}/ns/mnt`).catch(unseen);
    if (namespace === undefined || seen.has(namespace)) continue;
    const text = await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(unseen);
    if (text === undefined) continue;
    seen.add(namespace);
    for (const folder of lowerFolders(text)) found.add(folder);
  }
  return found;
}

/** A process that is gone, or another user's. EINVAL: it is a zombie, which has no mounts any more. */
function unseen(error: NodeJS.ErrnoException): undefined {
  return error.code === "EACCES" || error.code === "EINVAL" ? undefined : missing(error);
}
