/** Builds the packages that changed, side by side, each after those that it needs. */
import { createHash } from "node:crypto";
import { cp, mkdir, readdir, readFile, stat } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join } from "node:path";
import { $ } from "zx";
import { ROOT } from "../build.ts";
import { ensureHostPackages, hostKind } from "../host.ts";
import { lock } from "../lock.ts";
import {
  lastWords,
  makepkg,
  PackageError,
  packageIn,
  removeOlder,
  sourceDate,
} from "../makepkg.ts";
import { buildPackage, type Level } from "../package.ts";
import { UserError } from "../user-error.ts";
import { buildInChroot, hasChrootTools } from "./chroot.ts";
import { lintPackage, lintRecipe } from "./lint.ts";
import { type Broken, inOrder, parseDependency, type Recipe, readRecipes, WORK } from "./recipe.ts";
import { ensureSources, Unreachable } from "./sources.ts";
import { silent, type Table } from "./table.ts";

export interface BuildOptions {
  readonly recipes: readonly Recipe[];
  /** The whole set, of which those may be a part; by default they are all. */
  readonly known?: readonly Recipe[];
  readonly broken?: readonly Broken[];
  /** Where packages, sources and logs are kept from one run to the next. */
  readonly work: string;
  readonly level: Level;
  readonly signal: AbortSignal;
  readonly table?: Table;
}

/** How it went with one package. */
export interface Outcome {
  readonly name: string;
  /** "kept": it was built from the very same inputs before. "unreachable": nobody has its source. */
  readonly state: "built" | "kept" | "failed" | "unreachable";
  /** The package, where there is one. */
  readonly file?: string;
  /** What is wrong and how to mend it, in one line. */
  readonly why?: string;
}

/**
 * Builds. A package that fails is told of, and the others go on; a run that is broken off leaves
 * each finished package for the next.
 * @throws what options.signal was aborted with, and on nothing else.
 */
export async function buildPackages(options: BuildOptions): Promise<Outcome[]> {
  const { signal, table = silent } = options;
  await ensureHostPackages(["makepkg", "pacman", "fakeroot", "bsdtar", "zstd", "gcc"]);
  const outcomes: Outcome[] = (options.broken ?? []).map((broken) => ({
    ...broken,
    state: "failed",
  }));
  for (const { name, why } of options.broken ?? []) table.end(name, `failed: ${why}`);
  const running = new Map<string, Promise<Outcome>>();
  const take = slots(availableParallelism());
  for (const recipe of inOrder(options.recipes)) {
    const needed = [...recipe.makedepends, ...recipe.depends]
      .map((word) => running.get(parseDependency(word).name))
      .filter((outcome) => outcome !== undefined);
    const work = async (): Promise<Outcome> => {
      const before = await Promise.all(needed);
      const give = await take();
      try {
        signal.throwIfAborted();
        const toBuild = recipe.makedepends.map((word) => parseDependency(word).name);
        const lacking = before.find(({ name, file }) => !file && toBuild.includes(name));
        if (lacking !== undefined)
          throw new PackageError(`${lacking.name}, which it is built with, was not built`);
        return await buildOne(recipe, options, table);
      } catch (error) {
        signal.throwIfAborted();
        return failure(recipe.name, error as Error);
      } finally {
        give();
      }
    };
    const outcome = work().then((done) => {
      const state = done.state === "unreachable" ? "not built" : done.state;
      table.end(recipe.name, done.why === undefined ? state : `${state}: ${done.why}`);
      return done;
    });
    // Awaited below; one that ends before all others are begun must not count as unhandled.
    outcome.catch(() => {});
    running.set(recipe.name, outcome);
  }
  const settled = await Promise.allSettled(running.values());
  signal.throwIfAborted();
  for (const one of settled) {
    if (one.status === "rejected") throw one.reason;
    outcomes.push(one.value);
  }
  return outcomes;
}

/**
 * Builds packages of packages/, for who wants them without a repository.
 * @returns a file for each name, in their order.
 * @throws PackageError that says which was not built, and why.
 */
export async function buildByName(
  names: readonly string[],
  signal: AbortSignal,
): Promise<string[]> {
  const { recipes, broken } = await readRecipes();
  for (const { name, why } of broken) {
    if (names.includes(name)) throw new PackageError(`${name}: ${why}`);
  }
  const wanted = recipes.filter(({ name }) => names.includes(name));
  const outcomes = await buildPackages({
    recipes: wanted,
    known: recipes,
    work: WORK,
    level: "fast",
    signal,
  });
  return names.map((name) => {
    const outcome = outcomes.find((one) => one.name === name);
    if (outcome?.file !== undefined) return outcome.file;
    throw new PackageError(`${name} was not built: ${outcome?.why ?? "packages/ has none such"}`);
  });
}

/** What a person can mend counts as the package's failure; anything else is a mistake of ours. */
function failure(name: string, error: Error): Outcome {
  if (error instanceof Unreachable) return { name, state: "unreachable", why: error.message };
  const known = error instanceof UserError;
  const { code } = error as NodeJS.ErrnoException;
  if (code === "ENOSPC") {
    return {
      name,
      state: "failed",
      why: `no room is left (${error.message}): free some, or name other folders by --work and --out`,
    };
  }
  if (!known) throw error;
  return { name, state: "failed", why: error.message.replaceAll(/\s*\n\s*/g, "; ") };
}

async function buildOne(recipe: Recipe, options: BuildOptions, table: Table): Promise<Outcome> {
  const { name } = recipe;
  const { work, level, signal } = options;
  const faults = await lintRecipe(recipe, options.known ?? options.recipes);
  if (faults.length > 0) throw new PackageError(faults.join("; "));
  if (recipe.folder === ROOT) {
    const { packageFile, kept } = await buildPackage({
      level,
      onStep: (step) => table.set(name, step),
    });
    return { name, state: kept ? "kept" : "built", file: packageFile };
  }
  const epoch = await sourceDate(recipe.folder);
  const chroot = await hasChrootTools();
  const key = await inputsHash(recipe.folder, [epoch, level, chroot ? "chroot" : "host"]);
  const packages = join(work, "packages", name);
  const kept = join(packages, key);
  const before = await packageIn(kept);
  if (before !== undefined) return { name, state: "kept", file: before };

  table.set(name, "starts");
  await mkdir(packages, { recursive: true });
  const release = await lock(join(work, "locks", name));
  try {
    const downloads = join(work, "sources", name);
    const onStep = (step: string) => table.set(name, step);
    const sources = await ensureSources(recipe, downloads, onStep, signal);
    if (!chroot) await checkBuildDependencies(recipe, options.known ?? options.recipes);
    table.set(name, "builds");
    const job = {
      stage: `/tmp/${name}-${key}`,
      fill: (tree: string) => cp(recipe.folder, tree, { recursive: true }),
      epoch,
      sources,
      zstd: level === "release" ? "--ultra -20" : "-6",
      kept,
      log: join(work, "logs", `${name}.log`),
      signal,
      check: (file: string) => lintPackage(file, recipe),
    };
    const file = await (chroot ? buildInChroot(job, join(work, "chroot")) : makepkg(job));
    await removeOlder(packages, "", basename(kept));
    return { name, state: "built", file };
  } finally {
    release();
  }
}

/**
 * On Arch, whether what the package is built with is installed: makepkg itself is told not to look,
 * since some of it may be ours and nowhere installed.
 * @throws PackageError with the names that are not.
 */
async function checkBuildDependencies(recipe: Recipe, ours: readonly Recipe[]): Promise<void> {
  if ((await hostKind()) !== "arch") return;
  const lacking = await lackingDependencies(recipe, ours);
  if (lacking.length === 0) return;
  throw new PackageError(
    `it is built with ${lacking.join(" ")}: install them, or devtools, which have a clean chroot`,
  );
}

/** What pacman does not have of that with which a package is built. */
async function lackingDependencies(
  recipe: Recipe,
  ours: readonly Recipe[],
  also: readonly string[] = [],
): Promise<string[]> {
  // Scripts and configuration need nothing of what they are for.
  const words = [...recipe.makedepends, ...(recipe.arch.includes("any") ? [] : recipe.depends)];
  const names = new Set(ours.map(({ name }) => name));
  const needed = words.filter((word) => !names.has(parseDependency(word).name));
  const tested = await $({ nothrow: true, quiet: true })`pacman --deptest ${[...needed, ...also]}`;
  return tested.stdout.split("\n").filter((word) => word !== "");
}

/**
 * Installs, on Arch, what packages are built with, unless they are built in a clean chroot. Where that
 * cannot be had, the build says what is missing.
 */
export async function installBuildDependencies(
  recipes: readonly Recipe[],
  ours: readonly Recipe[],
  onLine: (line: string) => void,
): Promise<void> {
  if (await hasChrootTools()) return;
  const lacking = new Set<string>();
  for (const recipe of recipes) {
    // makepkg takes the compiler and make for granted.
    const also = recipe.arch.includes("any") ? [] : ["base-devel"];
    for (const word of await lackingDependencies(recipe, ours, also)) lacking.add(word);
  }
  if (lacking.size === 0) return;
  onLine(`installing ${[...lacking].join(" ")}`);
  const options = ["-S", "--needed", "--asdeps", "--noconfirm"];
  const done = await $({ nothrow: true, quiet: true })`pacman ${options} ${[...lacking]}`;
  if (done.exitCode !== 0) onLine(`pacman: ${lastWords(done.stderr)}`);
}

/** A hash of all that a package is made from: the files beside the PKGBUILD, and our own part. */
async function inputsHash(folder: string, added: readonly string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const word of added) hash.update(`${word}\0`);
  hash.update(await readFile(join(ROOT, "scripts/makepkg.ts")));
  const names = (await readdir(folder, { recursive: true })).sort();
  for (const name of names) {
    const found = await stat(join(folder, name));
    if (!found.isFile()) continue;
    hash.update(`${name}\0${found.mode & 0o111 ? "x" : "-"}\0`);
    hash.update(await readFile(join(folder, name)));
  }
  return hash.digest("hex").slice(0, 16);
}

/** So many at a time. @returns what waits for a place and gives a function that frees it. */
function slots(count: number): () => Promise<() => void> {
  let free = count;
  const waiting: (() => void)[] = [];
  return async () => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    return () => {
      const next = waiting.shift();
      if (next === undefined) free += 1;
      else next();
    };
  };
}
