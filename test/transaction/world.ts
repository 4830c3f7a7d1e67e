/** Repositories as LainOS and Arch have them, and roots into which the host's pacman installs. */
import {
  chmod,
  cp,
  lstat,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  writeFile,
} from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ROOT } from "../../scripts/build.ts";
import { makepkg, printSrcinfo, sourceDate } from "../../scripts/makepkg.ts";
import { buildPackage, makeRepository, REPOSITORY, STAGED } from "../../scripts/package.ts";
import { pacmanWords } from "../../scripts/pacman.ts";
import { type ArchFacts, type Facts, factsOf, parseSrcinfo, readTable } from "./facts.ts";
import { writeStub, writeStubs } from "./stubs.ts";

/**
 * Packages of the medium that Arch does not have and for which there is no PKGBUILD here, unless
 * packages/ has one now: lainos_repo has to bring them. They come without relations.
 */
const ELSEWHERE = [
  "lainos-calamares-config-layer-02",
  "lainos-calamares-dracut",
  "zsh-theme-powerlevel10k",
];

/** pacman.conf as Arch has it after an installation, in what matters here. */
export const ARCHS_OWN = `[options]
HoldPkg = pacman glibc
Architecture = auto
CheckSpace

[core]
Include = /etc/pacman.d/mirrorlist

[extra]
Include = /etc/pacman.d/mirrorlist
`;

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
  const folder = await mkdtemp(join(tmpdir(), "p7-transaction-"));
  // makepkg works in it as another user.
  await chmod(folder, 0o755);
  try {
    const [{ packageFile }, next, own] = await Promise.all([
      buildPackage(),
      buildNext(folder),
      buildOwn(folder),
    ]);
    const now = await repositories(
      join(folder, "now"),
      packageFile,
      own,
      await readTable("arch.tsv"),
    );
    const later = await repositories(join(folder, "later"), next, own, await archLater());
    return { folder, now, later };
  } catch (error) {
    await rm(folder, { recursive: true });
    throw error;
  }
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
  const names = await readdir(join(ROOT, "packages"));
  const pending = [...names];
  const worker = async () => {
    for (let name = pending.pop(); name !== undefined; name = pending.pop()) {
      const source = join(ROOT, "packages", name);
      const text = await readFile(join(source, "PKGBUILD"), "utf8");
      if (/^source(_x86_64)?=/m.test(text)) told.push(...parseSrcinfo(await printSrcinfo(source)));
      else built.push(await pack(folder, name, (tree) => cp(source, tree, { recursive: true })));
    }
  };
  await Promise.all([worker(), worker()]);
  return { built, told };
}

/**
 * protocol7-core's next release: two of its settings are others. Its executable is no program, since
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

/**
 * A pacman.conf of the checkout with these repositories in place of its servers. Stubs are not
 * signed, so signatures are not asked for; all else is as it stands there.
 * @throws Error where a repository has no place here.
 */
export async function configuration(path: string, places: Repositories): Promise<string> {
  return withServers(await readFile(join(ROOT, path), "utf8"), places);
}

/** The same for a pacman.conf as text. */
export function withServers(text: string, places: Repositories): string {
  let section = "";
  return text
    .split("\n")
    .map((line) => {
      section = /^\[(.*)\]$/.exec(line)?.[1] ?? section;
      if (/^SigLevel\b/.test(line)) return "SigLevel = Never";
      if (!/^(Server|Include)\b/.test(line)) return line;
      if (places[section] === undefined) throw new Error(`the repository ${section} is not here`);
      return `Server = file://${places[section]}`;
    })
    .join("\n");
}

/** The packages that the medium consists of. */
export async function mediumPackages(): Promise<string[]> {
  const text = await readFile(join(ROOT, "profile/packages.x86_64"), "utf8");
  return text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
}

interface Said {
  readonly code: number;
  readonly stdout: string;
  /** Both, one after the other. */
  readonly output: string;
}

/** A root with nothing in it, and pacman on it. */
export class Root {
  private constructor(
    readonly path: string,
    private readonly folder: string,
  ) {}

  static async make(world: World, config: string): Promise<Root> {
    const folder = await mkdtemp(join(world.folder, "root-"));
    const root = new Root(join(folder, "root"), folder);
    await mkdir(join(root.path, "var/lib/pacman"), { recursive: true });
    await mkdir(join(world.folder, "cache"), { recursive: true });
    await root.configure(config);
    return root;
  }

  /** Takes another pacman.conf from now on. */
  configure(config: string): Promise<void> {
    return writeFile(join(this.folder, "pacman.conf"), config);
  }

  /** A copy of it as it is now. */
  async copy(): Promise<Root> {
    const folder = await mkdtemp(join(this.folder, "../root-"));
    const copied = Bun.spawnSync(["cp", "-a", `${this.folder}/.`, folder]);
    if (copied.exitCode !== 0) throw new Error(`cp: ${copied.stderr}`);
    return new Root(join(folder, "root"), folder);
  }

  /**
   * Runs pacman. Scriptlets are left out: no shell is in a root of stubs. What ours do is tested in
   * booted systems.
   */
  async pacman(...words: string[]): Promise<Said> {
    const place = {
      root: this.path,
      config: join(this.folder, "pacman.conf"),
      cache: join(this.folder, "../cache"),
      keys: join(this.folder, "gnupg"),
    };
    const changes = /^-[SUR]/.test(words[0] ?? "") ? ["--noprogressbar", "--noscriptlet"] : [];
    const child = Bun.spawn([...pacmanWords(place), ...changes, ...words], {
      // pacman takes a word for a file where there is one of the name.
      cwd: this.path,
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
      env: { PATH: process.env.PATH, LC_ALL: "C" },
    });
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { code: await child.exited, stdout, output: stdout + stderr };
  }

  /** The same for what has to succeed. */
  async must(...words: string[]): Promise<Said> {
    const said = await this.pacman(...words);
    if (said.code === 0) return said;
    throw new Error(`pacman ${words.join(" ")}: exit status ${said.code}\n${said.output}`);
  }

  /** The installed packages and their versions. */
  async installed(): Promise<Record<string, string>> {
    const { stdout } = await this.must("-Q");
    return Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => line.split(" ")),
    );
  }

  async has(path: string): Promise<boolean> {
    return await lstat(join(this.path, path)).then(
      () => true,
      () => false,
    );
  }

  read(path: string): Promise<string> {
    return readFile(join(this.path, path), "utf8");
  }

  /** Appends a person's line to a file. */
  edit(path: string): Promise<void> {
    return edit(join(this.path, path), (text) => `${text}# mine\n`);
  }
}

async function edit(file: string, change: (text: string) => string): Promise<void> {
  await writeFile(file, change(await readFile(file, "utf8")));
}
