/** The root of the test system on Arch, built once and kept: by pacstrap, from the host's repositories and ours. */
import { createHash } from "node:crypto";
import { lstat, mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages, HostError } from "../../scripts/host.ts";
import { killOnAbort } from "../../scripts/lib/kill-on-abort.ts";
import { keepRoot, LEFT_OUT } from "../../scripts/lib/rootfs.ts";
import { missing } from "../../scripts/lib/state.ts";
import { lastWords } from "../../scripts/makepkg.ts";
import { makeRepository } from "../../scripts/package.ts";
import { ALONE, forgetPackages, PACMAN_CACHE } from "../../scripts/pacman.ts";
import { buildPackages, installBuildDependencies } from "../../scripts/repo/build.ts";
import { readRecipes, WORK } from "../../scripts/repo/recipe.ts";
import { packageName } from "../../scripts/repo/repository.ts";

/** What LIVE_ROOT has, by Arch's names. */
const PACKAGES = {
  init: ["filesystem", "kmod", "procps-ng", "psmisc", "util-linux"],
  bus: ["dbus", "polkit", "systemd-libs"],
  login: ["greetd", "opendoas", "pam", "seatd", "shadow"],
  shell: [
    "bash",
    "coreutils",
    "findutils",
    "gawk",
    "grep",
    "less",
    "ncurses",
    "sed",
    "which",
    "zstd",
  ],
  net: ["chrony", "dhcpcd", "iproute2", "iwd", "nftables"],
  log: ["syslog-ng"],
  wayland: ["foot", "grim", "mesa", "sway", "swaybg", "swayidle", "ttf-dejavu"],
  x11: ["openbox", "xf86-input-libinput", "xf86-video-dummy", "xorg-server", "xorg-server-xvfb"],
  x11too: ["xorg-xauth", "xorg-xinit"],
  clients: ["upower", "xdg-desktop-portal", "xss-lock"],
  security: ["apparmor"],
  sound: ["alsa-utils", "pipewire", "pipewire-pulse", "wireplumber"],
} as const;

export const ARCH_PACKAGES: readonly string[] = Object.values(PACKAGES).flat();

/** Ours that stand where systemd stood. protocol7-core comes into each system by itself. */
const OURS = ["elogind", "eudev", "libudev", "openrc", "systemd", "systemd-sysvcompat"];

/** Ours in pacman.conf: the host may have repositories of the names that LainOS' have. */
const REPOSITORY = "protocol7-checkout";

/** What the test system has of its own, or not at all: the host's must not be used for another root. */
const HOSTS_OWN = /^(?:CacheDir|DBPath|DownloadUser|HookDir|LogFile|RootDir)\b.*\n/gm;

/**
 * The path of the root, which is built where the cache has none of these packages of ours. It stays as
 * new as Arch was when it was built.
 * @param onLine is told what is being done.
 * @throws HostError where the host has not Arch's repositories, and where pacstrap fails.
 */
export async function ensureArchRoot(
  signal: AbortSignal,
  onLine: (line: string) => void = () => {},
): Promise<string> {
  await ensureHostPackages(["pacstrap", "pacman", "repo-add", "bsdtar", "zstd", "unshare"]);
  const config = await hostConfig();
  const { files, lacking } = await buildOurs(signal, onLine);
  return keepRoot("arch-rootfs", await keyOf(config, files), async (building, scratch) => {
    // pacman wants the folders that it is told of to be there.
    await mkdir(join(building, "etc/pacman.d/hooks"), { recursive: true });
    await makeRepository(join(scratch, "repository"), files, REPOSITORY);
    await forgetPackages(PACMAN_CACHE, files.map(packageName));
    const file = join(scratch, "pacman.conf");
    await writeFile(file, rootConfig(config, building, join(scratch, "repository")));
    await pacstrap(building, file, lacking, signal, onLine);
  });
}

/** The host's pacman.conf with all that it includes. @throws HostError where it is not Arch's. */
async function hostConfig(): Promise<string> {
  const done = await $({ nothrow: true, quiet: true })`pacman-conf`;
  if (done.exitCode !== 0) throw new HostError(`pacman-conf: ${lastWords(done.stderr)}`);
  const there = [...done.stdout.matchAll(/^\[(.*)\]$/gm)].map(([, name = ""]) => name);
  const lacking = ["core", "extra"].filter((name) => !there.includes(name));
  if (lacking.length === 0) return done.stdout;
  throw new HostError(
    `the test system is made of Arch's packages, and /etc/pacman.conf has no ${lacking.join(" and no ")}, but ${there.slice(1).join(", ")} (as Artix does): run this on Arch or Debian`,
  );
}

/** Builds those of ours that can be built here. @returns them, and for each other one why it is not. */
async function buildOurs(
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<{ files: string[]; lacking: string[] }> {
  const { recipes: known, broken } = await readRecipes();
  const recipes = known.filter(({ name }) => OURS.includes(name));
  await installBuildDependencies(recipes, known, onLine);
  const tell = (name: string, state: string) => onLine(`${name}: ${state}`);
  const outcomes = await buildPackages({
    recipes,
    known,
    broken: broken.filter(({ name }) => OURS.includes(name)),
    work: WORK,
    level: "fast",
    signal,
    table: { set: tell, end: tell, close() {} },
  });
  return {
    files: outcomes.flatMap(({ file }) => file ?? []),
    lacking: outcomes.flatMap(({ name, why }) => (why === undefined ? [] : [`${name}: ${why}`])),
  };
}

async function keyOf(config: string, files: readonly string[]): Promise<string> {
  const parts = [config, ARCH_PACKAGES, OURS, LEFT_OUT];
  const hash = createHash("sha256").update(JSON.stringify(parts));
  for (const file of files.toSorted()) hash.update(basename(file)).update(await readFile(file));
  return hash.digest("hex").slice(0, 16);
}

/** The host's configuration for another root, with ours before all its repositories. */
function rootConfig(host: string, root: string, repository: string): string {
  const own = [
    `CacheDir = ${PACMAN_CACHE}/`,
    `HookDir = ${root}/etc/pacman.d/hooks/`,
    `NoExtract = ${LEFT_OUT.map((path) => path.slice(1)).join(" ")}`,
  ];
  const ours = `[${REPOSITORY}]\nSigLevel = Never\nServer = file://${repository}\n\n`;
  return host
    .replaceAll(HOSTS_OWN, "")
    .replace("[options]\n", `[options]\n${own.join("\n")}\n`)
    .replace(/^(?=\[(?!options\]))/m, ours);
}

async function pacstrap(
  root: string,
  config: string,
  lacking: readonly string[],
  signal: AbortSignal,
  onLine: (line: string) => void,
): Promise<void> {
  const options = ["-C", config, "-c", "-G", "-M", "--", root];
  // Ours without files bring it with them; each test system has its own.
  const later = ["--assume-installed", "protocol7-core=0"];
  const env = { ...process.env, LC_ALL: "C.UTF-8" };
  const words = [...options, ...OURS, ...ARCH_PACKAGES, ...later];
  const running = $({ nothrow: true, quiet: true, env })`${ALONE} pacstrap ${words}`;
  killOnAbort(running, signal);
  for await (const bytes of running.stdout as AsyncIterable<Buffer>) {
    for (const line of bytes.toString().split(/[\r\n]+/)) if (line.trim() !== "") onLine(line);
  }
  const done = await running;
  signal.throwIfAborted();
  const notBuilt = lacking.map((why) => `\n  not built here: ${why}`).join("");
  if (done.exitCode !== 0) throw new HostError(`pacstrap: ${lastWords(done.stderr)}${notBuilt}`);
  const isThere = async (file: string) =>
    (await lstat(join(root, file)).catch(missing)) !== undefined;
  if ((await isThere("usr/lib/systemd/systemd")) || !(await isThere("usr/bin/openrc-init"))) {
    throw new HostError(`pacstrap has put systemd where OpenRC must be${notBuilt}`);
  }
}
