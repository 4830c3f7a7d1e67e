/** Folders, packages and a pacman for the repositories' tests. */
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { $ } from "zx";
import { pacmanWords } from "../../scripts/pacman.ts";

/** What our scriptlets and hooks call. */
const PROGRAMS = ["cp", "install", "ln", "rm", "rmdir", "sh", "vercmp"];

const run = $({ nothrow: true, quiet: true });
const must = $({ quiet: true });

/** Folders of one test file, removed by removeAll. */
const folders: string[] = [];

export async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "p7-repo-"));
  // pacman downloads as another user where it can.
  await must`chmod 755 ${folder}`;
  folders.push(folder);
  return folder;
}

export async function removeAll(): Promise<void> {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true, force: true });
}

export interface Made {
  readonly name: string;
  readonly version?: string;
  readonly arch?: string;
  /** Lines of .PKGINFO besides, as "depend = NAME". */
  readonly info?: readonly string[];
  readonly files?: Readonly<Record<string, string>>;
  /** Symbolic links, and where they lead. */
  readonly links?: Readonly<Record<string, string>>;
  /** Folders, with nothing in them unless something above is. */
  readonly folders?: readonly string[];
  /** The scriptlet. */
  readonly install?: string;
  /** Modes of files, in octal. */
  readonly modes?: Readonly<Record<string, string>>;
  readonly owner?: string;
}

/** Makes a package without makepkg, which takes a second for each. @returns its path. */
export async function makePackage(folder: string, made: Made): Promise<string> {
  const { name, version = "1-1", arch = "any", info = [], files = {}, modes = {} } = made;
  const { links = {}, folders: empty = [] } = made;
  const tree = await mkdtemp(join(folder, ".tree-"));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await writeFile(join(tree, path), text);
    await must`chmod ${modes[path] ?? "644"} ${join(tree, path)}`;
  }
  for (const path of empty) await mkdir(join(tree, path), { recursive: true });
  for (const [path, target] of Object.entries(links)) {
    await mkdir(dirname(join(tree, path)), { recursive: true });
    await symlink(target, join(tree, path));
  }
  const lines = [
    `pkgname = ${name}`,
    `pkgbase = ${name}`,
    `pkgver = ${version}`,
    "pkgdesc = a test's",
    `arch = ${arch}`,
    "size = 0",
    "builddate = 1795550674",
    "packager = a test",
    ...info,
  ];
  await writeFile(join(tree, ".PKGINFO"), `${lines.join("\n")}\n`);
  const file = join(folder, `${name}-${version}-${arch}.pkg.tar.zst`);
  const owner = ["--uid", made.owner ?? "0", "--gid", made.owner ?? "0"];
  if (made.install !== undefined) await writeFile(join(tree, ".INSTALL"), made.install);
  const paths = [...Object.keys(files), ...Object.keys(links), ...empty];
  const own = [".PKGINFO", ...(made.install === undefined ? [] : [".INSTALL"])];
  const tops = [...own, ...new Set(paths.map((path) => path.split("/")[0] ?? ""))];
  await must`bsdtar -c --zstd ${owner} -f ${file} -C ${tree} ${tops}`;
  await rm(tree, { recursive: true });
  return file;
}

/** A pacman with a root, a database and a cache of its own. */
export class Pacman {
  private constructor(readonly folder: string) {}

  /** @param sections what stands in pacman.conf below [options]. @param options lines in it. */
  static async make(sections: string, options = "SigLevel = Never"): Promise<Pacman> {
    const folder = await scratch();
    for (const name of ["root/var/lib/pacman", "cache", "hooks", "gpg"]) {
      await mkdir(join(folder, name), { recursive: true });
    }
    const text = `[options]\nArchitecture = x86_64\n${options}\n${sections}`;
    await writeFile(join(folder, "pacman.conf"), text);
    return new Pacman(folder);
  }

  get root(): string {
    return join(this.folder, "root");
  }

  async run(...words: string[]): Promise<{ code: number; text: string }> {
    const place = (name: string) => join(this.folder, name);
    const flags = [
      ...["--config", place("pacman.conf"), "--root", this.root, "--noconfirm"],
      ...["--dbpath", place("root/var/lib/pacman"), "--cachedir", place("cache")],
      ...["--hookdir", place("hooks"), "--gpgdir", place("gpg"), "--logfile", "/dev/null"],
    ];
    // There is no shell in the root that a scriptlet could run in.
    if (/^-[SUR]/.test(words[0] ?? "")) flags.push("--noscriptlet");
    const done = await run`env LC_ALL=C pacman ${flags} ${words}`;
    return { code: done.exitCode ?? 1, text: done.stdout + done.stderr };
  }

  /** @throws Error with what pacman says where it fails. */
  async must(...words: string[]): Promise<string> {
    const { code, text } = await this.run(...words);
    if (code !== 0) throw new Error(`pacman ${words.join(" ")}: ${code}\n${text}`);
    return text;
  }

  /** NAME VERSION of all that is installed. */
  async installed(): Promise<string[]> {
    const lines = (await this.must("-Q")).trim().split("\n");
    // It has a word to say about a key ring that is not its own kind.
    return lines.filter((line) => !line.startsWith("warning: "));
  }
}

/** A root with a shell and what scriptlets and hooks call, in which pacman runs them. */
export class ScriptedRoot {
  private constructor(readonly folder: string) {}

  static async make(): Promise<ScriptedRoot> {
    const made = new ScriptedRoot(await scratch());
    for (const path of ["var/lib/pacman", "tmp", "usr/bin", "usr/lib", "usr/lib64"]) {
      await mkdir(join(made.root, path), { recursive: true });
    }
    for (const name of ["cache", "keys", "hooks"]) await mkdir(join(made.folder, name));
    for (const name of ["bin", "lib", "lib64"]) await symlink(`usr/${name}`, join(made.root, name));
    const programs = PROGRAMS.map((name) => Bun.which(name) ?? name);
    await must`cp -L ${programs} ${join(made.root, "usr/bin")}`;
    const { stdout } = await must`ldd ${programs}`;
    const libraries = new Set([...stdout.matchAll(/(\/\S+) \(0x/g)].map(([, file = ""]) => file));
    await must`cp -L --parents ${[...libraries]} ${made.root}`;
    await writeFile(
      join(made.folder, "pacman.conf"),
      "[options]\nArchitecture = x86_64\nSigLevel = Never\n",
    );
    return made;
  }

  get root(): string {
    return join(this.folder, "root");
  }

  /** @throws Error with what pacman says where it, a scriptlet or a hook fails. */
  async must(...words: string[]): Promise<void> {
    const hooks = join(this.root, "etc/pacman.d/hooks");
    const pacman = pacmanWords({
      root: this.root,
      config: join(this.folder, "pacman.conf"),
      cache: join(this.folder, "cache"),
      keys: join(this.folder, "keys"),
      hooks: existsSync(hooks) ? hooks : join(this.folder, "hooks"),
    });
    const done = await run`env LC_ALL=C ${pacman} ${words}`;
    const text = done.stdout + done.stderr;
    if (done.exitCode !== 0 || /^error|failed/m.test(text)) throw new Error(text);
  }
}

/** A GnuPG home with a key without a passphrase. */
export async function throwAwayKey(): Promise<{ home: string; key: string; end: () => void }> {
  // gpg-agent's socket has to fit into 108 bytes.
  const home = await mkdtemp("/tmp/p7-gpg-");
  folders.push(home);
  const gpg = $({ quiet: true, env: { ...process.env, GNUPGHOME: home } });
  await gpg`gpg --batch --quiet --passphrase ${""} --quick-generate-key ${"Test <test@example.org>"} ed25519 sign never`;
  const listed = await gpg`gpg --batch --with-colons --list-secret-keys`;
  const key = /^fpr:+([0-9A-F]+):/m.exec(listed.stdout)?.[1];
  if (key === undefined) throw new Error(`gpg made no key: ${listed.stdout}`);
  const end = () => {
    Bun.spawnSync(["gpgconf", "--kill", "all"], { env: { ...process.env, GNUPGHOME: home } });
  };
  return { home, key, end };
}
