/** The C programs of programs/, built and put into a test system. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../../scripts/host.ts";

const SOURCES = join(import.meta.dir, "programs");

/**
 * Compiles a C program without libraries, so that it runs in whatever root.
 *
 * @param name of one in programs/, or the path of a source
 * @param to the file to make
 */
export async function buildProgram(name: string, to: string): Promise<void> {
  await ensureHostPackages(["gcc"]);
  const folder = await mkdtemp(join(tmpdir(), "p7-attack-"));
  try {
    const source = name.endsWith(".c") ? resolve(name) : join(SOURCES, `${name}.c`);
    const built = join(folder, basename(source, ".c"));
    // Fields that are not named are zero.
    const warnings = ["-Wall", "-Wextra", "-Wno-missing-field-initializers", "-Werror"];
    await $({ quiet: true })`gcc -static -O1 ${warnings} -o ${built} ${source}`;
    await writeFile(to, await readFile(built), { mode: 0o755 });
  } finally {
    await rm(folder, { recursive: true });
  }
}
