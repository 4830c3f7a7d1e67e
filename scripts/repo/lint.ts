/** The rules for our PKGBUILDs and for what makepkg makes of them. */
import { basename, join } from "node:path";
import { $ } from "zx";
import { PROFILE } from "../iso/profile.ts";
import { parseDependency, type Recipe } from "./recipe.ts";
import { parseSource } from "./sources.ts";

const run = $({ nothrow: true, quiet: true });

/** The SPDX ids that our packages have; spdx.org/licenses has all. */
const LICENSES = new Set([
  "Apache-2.0",
  "BSD-2-Clause",
  "BSD-3-Clause",
  "CC-BY-4.0",
  "CC-BY-SA-4.0",
  "CC0-1.0",
  "GPL-2.0-only",
  "GPL-2.0-or-later",
  "GPL-3.0-only",
  "GPL-3.0-or-later",
  "ISC",
  "LGPL-2.1-only",
  "LGPL-2.1-or-later",
  "LGPL-3.0-only",
  "LGPL-3.0-or-later",
  "MIT",
]);

/** Folders that are links on Arch, or not for packages: pacman refuses a file below a link. */
const NOT_FOR_PACKAGES =
  /^(bin|sbin|lib|lib64|usr\/sbin|usr\/lib64|usr\/local|home|root|tmp|run|proc|sys|dev|mnt)\//;

/** Is it a package without files? Then its PKGBUILD has nothing to put into one. */
export async function isDummy(recipe: Recipe): Promise<boolean> {
  const text = await Bun.file(join(recipe.folder, "PKGBUILD")).text();
  return !/^\s*(function\s+)?package(_\S+)?\s*\(/m.test(text);
}

/** The names of Arch's packages that ours may depend on: those of the medium, and some more. */
export async function archNames(): Promise<Set<string>> {
  const files = [join(import.meta.dir, "arch-names.txt"), join(PROFILE, "packages.x86_64")];
  const texts = await Promise.all(files.map((file) => Bun.file(file).text()));
  const lines = texts.flatMap((text) => text.split("\n"));
  return new Set(lines.filter((line) => line !== "" && !line.startsWith("#")));
}

/**
 * What is wrong with a PKGBUILD, a line each.
 * @param all the whole set, in which its dependencies are looked for first.
 */
export async function lintRecipe(recipe: Recipe, all: readonly Recipe[]): Promise<string[]> {
  const faults: string[] = [];
  if (recipe.packages.length !== 1 || recipe.packages[0] !== recipe.name) {
    faults.push(`pkgname is ${recipe.packages.join(" ")}: it must be the folder's, ${recipe.name}`);
  }
  if (recipe.arch.join() !== "any" && recipe.arch.join() !== "x86_64") {
    faults.push(`arch is ${recipe.arch.join(" ") || "empty"}: it must be any or x86_64`);
  }
  const ids = recipe.license.flatMap((text) =>
    text
      .replaceAll(/[()]/g, " ")
      .split(/\s(?:AND|OR|WITH)\s/)
      .map((id) => id.trim()),
  );
  for (const id of ids.length === 0 ? [""] : ids) {
    if (!LICENSES.has(id))
      faults.push(`license is "${id}": it must be an SPDX id that scripts/repo/lint.ts knows`);
  }
  faults.push(...lintSources(recipe));
  const ours = new Set(
    all.flatMap(({ packages, provides }) => [
      ...packages,
      ...provides.map((word) => parseDependency(word).name),
    ]),
  );
  const arch = await archNames();
  const unknown = [...recipe.depends, ...recipe.makedepends]
    .map((word) => parseDependency(word).name)
    .filter((name) => !ours.has(name) && !arch.has(name));
  if (unknown.length > 0) {
    faults.push(
      `depends on ${unknown.join(", ")}, not ours and not in scripts/repo/arch-names.txt: look at the spelling, or add it`,
    );
  }
  if ((await isDummy(recipe)) && recipe.arch.join() !== "any") {
    faults.push("has no files, so arch must be any");
  }
  return faults;
}

function lintSources(recipe: Recipe): string[] {
  const { sources, sha256sums } = recipe;
  if (sources.length !== sha256sums.length) {
    return [
      `has ${sources.length} sources and ${sha256sums.length} sha256sums: each needs its own`,
    ];
  }
  const faults: string[] = [];
  for (const [at, word] of sources.entries()) {
    const { file, url } = parseSource(word);
    // Files beside the PKGBUILD are in the same commit; git knows what a commit holds.
    if (url === undefined || /^git\+.*(#commit=[0-9a-f]{40}|\?signed)/.test(url)) continue;
    if (!/^[0-9a-f]{64}$/.test(sha256sums[at] ?? "")) {
      faults.push(`has no checksum for ${file}: a source from the network needs its SHA-256`);
    }
    if (!/^(git\+)?https:/.test(url))
      faults.push(`takes ${file} from ${url}: it must come by https`);
  }
  return faults;
}

/** A line of bsdtar -tvf. */
interface Entry {
  readonly mode: string;
  readonly owner: string;
  readonly path: string;
}

/** What is wrong with a package that makepkg made, a line each. */
export async function lintPackage(file: string, recipe: Recipe): Promise<string[]> {
  const name = basename(file);
  const listing = await run`bsdtar --numeric-owner -tvf ${file}`;
  if (listing.exitCode !== 0) return [`${name} cannot be read: ${listing.stderr.trim()}`];
  const entries = listing.stdout.trim().split("\n").map(parseEntry);
  const faults = entries.flatMap(lintEntry);
  const expected = `${recipe.name}-${recipe.version}-${recipe.arch[0]}.pkg.tar.zst`;
  if (name !== expected) faults.push(`the package is ${name}: it must be ${expected}`);
  // Names that begin with a dot at the top are pacman's own.
  const paths = entries.map(({ path }) => path).filter((path) => !path.startsWith("."));
  if ((await isDummy(recipe)) && paths.length > 0) {
    faults.push(`has ${paths[0]}: it is a package without files`);
  }
  for (const kept of recipe.backup) {
    if (!paths.includes(kept)) faults.push(`backup names ${kept}, which is not in the package`);
  }
  // makepkg works in a folder that is gone afterwards. .BUILDINFO names it on purpose.
  const stage = `/tmp/${recipe.name}-`;
  const files = paths.filter((path) => !path.endsWith("/"));
  const text =
    files.length === 0
      ? ""
      : (await run`bsdtar -xOf ${file} --exclude .BUILDINFO`.buffer()).toString("latin1");
  const found = new RegExp(`${RegExp.escape(stage)}[0-9a-f]{16}/[^\\0\\s"']*`).exec(text)?.[0];
  if (found !== undefined) faults.push(`a file has the build's own path ${found} in it`);
  return faults;
}

function parseEntry(line: string): Entry {
  // -rw-r--r--  0 0      0        1234 Nov 28 20:04 etc/rc.conf
  const [, mode = "", owner = "", path = ""] =
    /^(\S+)\s+\d+\s+(\S+\s+\S+)\s+\d+\s+\S+\s+\S+\s+\S+\s+(.*?)(?: -> .*| link to .*)?$/.exec(
      line,
    ) ?? [];
  return { mode, owner: owner.replace(/\s+/, ":"), path };
}

function lintEntry({ mode, owner, path }: Entry): string[] {
  if (path.startsWith(".")) return [];
  const faults: string[] = [];
  if (owner !== "0:0") faults.push(`${path} belongs to ${owner}: it must be root's`);
  if (/^...[sS]|^.{6}[sS]/.test(mode)) faults.push(`${path} is setuid or setgid`);
  if (!mode.startsWith("l") && /^.{5}w|^.{8}w/.test(mode)) {
    faults.push(`${path} is writable by others (${mode})`);
  }
  if (/^(usr\/lib|etc)\/systemd\/(system|user)\//.test(path)) {
    faults.push(`${path} is a unit: nothing here reads it`);
  }
  if (mode.startsWith("l") && path.startsWith("etc/runlevels/")) {
    faults.push(`${path} would come back with every upgrade: the package's .install must make it`);
  }
  if (NOT_FOR_PACKAGES.test(path)) faults.push(`${path} is no place for a package's files`);
  return faults;
}
