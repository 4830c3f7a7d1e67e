/**
 * Builds the package protocol7-core and puts it into a repository: `bun run package`. See
 * docs/packaging.md.
 */
import { createHash } from "node:crypto";
import {
  chown,
  copyFile,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { $ } from "zx";
import {
  BuildError,
  build,
  type CommandName,
  EXECUTABLES,
  exitOnSignals,
  ROOT,
  removeAtExit,
  STANDALONE,
} from "./build.ts";
import { ensureHostPackages, HostError } from "./host.ts";

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

/** A failure that the person at the terminal can mend: printed as one line, without a stack. */
export class PackageError extends Error {
  override name = "PackageError";
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
  "protocol7-core.install",
  "scripts/build.ts",
  "scripts/package.ts",
  "tsconfig.json",
];

/** What makepkg needs beside it; the executables come from dist/. */
const STAGED = ["LICENSE", "PKGBUILD", "files", "openrc", "protocol7-core.install"];

/**
 * Debian's makepkg calls pacman and does not depend on it: without, it knows no more to say than that
 * "an unknown error has occurred".
 */
const MAKEPKG_TOOLS = ["makepkg", "pacman", "fakeroot", "bsdtar", "zstd"] as const;

/** makepkg refuses to run as root; root lends it this id, which owns nothing (`nobody`). */
const UNPRIVILEGED = 65534;

const run = $({ nothrow: true, quiet: true });

/**
 * Builds protocol7-core from the checkout as it is, or takes the one that was built from the very
 * same inputs before. The same commit gives the same bytes: SOURCE_DATE_EPOCH, by default the date
 * of the commit, is in every time stamp, and makepkg works in a folder named after the inputs.
 * @throws PackageError or BuildError, whose message says what to do.
 */
export async function buildPackage(options: PackageOptions = {}): Promise<{ packageFile: string }> {
  const { level = "fast", layout = "multicall", onStep = () => {} } = options;
  const epoch = await sourceDate();
  const key = await inputsHash([level, layout, epoch]);
  const packages = join(ROOT, "build/packages");
  const kept = join(packages, `${layout}-${level}-${key}`);
  const before = await packageIn(kept);
  if (before !== undefined) return { packageFile: before };

  await ensureHostPackages(MAKEPKG_TOOLS, (names) => onStep(`installing ${names.join(" ")}`));
  await mkdir(packages, { recursive: true });
  const release = await lock(join(packages, ".lock"));
  try {
    const meanwhile = await packageIn(kept);
    if (meanwhile !== undefined) return { packageFile: meanwhile };

    const executables: CommandName[] = layout === "multicall" ? ["protocol7"] : STANDALONE;
    for (const name of executables) {
      onStep(`compiling ${EXECUTABLES[name]}`);
      await build(name);
    }
    onStep("running makepkg");
    await makepkg({ key, level, layout, epoch, executables, kept });
    await removeOlder(packages, `${layout}-${level}-`, basename(kept));
  } finally {
    await release();
  }
  const packageFile = await packageIn(kept);
  if (packageFile === undefined) throw new PackageError(`makepkg left no package in ${kept}`);
  return { packageFile };
}

/**
 * Makes DIR a repository that holds exactly PACKAGE_FILES: `Server = file://DIR` with the name that
 * REPOSITORY says. It takes DIR's place at once, so that pacman never sees half of it.
 * @throws PackageError when repo-add fails.
 */
export async function makeRepository(dir: string, packageFiles: readonly string[]): Promise<void> {
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
    const database = join(fresh, `${REPOSITORY}.db.tar.gz`);
    const done = await run`repo-add --quiet ${database} ${inside}`;
    if (done.exitCode !== 0) {
      throw new PackageError(`repo-add failed: ${lastLines(done.stderr || done.stdout)}`);
    }
    // mkdtemp's folders are for their owner alone; pacman downloads as another user.
    await run`chmod 755 ${fresh}`;
    await rm(dir, { recursive: true, force: true });
    await rename(fresh, dir);
  } finally {
    await discard();
  }
}

/** The time that stands in the package, in seconds since 1970. */
export async function sourceDate(): Promise<string> {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined && given !== "") {
    if (!/^\d+$/.test(given)) {
      throw new PackageError(`SOURCE_DATE_EPOCH is ${given}: it must be seconds since 1970`);
    }
    return given;
  }
  const git = await run`git -C ${ROOT} log -1 --format=%ct`;
  if (git.exitCode !== 0) {
    throw new PackageError(
      `${ROOT} has no commit to take the date from (${lastLines(git.stderr)}): set SOURCE_DATE_EPOCH`,
    );
  }
  return git.stdout.trim();
}

/** A hash of all inputs: their paths, whether they are executable, their bytes, and what is added. */
async function inputsHash(
  added: readonly string[],
  inputs: readonly string[] = INPUTS,
): Promise<string> {
  const hash = createHash("sha256");
  for (const word of [...added, Bun.version]) hash.update(`${word}\0`);
  for (const input of inputs) {
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

/** The package in a folder, or undefined where there is none. */
async function packageIn(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const name = names.find((candidate) => candidate.endsWith(".pkg.tar.zst"));
  return name === undefined ? undefined : join(folder, name);
}

interface Job {
  readonly key: string;
  readonly level: Level;
  readonly layout: Layout;
  readonly epoch: string;
  readonly executables: readonly CommandName[];
  readonly kept: string;
}

/** Runs makepkg on a copy of what it needs and moves the package to job.kept. */
async function makepkg(job: Job): Promise<void> {
  await inStage(`protocol7-core-${job.key}`, async (stage) => {
    const tree = join(stage, "tree");
    await mkdir(join(tree, "dist"), { recursive: true });
    for (const path of STAGED) await cp(join(ROOT, path), join(tree, path), { recursive: true });
    for (const name of job.executables) {
      const file = join("dist", EXECUTABLES[name]);
      await copyFile(join(ROOT, file), join(tree, file));
    }
    const variables = [`_layout=${job.layout}`, "_prebuilt=yes"];
    await keep(await runMakepkg(stage, job.level, job.epoch, variables), job.kept);
  });
}

/**
 * Builds the package of a folder that holds a PKGBUILD and all of its sources, such as those below
 * packages/, or takes the one that was built from the very same files before.
 * @returns the package's path.
 * @throws PackageError with makepkg's last words.
 */
export async function buildFolder(folder: string): Promise<string> {
  const name = basename(folder);
  const epoch = await sourceDate();
  const key = await inputsHash([epoch], [relative(ROOT, folder), "scripts/package.ts"]);
  const packages = join(ROOT, "build/packages");
  const kept = join(packages, `${name}-${key}`);
  const before = await packageIn(kept);
  if (before !== undefined) return before;
  await ensureHostPackages(MAKEPKG_TOOLS);
  await mkdir(packages, { recursive: true });
  const release = await lock(join(packages, ".lock"));
  try {
    await inStage(`${name}-${key}`, async (stage) => {
      await cp(folder, join(stage, "tree"), { recursive: true });
      await keep(await runMakepkg(stage, "fast", epoch, []), kept);
    });
    await removeOlder(packages, `${name}-`, basename(kept));
  } finally {
    await release();
  }
  const built = await packageIn(kept);
  if (built === undefined) throw new PackageError(`makepkg left no package in ${kept}`);
  return built;
}

/**
 * Makes a folder for makepkg and removes it afterwards. Its path stands in the package's .BUILDINFO:
 * it must not depend on where the checkout is.
 */
async function inStage(name: string, run: (stage: string) => Promise<void>): Promise<void> {
  const stage = join("/tmp", name);
  await rm(stage, { recursive: true, force: true });
  // Fails where somebody else has made it since; /tmp is everybody's.
  await mkdir(stage, { mode: 0o755 });
  const discard = removeAtExit(stage);
  try {
    await run(stage);
  } finally {
    await discard();
  }
}

/**
 * Runs makepkg in the folder tree of a stage, as an ordinary user and with an environment of its own.
 * @param variables NAME=VALUE for the PKGBUILD.
 * @returns the package's path, in the stage.
 */
async function runMakepkg(
  stage: string,
  level: Level,
  epoch: string,
  variables: readonly string[],
): Promise<string> {
  const out = join(stage, "out");
  await Promise.all(["out", "home"].map((name) => mkdir(join(stage, name))));
  const config = join(stage, "makepkg.conf");
  await Bun.write(config, makepkgConfig(level));
  const asRoot = process.geteuid?.() === 0;
  if (asRoot) {
    await chown(stage, UNPRIVILEGED, UNPRIVILEGED);
    await run`chown -R ${UNPRIVILEGED}:${UNPRIVILEGED} ${stage}`;
  }
  // Nothing of the caller's environment: it would be part of the build.
  const environment = [
    `PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/usr/bin/core_perl`,
    `HOME=${join(stage, "home")}`,
    "LC_ALL=C",
    "TZ=UTC",
    `PKGDEST=${out}`,
    `BUILDDIR=${join(stage, "work")}`,
    `SOURCE_DATE_EPOCH=${epoch}`,
    ...variables,
  ];
  const drop = asRoot
    ? ["setpriv", `--reuid=${UNPRIVILEGED}`, `--regid=${UNPRIVILEGED}`, "--clear-groups", "--"]
    : [];
  const flags = ["--config", config, "--force", "--nodeps", "--noconfirm"];
  const child = Bun.spawn([...drop, "env", "-i", ...environment, "makepkg", ...flags], {
    cwd: join(stage, "tree"),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const stop = () => child.kill();
  process.once("exit", stop);
  const [said, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
  process.off("exit", stop);
  if (exitCode !== 0) throw new PackageError(`makepkg failed: ${lastLines(said)}`);
  const built = await packageIn(out);
  if (built === undefined) throw new PackageError(`makepkg left no package in ${out}`);
  return built;
}

/** Moves a package into the folder KEPT, which appears when it is whole. */
async function keep(built: string, kept: string): Promise<void> {
  const arriving = `${kept}.new`;
  await rm(arriving, { recursive: true, force: true });
  await mkdir(arriving, { recursive: true });
  await copyFile(built, join(arriving, basename(built)));
  await rm(kept, { recursive: true, force: true });
  await rename(arriving, kept);
}

/** makepkg.conf(5), all of it ours: the host's would make the package differ from host to host. */
function makepkgConfig(level: Level): string {
  // pacman unpacks a window of 128 MB (27) but no larger one.
  const zstd = level === "release" ? "--ultra -20" : "-6";
  return `CARCH="x86_64"
CHOST="x86_64-pc-linux-gnu"
BUILDENV=(!distcc !color !ccache !check !sign)
OPTIONS=(!strip docs !libtool !staticlibs emptydirs zipman !purge !debug !lto)
INTEGRITY_CHECK=(sha256)
DLAGENTS=('file::/usr/bin/cp %u %o')
VCSCLIENTS=()
MAN_DIRS=(usr/share/man)
DOC_DIRS=(usr/share/doc)
PURGE_TARGETS=()
STRIP_BINARIES="--strip-all"
COMPRESSZST=(zstd -c -T0 ${zstd} --long=27 -)
COMPRESSGZ=(gzip -c -f -n)
PKGEXT='.pkg.tar.zst'
SRCEXT='.src.tar.gz'
PACKAGER="LainOS <https://lainos.net>"
`;
}

/**
 * Holds FILE as a lock, waiting for a holder that is alive and taking it from one that is not.
 * @returns what gives it back.
 * @throws PackageError after ten minutes.
 */
async function lock(file: string): Promise<() => Promise<void>> {
  for (const started = Date.now(); Date.now() - started < 600_000; await Bun.sleep(200)) {
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

/** Removes the packages of the same kind but the newest: each is as large as an executable. */
async function removeOlder(packages: string, prefix: string, newest: string): Promise<void> {
  for (const name of await readdir(packages)) {
    if (name.startsWith(prefix) && name !== newest) {
      await rm(join(packages, name), { recursive: true, force: true });
    }
  }
}

function lastLines(text: string): string {
  return text.trim().split("\n").slice(-4).join("; ");
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
    const known =
      error instanceof PackageError || error instanceof BuildError || error instanceof HostError;
    if (!known) throw error;
    console.error(`package: ${error.message}`);
    process.exitCode = 1;
  }
}
