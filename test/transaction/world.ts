/** Repositories as LainOS and Arch have them. */
import { chmod, cp, mkdir, mkdtemp, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/build.ts";
import { makepkg, sourceDate } from "../../scripts/makepkg.ts";
import { buildPackage, STAGED } from "../../scripts/package.ts";
import { PAM_MODULE } from "../../scripts/pam-module.ts";
import { buildByName } from "../../scripts/repo/build.ts";
import { isDummy } from "../../scripts/repo/lint.ts";
import { readRecipes } from "../../scripts/repo/recipe.ts";
import { folderOf, publish, REPOSITORIES } from "../../scripts/repo/repository.ts";
import { type ArchFacts, type Facts, readTable } from "./facts.ts";
import { edit } from "./root.ts";
import { writeStub, writeStubs } from "./stubs.ts";

/** The folders of repositories, by their names in pacman.conf. */
export type Repositories = Readonly<Record<string, string>>;

/** One state of all repositories. */
export interface State {
  /** Where `bun run repo` would have put ours. */
  readonly ours: string;
  /** Arch's packages and their databases, core.db and extra.db. */
  readonly arch: string;
  readonly repositories: Repositories;
}

export interface World {
  readonly folder: string;
  /** As arch.tsv has Arch. */
  readonly now: State;
  /** Arch with later.tsv in it and every other package built anew, and the next protocol7-core. */
  readonly later: State;
}

/** Builds the packages and repositories. The caller removes `folder`. */
export async function makeWorld(): Promise<World> {
  const folder = await mkdtemp(join(await scratch(), "p7-transaction-"));
  // makepkg works in it as another user.
  await chmod(folder, 0o755);
  const steps = [buildPackage(), buildNext(folder), ownPackages(folder)] as const;
  try {
    const [{ packageFile }, next, own] = await Promise.all(steps);
    const arch = await readTable("arch.tsv");
    const now = await makeState(join(folder, "now"), [packageFile, ...own], arch);
    const later = await makeState(join(folder, "later"), [next, ...own], await archLater(arch));
    return { folder, now, later };
  } catch (error) {
    await Promise.allSettled(steps);
    await rm(folder, { recursive: true });
    throw error;
  }
}

/**
 * Memory where there is enough of it: nothing of what is written is kept.
 * @param room how much that has to be, in bytes.
 */
export async function scratch(room = 3e9): Promise<string> {
  const memory = await statfs("/dev/shm").catch(() => undefined);
  return memory && memory.bavail * memory.bsize > room ? "/dev/shm" : tmpdir();
}

/**
 * The packages of packages/: those without files as makepkg builds them, of the others stubs with
 * what their PKGBUILDs say.
 */
async function ownPackages(folder: string): Promise<string[]> {
  const { recipes, broken } = await readRecipes();
  for (const { name, why } of broken) throw new Error(`${name}: ${why}`);
  const dummies: string[] = [];
  const others: Facts[] = [];
  for (const recipe of recipes.filter((each) => each.folder !== ROOT)) {
    if (await isDummy(recipe)) dummies.push(recipe.name);
    else others.push({ ...recipe, replaces: [] });
  }
  const files = await buildByName(dummies, new AbortController().signal);
  const stubs = join(folder, "stubs");
  await mkdir(stubs);
  for (const facts of others) {
    files.push(join(stubs, (await writeStub(stubs, facts)).file));
  }
  return files;
}

const NEXT_SETTINGS = ["openrc/conf.d/seatd", "openrc/conf.d/iwd", "files/etc/lainos/logind.conf"];

/**
 * protocol7-core's next release: three of its settings are others. Its executable is no program, and
 * its PAM module no library, since nothing in a root of stubs is run.
 */
export async function buildNext(folder: string): Promise<string> {
  return await makepkg({
    stage: join(folder, "next"),
    fill: async (tree) => {
      for (const path of STAGED) await cp(join(ROOT, path), join(tree, path), { recursive: true });
      await edit(join(tree, "PKGBUILD"), (text) => text.replace(/^pkgrel=\d+$/m, "pkgrel=99"));
      for (const path of NEXT_SETTINGS) await edit(join(tree, path), (text) => `${text}# new\n`);
      for (const name of ["protocol7", PAM_MODULE]) {
        await Bun.write(join(tree, "dist", name), "the next one\n");
      }
    },
    epoch: await sourceDate(),
    environment: { _prebuilt: "yes" },
    zstd: "-1",
    kept: join(folder, "built"),
    log: join(folder, "next.log"),
  });
}

/** later.tsv over arch.tsv; what it says nothing of has a higher release and is else the same. */
async function archLater(arch: readonly ArchFacts[]): Promise<ArchFacts[]> {
  const later = await readTable("later.tsv");
  const names = new Set(later.map(({ name }) => name));
  const before = arch.filter(({ name }) => !names.has(name));
  const exact = new Map(
    before.map(({ name, version }) => [`${name}=${version}`, `${name}=${version}.1`]),
  );
  const rebuilt = before.map((facts) => ({
    ...facts,
    version: `${facts.version}.1`,
    depends: facts.depends.map((depend) => exact.get(depend) ?? depend),
  }));
  return [...later, ...rebuilt];
}

async function makeState(
  folder: string,
  own: readonly string[],
  packages: readonly ArchFacts[],
): Promise<State> {
  const ours = join(folder, "ours");
  const arch = join(folder, "arch");
  const { signal } = new AbortController();
  await publish({ out: ours, files: own, sign: undefined, signal });
  for (const name of ["core", "extra"]) {
    const inside = packages.filter(({ repository }) => repository === name);
    await writeStubs(arch, name, inside);
  }
  const repositories = {
    ...Object.fromEntries(REPOSITORIES.map((name) => [name, folderOf(ours, name)])),
    ...{ core: arch, extra: arch },
  };
  return { ours, arch, repositories };
}
