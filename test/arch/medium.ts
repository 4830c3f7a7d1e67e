/** The medium's root as mkarchiso has it made: pacstrap over the overlay, from local repositories. */
import { chmod, mkdir, mkdtemp, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { layOverlay } from "../../scripts/iso/debian.ts";
import { readProfile } from "../../scripts/iso/profile.ts";
import { KEYRING } from "../../scripts/iso/trust.ts";
import { removeUnmounted } from "../../scripts/lib/mounts.ts";
import { sourceDate } from "../../scripts/makepkg.ts";
import { buildPackage } from "../../scripts/package.ts";
import { ALONE } from "../../scripts/pacman.ts";
import { buildByName } from "../../scripts/repo/build.ts";
import { readRecipes } from "../../scripts/repo/recipe.ts";
import { folderOf, packageName, publish, REPOSITORIES } from "../../scripts/repo/repository.ts";
import { configuration } from "../transaction/root.ts";
import { type Repositories, scratch } from "../transaction/world.ts";
import { ensureStandin, type Standin } from "./standin.ts";

/** Repositories as a host with Arch's and ours has them. */
export interface World {
  /** The caller removes it. */
  readonly folder: string;
  readonly standin: Standin;
  readonly repositories: Repositories;
}

/** Makes our repositories beside the stand-in of Arch's. */
export async function makeWorld(signal: AbortSignal): Promise<World> {
  await ensureHostPackages(["pacstrap", "pacman", "bsdtar", "repo-add", "unshare"]);
  const standin = await ensureStandin(signal);
  const { packageFile } = await buildPackage();
  const lacking = await readdir(standin.ours);
  const names = (await readRecipes()).recipes.map(({ name }) => name);
  const built = names.filter(
    (name) =>
      !["protocol7-core", KEYRING].includes(name) &&
      !lacking.some((file) => packageName(file) === name),
  );
  const folder = await mkdtemp(join(await scratch(8e9), "p7-arch-"));
  await chmod(folder, 0o755);
  const files = [
    packageFile,
    ...(await buildByName(built, signal)),
    ...lacking.map((file) => join(standin.ours, file)),
  ];
  const out = join(folder, "ours");
  await publish({ out, files, sign: undefined, signal });
  const repositories = {
    ...Object.fromEntries(REPOSITORIES.map((name) => [name, folderOf(out, name)])),
    ...{ core: standin.core, extra: standin.extra },
  };
  return { folder, standin, repositories };
}

/** What pacman is told of a world: the checkout's pacman.conf, and its packages where they are. */
export async function pacmanConfig(path: string, { folder, repositories }: World): Promise<string> {
  const text = await configuration(path, { ours: "", arch: "", repositories });
  // Where a package is in the cache already, it is not copied.
  const caches = [join(folder, "cache"), ...new Set(Object.values(repositories))];
  await mkdir(join(folder, "cache"), { recursive: true });
  return text.replace(
    "[options]\n",
    `[options]\n${caches.map((one) => `CacheDir = ${one}\n`).join("")}`,
  );
}

export interface Medium {
  readonly root: string;
  /** profile/pacman.conf as it was used. */
  readonly config: string;
  /** What pacstrap printed. */
  readonly said: string;
}

/**
 * Does what mkarchiso does to a root up to its own cleaning: the overlay with its modes, then pacstrap
 * with its very options.
 */
export async function pacstrapMedium(world: World): Promise<Medium> {
  const profile = await readProfile(await sourceDate());
  const root = join(world.folder, "airootfs");
  await mkdir(root, { mode: 0o755 });
  await layOverlay(root, profile);
  const config = join(world.folder, "pacman.conf");
  const hooks = `[options]\nHookDir = ${root}/etc/pacman.d/hooks/\n`;
  const text = await pacmanConfig("profile/pacman.conf", world);
  await writeFile(config, text.replace("[options]\n", hooks));
  const names = profile.packages.filter((name) => name !== KEYRING);
  const said = await pacstrap(["-C", config, "-c", "-G", "-M", "--", root, ...names]);
  // A person's home of the overlay's /etc/passwd.
  const home = join(root, "home/liveuser");
  const must = $({ quiet: true });
  await must`cp -dRT ${join(root, "etc/skel")} ${home}`;
  await must`chown -R 1000:1000 ${home}`;
  await must`chmod 0750 ${home}`;
  return { root, config, said };
}

/** Runs pacstrap(8), whose mounts end with it. @returns all that was said. */
export async function pacstrap(words: readonly string[]): Promise<string> {
  const env = {
    PATH: process.env.PATH,
    LC_ALL: "C.UTF-8",
    SOURCE_DATE_EPOCH: await sourceDate(),
  };
  const done = await $({ nothrow: true, quiet: true, env })`${ALONE} pacstrap ${words} 2>&1`;
  if (done.exitCode !== 0) throw new Error(`pacstrap: ${done.exitCode}\n${done.stdout}`);
  return done.stdout;
}

/** Removes all of a world. */
export const removeWorld = ({ folder }: World): Promise<void> => removeUnmounted(folder);
