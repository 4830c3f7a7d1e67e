/** What tells once, what tells again, and what is left when a watch ends. */
import { afterEach, expect, test } from "bun:test";
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onceReadable } from "../../../lib/linux/events/readiness.ts";
import {
  close,
  makeFifo,
  O_NONBLOCK,
  O_RDONLY,
  O_WRONLY,
  onReadiness,
  open,
  readSome,
  send,
  socketPair,
} from "../../../lib/linux/index.ts";

const folders: string[] = [];
function folder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-linux-"));
  folders.push(path);
  return path;
}
afterEach(() => {
  for (const path of folders.splice(0)) rmSync(path, { recursive: true });
});

/** How many descriptors of ours are open on what `fd` is open on: a path, or one socket. */
function openOn(target: string): number {
  return [...new Bun.Glob("*").scanSync({ cwd: "/proc/self/fd", onlyFiles: false })].filter(
    (fd) => {
      try {
        return readlinkSync(`/proc/self/fd/${fd}`) === target;
      } catch {
        return false; // the one that lists the folder
      }
    },
  ).length;
}

test("a fifo tells when its last writer is gone", async () => {
  const path = join(folder(), "fifo");
  makeFifo(path, 0o600);
  const reader = open(path, O_RDONLY | O_NONBLOCK);
  const writer = open(path, O_WRONLY);
  const ended = Promise.withResolvers<void>();
  const end = onReadiness(reader, () => {
    if (readSome(reader)?.length === 0) ended.resolve();
  });
  await Bun.sleep(20);
  close(writer);
  await ended.promise;
  end();
  close(reader);
  expect(openOn(path)).toBe(0);
});

test("an ended watch stays silent and keeps no descriptor", async () => {
  const [left, right] = socketPair();
  const socket = readlinkSync(`/proc/self/fd/${left}`);
  let calls = 0;
  const end = onceReadable(left, () => calls++);
  end();
  send(right, Buffer.from("x"));
  await Bun.sleep(30);
  expect(calls).toBe(0);
  expect(openOn(socket)).toBe(1);
  close(left);
  close(right);
});
