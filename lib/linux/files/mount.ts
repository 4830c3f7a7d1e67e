/** Mounting, unmounting, and what is mounted where; see mount(2) and proc_pid_mountinfo(5). */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { check } from "../ffi/errors.ts";
import { cString, libc } from "../ffi/libc.ts";
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, S_IFDIR, statx } from "./statx.ts";

export const MS_NOSUID = 2;
export const MS_NODEV = 4;
const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;

/** One line of /proc/self/mountinfo. */
export interface Mount {
  id: number;
  /** The id of the mount that it is mounted on. */
  parent: number;
  target: string;
  type: string;
  source: string;
  options: string;
  /** The device that it is on, as `MAJOR:MINOR`. */
  device: string;
}

/**
 * mount(2).
 *
 * @param data the file system's own options, `mode=0700,uid=1000`
 * @throws {SystemError}
 */
export function mount(
  source: string,
  target: string,
  type: string,
  flags: number,
  data = "",
): void {
  const result = libc.mount(cString(source), cString(target), cString(type), flags, cString(data));
  check(result, "mount", target);
}

/**
 * Unmounts what is at `target`, at once; files still open in it stay until they are closed.
 *
 * @throws {SystemError} EINVAL if nothing is mounted there
 */
export function unmount(target: string): void {
  check(libc.umount2(cString(target), MNT_DETACH | UMOUNT_NOFOLLOW), "umount", target);
}

/** Every mount that a process sees, this one by default, in the order of mounting. */
export function mounts(pid: number | "self" = "self"): Mount[] {
  return lines(pid).map(toMount);
}

const lines = (pid: number | "self") =>
  readFileSync(`/proc/${pid}/mountinfo`, "utf8")
    .split("\n")
    .filter((line) => line !== "");

function toMount(line: string): Mount {
  const fields = line.split(" ");
  const separator = fields.indexOf("-");
  return {
    id: Number(fields[0]),
    parent: Number(fields[1]),
    target: unescapeOctal(fields[4] ?? ""),
    type: fields[separator + 1] ?? "",
    source: unescapeOctal(fields[separator + 2] ?? ""),
    options: fields[5] ?? "",
    device: fields[2] ?? "",
  };
}

/**
 * What a process, this one by default, has mounted exactly at `path`, the lowest first: the last one is
 * what is seen there. The kernel's list is asked, and no file system, which may be one of a user's and need not answer.
 *
 * A namespace can have other mounts of the same path that nobody can reach, since they are below what
 * was mounted on a folder above. They are left out.
 */
export function mountsAt(path: string, pid: number | "self" = "self"): Mount[] {
  const folders = ["/"];
  for (const name of path.split("/").filter(Boolean))
    folders.push(join(folders.at(-1) ?? "", name));
  // Only these are taken apart: there may be thousands, and this is asked at each login.
  const target = (line: string) => unescapeOctal(line.split(" ", 5)[4] ?? "");
  const known = lines(pid)
    .filter((line) => folders.includes(target(line)))
    .map(toMount);
  const ids = new Set(known.map(({ id }) => id));
  let top = known.find((entry) => entry.target === "/" && !ids.has(entry.parent));
  let stack: Mount[] = [];
  for (const folder of folders) {
    stack = [];
    for (let next = top; next; ) {
      const parent: number = next.id;
      next = known.find((entry) => entry.target === folder && entry.parent === parent);
      if (!next) break;
      stack.push(next);
      top = next;
    }
  }
  return stack;
}

/** The device, as `MAJOR:MINOR`, of the file system that a process has a path on. */
export function deviceOfMount(path: string, pid: number): string | undefined {
  const holds = ({ target }: Mount) => target === "/" || `${path}/`.startsWith(`${target}/`);
  // Of several at one place the last is on top.
  const nearer = (best: Mount, entry: Mount) =>
    entry.target.length >= best.target.length ? entry : best;
  const [first, ...others] = mounts(pid).filter(holds);
  return first && others.reduce(nearer, first).device;
}

/** A folder, with whose it is. */
export interface FolderStatus {
  /** The permission bits. */
  mode: number;
  uid: number;
  gid: number;
  /** Whether something is mounted exactly there. */
  isMountPoint: boolean;
}

/**
 * Looks at what is at `path`, by statx(2); a symbolic link is not followed. A file system that would
 * have to ask a server answers with what it knows, so this does not wait for anybody.
 *
 * @returns undefined if it is no folder
 * @throws {SystemError} ENOENT if nothing is there
 */
export function folderStatus(path: string): FolderStatus | undefined {
  const found = statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, path);
  if (found.type !== S_IFDIR) return undefined;
  const { mode, uid, gid, isMountRoot } = found;
  const isMountPoint = isMountRoot ?? mounts().some((entry) => entry.target === path);
  return { mode, uid, gid, isMountPoint };
}

/** The kernel writes space, tab, newline and backslash in a path as \ooo. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}
