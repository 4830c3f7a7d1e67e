/** The command lines of other people's processes, read where that may take as long as it likes. */
import { open } from "node:fs/promises";
import { hasCode } from "../ffi/errors.ts";
import { processStatus } from "./process.ts";

/** So much of one is read, in bytes; a process may have megabytes of it. */
const LONGEST = 4096;
/** So many characters of all together; then only the names are given. */
const LONGEST_OF_ALL = 2 ** 18;
/** How long one is waited for, in milliseconds. */
const PATIENCE = 500;

/**
 * The read that has not come back. The kernel locks a process's memory to read its words, and a process
 * can have it locked for as long as it likes (by a mapping of a FUSE file). Bun's threads for files
 * are few, so only one of them ever waits.
 */
let stuck: Promise<void> | undefined;

/**
 * The command lines of processes, their words joined by spaces, as ps(1) shows them. The kernel's name
 * in brackets stands for one that has none, does not come in time, or comes when there is too much
 * already; a process that has ended is left out. To be called again only when it is done.
 */
export async function commandLines(pids: readonly number[]): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  let left = LONGEST_OF_ALL;
  for (const pid of pids) {
    const words = stuck || left <= 0 ? undefined : await inTime(readWords(pid));
    if (words) {
      found.set(pid, words);
      left -= words.length;
      continue;
    }
    const name = processStatus(pid)?.command;
    if (name !== undefined) found.set(pid, `[${name}]`);
  }
  return found;
}

/** What it gives, if that comes in time; else nothing is read until it does. */
async function inTime(read: Promise<string>): Promise<string | undefined> {
  const { promise: late, resolve } = Promise.withResolvers<undefined>();
  const timer = setTimeout(() => resolve(undefined), PATIENCE);
  let isBack = false;
  const back = read.then(
    () => {},
    () => {},
  );
  try {
    const words = await Promise.race([read.then((text) => [text] as const), late]);
    isBack = words !== undefined;
    return words?.[0];
  } catch (error) {
    isBack = true;
    if (hasCode(error, "ENOENT", "ESRCH", "EACCES", "EPERM")) return undefined;
    throw error;
  } finally {
    clearTimeout(timer);
    if (!isBack) {
      stuck = back;
      void back.then(() => {
        stuck = undefined;
      });
    }
  }
}

async function readWords(pid: number): Promise<string> {
  await using file = await open(`/proc/${pid}/cmdline`);
  const { buffer, bytesRead } = await file.read(Buffer.alloc(LONGEST), 0, LONGEST, 0);
  return buffer.toString("utf8", 0, bytesRead).split("\0").filter(Boolean).join(" ");
}
