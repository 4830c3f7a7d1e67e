/** The C programs of programs/, built and put into a test system. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../host.ts";

const SOURCES = join(import.meta.dir, "programs");

/**
 * Compiles a program of programs/ without libraries, so that it runs in whatever root.
 *
 * @param to the file to make
 */
export async function buildProgram(name: string, to: string): Promise<void> {
  await ensureHostPackages(["gcc"]);
  const folder = await mkdtemp(join(tmpdir(), "p7-attack-"));
  try {
    const built = join(folder, name);
    await $({
      quiet: true,
    })`gcc -static -O1 -Wall -Wextra -Werror -o ${built} ${join(SOURCES, `${name}.c`)}`;
    await writeFile(to, await readFile(built), { mode: 0o755 });
  } finally {
    await rm(folder, { recursive: true });
  }
}
