/**
 * Compiles the executables: `bun run build [NAME...]`, without a name all of them. NAME is a file in
 * cmd/ without its extension. See docs/build.md for why each setting is what it is.
 */
import { rmSync } from "node:fs";
import { chmod, mkdir, mkdtemp, rename, rm, stat } from "node:fs/promises";
import { join, resolve } from "node:path";
import { UserError } from "./user-error.ts";

/** The top of the checkout. */
export const ROOT = resolve(import.meta.dir, "..");

/** What each file in cmd/ compiles to, by its name without the extension. */
export const EXECUTABLES = {
  protocol7: "protocol7",
  "dbus-bridge": "lainos-dbus-bridge",
  notifyd: "lainos-notifyd",
  "ghost-units": "lainos-ghost-units",
  "lainos-init": "lainos-init",
  "net-init": "lainos-net-init",
  "audio-init": "lainos-audio-init",
  loginctl: "loginctl",
  "systemd-inhibit": "systemd-inhibit",
  "systemd-notify": "systemd-notify",
} as const;

export type CommandName = keyof typeof EXECUTABLES;

/** The commands, without the multi-call executable that holds them all. */
export const STANDALONE = (Object.keys(EXECUTABLES) as CommandName[]).filter(
  (name) => name !== "protocol7",
);

/** The processor that the executables are for: any x86_64. Bun's default target needs AVX2. */
const TARGET = "bun-linux-x64-baseline";

/** Every executable starts with these bytes of Bun; the lock file pins them. */
export const BUN_EXECUTABLE = join(ROOT, "node_modules/@oven/bun-linux-x64-baseline/bin/bun");

/** The executables cannot be compiled. */
export class BuildError extends UserError {
  override name = "BuildError";
}

/**
 * Has a folder removed when the process ends in any way but SIGKILL, until the function that comes
 * back is called, which removes it at once.
 */
export function removeAtExit(folder: string): () => Promise<void> {
  const remove = () => rmSync(folder, { recursive: true, force: true });
  process.once("exit", remove);
  return async () => {
    await rm(folder, { recursive: true, force: true });
    process.off("exit", remove);
  };
}

/** Ends the process on Ctrl-C and SIGTERM in a way that still calls what waits for its end. */
export function exitOnSignals(): void {
  process.once("SIGINT", () => process.exit(130));
  process.once("SIGTERM", () => process.exit(143));
}

/**
 * Is NAME the name of a file in cmd/ that compiles to an executable?
 */
export function isCommandName(name: string): name is CommandName {
  return Object.hasOwn(EXECUTABLES, name);
}

/**
 * Compiles cmd/NAME.ts to dist/. The same sources give the same bytes wherever the checkout is. The
 * file appears by rename, so that a build that is broken off leaves the one before it whole.
 * @returns the path of the executable.
 * @throws BuildError when the sources do not bundle or the dependencies are not installed.
 */
export async function build(name: CommandName): Promise<string> {
  const template = await stat(BUN_EXECUTABLE).catch(() => undefined);
  if (template === undefined) {
    throw new BuildError(`${BUN_EXECUTABLE} is not there: run bun install --frozen-lockfile`);
  }
  const pinned = (await Bun.file(join(ROOT, "node_modules/bun-types/package.json")).json()) as {
    version: string;
  };
  if (Bun.version !== pinned.version) {
    throw new BuildError(
      `this is Bun ${Bun.version}, and the executables are built with ${pinned.version}: ` +
        `run node_modules/.bin/bun run build ${name}`,
    );
  }

  const output = EXECUTABLES[name];
  const dist = join(ROOT, "dist");
  await mkdir(dist, { recursive: true });
  const folder = await mkdtemp(join(dist, ".building-"));
  const discard = removeAtExit(folder);
  // The paths of the sources are in the bytes, relative to the current folder.
  const cwd = process.cwd();
  process.chdir(ROOT);
  try {
    // The name of the output file is part of the bytes; the folder it is in is not.
    const built = join(folder, output);
    const result = await Bun.build({
      entrypoints: [`cmd/${name}.ts`],
      target: "bun",
      format: "esm",
      // Bytecode saves a third of the start-up time for 2 % of the size.
      bytecode: true,
      // One chunk a command: protocol7 loads only the one that it was called by.
      splitting: true,
      // Not minified: the stack in a log of ours then names real functions.
      minify: false,
      sourcemap: "none",
      env: "disable",
      throw: false,
      compile: {
        target: TARGET,
        executablePath: BUN_EXECUTABLE,
        outfile: built,
        // A security boundary: what the current folder holds must never reach a root daemon.
        autoloadDotenv: false,
        autoloadBunfig: false,
        autoloadTsconfig: false,
        autoloadPackageJson: false,
      },
    });
    if (!result.success) {
      throw new BuildError(
        `cmd/${name}.ts does not build:\n${result.logs.map((log) => String(log)).join("\n")}`,
      );
    }
    await chmod(built, 0o755);
    const executable = join(dist, output);
    await rename(built, executable);
    return executable;
  } finally {
    process.chdir(cwd);
    await discard();
  }
}

if (import.meta.main) {
  exitOnSignals();
  const names = process.argv.slice(2);
  const unknown = names.find((name) => !isCommandName(name));
  if (unknown !== undefined) {
    console.error(
      `build: there is no cmd/${unknown}.ts to build: the names are ${Object.keys(EXECUTABLES).join(", ")}`,
    );
    process.exit(2);
  }
  const wanted = names.length > 0 ? names.filter(isCommandName) : Object.keys(EXECUTABLES);
  try {
    for (const name of wanted.filter(isCommandName)) {
      const started = performance.now();
      const executable = await build(name);
      const { size } = await stat(executable);
      console.log(
        `${executable.slice(ROOT.length + 1)}  ${(size / 1e6).toFixed(1)} MB  ` +
          `${((performance.now() - started) / 1000).toFixed(1)} s`,
      );
    }
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`build: ${error.message}`);
    process.exitCode = 1;
  }
}
