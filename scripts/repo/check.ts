/** Looks at the repositories as a whole: `bun run repo check`. */
import { readdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { PackageError } from "../makepkg.ts";
import { conflict, type Entry, entrySatisfies, readDatabase } from "./database.ts";
import { archNames } from "./lint.ts";
import { compareVersions, parseDependency } from "./recipe.ts";
import { folderOf, PACKAGE_END, REPOSITORIES, type RepositoryName } from "./repository.ts";

/** Where pacman keeps the databases of the repositories that this machine uses. */
export const SYNC = "/var/lib/pacman/sync";

/** The repositories of Arch's that LainOS uses. */
const ARCH_REPOSITORIES = ["core", "extra"];

export interface Findings {
  /** What is wrong, a line each. */
  readonly faults: readonly string[];
  /** What could not be looked at, and why. */
  readonly notes: readonly string[];
}

/**
 * @param root the folder that `bun run repo` made.
 * @param archDb a folder with Arch's core.db and extra.db.
 * @throws PackageError where there is no repository, or a database cannot be read.
 */
export async function checkRepositories(root: string, archDb: string = SYNC): Promise<Findings> {
  const faults: string[] = [];
  const notes: string[] = [];
  const ours: Entry[] = [];
  for (const repository of REPOSITORIES) {
    const folder = folderOf(root, repository);
    const names = await readdir(folder).catch(() => {
      throw new PackageError(`there is no repository in ${folder}: run bun run repo`);
    });
    const entries = await readDatabase(join(folder, `${repository}.files`));
    ours.push(...entries);
    faults.push(...(await checkFiles(folder, names, entries)));
    faults.push(...(await checkSignatures(folder, names, repository)));
  }
  faults.push(...fileConflicts(ours));
  const arch = await readArch(archDb);
  if (arch === undefined) {
    notes.push(
      `${archDb} has no ${ARCH_REPOSITORIES.map((name) => `${name}.db`).join(" and ")}: versions were not compared with Arch's, and names only with scripts/repo/arch-names.txt`,
    );
    faults.push(...missingNames(ours, await archNames()));
  } else {
    faults.push(...missing(ours, arch), ...compareWithArch(ours, arch));
  }
  return { faults, notes };
}

/** Entries without their files, files without an entry, and files that were changed. */
async function checkFiles(
  folder: string,
  names: readonly string[],
  entries: readonly Entry[],
): Promise<string[]> {
  const faults: string[] = [];
  for (const { name, filename, sha256 } of entries) {
    if (!names.includes(filename)) {
      faults.push(`${name} is in the database, and its file ${filename} is not there`);
      continue;
    }
    const hash = new Bun.CryptoHasher("sha256");
    for await (const bytes of Bun.file(join(folder, filename)).stream()) hash.update(bytes);
    if (hash.digest("hex") !== sha256) {
      faults.push(`${filename} is not the file that the database knows: its SHA-256 differs`);
    }
  }
  const known = new Set(entries.map(({ filename }) => filename));
  for (const name of names.filter((one) => one.endsWith(PACKAGE_END) && !known.has(one))) {
    faults.push(`${name} lies there and is not in the database`);
  }
  return faults;
}

/** Where anything is signed, everything must be, by keys that the caller's GnuPG knows. */
async function checkSignatures(
  folder: string,
  names: readonly string[],
  repository: RepositoryName,
): Promise<string[]> {
  if (!names.some((name) => name.endsWith(".sig"))) return [];
  const signed = names.filter((name) => name.endsWith(PACKAGE_END));
  signed.push(`${repository}.db`, `${repository}.files`);
  const faults: string[] = [];
  for (const name of signed) {
    if (!names.includes(`${name}.sig`)) {
      faults.push(`${name} is not signed`);
      continue;
    }
    const file = join(folder, name);
    const done = await $({
      nothrow: true,
      quiet: true,
    })`gpg --batch --verify ${`${file}.sig`} ${file}`;
    if (done.exitCode === 0) continue;
    const said = done.stderr
      .trim()
      .split("\n")
      .at(-1)
      ?.replace(/^gpg: /, "");
    faults.push(`the signature of ${name} is not good: ${said}`);
  }
  return faults;
}

/** Files that two packages have which do not refuse each other. */
export function fileConflicts(entries: readonly Entry[]): string[] {
  const owners = new Map<string, Entry[]>();
  for (const entry of entries) {
    for (const path of entry.files) owners.set(path, [...(owners.get(path) ?? []), entry]);
  }
  const faults: string[] = [];
  for (const [path, having] of owners) {
    for (const [at, one] of having.entries()) {
      for (const other of having.slice(at + 1)) {
        if (!conflict(one, other)) faults.push(`${one.name} and ${other.name} both have ${path}`);
      }
    }
  }
  return faults;
}

async function readArch(folder: string): Promise<Entry[] | undefined> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const files = ARCH_REPOSITORIES.map((name) => `${name}.db`);
  if (!files.every((file) => names.includes(file))) return undefined;
  return (await Promise.all(files.map((file) => readDatabase(join(folder, file))))).flat();
}

function missingNames(ours: readonly Entry[], arch: ReadonlySet<string>): string[] {
  return ours.flatMap(({ name, depends }) =>
    depends
      .map(parseDependency)
      .filter((wanted) => !arch.has(wanted.name) && !ours.some((e) => entrySatisfies(wanted, e)))
      .map((wanted) => `${name} depends on ${wanted.name}, which nobody has`),
  );
}

/** Our packages' dependencies, looked for in ours and in what of Arch's can be installed beside. */
function missing(ours: readonly Entry[], arch: readonly Entry[]): string[] {
  const all = [...ours, ...withoutReplaced(ours, arch)];
  return ours.flatMap(({ name, depends }) =>
    depends
      .filter((word) => !all.some((entry) => entrySatisfies(parseDependency(word), entry)))
      .map((word) => `${name} depends on ${word}, which nobody has`),
  );
}

/** Arch's packages without those whose names ours have taken. */
function withoutReplaced(ours: readonly Entry[], arch: readonly Entry[]): Entry[] {
  const names = new Set(ours.map(({ name }) => name));
  return arch.filter(({ name }) => !names.has(name));
}

/**
 * Whether ours still stand for Arch's of the same name: what Arch's packages ask of those must be
 * satisfied, and Arch's version must not look like an upgrade.
 */
export function compareWithArch(ours: readonly Entry[], arch: readonly Entry[]): string[] {
  const replaced = arch.filter(({ name }) => ours.some((entry) => entry.name === name));
  const others = withoutReplaced(ours, arch);
  const all = [...ours, ...others];
  const faults: string[] = [];
  for (const real of replaced) {
    const own = ours.find(({ name }) => name === real.name);
    if (own !== undefined && own.files.length > 0) {
      faults.push(
        `${own.name} has files and the name of a package of Arch's, which it would replace everywhere: only packages without files may`,
      );
    }
    if (own !== undefined && compareVersions(own.version, real.version) <= 0) {
      faults.push(
        `${own.name} ${own.version} is not above Arch's ${real.version}: pacman would take that for an upgrade`,
      );
    }
  }
  // What is split from the same source wants its very version, and is kept out with it.
  const bases = new Set(replaced.map(({ base }) => base));
  for (const other of others) {
    if (bases.has(other.base) && replaced.every(({ name }) => name !== other.name)) {
      const wantsExactly = other.depends
        .map(parseDependency)
        .some(({ operator }) => operator === "=");
      if (wantsExactly) continue;
    }
    if (ours.some((entry) => conflict(entry, other))) continue;
    for (const word of other.depends) {
      const wanted = parseDependency(word);
      // Only what a replaced package has satisfied until now is ours to answer for.
      if (!replaced.some((real) => entrySatisfies(wanted, real))) continue;
      if (all.some((entry) => entrySatisfies(wanted, entry))) continue;
      faults.push(`${other.name} of Arch's needs ${word}, which ${nearest(wanted.name, ours)}`);
    }
  }
  return faults;
}

function nearest(name: string, ours: readonly Entry[]): string {
  const own = ours.find((entry) => entry.name === name);
  return own === undefined
    ? "nobody provides any more"
    : `${own.name} ${own.version} does not satisfy`;
}

/** The lines of a report, and whether all is well. */
export function reportFindings({ faults, notes }: Findings, root: string): string[] {
  const lines = [...faults, ...notes.map((note) => `note: ${note}`)];
  return faults.length === 0 ? [...lines, `${basename(root)} is whole`] : lines;
}
