/** The repositories on disk: what is in them, and how a new state takes the old one's place. */
import {
  chmod,
  copyFile,
  link,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readlink,
  rename,
  rm,
  stat,
  symlink,
} from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../host.ts";
import { lastWords, PackageError } from "../makepkg.ts";
import { signFile } from "../sign.ts";

/** The repositories, as pacman.conf calls them. */
export const REPOSITORIES = ["protocol_7_repo", "lainos_repo"] as const;

export type RepositoryName = (typeof REPOSITORIES)[number];

/** What pacman puts in for $arch. */
export const ARCHITECTURE = "x86_64";

/** The end of a package's name, as makepkg is told to write it. */
export const PACKAGE_END = ".pkg.tar.zst";

/** Which repository a package is in: the installer and the keys are LainOS' own matters. */
export function repositoryOf(name: string): RepositoryName {
  return name.startsWith("lainos-") ? "lainos_repo" : "protocol_7_repo";
}

/** The package's name in NAME-VERSION-RELEASE-ARCH.pkg.tar.zst. */
export function packageName(file: string): string {
  return basename(file, PACKAGE_END).split("-").slice(0, -3).join("-");
}

/** Where a repository's files are, below the folder that all are in: $repo/$arch. */
export function folderOf(root: string, repository: RepositoryName): string {
  return join(root, repository, ARCHITECTURE);
}

/** The packages in the repositories at a folder; none where there is no such folder. */
export async function packagesIn(root: string): Promise<string[]> {
  const found: string[] = [];
  for (const repository of REPOSITORIES) {
    const folder = folderOf(root, repository);
    const names = await readdir(folder).catch(() => [] as string[]);
    found.push(...names.filter((name) => name.endsWith(PACKAGE_END)).map((n) => join(folder, n)));
  }
  return found;
}

export interface PublishOptions {
  /** Becomes a link to the newest state, which is in a folder beside it. */
  readonly out: string;
  /** One file for each package; what is not among them will not be there any more. */
  readonly files: readonly string[];
  /** The GnuPG key that signs packages and databases; undefined to sign nothing. */
  readonly sign: string | undefined;
  readonly signal: AbortSignal;
}

/**
 * Makes both repositories anew and has them take the old ones' place in one step, a rename: pacman
 * finds the old state or the new one, and a failure leaves the old one as it was.
 * @throws PackageError or HostError; what options.signal was aborted with.
 */
export async function publish({ out, files, sign, signal }: PublishOptions): Promise<void> {
  await ensureHostPackages(["repo-add", "bsdtar", "zstd"]);
  await checkOut(out);
  if (sign === undefined && (await isSame(out, files))) return;
  await mkdir(dirname(out), { recursive: true });
  const prefix = `.${basename(out)}-`;
  const fresh = await mkdtemp(join(dirname(out), prefix));
  try {
    // mkdtemp's folders are for their owner alone; pacman downloads as another user.
    await chmod(fresh, 0o755);
    for (const repository of REPOSITORIES) {
      const own = files.filter((file) => repositoryOf(packageName(file)) === repository);
      await fill(folderOf(fresh, repository), repository, own, sign, signal);
    }
    signal.throwIfAborted();
    await rm(`${out}.new`, { force: true });
    await symlink(basename(fresh), `${out}.new`);
    await rename(`${out}.new`, out);
  } catch (error) {
    await rm(fresh, { recursive: true, force: true });
    throw error;
  }
  await removeStates(out, basename(fresh));
}

/** Are the very same files published already, and not signed? */
async function isSame(out: string, files: readonly string[]): Promise<boolean> {
  const published = await packagesIn(out);
  const identity = async (file: string) => {
    const { dev, ino } = await stat(file);
    const signed = await Bun.file(`${file}.sig`).exists();
    return `${basename(file)} ${dev} ${ino} ${signed}`;
  };
  const [there, wanted] = await Promise.all(
    [published, files].map((all) => Promise.all(all.map(identity))),
  );
  const databases = REPOSITORIES.map((name) =>
    Bun.file(join(folderOf(out, name), `${name}.files`)),
  );
  const whole = await Promise.all(databases.map((file) => file.exists()));
  return whole.every(Boolean) && there?.sort().join() === wanted?.sort().join();
}

/** Removes all states but one: what came before it, and what a killed run has left half made. */
async function removeStates(out: string, current: string): Promise<void> {
  const prefix = `.${basename(out)}-`;
  for (const name of await readdir(dirname(out))) {
    if (!name.startsWith(prefix) || name === current) continue;
    await rm(join(dirname(out), name), { recursive: true, force: true });
  }
}

/** @throws PackageError where something else is at the place of the link. */
async function checkOut(out: string): Promise<void> {
  const found = await lstat(out).catch(() => undefined);
  if (found === undefined) return;
  const own = `.${basename(out)}-`;
  if (found.isSymbolicLink() && (await readlink(out)).startsWith(own)) return;
  throw new PackageError(`${out} was not made by bun run repo: move it, or name another by --out`);
}

async function fill(
  folder: string,
  repository: RepositoryName,
  files: readonly string[],
  sign: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const inside: string[] = [];
  for (const file of files) {
    const place = join(folder, basename(file));
    await link(file, place).catch((error: NodeJS.ErrnoException) => {
      // Another file system, or one that has no links.
      if (error.code !== "EXDEV" && error.code !== "EPERM") throw error;
      return copyFile(file, place);
    });
    if (sign !== undefined) await signFile(place, sign, signal);
    inside.push(place);
  }
  const database = join(folder, `${repository}.db.tar.gz`);
  if (inside.length === 0) {
    await makeEmpty(folder, repository, sign, signal);
    return;
  }
  const run = $({ nothrow: true, quiet: true, signal });
  const signing = sign === undefined ? [] : ["--sign", "--key", sign];
  const done = await run`repo-add --quiet ${signing} ${database} ${inside}`;
  signal.throwIfAborted();
  // repo-add says so when it cannot sign, and ends well.
  const signed = sign === undefined || (await Bun.file(`${database}.sig`).exists());
  if (done.exitCode !== 0 || !signed) {
    throw new PackageError(`repo-add failed: ${lastWords(done.stderr || done.stdout)}`);
  }
}

/** repo-add makes no database without packages, and pacman refuses a repository that has none. */
async function makeEmpty(
  folder: string,
  repository: RepositoryName,
  sign: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (const kind of ["db", "files"]) {
    const file = join(folder, `${repository}.${kind}.tar.gz`);
    const done = await $({
      nothrow: true,
      quiet: true,
    })`bsdtar -czf ${file} --files-from /dev/null`;
    if (done.exitCode !== 0) throw new PackageError(`bsdtar: ${lastWords(done.stderr)}`);
    await symlink(basename(file), join(folder, `${repository}.${kind}`));
    if (sign === undefined) continue;
    await signFile(file, sign, signal);
    await symlink(`${basename(file)}.sig`, join(folder, `${repository}.${kind}.sig`));
  }
}
