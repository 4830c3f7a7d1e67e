/**
 * Compiles the PAM module: `bun scripts/pam-module.ts` makes dist/pam_systemd.so of pam/pam_systemd.c.
 * docs/registration.md says why it is in C.
 */
import { mkdir, mkdtemp, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BuildError, exitOnSignals, ROOT, removeAtExit } from "./build.ts";
import { UserError } from "./user-error.ts";

/** Where it is in dist/, and what it is called in /usr/lib/security. */
export const PAM_MODULE = "pam_systemd.so";

export const PAM_SOURCE = join(ROOT, "pam/pam_systemd.c");

/**
 * It is in the process of every login program, so the compiler looks for all that it can. What it finds is
 * an error in the test of the module and not here: a compiler that is newer than this code finds more, and
 * the package is to be made by it.
 */
export const PAM_FLAGS = [
  ...["-std=c11", "-O2", "-fPIC", "-shared", "-s", "-fvisibility=hidden"],
  ...["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Wformat=2"],
  ...["-fstack-protector-strong", "-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=2"],
  // Nothing of the building machine is in it, and nothing is looked up when somebody logs in.
  ...["-Wl,-z,relro,-z,now,-z,noexecstack", "-Wl,--build-id=none,--no-undefined"],
];

/**
 * Compiles the module. The file appears by rename.
 *
 * @param output where it goes
 * @param helper the program that it runs, where that is not the package's
 * @param seconds how long that may take, where it is not the package's time
 * @throws BuildError with what the compiler says, or if there is none
 */
export async function buildPamModule(
  output: string,
  helper?: string,
  seconds?: number,
): Promise<void> {
  const compiler = Bun.which("gcc");
  if (compiler === null) throw new BuildError("there is no gcc: install it (Arch: base-devel)");
  await mkdir(dirname(output), { recursive: true });
  const folder = await mkdtemp(join(dirname(output), ".building-"));
  const discard = removeAtExit(folder);
  try {
    const built = join(folder, PAM_MODULE);
    const other = [
      ...(helper === undefined ? [] : [`-DHELPER="${helper}"`]),
      ...(seconds === undefined ? [] : [`-DLIMIT_SECONDS=${seconds}`]),
    ];
    const child = Bun.spawn([compiler, ...PAM_FLAGS, ...other, "-o", built, PAM_SOURCE, "-lpam"], {
      env: { PATH: process.env.PATH ?? "/usr/bin:/bin", LC_ALL: "C" },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [said, status] = await Promise.all([child.stderr.text(), child.exited]);
    if (status !== 0) {
      const hint = said.includes("security/pam_") ? " (Debian: install libpam0g-dev)" : "";
      throw new BuildError(`pam/pam_systemd.c does not compile${hint}:\n${said.trimEnd()}`);
    }
    await rename(built, output);
  } finally {
    await discard();
  }
}

if (import.meta.main) {
  exitOnSignals();
  try {
    await buildPamModule(join(ROOT, "dist", PAM_MODULE));
    console.log(`dist/${PAM_MODULE}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`pam-module: ${error.message}`);
    process.exitCode = 1;
  }
}
