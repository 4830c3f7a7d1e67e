/** XDG_RUNTIME_DIR: a tmpfs of the user's own, as user-runtime-dir@.service of systemd mounts it. */
import { chmodSync, chownSync, mkdirSync, rmdirSync } from "node:fs";
import { $ } from "bun";
import {
  folderStatus,
  hasCode,
  isMountPoint,
  MS_NODEV,
  MS_NOSUID,
  mount,
  mounts,
  unmount,
} from "../linux/index.ts";
import { type Config, runtimeDirectoryInodes } from "./config.ts";
import { isInSandbox, makeRuntimeDirOutside, removeRuntimeDirOutside } from "./outside.ts";
import { RUNTIME_ROOT } from "./paths.ts";

/** The runtime directory of a user, whether it exists or not. */
export function runtimePath(uid: number): string {
  return `${RUNTIME_ROOT}/${uid}`;
}

/**
 * Makes a user's runtime directory, 0700 and the user's, on a tmpfs of its own.
 * Its size and inodes are limited as logind.conf says.
 * One that is there already is kept with what is in it, with mode and owner put right.
 *
 * Where this process may not mount (a container without CAP_SYS_ADMIN), a plain
 * directory has to do.
 *
 * @throws {Error} if something else is in its place, or it cannot be made
 */
export function createRuntimeDir(uid: number, gid: number, config: Config): string {
  const path = runtimePath(uid);
  if (isSettled(path, uid, gid)) return path;
  const size = config.RuntimeDirectorySize;
  const inodes = runtimeDirectoryInodes(config);
  if (makeRuntimeDirOutside({ uid, gid, size, inodes })) return path;
  mkdirSync(RUNTIME_ROOT, { recursive: true, mode: 0o755 });
  chmodSync(RUNTIME_ROOT, 0o755);
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    if (!folderStatus(path)) {
      throw new Error(`${path} is not a directory: remove it, so that the user can log in`);
    }
  }
  if (!isMountPoint(path)) {
    const options = `mode=0700,uid=${uid},gid=${gid},size=${size},nr_inodes=${inodes}`;
    try {
      mount("tmpfs", path, "tmpfs", MS_NODEV | MS_NOSUID, options);
      return path;
    } catch (error) {
      if (!hasCode(error, "EPERM", "EACCES")) {
        rmdirSync(path);
        throw error;
      }
    }
  }
  chownSync(path, uid, gid);
  chmodSync(path, 0o700);
  return path;
}

/** The users whose runtime directory is mounted. */
export function mountedRuntimeDirs(): number[] {
  // In its sandbox this process does not see them.
  const found = mounts(isInSandbox() ? 1 : "self").flatMap(({ target }) => {
    const uid = target.startsWith(`${RUNTIME_ROOT}/`) ? target.slice(RUNTIME_ROOT.length + 1) : "";
    return /^\d+$/.test(uid) ? [Number(uid)] : [];
  });
  return [...new Set(found)];
}

/** Whether nothing is left to be done: the usual case, but for a user's first login. */
function isSettled(path: string, uid: number, gid: number): boolean {
  if (isInSandbox()) return mountedRuntimeDirs().includes(uid);
  try {
    const found = folderStatus(path);
    if (!found?.isMountPoint) return false;
    return found.mode === 0o700 && found.uid === uid && found.gid === gid;
  } catch (error) {
    if (hasCode(error, "ENOENT")) return false;
    throw error;
  }
}

/**
 * Takes a user's runtime directory away with all that is in it.
 *
 * @throws {Error} if it cannot be removed
 */
export async function removeRuntimeDir(uid: number): Promise<void> {
  const path = runtimePath(uid);
  if (removeRuntimeDirOutside(uid)) return;
  // Several may be stacked, and the user's own mounts (a FUSE portal) go with the lowest.
  while (isMountPoint(path)) unmount(path);
  try {
    rmdirSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    if (!hasCode(error, "ENOTEMPTY")) throw error;
    // A plain directory, which its owner may be changing meanwhile: rm(1)
    // walks by descriptor and follows no link that is put in its way.
    const result = await $`rm -rf --one-file-system -- ${path}`.quiet().nothrow();
    if (result.exitCode !== 0) throw new Error(`cannot remove ${path}: ${result.stderr}`);
  }
}
