/** XDG_RUNTIME_DIR: a tmpfs of the user's own, as user-runtime-dir@.service of systemd mounts it. */
import { chmodSync, chownSync, mkdirSync, rmdirSync } from "node:fs";
import {
  folderStatus,
  hasCode,
  type Mount,
  MS_NODEV,
  MS_NOSUID,
  mount,
  mounts,
  mountsAt,
  unmount,
} from "../../linux/index.ts";
import { isInSandbox, makeRuntimeDirOutside, removeRuntimeDirOutside } from "../host/privileged.ts";
import { runTool } from "../host/run-program.ts";
import { type Config, runtimeDirectoryInodes } from "../settings/logind-conf.ts";
import { RUNTIME_ROOT } from "../vocabulary/paths.ts";

/** How many mounts over one runtime directory are undone; setuid fusermount stops at a thousand. */
const MOST_COVERS = 1024;

/** How long the removal of a plain directory may take, in milliseconds: there can be a million files in it. */
const REMOVAL_TIMEOUT = 60_000;

/** How often the directory is made, where its user covers it again at just that moment. */
const MOST_ATTEMPTS = 8;

/** The runtime directory of a user, whether it exists or not. */
export function runtimePath(uid: number): string {
  return `${RUNTIME_ROOT}/${uid}`;
}

/** Whose mounts are looked at: in its sandbox this process does not see users' directories. */
const observer = () => (isInSandbox() ? 1 : "self");

/**
 * Makes a user's runtime directory, 0700 and the user's, on a tmpfs of its own.
 * Its size and inodes are limited as logind.conf says.
 * One that is there already is kept with what is in it, with mode and owner put right. What the user
 * has mounted over it is unmounted, since nobody else could use it.
 *
 * Where this process may not mount (a container without CAP_SYS_ADMIN), a plain
 * directory has to do.
 *
 * @throws {Error} if something else is in its place, or it cannot be made
 */
export function createRuntimeDir(uid: number, gid: number, config: Config): string {
  const path = runtimePath(uid);
  for (let left = MOST_ATTEMPTS; ; left--) {
    try {
      if (isInSandbox()) settleOutside(uid, gid, config);
      else settle(uid, gid, config);
      return path;
    } catch (error) {
      // On a file system of the user's that came in between everything fails.
      if (left === 0 || covers(mountsAt(path, observer())) === 0) throw error;
    }
  }
}

function settleOutside(uid: number, gid: number, config: Config): void {
  const stack = mountsAt(runtimePath(uid), observer());
  // Its owner and mode are the user's to spoil, and their own loss.
  if (stack.length > 0 && covers(stack) === 0) return;
  const size = config.RuntimeDirectorySize;
  makeRuntimeDirOutside({ uid, gid, size, inodes: runtimeDirectoryInodes(config) });
}

function settle(uid: number, gid: number, config: Config): void {
  const path = runtimePath(uid);
  const isMounted = uncover(path);
  if (isMounted && isSettled(path, uid, gid)) return;
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
  if (!isMounted) {
    const size = config.RuntimeDirectorySize;
    const inodes = runtimeDirectoryInodes(config);
    const options = `mode=0700,uid=${uid},gid=${gid},size=${size},nr_inodes=${inodes}`;
    try {
      mount("tmpfs", path, "tmpfs", MS_NODEV | MS_NOSUID, options);
      return;
    } catch (error) {
      if (!hasCode(error, "EPERM", "EACCES")) {
        rmdirSync(path);
        throw error;
      }
    }
  }
  chownSync(path, uid, gid);
  chmodSync(path, 0o700);
}

/** Whether nothing is left to be done: the usual case, but for a user's first login. */
function isSettled(path: string, uid: number, gid: number): boolean {
  const found = folderStatus(path);
  return found?.mode === 0o700 && found.uid === uid && found.gid === gid;
}

/** How many of the mounts at a runtime directory are not to be kept: those above the lowest, and a user's. */
function covers(stack: Mount[]): number {
  // Only FUSE lets a user mount, by a setuid program.
  const isKept = stack[0] !== undefined && !stack[0].type.startsWith("fuse");
  return stack.length - (isKept ? 1 : 0);
}

/**
 * Unmounts what covers a user's runtime directory; outside of a sandbox.
 *
 * @returns whether a mount is there that is not the user's
 * @throws {Error} if it cannot be unmounted, or comes back as fast
 */
function uncover(path: string): boolean {
  let stack = mountsAt(path);
  for (let left = MOST_COVERS; covers(stack) > 0; left--) {
    if (left === 0) throw tooMany(path);
    unmount(path);
    stack = mountsAt(path);
  }
  return stack.length > 0;
}

const tooMany = (path: string) => new Error(`${path} is covered by too many mounts: unmount them`);

/** The users at whose runtime directory something is mounted. */
export function mountedRuntimeDirs(): number[] {
  const uids = mounts(observer()).flatMap(({ target }) => {
    const uid = target.startsWith(`${RUNTIME_ROOT}/`) ? target.slice(RUNTIME_ROOT.length + 1) : "";
    return /^\d+$/.test(uid) ? [Number(uid)] : [];
  });
  return [...new Set(uids)];
}

/**
 * Takes a user's runtime directory away with all that is in it.
 *
 * @throws {Error} if it cannot be removed
 */
export async function removeRuntimeDir(uid: number): Promise<void> {
  const path = runtimePath(uid);
  if (removeRuntimeDirOutside(uid)) return;
  // What the user has mounted inside (a FUSE portal) goes with the lowest.
  for (let left = MOST_COVERS; mountsAt(path).length > 0; left--) {
    if (left === 0) throw tooMany(path);
    unmount(path);
  }
  try {
    rmdirSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return;
    if (!hasCode(error, "ENOTEMPTY")) throw error;
    // A plain directory, which its owner may be changing meanwhile: rm(1)
    // walks by descriptor and follows no link that is put in its way.
    await runTool("rm", ["-rf", "--one-file-system", "--", path], REMOVAL_TIMEOUT);
  }
}
