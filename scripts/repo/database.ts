/** pacman's databases as data: ours, and Arch's to compare with. */
import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "zx";
import { PackageError } from "../makepkg.ts";
import { type Dependency, parseDependency, satisfies } from "./recipe.ts";

/** A package as a repository's database has it. */
export interface Entry {
  readonly name: string;
  readonly version: string;
  readonly base: string;
  readonly filename: string;
  readonly sha256: string;
  readonly depends: readonly string[];
  readonly provides: readonly string[];
  readonly conflicts: readonly string[];
  /** Without folders. Empty where the database is no .files one. */
  readonly files: readonly string[];
}

/**
 * Reads NAME.db or NAME.files.
 * @throws PackageError where it is no such database.
 */
export async function readDatabase(file: string): Promise<Entry[]> {
  const folder = await mkdtemp(join(tmpdir(), "protocol7-database-"));
  try {
    const done = await $({ nothrow: true, quiet: true })`bsdtar -xf ${file} -C ${folder}`;
    if (done.exitCode !== 0) {
      throw new PackageError(`${file} is no database of pacman's: ${done.stderr.trim()}`);
    }
    const names = (await readdir(folder)).sort();
    return await Promise.all(names.map((name) => readEntry(join(folder, name))));
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function readEntry(folder: string): Promise<Entry> {
  const desc = fields(await readFile(join(folder, "desc"), "utf8"));
  const listed = await readFile(join(folder, "files"), "utf8").catch(() => "");
  const all = (name: string): readonly string[] => desc.get(name) ?? [];
  const one = (name: string): string => all(name)[0] ?? "";
  return {
    name: one("NAME"),
    version: one("VERSION"),
    base: one("BASE"),
    filename: one("FILENAME"),
    sha256: one("SHA256SUM"),
    depends: all("DEPENDS"),
    provides: all("PROVIDES"),
    conflicts: all("CONFLICTS"),
    files: (fields(listed).get("FILES") ?? []).filter((path) => !path.endsWith("/")),
  };
}

/** Blocks of %NAME%, a value a line, and an empty line. */
function fields(text: string): Map<string, string[]> {
  const blocks = text.split("\n\n").map((block) => block.trim().split("\n"));
  return new Map(blocks.map(([head = "", ...values]) => [head.replaceAll("%", ""), values]));
}

/** Does a package satisfy a dependency, by its own name or by what it provides? */
export function entrySatisfies(wanted: Dependency, entry: Entry): boolean {
  return (
    satisfies(wanted, entry.name, entry.version) ||
    entry.provides
      .map(parseDependency)
      .some(({ name, version }) => satisfies(wanted, name, version))
  );
}

/** Do two packages refuse to be installed together? */
export function conflict(a: Entry, b: Entry): boolean {
  const refuses = (one: Entry, other: Entry) =>
    one.conflicts.some((word) => entrySatisfies(parseDependency(word), other));
  return refuses(a, b) || refuses(b, a);
}
