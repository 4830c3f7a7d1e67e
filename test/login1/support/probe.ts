/** Builds the C programs of these tests against the real libraries. */
import { basename, join } from "node:path";

/** @returns the path of sd-login.c's executable, in `folder` */
export function buildProbe(folder: string): Promise<string> {
  return compile(join(import.meta.dir, "sd-login.c"), "-lsystemd", folder);
}

/** @returns the path of sd-view.c's executable, in `folder` */
export function buildView(folder: string): Promise<string> {
  return compile(join(import.meta.dir, "sd-view.c"), "-lsystemd", folder);
}

/** @returns the path of seat-client.c's executable, in `folder` */
export function buildSeatClient(folder: string): Promise<string> {
  return compile(join(import.meta.dir, "seat-client.c"), "-lseat", folder);
}

/** @returns the path of create-session.c's executable, in `folder` */
export function buildCreateSession(folder: string): Promise<string> {
  return compile(join(import.meta.dir, "create-session.c"), "-lsystemd", folder);
}

/**
 * Compiles a C program of these tests.
 *
 * @returns the path of the executable, in `folder`
 */
export async function compile(source: string, library: string, folder: string): Promise<string> {
  const name = basename(source, ".c");
  const program = join(folder, name);
  const flags = ["-Wall", "-Wextra", "-Werror", "-O1"];
  const compiler = Bun.spawn(["cc", ...flags, "-o", program, source, library], {
    stderr: "pipe",
  });
  const [errors, code] = await Promise.all([new Response(compiler.stderr).text(), compiler.exited]);
  if (code !== 0) throw new Error(`${source} does not compile: ${errors}`);
  return program;
}
