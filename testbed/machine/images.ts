/** The machine's disks and its initramfs. */
import { chmod, copyFile, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { cacheDir } from "../../scripts/host.ts";
import { BOOT_MODULES, type Kernel, moduleFiles } from "./kernel.ts";
import type { Disk } from "./qemu.ts";

/** A file system that only grows on paper: the file has holes. */
const OWN_SIZE = "2G";

/** Free space that mke2fs needs for its own tables and the last blocks of files. */
const OVERHEAD = 1.15;

/**
 * A folder as a read-only disk, made once and kept; it is named by `key`.
 * @returns the path of the image.
 */
export async function cachedDisk(
  folder: string,
  key: string,
  signal: AbortSignal,
): Promise<string> {
  const base = join(cacheDir(), "machine", "disks");
  const path = join(base, `${key}.ext4`);
  await mkdir(base, { recursive: true });
  if (await stat(path).catch(() => undefined)) return path;
  const building = join(base, `.building-${process.pid}`);
  try {
    const used = await $({ quiet: true, signal })`du --summarize --block-size=1K ${folder}`;
    const size = Math.ceil(Number(used.stdout.split("\t")[0]) * OVERHEAD) + 32 * 1024;
    // Small files by the thousands: an inode for every 8 KiB.
    const words = ["-O", "^has_journal", "-m", "0", "-i", "8192"];
    await makeExt4(building, folder, `${size}k`, words, signal);
    await rename(building, path);
  } finally {
    await rm(building, { force: true });
  }
  return path;
}

/** The disk that the machine writes to, filled with a folder that has `upper` and `work`. */
export async function writableDisk(
  path: string,
  folder: string,
  signal: AbortSignal,
): Promise<void> {
  await makeExt4(path, folder, OWN_SIZE, ["-E", "lazy_itable_init=1"], signal);
}

/** A disk that begins as the raw image `base` and can be saved at any time. */
export async function overlayDisk(base: string, signal: AbortSignal): Promise<Disk> {
  const path = `${base}.qcow2`;
  await $({ quiet: true, signal })`qemu-img create -q -f qcow2 -F raw -b ${base} ${path}`;
  return { path, format: "qcow2", writable: true };
}

async function makeExt4(
  path: string,
  folder: string,
  size: string,
  words: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  await $({ quiet: true, signal })`mke2fs -q -t ext4 ${words} -d ${folder} ${path} ${size}`;
}

/** The initramfs: a busybox, the modules in the order of their dependencies, init.sh. */
export async function makeInitramfs(
  path: string,
  scratch: string,
  kernel: Kernel,
  signal: AbortSignal,
): Promise<void> {
  const tree = join(scratch, "initramfs.d");
  try {
    for (const folder of ["proc", "sys", "dev", "base", "own", "root", "modules"]) {
      await mkdir(join(tree, folder), { recursive: true });
    }
    await copyFile(kernel.busybox, join(tree, "busybox"));
    await copyFile(join(import.meta.dir, "init.sh"), join(tree, "init"));
    for (const program of ["busybox", "init"]) await chmod(join(tree, program), 0o755);
    let count = 100;
    const { modules, release } = kernel;
    for (const file of await moduleFiles(modules, release, BOOT_MODULES, signal)) {
      await copyFile(join(modules, file), join(tree, "modules", `${++count}-${basename(file)}`));
    }
    await $({ quiet: true, signal })`bsdtar -c --format=newc -f ${path} -C ${tree} .`;
  } finally {
    await rm(tree, { recursive: true, force: true });
  }
}
