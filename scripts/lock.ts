/** A lock among builds, by a file with the number of the process that holds it. */
import { mkdir, open, readFile, rm, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { removeAtExit } from "./build.ts";
import { PackageError } from "./makepkg.ts";

/**
 * Holds FILE as a lock, waiting for a holder that is alive and taking it from one that is not.
 * @returns what gives it back.
 * @throws PackageError after ten minutes, and what the signal was aborted with.
 */
export async function lock(file: string, signal?: AbortSignal): Promise<() => Promise<void>> {
  await mkdir(dirname(file), { recursive: true });
  for (const started = Date.now(); Date.now() - started < 600_000; await Bun.sleep(200)) {
    signal?.throwIfAborted();
    try {
      const handle = await open(file, "wx");
      await handle.write(`${process.pid}\n`);
      await handle.close();
      return removeAtExit(file);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    }
    const holder = Number(await readFile(file, "utf8").catch(() => ""));
    const age = Date.now() - ((await stat(file).catch(() => undefined))?.mtimeMs ?? Date.now());
    // A moment lies between making the file and writing the number into it.
    if (holder > 0 ? !isAlive(holder) : age > 5_000) await rm(file, { force: true });
  }
  throw new PackageError(`${file} is held by another build: wait for it, or remove the file`);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
