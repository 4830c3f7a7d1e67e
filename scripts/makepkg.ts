/** Runs makepkg(8) so that the same sources give the same bytes on every host, and keeps the result. */
import {
  chmod,
  copyFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rename,
  rm,
  stat,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { $ } from "zx";
import { ROOT, removeAtExit } from "./build.ts";
import { holdFolder } from "./lock.ts";
import { UserError } from "./user-error.ts";

/** A failure that the person at the terminal can mend: printed as one line, without a stack. */
export class PackageError extends UserError {
  override name = "PackageError";
}

/** makepkg refuses to run as root; root lends it this id, which owns nothing (`nobody`). */
const UNPRIVILEGED = 65534;

const run = $({ nothrow: true, quiet: true });

/** The folders of a stage, which makepkg writes to. */
const PARTS = ["tree", "out", "home", "sources", "work"];

export interface MakepkgJob {
  /**
   * A folder that exists for this run only, and that others wait for who build the same. Its path stands
   * in the package's .BUILDINFO.
   */
  readonly stage: string;
  /** Puts the PKGBUILD and what lies beside it into the folder that makepkg will run in. */
  readonly fill: (tree: string) => Promise<void>;
  /** SOURCE_DATE_EPOCH. */
  readonly epoch: string;
  /** What the PKGBUILD is told besides. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The sources that were downloaded before; makepkg itself downloads nothing. */
  readonly sources?: readonly string[];
  /** zstd's options for how hard it tries. */
  readonly zstd: string;
  /** The folder that will hold the package; it appears by rename. */
  readonly kept: string;
  /** Gets everything that makepkg says. */
  readonly log: string;
  readonly signal?: AbortSignal;
  /** Looks at the package before it is kept. @returns what is wrong with it. */
  readonly check?: (file: string) => Promise<string[]>;
  /** What is run as root in place of makepkg as nobody: it has its own way to lose its rights. */
  readonly command?: readonly string[];
}

/**
 * Builds the package of a PKGBUILD, without looking whether its dependencies are installed.
 * @returns the package, in job.kept.
 * @throws PackageError with makepkg's last words where it fails; UserError where job.stage is somebody else's.
 */
export async function makepkg(job: MakepkgJob): Promise<string> {
  const { stage, log, signal } = job;
  const discard = await holdFolder(stage, signal);
  try {
    const tree = join(stage, "tree");
    const out = join(stage, "out");
    for (const name of PARTS) await mkdir(join(stage, name));
    await job.fill(tree);
    for (const file of job.sources ?? []) {
      await copyFile(file, join(stage, "sources", basename(file)));
    }
    const config = join(stage, "makepkg.conf");
    await Bun.write(config, makepkgConfig(job.zstd));
    await mkdir(dirname(log), { recursive: true });
    const makepkg = ["makepkg", "--config", config, "--force", "--nodeps", "--noconfirm"];
    const environment = {
      PKGDEST: out,
      SRCDEST: join(stage, "sources"),
      BUILDDIR: join(stage, "work"),
      SOURCE_DATE_EPOCH: job.epoch,
      ...job.environment,
    };
    const call = { stage, cwd: tree, environment, log, signal };
    const said = await (job.command === undefined
      ? runCommand(makepkg, { ...call, user: UNPRIVILEGED })
      : runCommand(job.command, call));
    signal?.throwIfAborted();
    if (said !== undefined) throw new PackageError(`makepkg failed: ${said}; see ${log}`);
    const built = await packageIn(out);
    if (built === undefined) throw new PackageError(`makepkg left no package in ${out}`);
    const faults = (await job.check?.(built)) ?? [];
    if (faults.length > 0) throw new PackageError(faults.join("; "));
    return await keep(built, job.kept);
  } finally {
    await discard();
  }
}

/**
 * What a PKGBUILD says of itself, as .SRCINFO has it.
 * @param folder its folder, which is only read.
 * @throws PackageError with what makepkg says where the PKGBUILD is broken.
 */
export async function printSrcinfo(folder: string): Promise<string> {
  const stage = await mkdtemp("/tmp/protocol7-srcinfo-");
  const discard = removeAtExit(stage);
  try {
    await chmod(stage, 0o755);
    for (const name of PARTS) await mkdir(join(stage, name));
    // makepkg looks for install= and local sources beside it.
    for (const name of await readdir(folder)) {
      const found = await stat(join(folder, name));
      if (found.isFile()) await copyFile(join(folder, name), join(stage, "tree", name));
    }
    const config = join(stage, "makepkg.conf");
    await Bun.write(config, makepkgConfig("-1"));
    const log = join(stage, "said");
    const words = ["makepkg", "--config", config, "--printsrcinfo"];
    const cwd = join(stage, "tree");
    const options = { stage, cwd, environment: {}, log, user: UNPRIVILEGED };
    const said = await runCommand(words, options);
    if (said !== undefined) throw new PackageError(said.replaceAll(cwd, folder));
    return await readFile(log, "utf8");
  } finally {
    await discard();
  }
}

interface Call {
  readonly stage: string;
  readonly cwd: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly log: string;
  readonly signal?: AbortSignal | undefined;
  /** The id that root gives it; otherwise it runs as this process does. */
  readonly user?: number;
}

/**
 * Runs a command with an environment in which nothing is the caller's: it would be part
 * of the build. It ends with this process, however that ends.
 * @returns its last words where it fails.
 */
async function runCommand(
  words: readonly string[],
  { stage, cwd, environment, log, signal, user }: Call,
): Promise<string | undefined> {
  const drop = ["setpriv", "--pdeathsig=KILL", "--"];
  if (user !== undefined && process.geteuid?.() === 0) {
    // Not the folder itself: others of that user are to change nothing in it.
    await run`chown -R ${user}:${user} ${PARTS.map((name) => join(stage, name))}`;
    // In a pid namespace, so that a compiler ends too where only makepkg is killed.
    const ids = [`--reuid=${user}`, `--regid=${user}`, "--clear-groups"];
    drop.push("unshare", "--pid", "--fork", "setpriv", ...ids, "--pdeathsig=KILL", "--");
  }
  const given = {
    PATH: "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin:/usr/bin/core_perl",
    HOME: join(stage, "home"),
    LC_ALL: "C",
    TZ: "UTC",
    ...environment,
  };
  const variables = Object.entries(given).map(([name, value]) => `${name}=${value}`);
  const file = await open(log, "w");
  try {
    const child = Bun.spawn([...drop, "env", "-i", ...variables, ...words], {
      cwd,
      stdin: "ignore",
      stdout: file.fd,
      stderr: "pipe",
      // A group of its own, so that what makepkg has started ends with it.
      detached: true,
    });
    const stop = () => {
      try {
        process.kill(-child.pid, "SIGKILL");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
      }
    };
    process.once("exit", stop);
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    const [said, exitCode] = await Promise.all([child.stderr.text(), child.exited]);
    process.off("exit", stop);
    signal?.removeEventListener("abort", stop);
    await file.write(said);
    return exitCode === 0 ? undefined : lastWords(said);
  } finally {
    await file.close();
  }
}

/** Moves a package into a folder of its own that appears at once. @returns its path there. */
async function keep(built: string, kept: string): Promise<string> {
  const arriving = `${kept}.new`;
  await rm(arriving, { recursive: true, force: true });
  await mkdir(arriving, { recursive: true });
  await copyFile(built, join(arriving, basename(built)));
  await rm(kept, { recursive: true, force: true });
  await rename(arriving, kept);
  return join(kept, basename(built));
}

/** The package in a folder, or undefined where there is none. */
export async function packageIn(folder: string): Promise<string | undefined> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const name = names.find((candidate) => candidate.endsWith(".pkg.tar.zst"));
  return name === undefined ? undefined : join(folder, name);
}

/** Removes the packages of one kind but the newest: they may be as large as an executable. */
export async function removeOlder(packages: string, prefix: string, newest: string): Promise<void> {
  for (const name of await readdir(packages)) {
    // A lock lies beside them.
    if (name.startsWith(prefix) && name !== newest && !name.startsWith(".")) {
      await rm(join(packages, name), { recursive: true, force: true });
    }
  }
}

/** makepkg.conf(5), all of it ours: the host's would make the package differ from host to host. */
function makepkgConfig(zstd: string): string {
  // pacman unpacks a window of 128 MB (27) but no larger one.
  return `CARCH="x86_64"
CHOST="x86_64-pc-linux-gnu"
CFLAGS="-march=x86-64 -mtune=generic -O2 -pipe -fexceptions -Wformat -Werror=format-security -fstack-clash-protection -fcf-protection"
LDFLAGS="-Wl,-O1 -Wl,--sort-common -Wl,--as-needed -Wl,-z,relro -Wl,-z,now"
BUILDENV=(!distcc !color !ccache !check !sign)
OPTIONS=(strip docs !libtool !staticlibs emptydirs zipman !purge !debug !lto)
INTEGRITY_CHECK=(sha256)
DLAGENTS=('file::/usr/bin/cp %u %o')
VCSCLIENTS=()
MAN_DIRS=(usr/share/man)
DOC_DIRS=(usr/share/doc)
PURGE_TARGETS=()
STRIP_BINARIES="--strip-all"
STRIP_SHARED="--strip-unneeded"
STRIP_STATIC="--strip-debug"
COMPRESSZST=(zstd -c -T0 ${zstd} --long=27 -)
COMPRESSGZ=(gzip -c -f -n)
PKGEXT='.pkg.tar.zst'
SRCEXT='.src.tar.gz'
PACKAGER="LainOS <https://lainos.net>"
`;
}

/**
 * SOURCE_DATE_EPOCH: what the environment says, or else the date of the last commit, of a path in
 * the checkout where one is named and has commits, in seconds since 1970.
 * @throws PackageError where neither is there.
 */
export async function sourceDate(path?: string): Promise<string> {
  const given = process.env.SOURCE_DATE_EPOCH;
  if (given !== undefined && given !== "") {
    if (!/^\d+$/.test(given)) {
      throw new PackageError(`SOURCE_DATE_EPOCH is ${given}: it must be seconds since 1970`);
    }
    return given;
  }
  const only = path === undefined ? [] : ["--", path];
  const git = await run`git -C ${ROOT} log -1 --format=%ct ${only}`;
  const date = git.stdout.trim();
  // Outside of the checkout, or not committed yet.
  if (path !== undefined && date === "") return sourceDate();
  if (git.exitCode !== 0) {
    throw new PackageError(
      `${ROOT} has no commit to take the date from (${lastWords(git.stderr)}): set SOURCE_DATE_EPOCH`,
    );
  }
  return date;
}

/** The end of what a program has said, as one line. */
export function lastWords(text: string): string {
  const lines = text.split("\n").map((line) => line.trim());
  const telling = lines.filter(
    (line) => line !== "" && line !== "Aborting..." && !line.startsWith("==> WARNING: Skipping"),
  );
  return telling
    .slice(-3)
    .map((line) => line.replace(/^==> ERROR: /, ""))
    .join("; ");
}
