/** From PKGBUILDs to repositories, in one go. */
import { join } from "node:path";
import { $ } from "zx";
import { PackageError } from "../makepkg.ts";
import type { Level } from "../package.ts";
import { checkKey } from "../sign.ts";
import { buildPackages, type Outcome } from "./build.ts";
import { readRecipes } from "./recipe.ts";
import { packageName, packagesIn, publish } from "./repository.ts";
import { drawnTable, plainTable, type Table } from "./table.ts";

export interface MakeOptions {
  /** The folder with a PKGBUILD in a folder each. */
  readonly packages: string;
  /** Where packages, sources and logs are kept. */
  readonly work: string;
  /** Becomes a link to the repositories. */
  readonly out: string;
  /** Names to build; undefined for all. */
  readonly only?: readonly string[] | undefined;
  readonly sign?: string | undefined;
  readonly level: Level;
  readonly signal: AbortSignal;
  /** Shows the progress; by default on standard output. */
  readonly table?: Table;
}

export interface Result {
  readonly outcomes: readonly Outcome[];
  /** The packages that are there from before, since they were not built now. */
  readonly retained: readonly string[];
  /** What is said of the signatures, in a line. */
  readonly trust: string;
  /** False where there was no package to make a repository of. */
  readonly published: boolean;
}

/**
 * Builds what changed and makes the repositories anew from it. What could not be built is there in
 * the version that was there before, if any.
 * @throws PackageError or HostError; what options.signal was aborted with. The repositories are
 * the old ones then.
 */
export async function makeRepositories(options: MakeOptions): Promise<Result> {
  const { out, only, sign, signal } = options;
  if (sign !== undefined) await checkKey(sign);
  const all = await readRecipes(options.packages, options.work);
  const known = [...all.recipes, ...all.broken].map(({ name }) => name);
  const unknown = only?.filter((name) => !known.includes(name)) ?? [];
  if (unknown.length > 0) {
    throw new PackageError(
      `there is no package ${unknown.join(", ")}: the names are ${known.join(", ")}`,
    );
  }
  const wanted = ({ name }: { name: string }) => only === undefined || only.includes(name);
  const broken = all.broken.filter(wanted);
  const recipes = all.recipes.filter(wanted);
  const table =
    options.table ?? onOutput([...recipes, ...broken.map(({ name }) => ({ name, version: "" }))]);
  let outcomes: Outcome[];
  try {
    outcomes = await buildPackages({ ...options, recipes, known: all.recipes, broken, table });
  } finally {
    table.close();
  }
  const built = outcomes.flatMap(({ file }) => file ?? []);
  // Packages that are no more in packages/ go; those that were not built now stay as they are.
  const names = new Set(built.map(packageName));
  const before = (await packagesIn(out)).filter((file) => {
    const name = packageName(file);
    return known.includes(name) && !names.has(name);
  });
  const files = [...built, ...before];
  if (files.length > 0) await publishSafely({ out, files, sign, signal });
  const published = files.length > 0;
  const trust = await trustOf(sign, join(options.packages, "lainos-keyring/lainos.pub"));
  return { outcomes, retained: before.map(packageName), trust, published };
}

/** What the pacman of an installed system will make of the repositories. */
async function trustOf(sign: string | undefined, keys: string): Promise<string> {
  if (sign === undefined) {
    return "not signed: an installed system refuses these repositories (SigLevel = Required DatabaseRequired); --sign KEY signs them";
  }
  if (!(await Bun.file(keys).exists())) {
    return `signed by ${sign}, which no installed system knows: ${keys} is missing`;
  }
  const known = await fingerprints("--show-keys", keys);
  const own = await fingerprints("--list-keys", sign);
  return own.some((one) => known.includes(one))
    ? `signed by ${sign}, which lainos-keyring has`
    : `signed by ${sign}, which is not in ${keys}: an installed system refuses these repositories`;
}

async function fingerprints(...words: string[]): Promise<string[]> {
  const done = await $({ nothrow: true, quiet: true })`gpg --batch --with-colons ${words}`;
  if (done.exitCode !== 0) throw new PackageError(`gpg ${words.join(" ")}: ${done.stderr.trim()}`);
  return [...done.stdout.matchAll(/^fpr:+([0-9A-F]+):/gm)].map(([, one = ""]) => one);
}

/** @throws PackageError instead of the system's own error where the disk is full. */
async function publishSafely(options: Parameters<typeof publish>[0]): Promise<void> {
  try {
    await publish(options);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOSPC") throw error;
    throw new PackageError(
      `${options.out} has no room for the new repositories, and the old ones stay: free some, or name another by --out`,
    );
  }
}

function onOutput(rows: readonly { name: string; version: string }[]): Table {
  return process.stdout.isTTY
    ? drawnTable(rows, process.stdout)
    : plainTable(rows, (line) => console.log(line));
}
