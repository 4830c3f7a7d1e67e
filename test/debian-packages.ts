/** Packages of Debian's that are not in the release that this runs on: fetched and unpacked, not installed. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { cacheDir } from "../scripts/host.ts";
import { debianSources } from "../scripts/live/mirror.ts";

const KEYS = "/usr/share/keyrings/debian-archive-keyring.gpg";

/**
 * The folder that packages of a release are unpacked in, fetched with apt where the cache does not
 * have them. What they depend on is not fetched.
 *
 * @throws {Error} if apt cannot fetch them
 */
export async function unpackedPackages(release: string, packages: string[]): Promise<string> {
  const path = join(cacheDir(), `${packages.join("+")}-${release}`);
  if (existsSync(path)) return path;
  await mkdir(cacheDir(), { recursive: true });
  const scratch = await mkdtemp(join(cacheDir(), ".packages-"));
  try {
    const [main = ""] = await debianSources(release);
    const source = main.replace(/^deb /, existsSync(KEYS) ? `deb [signed-by=${KEYS}] ` : "deb ");
    // Lists and caches of its own: the host's own sources stay as they are.
    const config = `Dir::State "${scratch}/state";
Dir::State::status "${scratch}/status";
Dir::Cache "${scratch}/cache";
Dir::Etc::sourcelist "${scratch}/sources";
Dir::Etc::sourceparts "-";
APT::Sandbox::User "root";
`;
    for (const folder of ["state/lists/partial", "cache/archives/partial", "files"]) {
      await mkdir(join(scratch, folder), { recursive: true });
    }
    await Bun.write(join(scratch, "sources"), `${source}\n`);
    await Bun.write(join(scratch, "status"), "");
    await Bun.write(join(scratch, "apt.conf"), config);
    const env = { ...process.env, APT_CONFIG: join(scratch, "apt.conf"), LC_ALL: "C.UTF-8" };
    const run = $({ quiet: true, cwd: scratch, env });
    await run`apt-get -q update`;
    await run`apt-get -q download ${packages}`;
    for (const archive of new Bun.Glob("*.deb").scanSync(scratch)) {
      await run`dpkg-deb -x ${archive} ${join(scratch, "files")}`;
    }
    await rename(join(scratch, "files"), path);
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return path;
}

/**
 * The folder of a systemd about as new as Arch's: clients, libsystemd, pam_systemd and what it is tried
 * by. They run on this release's libc, with `laterLibraries`.
 *
 * @throws {Error} if apt cannot fetch it
 */
export const laterSystemd = () =>
  unpackedPackages("forky", [
    ...["systemd", "libsystemd0", "libsystemd-shared", "libpam-systemd", "pamtester"],
  ]);

/** The environment that the programs of a folder of `laterSystemd` need. */
export function laterLibraries(folder: string): string {
  const libraries = `${folder}/usr/lib/x86_64-linux-gnu`;
  return `LD_LIBRARY_PATH=${libraries}:${libraries}/systemd`;
}

/**
 * The command of a dbus-daemon about as new as Arch's, with the libc that it needs.
 *
 * @throws {Error} if apt cannot fetch it
 */
export async function laterBus(): Promise<string[]> {
  const folder = await unpackedPackages("forky", ["dbus-daemon", "libdbus-1-3", "libc6"]);
  const libraries = `${folder}/usr/lib/x86_64-linux-gnu`;
  const loader = [`${libraries}/ld-linux-x86-64.so.2`, "--library-path", libraries];
  return [...loader, `${folder}/usr/bin/dbus-daemon`];
}
