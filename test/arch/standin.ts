/**
 * A stand-in of Arch's repositories: the files of a Debian root, under the names, relations and paths
 * that Arch has. See docs/arch.md.
 */
import { createHash } from "node:crypto";
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { $ } from "zx";
import { MEDIUM_ROOT } from "../../scripts/iso/debian.ts";
import { ensureRootfs, keepRoot } from "../../scripts/lib/rootfs.ts";
import { PACKAGES, readRecipes } from "../../scripts/repo/recipe.ts";
import { packageName } from "../../scripts/repo/repository.ts";
import { ARCH_PACKAGES } from "../../testbed/live/arch-root.ts";
import { type Facts, factsOf, readTable } from "../transaction/facts.ts";
import {
  fileName,
  information,
  type Written,
  writeDatabase,
  writeStub,
} from "../transaction/stubs.ts";
import { FILES, filesBelow, INIT_SCRIPTS, readConffiles, readContents } from "./debian.ts";

/** Folders of a package, beside those that its files are in. */
const FOLDERS: Readonly<Record<string, readonly string[]>> = {
  filesystem: [
    ...["boot", "dev", "etc/profile.d", "home", "mnt", "opt", "proc", "root", "run", "srv/ftp"],
    ...["srv/http", "sys", "tmp", "usr/local/bin", "usr/src", "var/cache", "var/empty"],
    ...["var/lib/misc", "var/log", "var/spool/mail", "var/tmp"],
  ],
  openrc: ["boot", "default", "nonetwork", "shutdown", "sysinit"].map(
    (name) => `etc/runlevels/${name}`,
  ),
};

/** Links of a package, which Debian has no such of. */
const LINKS: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  eudev: { "usr/bin/udevd": "udevadm" },
  filesystem: {
    ...{ bin: "usr/bin", lib: "usr/lib", lib64: "usr/lib", sbin: "usr/bin", "usr/lib64": "lib" },
    ...{ "etc/mtab": "../proc/self/mounts", "etc/os-release": "../usr/lib/os-release" },
    ...{ "usr/sbin": "bin", "var/lock": "../run/lock", "var/mail": "spool/mail" },
    "var/run": "../run",
  },
  openrc: {
    ...Object.fromEntries(
      [1, 2, 3, 4, 5, 6].map((tty) => [`etc/init.d/agetty.tty${tty}`, "agetty"]),
    ),
    "usr/bin/init": "openrc-init",
  },
};

/** Modes that neither the checkout nor Debian has. */
const MODES: Readonly<Record<string, number>> = {
  ...{ "etc/crypttab": 0o600, "etc/gshadow": 0o600, "etc/shadow": 0o600 },
  ...{
    proc: 0o555,
    root: 0o750,
    "srv/ftp": 0o555,
    sys: 0o555,
    tmp: 0o1777,
    "var/spool/mail": 0o1777,
    "var/tmp": 0o1777,
  },
  // Debian gives these to groups of its own.
  ...{ "usr/bin/unix_chkpwd": 0o4755, "usr/lib/dbus-1.0/dbus-daemon-launch-helper": 0o4755 },
};

/** Folders with packages. */
export interface Standin {
  /** [core] and [extra], with their databases. */
  readonly core: string;
  readonly extra: string;
  /** Those of packages/ that cannot be built without their sources; no database. */
  readonly ours: string;
}

/**
 * The stand-in, which is made where the cache has none of these inputs.
 * @throws HostError where the Debian root cannot be had.
 */
export async function ensureStandin(signal: AbortSignal): Promise<Standin> {
  const rootfs = await ensureRootfs(MEDIUM_ROOT, signal);
  const path = await keepRoot("arch", await keyOf(rootfs), (building) =>
    make(rootfs, building, signal),
  );
  return { core: join(path, "core"), extra: join(path, "extra"), ours: join(path, "ours") };
}

/** A hash of everything that decides over the contents. */
async function keyOf(rootfs: string): Promise<string> {
  const hash = createHash("sha256").update(JSON.stringify([rootfs, ARCH_PACKAGES]));
  const folders = [FILES, ...Object.keys(INIT_SCRIPTS)];
  for (const name of ["eudev", "openrc"]) folders.push(join(PACKAGES, name));
  const files = ["debian.ts", "standin.ts", "../transaction/arch.tsv", "../transaction/stubs.ts"];
  const paths = files.map((file) => join(import.meta.dir, file));
  for (const folder of folders) paths.push(...(await filesBelow(folder)));
  for (const file of paths) hash.update(`${file}\0`).update(await readFile(file));
  return hash.digest("hex").slice(0, 16);
}

/** A package to write, and the folder that it goes into. */
interface Job {
  readonly facts: Facts;
  readonly repository: string;
}

async function make(rootfs: string, folder: string, signal: AbortSignal): Promise<void> {
  const jobs: Job[] = (await readTable("arch.tsv")).map((facts) => ({ ...facts, facts }));
  // What arch.tsv has not, since the medium does without.
  const others = ARCH_PACKAGES.filter((name) => !jobs.some(({ facts }) => facts.name === name));
  for (const name of others) jobs.push({ facts: factsOf(name, ["glibc"]), repository: "extra" });
  for (const recipe of (await readRecipes()).recipes) {
    if (recipe.sources.some((source) => source.includes("://")))
      jobs.push({ facts: { ...recipe, replaces: [] }, repository: "ours" });
  }
  const known = new Set(jobs.map(({ facts }) => facts.name));
  const contents = await readContents(rootfs, known);
  const conffiles = await readConffiles(rootfs, known);
  const owned = new Set([...contents.values()].flatMap((files) => [...files.keys()]));
  const written: Record<string, Written[]> = { core: [], extra: [], ours: [] };
  for (const name of Object.keys(written)) await mkdir(join(folder, name), { recursive: true });
  const write = async ({ facts, repository }: Job) => {
    const place = join(folder, repository);
    const files = contents.get(facts.name);
    if (files === undefined) {
      // Of what another package has here, a stub has no copy.
      const backup = facts.backup.filter((path) => !owned.has(path));
      return await writeStub(place, { ...facts, backup });
    }
    const backup = [...facts.backup, ...(conffiles.get(facts.name) ?? [])];
    const there = [...new Set(backup)].filter((path) => files.has(path));
    return await writePackage(place, rootfs, { ...facts, backup: there }, files);
  };
  const work = async () => {
    for (let job = jobs.shift(); job !== undefined; job = jobs.shift()) {
      signal.throwIfAborted();
      written[job.repository]?.push(await write(job));
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  for (const name of ["core", "extra"]) {
    await writeDatabase(join(folder, name), name, written[name] ?? []);
  }
}

/** Writes a package with files. @param files where each lands, and where it is. */
async function writePackage(
  place: string,
  rootfs: string,
  facts: Facts,
  files: ReadonlyMap<string, string>,
): Promise<Written> {
  const tree = await mkdtemp(join(place, ".tree-"));
  await chmod(tree, 0o755);
  for (const path of FOLDERS[facts.name] ?? []) await mkdir(join(tree, path), { recursive: true });
  for (const [path, from] of files) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await lay(join(tree, path), from, path, rootfs);
  }
  for (const [path, target] of Object.entries(LINKS[facts.name] ?? {})) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await symlink(target, join(tree, path));
  }
  for (const [path, mode] of Object.entries(MODES)) {
    if (files.has(path) || FOLDERS[facts.name]?.includes(path)) await chmod(join(tree, path), mode);
  }
  await writeFile(join(tree, ".PKGINFO"), information(facts));
  const names = await readdir(tree);
  const first = names.filter((name) => /^\.[A-Z]+$/.test(name));
  const rest = names.filter((name) => !first.includes(name));
  const file = fileName(facts);
  const owner = ["--uid", "0", "--gid", "0", "--uname", "root", "--gname", "root"];
  // Fast, since it is unpacked a few times only.
  const compressed = ["--zstd", "--options", "zstd:compression-level=1"];
  await $({
    quiet: true,
  })`bsdtar -c -f ${join(place, file)} ${owner} ${compressed} -C ${tree} ${first} ${rest}`;
  await rm(tree, { recursive: true });
  const bytes = Bun.file(join(place, file));
  const hash = new Bun.CryptoHasher("sha256");
  for await (const part of bytes.stream()) hash.update(part);
  return { facts, file, size: bytes.size, sha256: hash.digest("hex") };
}

/** Puts a file, a link or an empty folder into a package's tree. A file of the root is linked: it stays as it is. */
async function lay(to: string, from: string, path: string, rootfs: string): Promise<void> {
  const found = await lstat(from);
  if (found.isSymbolicLink()) await symlink(await readlink(from), to);
  else if (found.isDirectory()) await mkdir(to, { recursive: true });
  else if (from.startsWith(`${rootfs}/`) && MODES[path] === undefined) await link(from, to);
  else {
    await copyFile(from, to);
    const isProgram = path.startsWith("etc/init.d/") || (found.mode & 0o100) !== 0;
    await chmod(to, isProgram ? 0o755 : 0o644);
  }
}

/** The same package with a higher release. @returns its file, in another folder. */
export async function rebuilt(repository: string, name: string, folder: string): Promise<string> {
  const file = (await readdir(repository)).find((one) => packageName(one) === name);
  if (file === undefined) throw new Error(`${repository} has no ${name}`);
  const tree = await mkdtemp(join(folder, ".tree-"));
  const must = $({ quiet: true, cwd: tree });
  await must`bsdtar -x -p -f ${join(repository, file)}`;
  const info = await readFile(join(tree, ".PKGINFO"), "utf8");
  await writeFile(join(tree, ".PKGINFO"), info.replace(/^(pkgver = .*)-\d+$/m, "$1-99"));
  const made = join(folder, `${name}-rebuilt.pkg.tar.zst`);
  const names = (await readdir(tree)).sort();
  await must`bsdtar -c --zstd -f ${made} ${names}`;
  await rm(tree, { recursive: true });
  return made;
}
