/** The memory of this process; see madvise(2) and /proc/PID/smaps in proc(5). */
import { readFileSync, readlinkSync } from "node:fs";
import { check } from "../ffi/errors.ts";
import { libc } from "../ffi/libc.ts";

const MADV_DONTNEED = 4;

/** Where a mapping's lines begin, and the first of them: addresses, permissions, offset, device, inode and path. */
const START = /^(?=[0-9a-f]+-[0-9a-f]+ )/m;
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)$/m;

/**
 * Unmaps the pages of our executable that are mapped as they are in its file. Who needs one again finds
 * it in the page cache. It is for a daemon that has started: of what a start needs little is needed again,
 * and executable pages that are mapped are the last that the kernel takes back when memory is short.
 *
 * @returns how many bytes are less mapped
 * @throws {SystemError}
 */
export function releaseExecutable(): number {
  const path = readlinkSync("/proc/self/exe");
  let released = 0;
  for (const text of readFileSync("/proc/self/smaps", "latin1").split(START)) {
    const [, from, to, permissions = "", name] = MAPPING.exec(text) ?? [];
    // What can be written to may have been; relocated pages that no longer can be are not as in the file.
    if (name !== path || permissions.includes("w") || bytesOf(text, "Anonymous") !== 0) continue;
    const start = Number(`0x${from}`);
    check(libc.madvise(start, Number(`0x${to}`) - start, MADV_DONTNEED), "madvise", path);
    released += bytesOf(text, "Rss");
  }
  return released;
}

/** One of the sizes that a mapping's lines have. */
function bytesOf(text: string, key: string): number {
  return Number(new RegExp(`^${key}: +(\\d+) kB$`, "m").exec(text)?.[1]) * 1024;
}
