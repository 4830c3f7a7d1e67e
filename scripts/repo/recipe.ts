/** What the PKGBUILDs in packages/ say, and how they hang together. */
import { readdir, rename } from "node:fs/promises";
import { basename, join } from "node:path";
import { ROOT } from "../build.ts";
import { PackageError, printSrcinfo, removeOlder } from "../makepkg.ts";

/** The folder with a PKGBUILD in a folder each. */
export const PACKAGES = join(ROOT, "packages");

/** A PKGBUILD as makepkg reads it; the words are those of PKGBUILD(5). */
export interface Recipe {
  /** The name of its folder, or protocol7-core. */
  readonly name: string;
  readonly folder: string;
  /** The packages that it makes: one, with the name of the folder. */
  readonly packages: readonly string[];
  /** [EPOCH:]PKGVER-PKGREL, as pacman has it. */
  readonly version: string;
  readonly arch: readonly string[];
  readonly license: readonly string[];
  readonly depends: readonly string[];
  readonly makedepends: readonly string[];
  readonly provides: readonly string[];
  readonly conflicts: readonly string[];
  readonly backup: readonly string[];
  readonly sources: readonly string[];
  /** One for each source; SKIP where there is none. */
  readonly sha256sums: readonly string[];
  readonly install: string | undefined;
}

/** A folder whose PKGBUILD makepkg does not take. */
export interface Broken {
  readonly name: string;
  readonly why: string;
}

/** What is kept from one run to the next, by default. */
export const WORK = join(ROOT, "build");

/**
 * Reads the PKGBUILDs of a folder's folders and, unless another is named, protocol7-core's.
 * @param work where what makepkg says of them is kept.
 * @returns those that makepkg takes, sorted by name, and those that it does not.
 */
export async function readRecipes(
  packages: string = PACKAGES,
  work: string = WORK,
): Promise<{ recipes: Recipe[]; broken: Broken[] }> {
  const entries = await readdir(packages, { withFileTypes: true }).catch(() => {
    throw new PackageError(`there is no folder ${packages}: name one by --packages`);
  });
  const folders = entries.filter((entry) => entry.isDirectory());
  const paths = folders.map((entry) => join(packages, entry.name));
  if (packages === PACKAGES) paths.push(ROOT);
  const recipes: Recipe[] = [];
  const broken: Broken[] = [];
  await Promise.all(
    paths.map(async (folder) => {
      const name = folder === ROOT ? "protocol7-core" : basename(folder);
      if (!(await Bun.file(join(folder, "PKGBUILD")).exists())) {
        broken.push({ name, why: `${folder} has no PKGBUILD` });
        return;
      }
      try {
        recipes.push(
          parseSrcinfo(await srcinfo(folder, join(work, "srcinfo", name)), name, folder),
        );
      } catch (error) {
        if (!(error instanceof PackageError)) throw error;
        broken.push({ name, why: `its PKGBUILD is broken: ${error.message}` });
      }
    }),
  );
  const byName = (a: { name: string }, b: { name: string }) => a.name.localeCompare(b.name);
  return { recipes: recipes.sort(byName), broken: broken.sort(byName) };
}

/** As printSrcinfo, which takes a second, but once for each state of a PKGBUILD. */
async function srcinfo(folder: string, kept: string): Promise<string> {
  const hash = new Bun.CryptoHasher("sha256");
  hash.update(await Bun.file(join(folder, "PKGBUILD")).bytes());
  // makepkg looks whether these are there, and names them.
  hash.update([folder, ...(await readdir(folder)).sort()].join("\0"));
  const key = hash.digest("hex").slice(0, 16);
  const file = Bun.file(join(kept, key));
  if (await file.exists()) return await file.text();
  const text = await printSrcinfo(folder);
  // By rename: another run may read it.
  const fresh = join(kept, `.${key}.${process.pid}`);
  await Bun.write(fresh, text);
  await rename(fresh, join(kept, key));
  await removeOlder(kept, "", key);
  return text;
}

/** @param text what makepkg --printsrcinfo prints. */
export function parseSrcinfo(text: string, name: string, folder: string): Recipe {
  const values = new Map<string, string[]>();
  for (const [, key = "", value = ""] of text.matchAll(/^\s*([a-z0-9_]+) = (.*)$/gm)) {
    // What is for one architecture only is for ours: there is one.
    const all = key.replace(/_x86_64$/, "");
    values.set(all, [...(values.get(all) ?? []), value]);
  }
  const all = (key: string): readonly string[] => values.get(key) ?? [];
  const epoch = all("epoch")[0];
  return {
    name,
    folder,
    packages: all("pkgname"),
    version: `${epoch === undefined ? "" : `${epoch}:`}${all("pkgver")[0]}-${all("pkgrel")[0]}`,
    arch: [...new Set(all("arch"))],
    license: all("license"),
    depends: all("depends"),
    makedepends: all("makedepends"),
    provides: all("provides"),
    conflicts: all("conflicts"),
    backup: all("backup"),
    sources: all("source"),
    sha256sums: all("sha256sums"),
    install: all("install")[0],
  };
}

/**
 * Sorts so that each comes after those that it depends on, at run time or to be built. Where they
 * go in a circle, as pacman allows at run time, one of them has to be first.
 */
export function inOrder(recipes: readonly Recipe[]): Recipe[] {
  const byName = new Map(recipes.map((recipe) => [recipe.name, recipe]));
  const done = new Set<string>();
  const sorted: Recipe[] = [];
  const visit = (recipe: Recipe): void => {
    if (done.has(recipe.name)) return;
    done.add(recipe.name);
    for (const { name } of [...recipe.makedepends, ...recipe.depends].map(parseDependency)) {
      const needed = byName.get(name);
      if (needed !== undefined) visit(needed);
    }
    sorted.push(recipe);
  };
  for (const recipe of recipes) visit(recipe);
  return sorted;
}

/** A dependency, conflict or provision: a name, and a version where one is named. */
export interface Dependency {
  readonly name: string;
  readonly operator?: "<" | "<=" | "=" | ">=" | ">";
  readonly version?: string;
}

/** @param text as in depends=: NAME, NAME>=VERSION, ... An optional one's reason is left out. */
export function parseDependency(text: string): Dependency {
  const [, name = "", operator, version] =
    /^([^<>=:\s]+)(?:(<=|>=|[<>=])([^\s:]+(?::\S+)?))?/.exec(text) ?? [];
  if (operator === undefined || version === undefined) return { name };
  return { name, operator: operator as NonNullable<Dependency["operator"]>, version };
}

const compared = new Map<string, number>();

/** vercmp(8): below, at or above 0. */
export function compareVersions(a: string, b: string): number {
  if (a === b) return 0;
  const pair = `${a}\0${b}`;
  const known = compared.get(pair);
  if (known !== undefined) return known;
  const done = Bun.spawnSync(["vercmp", a, b]);
  if (done.exitCode !== 0) throw new PackageError(`vercmp ${a} ${b}: ${done.stderr}`);
  const result = Number(done.stdout.toString());
  compared.set(pair, result);
  return result;
}

/**
 * Does something of this name and version satisfy a dependency? A provision without a version
 * satisfies none that asks for one (alpm's rule).
 */
export function satisfies(wanted: Dependency, name: string, version: string | undefined): boolean {
  if (wanted.name !== name) return false;
  if (wanted.operator === undefined || wanted.version === undefined) return true;
  if (version === undefined) return false;
  // A dependency without a release is satisfied by each of them.
  const exact = wanted.version.includes("-") ? version : version.replace(/-[^-]*$/, "");
  const order = compareVersions(exact, wanted.version);
  switch (wanted.operator) {
    case "<":
      return order < 0;
    case "<=":
      return order <= 0;
    case "=":
      return order === 0;
    case ">=":
      return order >= 0;
    case ">":
      return order > 0;
  }
}
