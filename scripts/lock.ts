/** Locks among our own commands and test runs, which go with the process that holds them. */
import { randomBytes } from "node:crypto";
import { chmodSync, fstatSync, lstatSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { mkdir, readdir, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { close, type Fd, hasCode, lockFile } from "../lib/linux/index.ts";
import { UserError } from "./user-error.ts";

/** How long one waits for another, in milliseconds. */
const LONGEST_WAIT = 600_000;

/**
 * Holds FILE as a lock, which is made where it is missing and stays, waiting for who holds it.
 * @returns what gives it back; the end of the process does too.
 * @throws UserError after ten minutes, and what the signal was aborted with.
 */
export async function lock(file: string, signal?: AbortSignal): Promise<() => void> {
  await mkdir(dirname(file), { recursive: true });
  const fd = await waitFor(file, () => lockFile(file), signal);
  return () => close(fd);
}

/** The name of a held folder's own lock, in it. */
export const FOLDER_LOCK = ".lock";

/**
 * Holds a folder whose path must be the same in every run, in a place where everybody may make one:
 * it is made, or taken over empty from a run of ours that was killed, and no two processes have it at
 * a time. Its lock is in it, so whatever else two of them do not share, they have the same.
 * @returns what removes it; the end of the process does too.
 * @throws UserError where something is in its place that is not ours alone, and as lock() does.
 */
export async function holdFolder(
  folder: string,
  signal?: AbortSignal,
): Promise<() => Promise<void>> {
  const fd = await waitFor(join(folder, FOLDER_LOCK), () => takeFolder(folder), signal);
  // It goes under another name first: what is under its own is then another's, who waited for it.
  const away = join(dirname(folder), `.${basename(folder)}-${randomBytes(8).toString("hex")}`);
  const removeNow = () => {
    renameSync(folder, away);
    rmSync(away, { recursive: true, force: true });
  };
  process.once("exit", removeNow);
  for (const name of await readdir(folder)) {
    if (name !== FOLDER_LOCK) await rm(join(folder, name), { recursive: true, force: true });
  }
  return async () => {
    process.off("exit", removeNow);
    renameSync(folder, away);
    close(fd);
    await rm(away, { recursive: true, force: true });
  };
}

/** One try: the descriptor that holds the folder's lock, or undefined where another has it. */
function takeFolder(folder: string): Fd | undefined {
  try {
    mkdirSync(folder, { mode: 0o755 });
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
  }
  try {
    checkOurs(folder);
    // Whatever the umask: who builds in it may be another user.
    chmodSync(folder, 0o755);
    const file = join(folder, FOLDER_LOCK);
    const fd = lockFile(file);
    if (fd === undefined) return undefined;
    if (lstatSync(file, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino) return fd;
    // Who had it took the folder away in between.
    close(fd);
  } catch (error) {
    if (!hasCode(error, "ENOENT")) throw error;
  }
  return undefined;
}

/** @throws UserError where others made it or may change it. Such a one may have anything in it. */
function checkOurs(folder: string): void {
  const found = lstatSync(folder);
  const uid = process.geteuid?.();
  let fault: string | undefined;
  if (!found.isDirectory()) fault = "is no folder";
  else if (found.uid !== uid) fault = `belongs to the user ${found.uid}, not to ${uid}`;
  else if ((found.mode & 0o022) !== 0) fault = "may be written to by others";
  if (fault === undefined) return;
  throw new UserError(
    `${folder} ${fault}, and the build needs that very path: wait if it is somebody's build, or else remove it (rm -r ${folder})`,
  );
}

/** Tries until there is a result. @param what is waited for, as a path. */
async function waitFor<T>(
  what: string,
  attempt: () => T | undefined,
  signal: AbortSignal | undefined,
): Promise<T> {
  for (const started = performance.now(); performance.now() - started < LONGEST_WAIT; ) {
    signal?.throwIfAborted();
    const found = attempt();
    if (found !== undefined) return found;
    await Bun.sleep(200);
  }
  throw new UserError(`${what} is held by another process: see who by lsof, and end it or wait`);
}
