/** The live medium by mkarchiso, on Arch. */
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { HostError } from "../host.ts";
import { checkEffects } from "../lib/install.ts";
import { removeUnmounted } from "../lib/mounts.ts";
import type { Reporter } from "../lib/progress.ts";
import { makeRepository, REPOSITORY } from "../package.ts";
import { ALONE, forgetPackages, PACMAN_CACHE } from "../pacman.ts";
import { buildPackages } from "../repo/build.ts";
import { readRecipes, WORK } from "../repo/recipe.ts";
import { checkPackages } from "./preflight.ts";
import { AIROOTFS, imageName, PROFILE, type Profile } from "./profile.ts";
import { closeRepositories, KEYRING } from "./trust.ts";

export interface ArchOptions {
  readonly profile: Profile;
  /** Whether there is a key that our packages are signed with. */
  readonly keys: boolean;
  /** SOURCE_DATE_EPOCH. */
  readonly epoch: string;
  readonly out: string;
  /** For the root and all that is made on the way: tens of gigabytes. */
  readonly work: string;
  /** Where all that mkarchiso says is kept. */
  readonly log: string;
  readonly signal: AbortSignal;
  readonly report: Reporter;
}

/**
 * Builds the medium.
 * @returns the image's path.
 * @throws HostError with the end of the log where mkarchiso fails; its work folder is removed.
 */
export async function buildByMkarchiso(options: ArchOptions): Promise<string> {
  const { profile, keys, epoch, out, work, log, signal, report } = options;
  await mkdir(work, { recursive: true });
  const staged = join(work, "profile");
  const repository = join(work, "repository");
  const root = join(work, "mkarchiso");
  const fresh = join(work, "out");
  try {
    const { files, names: own } = await buildAll(report, signal);
    await makeRepository(repository, files);
    await forgetPackages(PACMAN_CACHE, own);
    await stageProfile(staged, { repository, cache: PACMAN_CACHE, keys });
    const names = profile.packages.filter((name) => keys || name !== KEYRING);
    const config = join(staged, profile.pacman_conf);
    await checkPackages(config, { ...profile, packages: names }, report, signal);
    await report.step("mkarchiso", (detail) =>
      runMkarchiso(["-v", "-w", root, "-o", fresh, staged], epoch, log, detail, signal),
    );
    await checkRoot(join(root, profile.arch, "airootfs"), await readFile(log, "utf8"));
    const image = imageName(profile);
    const built = await readdir(fresh);
    if (!built.includes(image)) {
      throw new HostError(`mkarchiso ended well and made no ${image}, but ${built.join(", ")}`);
    }
    await rename(join(fresh, image), join(out, image)).catch(async (error) => {
      // Another file system: a copy under another name first, so that there is no half image.
      if (error.code !== "EXDEV") throw error;
      await cp(join(fresh, image), join(out, `${image}.new`));
      await rename(join(out, `${image}.new`), join(out, image));
    });
    return join(out, image);
  } finally {
    for (const made of [staged, repository, root, fresh]) await removeUnmounted(made);
  }
}

/**
 * Builds all packages of the checkout as `bun run repo --release` does. Those that cannot be built
 * are told of; the repositories of the profile have them, or checkPackages says that none has.
 * @returns what was built, and the names of all, built or not.
 * @throws HostError where protocol7-core is among those that cannot be built.
 */
async function buildAll(
  report: Reporter,
  signal: AbortSignal,
): Promise<{ files: string[]; names: string[] }> {
  return await report.step("Packages of this checkout", async (detail) => {
    const { recipes, broken } = await readRecipes();
    const table = {
      set: (name: string, state: string) => detail(`${name}: ${state}`),
      end: (name: string, state: string) => detail(`${name}: ${state}`),
      close() {},
    };
    const outcomes = await buildPackages({
      recipes,
      broken,
      work: WORK,
      level: "release",
      signal,
      table,
    });
    for (const { name, why } of outcomes) {
      if (why === undefined) continue;
      if (name === "protocol7-core") throw new HostError(`protocol7-core: ${why}`);
      console.error(`iso: ${name} comes from the profile's repositories: ${why}`);
    }
    return {
      files: outcomes.flatMap(({ file }) => file ?? []),
      names: outcomes.map(({ name }) => name),
    };
  });
}

export interface Stage {
  /** The folder with the packages that were just built, which go before all others. */
  readonly repository: string;
  /** Where pacman keeps what it downloads. */
  readonly cache: string;
  /**
   * Whether there is a key that our packages are signed with. Without one, neither this build nor the
   * medium takes anything from our repositories: what was built here is all there is.
   */
  readonly keys: boolean;
}

/** A copy of the profile for mkarchiso, with the overlay itself instead of the link to it. */
export async function stageProfile(
  staged: string,
  { repository, cache, keys }: Stage,
): Promise<void> {
  await rm(staged, { recursive: true, force: true });
  await cp(PROFILE, staged, { recursive: true, verbatimSymlinks: true });
  await rm(join(staged, "airootfs"), { force: true });
  await cp(AIROOTFS, join(staged, "airootfs"), { recursive: true, verbatimSymlinks: true });
  const file = join(staged, "pacman.conf");
  const text = await readFile(file, "utf8");
  const [options, section] = ["[options]\n", `[${REPOSITORY}]\n`];
  for (const head of [options, section]) {
    if (!text.includes(head)) throw new HostError(`${file} has no ${head.trim()}`);
  }
  // Made by this build a moment ago, in a folder of root's: there is nothing that a signature could add.
  const local = `[protocol7-checkout]\nSigLevel = Never\nServer = file://${repository}\n\n`;
  // repo-add has named the database after the repository that it stands in for.
  for (const end of ["db", "files"]) {
    const from = join(repository, `${REPOSITORY}.${end}.tar.gz`);
    await cp(from, join(repository, `protocol7-checkout.${end}`));
  }
  const opened = text
    .replace(options, `${options}CacheDir = ${cache}\n`)
    .replace(section, `${local}${section}`);
  await writeFile(file, keys ? opened : closeRepositories(opened));
  if (keys) return;
  const installed = join(staged, "airootfs/etc/pacman.conf");
  await writeFile(installed, closeRepositories(await readFile(installed, "utf8")));
  const names = join(staged, "packages.x86_64");
  const lines = (await readFile(names, "utf8")).split("\n");
  await writeFile(names, lines.filter((name) => name !== KEYRING).join("\n"));
}

/**
 * Runs it with a log, and passes each of its own messages on as they come.
 * @throws HostError where it fails, and where it does not and something that it ran did.
 */
export async function runMkarchiso(
  words: readonly string[],
  epoch: string,
  log: string,
  detail: (line: string) => void,
  signal: AbortSignal,
): Promise<void> {
  const child = Bun.spawn([...ALONE, "mkarchiso", ...words], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "/usr/bin", LC_ALL: "C.UTF-8", SOURCE_DATE_EPOCH: epoch },
    signal,
    // unshare, and the first process of a namespace, ignore anything less.
    killSignal: "SIGKILL",
  });
  const file = Bun.file(log).writer();
  let last: string[] = [];
  const read = async (stream: ReadableStream<Uint8Array>) => {
    const decoder = new TextDecoder();
    for await (const bytes of stream) {
      const text = decoder.decode(bytes, { stream: true });
      file.write(text);
      const lines = text.split("\n").filter((line) => line.trim() !== "");
      last = [...last, ...lines].slice(-12);
      for (const line of lines) if (line.includes("[mkarchiso]")) detail(line);
    }
  };
  await Promise.all([read(child.stdout), read(child.stderr)]);
  const code = await child.exited;
  await file.end();
  signal.throwIfAborted();
  if (code !== 0) {
    throw new HostError(
      `mkarchiso ended with ${code}; all of it is in ${log}:\n  ${last.join("\n  ")}`,
    );
  }
  const failures = failuresIn(await readFile(log, "utf8"));
  if (failures.length > 0) {
    throw new HostError(
      `mkarchiso ended well, but what it ran did not; all of it is in ${log}:\n  ${failures.join("\n  ")}`,
    );
  }
}

/**
 * Looks for what the installation leaves in the medium's root, as its scriptlets and hooks do it.
 * @param output what was said, for the error.
 * @throws HostError that names what is not there.
 */
export async function checkRoot(root: string, output: string): Promise<void> {
  await checkEffects(root, "etc/pam.d/system-login", output);
  const folder = join(root, "usr/lib/sysusers.d");
  const accounts: Record<string, string> = {};
  for (const file of ["passwd", "group"]) {
    accounts[file] = `\n${await readFile(join(root, "etc", file), "utf8")}`;
  }
  const lacking: string[] = [];
  for (const name of (await readdir(folder)).filter((one) => one.endsWith(".conf"))) {
    const text = await readFile(join(folder, name), "utf8");
    for (const [, type = "", account = ""] of text.matchAll(/^(u!?|g)\s+(\S+)/gm)) {
      const file = type === "g" ? "group" : "passwd";
      if (!accounts[file]?.includes(`\n${account}:`)) lacking.push(`${account} (${name})`);
    }
  }
  if (lacking.length > 0) {
    throw new HostError(`the medium's root lacks users or groups: ${lacking.join(", ")}`);
  }
}

/** What scriptlets, hooks and mkarchiso say of themselves when something fails and nobody stops. */
const FAILURES = [
  /^error: /,
  /command failed to execute correctly/,
  /^(sysusers|useradd|groupadd|gpasswd): /,
  /^protocol7-core: .*(could not|could be made|are not sessions)/,
  /^lainos-dracut: .* has no new initramfs/,
  /\[mkarchiso\] (ERROR: |WARNING: .*permissions of)/,
  // Its own way out are images that a boot menu has to name.
  /\[mkarchiso\] INFO: Initramfs file does not contain microcode/,
];

/** The lines of mkarchiso's log that tell of something that failed although its status is 0. */
export function failuresIn(log: string): string[] {
  const lines = log.split("\n").map((line) => line.trim());
  return lines.filter((line) => FAILURES.some((pattern) => pattern.test(line)));
}
