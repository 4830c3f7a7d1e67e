/** Builds the C programs of these tests against the real libraries. */
import { join } from "node:path";

/** @returns the path of sd-login.c's executable, in `folder` */
export function buildProbe(folder: string): Promise<string> {
  return build("sd-login", "-lsystemd", folder);
}

/** @returns the path of seat-client.c's executable, in `folder` */
export function buildSeatClient(folder: string): Promise<string> {
  return build("seat-client", "-lseat", folder);
}

/** @returns the path of create-session.c's executable, in `folder` */
export function buildCreateSession(folder: string): Promise<string> {
  return build("create-session", "-lsystemd", folder);
}

async function build(name: string, library: string, folder: string): Promise<string> {
  const source = join(import.meta.dir, `${name}.c`);
  const program = join(folder, name);
  const flags = ["-Wall", "-Wextra", "-Werror", "-O1"];
  const compiler = Bun.spawn(["cc", ...flags, "-o", program, source, library], {
    stderr: "pipe",
  });
  const [errors, code] = await Promise.all([new Response(compiler.stderr).text(), compiler.exited]);
  if (code !== 0) throw new Error(`${source} does not compile: ${errors}`);
  return program;
}
