/**
 * The cgroups of a test system. All its processes, from the first pacman to the last user's, are in
 * one tree, so that ending the tree ends the system, whatever state it is in:
 *
 *     protocol7-live-NAME/keeper    waits for the init
 *     protocol7-live-NAME/prepare   fills the overlay before the boot
 *     protocol7-live-NAME/system    the root of the system's own cgroup namespace
 */
import { mkdir, readdir, readFile, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../host.ts";
import { mounts } from "./mounts.ts";
import { missing } from "./state.ts";

export type CgroupPart = "keeper" | "prepare" | "system";

/**
 * The tree of NAME in the host's cgroup2 mount, which is /sys/fs/cgroup on most hosts and
 * /sys/fs/cgroup/unified where version 1 is in use beside it.
 * @throws HostError where the host has no cgroup2.
 */
export async function cgroupTree(name: string): Promise<string> {
  const mount = (await mounts()).find(({ type }) => type === "cgroup2");
  if (mount === undefined) {
    throw new HostError("no cgroup2 is mounted here: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  }
  return join(mount.point, `protocol7-live-${name}`);
}

/** @throws HostError where the tree cannot be made (a container's cgroups are often read-only). */
export async function createCgroups(tree: string): Promise<void> {
  const parts: CgroupPart[] = ["keeper", "prepare", "system"];
  for (const part of parts) {
    await mkdir(join(tree, part), { recursive: true }).catch((error: Error) => {
      throw new HostError(`no cgroup can be made: ${error.message}`);
    });
  }
}

/** Whether any process is in the tree. */
export async function isPopulated(tree: string): Promise<boolean> {
  const events = await readFile(join(tree, "cgroup.events"), "utf8").catch(missing);
  return events?.includes("populated 1") ?? false;
}

/** Whether the process is in that tree, so that its pid cannot be another's by now. */
export async function holds(tree: string, pid: number): Promise<boolean> {
  const text = (await readFile(`/proc/${pid}/cgroup`, "utf8").catch(missing)) ?? "";
  const path = /^0::(.*)$/m.exec(text)?.[1] ?? "";
  return `${path}/`.includes(`/${tree.split("/").at(-1)}/`);
}

/**
 * Kills every process in the tree and removes its cgroups, the innermost first.
 * @throws HostError where a process is still there after ten seconds.
 */
export async function destroyCgroups(tree: string): Promise<void> {
  await writeFile(join(tree, "cgroup.kill"), "1").catch(missing);
  const deadline = Date.now() + 10_000;
  while (await isPopulated(tree)) {
    if (Date.now() > deadline) throw new HostError(`processes in ${tree} do not end when killed`);
    await sleep(10);
  }
  await removeCgroups(tree);
}

/** Removes a tree of empty cgroups. */
export async function removeCgroups(tree: string): Promise<void> {
  const entries = (await readdir(tree, { withFileTypes: true }).catch(missing)) ?? [];
  for (const entry of entries) {
    if (entry.isDirectory()) await removeCgroups(join(tree, entry.name));
  }
  await rmdir(tree).catch(missing);
}
