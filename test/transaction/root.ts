/** Roots of their own, into which the host's pacman installs by a pacman.conf of ours or of Arch's. */
import { lstat, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ROOT } from "../../scripts/build.ts";
import { pacmanWords } from "../../scripts/pacman.ts";
import type { Repositories, State } from "./world.ts";

/** pacman.conf as Arch has it after an installation, in what matters here. */
export const ARCHS_OWN = `[options]
HoldPkg = pacman glibc
Architecture = auto
CheckSpace
SigLevel = Required DatabaseOptional

[core]
Include = /etc/pacman.d/mirrorlist

[extra]
Include = /etc/pacman.d/mirrorlist
`;

/**
 * A pacman.conf of the checkout with these repositories in place of its servers. Stubs are not
 * signed, so signatures are not asked for; all else is as it stands there.
 * @throws Error where a repository has no place here.
 */
export async function configuration(path: string, { repositories }: State): Promise<string> {
  return withServers(await readFile(join(ROOT, path), "utf8"), repositories);
}

/** The same for a pacman.conf as text. */
export function withServers(text: string, places: Repositories): string {
  let section = "";
  return text
    .split("\n")
    .map((line) => {
      section = /^\[(.*)\]$/.exec(line)?.[1] ?? section;
      if (/^SigLevel\b/.test(line)) return "SigLevel = Never";
      // Only Arch's package makes the user.
      if (/^DownloadUser\b/.test(line)) return "";
      if (!/^(Server|Include)\b/.test(line)) return line;
      if (places[section] === undefined) throw new Error(`the repository ${section} is not here`);
      return `Server = file://${places[section]}`;
    })
    .join("\n");
}

/** A pacman.conf with its repositories in the opposite order: Arch's before ours. */
export function archFirst(config: string): string {
  const sections = config.split(/^(?=\[)/m);
  const repositories = sections.filter((section) => /^\[(?!options\])/.test(section));
  const others = sections.filter((section) => !repositories.includes(section));
  return [...others, ...repositories.toReversed()].join("\n");
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
export class Root implements AsyncDisposable {
  private constructor(
    readonly path: string,
    private readonly folder: string,
  ) {}

  /** @param world the folder of all roots of a test, with the cache that they share. */
  static async make(world: string, config: string): Promise<Root> {
    const folder = await mkdtemp(join(world, "root-"));
    const root = new Root(join(folder, "root"), folder);
    await mkdir(join(root.path, "var/lib/pacman"), { recursive: true });
    await mkdir(join(world, "cache"), { recursive: true });
    for (const name of ["gnupg", "hooks"]) await mkdir(join(folder, name));
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

  /** Removes it: a hundred megabytes each. */
  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.folder, { recursive: true });
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
      hooks: join(this.folder, "hooks"),
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

/** Changes a file's text. */
export async function edit(file: string, change: (text: string) => string): Promise<void> {
  await writeFile(file, change(await readFile(file, "utf8")));
}
