/** RemoveIPC: what a user leaves behind in System V and POSIX IPC goes when they have logged out fully. */
import { existsSync } from "node:fs";
import {
  hasCode,
  IPC_KINDS,
  ipcObjects,
  messageOf,
  now,
  removeIpcObject,
} from "../../linux/index.ts";
import { isSystemUid } from "../../sd-login/index.ts";
import { runTool } from "../host/run-program.ts";

/** Where POSIX shared memory and message queues are files. */
const POSIX_FOLDERS = ["/dev/shm", "/dev/mqueue"];
/** How long the search through one of them may take, in milliseconds. */
const SEARCH_TIMEOUT = 60_000;

/**
 * Removes a user's IPC objects. A system user keeps theirs, as with logind: a cron
 * job's end must not take the memory of a service that runs under the same name.
 * Shared memory that a process still has mapped stays.
 *
 * @throws {Error} that names what could not be removed, after the rest was
 */
export async function removeIpc(uid: number): Promise<void> {
  if (isSystemUid(uid)) return;
  const left = removeSystemV(uid);
  // What the user makes from here on, having logged in again, is not what was left behind.
  const before = `@${Number(now().realtime) / 1e6}`;
  for (const folder of POSIX_FOLDERS.filter(existsSync)) {
    // find(1) goes from descriptor to descriptor, so no link that is put in its
    // way leads it outside.
    const own = ["-ignore_readdir_race", "-xdev", "-mindepth", "1", "-uid", String(uid)];
    const old = ["(", "-type", "d", "-o", "!", "-newerct", before, ")"];
    try {
      await runTool("find", [folder, ...own, ...old, "-delete"], SEARCH_TIMEOUT);
    } catch (error) {
      left.push(messageOf(error));
    }
  }
  if (left.length > 0) throw new Error(left.join("; "));
}

function removeSystemV(uid: number): string[] {
  const left: string[] = [];
  for (const object of IPC_KINDS.flatMap(ipcObjects)) {
    if (object.uid !== uid || object.attached > 0) continue;
    try {
      removeIpcObject(object);
    } catch (error) {
      // Somebody was faster.
      if (hasCode(error, "EINVAL", "EIDRM")) continue;
      left.push(messageOf(error));
    }
  }
  return left;
}
