/** pacman for another root than the host's. */
import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { cacheDir } from "./host.ts";
import { packageName } from "./repo/repository.ts";

/** Its folders have to be there: pacman 7.1 refuses to start otherwise. */
export interface PacmanPlace {
  /** The root that is installed into, with a folder var/lib/pacman. */
  readonly root: string;
  /** pacman.conf(5) */
  readonly config: string;
  /** Where downloaded packages are kept. */
  readonly cache: string;
  /** GnuPG's folder. */
  readonly keys: string;
  /** The hooks besides those in the root's usr/share/libalpm/hooks. */
  readonly hooks: string;
}

/**
 * The words that start pacman(8) on a root, without asking. Each path is given by
 * itself: `--root` alone leaves the host's database, cache, hooks, log and keys in use, and
 * `--sysroot` fails at CheckSpace.
 */
export function pacmanWords({ root, config, cache, keys, hooks }: PacmanPlace): string[] {
  return [
    ...["pacman", "--root", root, "--dbpath", join(root, "var/lib/pacman")],
    ...["--cachedir", cache, "--hookdir", hooks],
    ...["--logfile", join(root, "var/log/pacman.log"), "--gpgdir", keys],
    ...["--config", config, "--noconfirm"],
  ];
}

/** What pacman has downloaded for other roots. The host's own cache has the host's packages. */
export const PACMAN_CACHE = join(cacheDir(), "pacman");

/**
 * In namespaces of its own: mounts end with the processes, and all of those with the first one, so that
 * nothing is left mounted on a root that is removed afterwards, whatever is killed.
 */
export const ALONE = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"];

/**
 * Removes packages of these names from a cache. Ours have the same file names in every checkout, and
 * other bytes: pacman would take the last build's, and then find that they are not the repository's.
 */
export async function forgetPackages(cache: string, names: readonly string[]): Promise<void> {
  await mkdir(cache, { recursive: true });
  for (const file of await readdir(cache)) {
    // Its signature, or a part of it, has the same name with one more end.
    if (names.includes(packageName(file))) await rm(join(cache, file));
  }
}
