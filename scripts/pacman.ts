/** pacman for another root than the host's. */
import { join } from "node:path";

export interface PacmanPlace {
  /** The root that is installed into. Its folder var/lib/pacman has to be there. */
  readonly root: string;
  /** pacman.conf(5) */
  readonly config: string;
  /** Where downloaded packages are kept. */
  readonly cache: string;
  /** GnuPG's folder; it is made where it is missing. */
  readonly keys: string;
}

/**
 * The words that start pacman(8) on a root, without asking. Each path is given by
 * itself: `--root` alone leaves the host's database, cache, hooks, log and keys in use, and
 * `--sysroot` fails at CheckSpace.
 */
export function pacmanWords({ root, config, cache, keys }: PacmanPlace): string[] {
  return [
    ...["pacman", "--root", root, "--dbpath", join(root, "var/lib/pacman")],
    ...["--cachedir", cache, "--hookdir", join(root, "etc/pacman.d/hooks")],
    ...["--logfile", join(root, "var/log/pacman.log"), "--gpgdir", keys],
    ...["--config", config, "--noconfirm"],
  ];
}
