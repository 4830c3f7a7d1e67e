/** Builds sd-login.c against the real libsystemd. */
import { join } from "node:path";

/** @returns the path of the executable, in `folder` */
export async function buildProbe(folder: string): Promise<string> {
  const source = join(import.meta.dir, "sd-login.c");
  const probe = join(folder, "sd-login");
  const flags = ["-Wall", "-Wextra", "-Werror", "-O1"];
  const compiler = Bun.spawn(["cc", ...flags, "-o", probe, source, "-lsystemd"], {
    stderr: "pipe",
  });
  const [errors, code] = await Promise.all([new Response(compiler.stderr).text(), compiler.exited]);
  if (code !== 0) throw new Error(`${source} does not compile: ${errors}`);
  return probe;
}
