/** Repositories as LainOS and Arch have them. */
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, statfs } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/build.ts";
import { makepkg, printSrcinfo, sourceDate } from "../../scripts/makepkg.ts";
import { buildPackage, makeRepository, REPOSITORY, STAGED } from "../../scripts/package.ts";
import { type ArchFacts, type Facts, factsOf, parseSrcinfo, readTable } from "./facts.ts";
import { edit } from "./root.ts";
import { writeStub, writeStubs } from "./stubs.ts";

/**
 * Packages of the medium that were not to be found among Arch's, and have no PKGBUILD here unless
 * packages/ has one now: lainos_repo has to bring them. They come without relations.
 */
const ELSEWHERE = [
  "lainos-calamares-config-layer-02",
  "lainos-calamares-dracut",
  "zsh-theme-powerlevel10k",
];

/** Repositories by their names in pacman.conf; each is a folder. */
export type Repositories = Readonly<Record<string, string>>;

export interface World {
  readonly folder: string;
  /** As arch.tsv has Arch. */
  readonly now: Repositories;
  /** Arch with later.tsv in it and every other package built anew, and the next protocol7-core. */
  readonly later: Repositories;
}

/** Builds the packages and repositories. The caller removes `folder`. */
export async function makeWorld(): Promise<World> {
  const folder = await mkdtemp(join(await scratch(), "p7-transaction-"));
  // makepkg works in it as another user.
  await chmod(folder, 0o755);
  const steps = [buildPackage(), buildNext(folder), buildOwn(folder)] as const;
  try {
    const [{ packageFile }, next, own] = await Promise.all(steps);
    const now = await repositories(
      join(folder, "now"),
      packageFile,
      own,
      await readTable("arch.tsv"),
    );
    const later = await repositories(join(folder, "later"), next, own, await archLater());
    return { folder, now, later };
  } catch (error) {
    await Promise.allSettled(steps);
    await rm(folder, { recursive: true });
    throw error;
  }
}

/** Memory where there is enough of it: a gigabyte is written, and nothing of it is kept. */
async function scratch(): Promise<string> {
  const memory = await statfs("/dev/shm").catch(() => undefined);
  return memory && memory.bavail * memory.bsize > 3e9 ? "/dev/shm" : tmpdir();
}

interface Own {
  /** Built by makepkg: those without sources. */
  readonly built: readonly string[];
  /** Told by their PKGBUILDs: the others. */
  readonly told: readonly Facts[];
}

/** The packages in packages/. */
async function buildOwn(folder: string): Promise<Own> {
  const built: string[] = [];
  const told: Facts[] = [];
  const pending = await readdir(join(ROOT, "packages"));
  const worker = async () => {
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const source = join(ROOT, "packages", name);
      const text = await readFile(join(source, "PKGBUILD"), "utf8");
      if (/^source(_x86_64)?=/m.test(text)) told.push(...parseSrcinfo(await printSrcinfo(source)));
      else built.push(await pack(folder, name, (tree) => cp(source, tree, { recursive: true })));
    }
  };
  const workers = [worker(), worker()];
  await Promise.allSettled(workers);
  await Promise.all(workers);
  return { built, told };
}

/**
 * protocol7-core's next release: three of its settings are others. Its executable is no program, since
 * nothing in a root of stubs is run.
 */
function buildNext(folder: string): Promise<string> {
  return pack(folder, "protocol7-core", async (tree) => {
    for (const path of STAGED) await cp(join(ROOT, path), join(tree, path), { recursive: true });
    await edit(join(tree, "PKGBUILD"), (text) => text.replace(/^pkgrel=\d+$/m, "pkgrel=99"));
    for (const path of NEXT_SETTINGS) await edit(join(tree, path), (text) => `${text}# new\n`);
    await Bun.write(join(tree, "dist/protocol7"), "the next one\n");
  });
}

const NEXT_SETTINGS = ["openrc/conf.d/seatd", "openrc/conf.d/iwd", "files/etc/lainos/logind.conf"];

async function pack(
  folder: string,
  name: string,
  fill: (tree: string) => Promise<void>,
): Promise<string> {
  return await makepkg({
    stage: join(folder, `${name}-stage`),
    fill,
    epoch: await sourceDate(),
    environment: { _prebuilt: "yes" },
    zstd: "-1",
    kept: join(folder, "built", name),
    log: join(folder, "log", `${name}.log`),
  });
}

/** later.tsv over arch.tsv; what it says nothing of has a higher release and is else the same. */
async function archLater(): Promise<ArchFacts[]> {
  const later = await readTable("later.tsv");
  const names = new Set(later.map(({ name }) => name));
  const before = (await readTable("arch.tsv")).filter(({ name }) => !names.has(name));
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

async function repositories(
  folder: string,
  core: string,
  own: Own,
  arch: readonly ArchFacts[],
): Promise<Repositories> {
  const result: Record<string, string> = {};
  for (const name of [REPOSITORY, "lainos_repo", "core", "extra"])
    result[name] = join(folder, name);
  const [inLainos, inProtocol7] = split(own.told, ({ name }) => name.startsWith("lainos-"));
  const stubs = join(folder, "stubs");
  await mkdir(stubs, { recursive: true });
  const files = [core, ...own.built];
  for (const facts of inProtocol7) {
    files.push(join(stubs, (await writeStub(stubs, facts)).file));
  }
  await makeRepository(join(folder, REPOSITORY), files);
  const known = new Set(own.told.map(({ name }) => name));
  const elsewhere = ELSEWHERE.filter((name) => !known.has(name)).map((name) => factsOf(name, []));
  await writeStubs(join(folder, "lainos_repo"), "lainos_repo", [...inLainos, ...elsewhere]);
  for (const name of ["core", "extra"]) {
    const packages = arch.filter(({ repository }) => repository === name);
    await writeStubs(join(folder, name), name, packages);
  }
  return result;
}

function split<T>(list: readonly T[], first: (item: T) => boolean): [T[], T[]] {
  return [list.filter(first), list.filter((item) => !first(item))];
}
