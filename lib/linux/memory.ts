/** The memory of this process; see madvise(2) and /proc/PID/smaps in proc(5). */
import { readFileSync, readlinkSync } from "node:fs";
import { check } from "./errors.ts";
import { libc } from "./libc.ts";

const MADV_DONTNEED = 4;

/** First line of a mapping: its addresses, permissions, offset, device, inode and path. */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) \S+ \S+ \d+ *(.*)$/;

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
  let range: { start: number; end: number } | undefined;
  let mapped = 0;
  for (const line of readFileSync("/proc/self/smaps", "latin1").split("\n")) {
    const [, start, end, permissions = "", name] = MAPPING.exec(line) ?? [];
    if (start !== undefined && end !== undefined) {
      // What can be written to may have been, and would be lost.
      const isOurs = name === path && !permissions.includes("w");
      range = isOurs ? { start: Number(`0x${start}`), end: Number(`0x${end}`) } : undefined;
    }
    if (!range) continue;
    const [, key, size] = /^(Rss|Anonymous): +(\d+) kB$/.exec(line) ?? [];
    if (key === "Rss") mapped = Number(size) * 1024;
    // Relocated pages that are not to be written to any more are no longer as in the file.
    if (key !== "Anonymous" || Number(size) > 0) continue;
    const length = range.end - range.start;
    check(libc.madvise(range.start, length, MADV_DONTNEED), "madvise", path);
    released += mapped;
  }
  return released;
}
