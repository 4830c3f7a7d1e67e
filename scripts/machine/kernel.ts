/**
 * The layer that a machine has over the container test system's root, Debian's kernel with its
 * modules, and a busybox for the first steps of the boot.
 */
import { createHash } from "node:crypto";
import { mkdir, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { cacheDir, HostError } from "../host.ts";
import { debianSources, SUITE } from "../live/mirror.ts";

/** The newest kernel is whichever this package depends on. */
const KERNEL = "linux-image-amd64";

/** What is taken out of which package besides; the packages themselves are not installed. */
const PARTS = {
  "busybox-static": ["./bin/busybox"],
} as const;

export interface Kernel {
  /** The folder of all of it, named by a hash of its recipe. */
  readonly path: string;
  /** The kernel's release, as uname -r prints it. */
  readonly release: string;
  readonly vmlinuz: string;
  readonly busybox: string;
  /** The folder that lies over the root file system: modules below `usr/lib`. */
  readonly layer: string;
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
  const recipe = JSON.stringify([SUITE, KERNEL, PARTS, 1]);
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
  const layer = join(path, "layer");
  const [release] = await readdir(join(layer, "usr/lib/modules"));
  if (release === undefined) throw new HostError(`${layer} has no modules: remove ${path}`);
  return {
    path,
    release,
    vmlinuz: join(path, "vmlinuz"),
    busybox: join(path, "busybox"),
    layer,
  };
}

async function fetchParts(
  scratch: string,
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const done = join(scratch, "done");
  const layer = join(done, "layer");
  await mkdir(join(layer, "usr/lib"), { recursive: true });
  const download = await apt(scratch, signal);
  onLine("apt-get update");
  await download(["apt-get", "update"]);
  const depends = await download(["apt-cache", "depends", KERNEL]);
  const image = /Depends: (linux-image-\d\S*)/.exec(depends)?.[1];
  if (image === undefined) throw new HostError(`apt-cache names no kernel for ${KERNEL}`);
  for (const [name, members] of [[image, ["./boot", "./lib"]], ...Object.entries(PARTS)] as const) {
    onLine(name);
    await download(["apt-get", "download", name]);
    const deb = (await readdir(scratch)).find((file) => file.startsWith(`${name}_`)) ?? name;
    await $({
      quiet: true,
      cwd: scratch,
      signal,
    })`dpkg-deb --fsys-tarfile ${deb} | tar -x ${members}`;
  }
  const [boot] = (await readdir(join(scratch, "boot"))).filter((file) =>
    file.startsWith("vmlinuz-"),
  );
  await rename(join(scratch, "boot", boot ?? "vmlinuz"), join(done, "vmlinuz"));
  await rename(join(scratch, "bin/busybox"), join(done, "busybox"));
  // /lib is a link to usr/lib in the root.
  await rename(join(scratch, "lib/modules"), join(layer, "usr/lib/modules"));
  const [release = ""] = await readdir(join(layer, "usr/lib/modules"));
  // depmod looks below lib/modules.
  await $({ quiet: true, signal })`depmod --basedir ${join(layer, "usr")} ${release}`;
}

/** apt with lists and sources of its own, so that the host's release does not matter. */
async function apt(
  scratch: string,
  signal: AbortSignal,
): Promise<(command: string[]) => Promise<string>> {
  for (const part of ["state/lists/partial", "cache/archives/partial"]) {
    await mkdir(join(scratch, part), { recursive: true });
  }
  await writeFile(join(scratch, "sources.list"), `${(await debianSources()).join("\n")}\n`);
  const options = {
    "Dir::Etc::sourcelist": join(scratch, "sources.list"),
    "Dir::Etc::sourceparts": "-",
    "Dir::State": join(scratch, "state"),
    "Dir::State::status": "/dev/null",
    "Dir::Cache": join(scratch, "cache"),
    "APT::Architecture": "amd64",
    "APT::Sandbox::User": "root",
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
