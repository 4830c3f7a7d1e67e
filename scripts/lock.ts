/** A lock among our own commands and test runs, which goes with the process that holds it. */
import { mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { close, lockFile } from "../lib/linux/index.ts";
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
  for (const started = performance.now(); performance.now() - started < LONGEST_WAIT; ) {
    signal?.throwIfAborted();
    const fd = lockFile(file);
    if (fd !== undefined) return () => close(fd);
    await Bun.sleep(200);
  }
  throw new UserError(`${file} is held by another process: see who by lsof, and end it or wait`);
}
