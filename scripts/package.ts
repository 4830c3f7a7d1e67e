/**
 * Builds the package protocol7-core and puts it into a repository: `bun run package`. See
 * docs/packaging.md.
 */
import { createHash } from "node:crypto";
import {
  copyFile,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { $ } from "zx";
import {
  build,
  type CommandName,
  EXECUTABLES,
  exitOnSignals,
  ROOT,
  removeAtExit,
  STANDALONE,
} from "./build.ts";
import { ensureHostPackages } from "./host.ts";
import { lock } from "./lock.ts";
import { lastWords, makepkg, PackageError, packageIn, removeOlder, sourceDate } from "./makepkg.ts";
import { buildPamModule, PAM_MODULE } from "./pam-module.ts";
import { UserError } from "./user-error.ts";

export type Level = "fast" | "release";
export type Layout = "multicall" | "standalone";

export interface PackageOptions {
  /** How hard zstd tries: "fast" takes seconds, "release" about a minute for a fifth less. */
  readonly level?: Level;
  /** One executable under all names, or one for each. */
  readonly layout?: Layout;
  /** Is told each step as it begins, in a few words. */
  readonly onStep?: (step: string) => void;
}

export interface BuiltPackage {
  readonly packageFile: string;
  /** It was there already, from the very same inputs. */
  readonly kept: boolean;
}

/** What the repository is called in pacman.conf. */
export const REPOSITORY = "protocol_7_repo";

/** Everything that the package is made from. A change in any of it makes another package. */
const INPUTS = [
  "LICENSE",
  "PKGBUILD",
  "bun.lock",
  "cmd",
  "files",
  "lib",
  "openrc",
  "package.json",
  "pam",
  "protocol7-core.install",
  "scripts/build.ts",
  "scripts/makepkg.ts",
  "scripts/package.ts",
  "scripts/pam-module.ts",
  "tsconfig.json",
];

/** What makepkg needs beside it; the executables come from dist/. */
export const STAGED = ["LICENSE", "PKGBUILD", "files", "openrc", "protocol7-core.install"];

const run = $({ nothrow: true, quiet: true });

/**
 * Builds protocol7-core from the checkout as it is, or takes the one that was built from the very
 * same inputs before. The same commit gives the same bytes: SOURCE_DATE_EPOCH, by default the date
 * of the commit, is in every time stamp, and makepkg works in a folder named after the inputs.
 * @throws PackageError or BuildError, whose message says what to do.
 */
export async function buildPackage(options: PackageOptions = {}): Promise<BuiltPackage> {
  const { level = "fast", layout = "multicall", onStep = () => {} } = options;
  const epoch = await sourceDate();
  const key = await inputsHash([level, layout, epoch]);
  const packages = join(ROOT, "build/packages");
  const kept = join(packages, `${layout}-${level}-${key}`);
  const before = await packageIn(kept);
  if (before !== undefined) return { packageFile: before, kept: true };

  // Debian's makepkg calls pacman and does not depend on it: without, it knows no more to say than
  // that "an unknown error has occurred".
  const packing = ["makepkg", "pacman", "fakeroot", "bsdtar", "zstd"] as const;
  const tools = [...packing, "gcc", "libc's headers", "PAM's headers"] as const;
  await ensureHostPackages(tools, (names) => onStep(`installing ${names.join(" ")}`));
  const release = await lock(join(packages, ".lock"));
  try {
    const meanwhile = await packageIn(kept);
    if (meanwhile !== undefined) return { packageFile: meanwhile, kept: true };

    const executables: CommandName[] = layout === "multicall" ? ["protocol7"] : STANDALONE;
    for (const name of executables) {
      onStep(`compiling ${EXECUTABLES[name]}`);
      await build(name);
    }
    onStep(`compiling ${PAM_MODULE}`);
    await buildPamModule(join(ROOT, "dist", PAM_MODULE));
    onStep("running makepkg");
    const packageFile = await makepkg({
      // The path stands in the package: it must not depend on where the checkout is.
      stage: `/tmp/protocol7-core-${key}`,
      fill: (tree) => stageTree(tree, executables),
      epoch,
      environment: { _layout: layout, _prebuilt: "yes" },
      zstd: level === "release" ? "--ultra -20" : "-6",
      kept,
      log: join(ROOT, "build/logs/protocol7-core.log"),
    });
    await removeOlder(packages, `${layout}-${level}-`, basename(kept));
    return { packageFile, kept: false };
  } finally {
    release();
  }
}

/**
 * Makes DIR a repository of that name that holds exactly PACKAGE_FILES: `Server = file://DIR`. It takes
 * DIR's place at once, so that pacman never sees half of it.
 * @throws PackageError when repo-add fails.
 */
export async function makeRepository(
  dir: string,
  packageFiles: readonly string[],
  name = REPOSITORY,
): Promise<void> {
  await ensureHostPackages(["repo-add", "bsdtar", "zstd"]);
  await mkdir(dirname(dir), { recursive: true });
  const fresh = await mkdtemp(`${dir}.new-`);
  const discard = removeAtExit(fresh);
  try {
    const inside: string[] = [];
    for (const file of packageFiles) {
      const copy = join(fresh, basename(file));
      await copyFile(file, copy);
      inside.push(copy);
    }
    const database = join(fresh, `${name}.db.tar.gz`);
    const done = await run`repo-add --quiet ${database} ${inside}`;
    if (done.exitCode !== 0) {
      throw new PackageError(`repo-add failed: ${lastWords(done.stderr || done.stdout)}`);
    }
    // mkdtemp's folders are for their owner alone; pacman downloads as another user.
    await run`chmod 755 ${fresh}`;
    await rm(dir, { recursive: true, force: true });
    await rename(fresh, dir);
  } finally {
    await discard();
  }
}

/** Copies what makepkg needs, the executables as they were just compiled. */
async function stageTree(tree: string, executables: readonly CommandName[]): Promise<void> {
  for (const path of STAGED) await cp(join(ROOT, path), join(tree, path), { recursive: true });
  await mkdir(join(tree, "dist"));
  for (const name of [...executables.map((command) => EXECUTABLES[command]), PAM_MODULE]) {
    const file = join("dist", name);
    await copyFile(join(ROOT, file), join(tree, file));
  }
}

/** A hash of all inputs: their paths, whether they are executable, their bytes, and what is added. */
async function inputsHash(added: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const word of [...added, Bun.version]) hash.update(`${word}\0`);
  for (const input of INPUTS) {
    for (const path of await filesUnder(input)) {
      const file = join(ROOT, path);
      const { mode } = await stat(file);
      hash.update(`${path}\0${mode & 0o111 ? "x" : "-"}\0`);
      hash.update(await readFile(file));
    }
  }
  return hash.digest("hex").slice(0, 16);
}

/** The files in a folder of the checkout, or the file itself, as sorted paths from the top. */
async function filesUnder(path: string): Promise<string[]> {
  const found = await stat(join(ROOT, path)).catch(() => undefined);
  if (found === undefined) throw new PackageError(`${path} is missing in ${ROOT}`);
  if (!found.isDirectory()) return [path];
  const names = (await readdir(join(ROOT, path))).sort();
  const nested = await Promise.all(
    names.filter((name) => name !== "node_modules").map((name) => filesUnder(join(path, name))),
  );
  return nested.flat();
}

if (import.meta.main) {
  exitOnSignals();
  const usage = "usage: bun run package [--release] [--standalone]";
  const flags = new Set(process.argv.slice(2));
  const release = flags.delete("--release");
  const standalone = flags.delete("--standalone");
  if (flags.size > 0) {
    console.error(flags.has("--help") ? usage : `package: ${[...flags].join(" ")}: ${usage}`);
    process.exit(flags.has("--help") ? 0 : 2);
  }
  try {
    const { packageFile } = await buildPackage({
      level: release ? "release" : "fast",
      layout: standalone ? "standalone" : "multicall",
      onStep: (step) => console.log(step),
    });
    const repository = join(ROOT, "build/repo");
    await makeRepository(repository, [packageFile]);
    const { size } = await lstat(packageFile);
    console.log(`${basename(packageFile)}  ${(size / 1e6).toFixed(1)} MB, in ${repository}`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`package: ${error.message}`);
    process.exitCode = 1;
  }
}
