/** pacman for another root than the host's. */
import { join } from "node:path";

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
