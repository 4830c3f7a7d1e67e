/** Debian's kernel with those of its modules that a machine uses, and a busybox for its first steps. */
import { createHash } from "node:crypto";
import { copyFile, mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { $ } from "zx";
import { cacheDir, HostError } from "../../scripts/host.ts";
import { debianSources } from "../../scripts/lib/mirror.ts";
import { LIVE_ROOT } from "../../scripts/lib/rootfs.ts";

/** Of the root's own release, whose kernel is about as new as Arch's. */
const KERNEL_SUITE = LIVE_ROOT.suite;

/** The newest kernel is whichever package this one depends on, and is in those which that depends on. */
const KERNEL = "linux-image-amd64";

/** For the first steps of the boot; the package itself is not installed. */
const BUSYBOX = "busybox-static";

/** What the initramfs needs to mount the root. */
export const BOOT_MODULES = ["virtio_pci", "virtio_blk", "ext4", "overlay"];

/** What udev and nft(8) load: QEMU's devices and the firewall. Others would only slow down the boot. */
const MODULES = [
  ...BOOT_MODULES,
  ...["virtio_console", "virtio_input", "virtio_rng", "bochs", "snd_intel8x0", "evdev", "button"],
  ...["uinput", "uhid", "hid_generic", "fuse"],
  ...["nf_tables", "nft_ct", "nft_limit", "nft_reject_inet"],
];

export interface Kernel {
  /** The folder of all of it, named by a hash of its recipe. */
  readonly path: string;
  /** The kernel's release, as uname -r prints it. */
  readonly release: string;
  readonly vmlinuz: string;
  readonly busybox: string;
  /** A folder with `lib/modules/RELEASE`, for depmod(8) and modprobe(8). */
  readonly modules: string;
}

/**
 * The kernel, fetched and unpacked where the cache has none of this recipe.
 * @throws HostError where a package cannot be had.
 */
export async function ensureKernel(
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<Kernel> {
  const base = join(cacheDir(), "machine", "kernel");
  const recipe = JSON.stringify([KERNEL_SUITE, KERNEL, BUSYBOX, MODULES, 4]);
  const path = join(base, createHash("sha256").update(recipe).digest("hex").slice(0, 16));
  const found = await readKernel(path).catch(() => undefined);
  if (found) return found;
  await mkdir(base, { recursive: true });
  const scratch = join(base, `.building-${process.pid}`);
  try {
    await fetchParts(scratch, signal, onLine);
    await rm(path, { recursive: true, force: true });
    await rename(join(scratch, "done"), path);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return await readKernel(path);
}

async function readKernel(path: string): Promise<Kernel> {
  const modules = join(path, "modules");
  const [release] = await readdir(join(modules, "lib/modules"));
  if (release === undefined) throw new HostError(`${modules} has no modules: remove ${path}`);
  return {
    path,
    release,
    vmlinuz: join(path, "vmlinuz"),
    busybox: join(path, "busybox"),
    modules,
  };
}

async function fetchParts(
  scratch: string,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const done = join(scratch, "done");
  await mkdir(done, { recursive: true });
  const download = await apt(scratch, signal);
  onLine("apt-get update");
  await download(["apt-get", "update"]);
  const [image] = await dependencies(download, KERNEL, /^linux-image-\d/);
  const parts = await dependencies(download, image, /^linux-(base|binary|modules)-\d/);
  for (const name of [...parts, BUSYBOX]) {
    onLine(name);
    await download(["apt-get", "download", name]);
    const deb = (await readdir(scratch)).find((file) => file.startsWith(`${name}_`)) ?? name;
    const member = name === BUSYBOX ? "./usr/bin/busybox" : "./usr/lib/modules";
    await $({
      quiet: true,
      cwd: scratch,
      signal,
    })`dpkg-deb --fsys-tarfile ${deb} | tar -x ${member}`;
  }
  const busybox = join(done, "busybox");
  await rename(join(scratch, "usr/bin/busybox"), busybox);
  await rename(join(scratch, "usr/lib"), join(scratch, "lib"));
  const [release = ""] = await readdir(join(scratch, "lib/modules"));
  const folder = join("lib/modules", release);
  await rename(join(scratch, folder, "vmlinuz"), join(done, "vmlinuz"));
  await $({ quiet: true, signal })`depmod --basedir ${scratch} ${release}`;
  const modules = join(done, "modules");
  const lists = ["modules.order", "modules.builtin", "modules.builtin.modinfo"];
  const files = await moduleFiles(scratch, release, MODULES, signal);
  for (const file of [...files, ...lists.map((list) => join(folder, list))]) {
    const target = join(modules, file);
    await mkdir(dirname(target), { recursive: true });
    await copyFile(join(scratch, file), target);
    // Once here, and not at each boot by a processor that is emulated.
    if (file.endsWith(".xz")) await $({ quiet: true, signal })`${busybox} unxz ${target}`;
  }
  await $({ quiet: true, signal })`depmod --basedir ${modules} ${release}`;
}

/**
 * The packages that one depends on, of those whose names fit.
 * @throws HostError where there is none.
 */
async function dependencies(
  download: (command: string[]) => Promise<string>,
  name: string,
  fitting: RegExp,
): Promise<[string, ...string[]]> {
  const shown = await download(["apt-cache", "depends", name]);
  const all = [...shown.matchAll(/^ *Depends: (\S+)$/gm)].map(([, wanted = ""]) => wanted);
  const [first, ...others] = all.filter((wanted) => fitting.test(wanted));
  if (first === undefined) throw new HostError(`apt-cache names no kernel for ${name}`);
  return [first, ...others];
}

/** The files of modules below a folder that has `lib/modules`, each after those it depends on. */
export async function moduleFiles(
  base: string,
  release: string,
  names: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const files = new Set<string>();
  for (const name of names) {
    const shown = await $({
      quiet: true,
      signal,
    })`modprobe --dirname ${base} --set-version ${release} --show-depends ${name}`;
    for (const [, file = ""] of shown.stdout.matchAll(/^insmod (\S+)/gm)) {
      files.add(relative(base, file));
    }
  }
  return [...files];
}

/** apt with lists and sources of its own, so that the host's release does not matter. */
async function apt(
  scratch: string,
  signal: AbortSignal,
): Promise<(command: string[]) => Promise<string>> {
  for (const part of ["state/lists/partial", "cache/archives/partial"]) {
    await mkdir(join(scratch, part), { recursive: true });
  }
  const sources = await debianSources(KERNEL_SUITE);
  await writeFile(join(scratch, "sources.list"), `${sources.join("\n")}\n`);
  const options = {
    "Dir::Etc::sourcelist": join(scratch, "sources.list"),
    "Dir::Etc::sourceparts": "-",
    "Dir::State": join(scratch, "state"),
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(scratch, "cache"),
    "APT::Architecture": "amd64",
    "APT::Sandbox::User": "root",
    // The mirror may be a stored copy, whose Release file has run out.
    "Acquire::Check-Valid-Until": "false",
  };
  const flags = Object.entries(options).flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  return async ([program = "", ...words]) => {
    const run = await $({
      quiet: true,
      nothrow: true,
      cwd: scratch,
      signal,
    })`${program} -q ${flags} ${words}`;
    signal.throwIfAborted();
    if (run.exitCode === 0) return run.stdout;
    throw new HostError(`${program} ${words.join(" ")}: ${run.stderr.trim().split("\n").at(-1)}`);
  };
}
