/** Puts protocol7-core into the test system the way a user gets it: by pacman from a repository. */
import { lstat, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { HostError } from "../host.ts";
import { makeRepository, REPOSITORY } from "../package.ts";
import { pacmanWords } from "../pacman.ts";
import { merged, upper, withOverlay } from "./overlay.ts";
import { missing, stateDir } from "./state.ts";

/** What is in /usr/libexec/lainos: one file with many names. */
export const EXECUTABLES = [
  "lainos-audio-init",
  "lainos-dbus-bridge",
  "lainos-ghost-units",
  "lainos-init",
  "lainos-net-init",
  "lainos-notifyd",
  "loginctl",
  "systemd-inhibit",
  "systemd-notify",
];

/** Which Debian package fills which dependency of ours; pacman knows nothing of dpkg's. */
const FILLED_BY: Readonly<Record<string, string>> = {
  bash: "bash",
  "btrfs-progs": "btrfs-progs",
  coreutils: "coreutils",
  cryptsetup: "cryptsetup-bin",
  findutils: "findutils",
  dbus: "dbus",
  dosfstools: "dosfstools",
  dracut: "dracut",
  e2fsprogs: "e2fsprogs",
  efibootmgr: "efibootmgr",
  glibc: "libc6",
  greetd: "greetd",
  grub: "grub2-common",
  kmod: "kmod",
  "lainos-calamares-dracut": "calamares",
  openrc: "openrc",
  pam: "libpam-runtime",
  procps: "procps",
  "procps-ng": "procps",
  rsync: "rsync",
  seatd: "seatd",
  shadow: "passwd",
  "squashfs-tools": "squashfs-tools",
  "systemd-libs": "libsystemd0",
  "util-linux": "util-linux",
  which: "debianutils",
  xfsprogs: "xfsprogs",
  zsh: "zsh",
};

/**
 * Installs protocol7-core's package into the overlay from a repository made for it.
 * @param others packages that are installed along with it.
 * @throws HostError where pacman fails, and where it says that all is well and something is missing:
 * a scriptlet that fails leaves its exit status 0.
 */
export async function installPackage(
  name: string,
  rootfs: string,
  packageFile: string,
  signal?: AbortSignal,
  others: readonly string[] = [],
): Promise<void> {
  const dir = stateDir(name);
  const repository = join(dir, "repository");
  const packageFiles = [packageFile, ...others];
  await makeRepository(repository, packageFiles);
  const infos = await Promise.all(packageFiles.map(packageInfo));
  await mkdir(join(upper(name), "var/lib/pacman"), { recursive: true });
  await writeFile(
    join(dir, "pacman.conf"),
    `[options]\nArchitecture = x86_64\nSigLevel = Never\n[${REPOSITORY}]\nServer = file://${repository}\n`,
  );
  // A root of pacman's own has them in its database.
  const versions = await dpkgVersions(rootfs);
  const words = [
    ...(versions === undefined ? [] : assumedInstalled(infos, versions)),
    ...["-Sy", ...infos.map(({ name }) => name)],
  ];
  const output = await pacman(name, rootfs, words, signal);
  const sessions = versions === undefined ? "system-login" : "common-session";
  await checkEffects(upper(name), `etc/pam.d/${sessions}`, output, rootfs);
}

interface PackageInfo {
  readonly name: string;
  /** The names of what it depends on, without versions. */
  readonly depends: readonly string[];
}

async function packageInfo(file: string): Promise<PackageInfo> {
  const { stdout } = await $({ quiet: true })`bsdtar -xOf ${file} .PKGINFO`;
  const values = (key: string) =>
    [...stdout.matchAll(new RegExp(`^${key} = ([^\\s<>=]+)`, "gm"))].map(([, value = ""]) => value);
  const [name = ""] = values("pkgname");
  return { name, depends: values("depend") };
}

/**
 * Removes the package from an overlay that it was installed into, as a user does.
 * @returns what pacman said.
 * @throws HostError where it fails.
 */
export function removePackage(name: string, rootfs: string, signal?: AbortSignal): Promise<string> {
  return pacman(name, rootfs, ["-R", "protocol7-core"], signal);
}

async function pacman(
  name: string,
  rootfs: string,
  words: readonly string[],
  signal?: AbortSignal,
): Promise<string> {
  const dir = stateDir(name);
  const hooks = "etc/pacman.d/hooks";
  const layers = [upper(name), rootfs].map((layer) => lstat(join(layer, hooks)).catch(missing));
  const hasHooks = (await Promise.all(layers)).some(Boolean);
  const place = {
    root: merged(name),
    config: join(dir, "pacman.conf"),
    cache: join(dir, "pacman-cache"),
    keys: join(dir, "gnupg"),
    hooks: hasHooks ? join(merged(name), hooks) : join(dir, "no-hooks"),
  };
  for (const folder of [place.cache, place.keys, join(dir, "no-hooks")]) {
    await mkdir(folder, { recursive: true, mode: 0o700 });
  }
  const command = [...pacmanWords(place), "--noprogressbar", ...words];
  return withOverlay(name, rootfs, command, signal);
}

/**
 * `--assume-installed NAME=VERSION` for exactly the dependencies that the root's Debian packages
 * fill, with Debian's version of them.
 */
function assumedInstalled(
  packages: readonly PackageInfo[],
  versions: ReadonlyMap<string, string>,
): string[] {
  return packages.flatMap(({ name, depends }) =>
    depends.flatMap((depend) => {
      const version = versions.get(FILLED_BY[depend] ?? "");
      if (version === undefined) {
        throw new HostError(
          `${name} depends on ${depend}, which no Debian package of the test system fills: see FILLED_BY in scripts/lib/install.ts`,
        );
      }
      return ["--assume-installed", `${depend}=${version}`];
    }),
  );
}

/**
 * The installed packages and their upstream versions, without epoch and revision; undefined in a root
 * that is not dpkg's.
 */
async function dpkgVersions(rootfs: string): Promise<Map<string, string> | undefined> {
  const status = await readFile(join(rootfs, "var/lib/dpkg/status"), "utf8").catch(missing);
  if (status === undefined) return undefined;
  return new Map(
    status.split("\n\n").flatMap((entry): [string, string][] => {
      const name = /^Package: (.*)$/m.exec(entry)?.[1];
      const version = /^Version: (?:\d+:)?([^-\n]*)/m.exec(entry)?.[1];
      const installed = /^Status: install ok installed$/m.test(entry);
      return name && version && installed ? [[name, version]] : [];
    }),
  );
}

/**
 * Looks for what protocol7-core's installation leaves in a root.
 * @param sessions the PAM file that has the session part of every login.
 * @param output what pacman said, for the error.
 * @param below what is under an overlay's upper layer: Arch's own PAM file needs no change.
 * @throws HostError that names what is not there.
 */
export async function checkEffects(
  root: string,
  sessions: string,
  output: string,
  below = root,
): Promise<void> {
  const problems: string[] = [];
  const inodes = new Set<number>();
  for (const executable of EXECUTABLES) {
    const found = await lstat(join(root, "usr/libexec/lainos", executable)).catch(missing);
    if (found === undefined) problems.push(`/usr/libexec/lainos/${executable} is missing`);
    else if (found.nlink >= EXECUTABLES.length) inodes.add(found.ino);
    else problems.push(`/usr/libexec/lainos/${executable} is a copy and no hard link`);
  }
  if (inodes.size > 1) problems.push("the executables are several files instead of one");
  const inRunlevels = await readdir(join(root, "etc/runlevels"), { recursive: true });
  const enabled = new Set(inRunlevels.map((path) => basename(path)));
  for (const service of await readdir(join(root, "etc/init.d"))) {
    if (service.startsWith("lainos-") && !enabled.has(service)) {
      problems.push(`the service ${service} is in no runlevel`);
    }
  }
  const read = (layer: string) => readFile(join(layer, sessions), "utf8").catch(missing);
  const pam = (await read(root)) ?? (await read(below)) ?? "";
  if (!/^-?session\s.*\bpam_systemd\.so/m.test(pam)) {
    problems.push(`nothing in /${sessions} makes a login a session`);
  }
  const module = await lstat(join(root, "usr/lib/security/pam_systemd.so")).catch(missing);
  if (module === undefined) problems.push("/usr/lib/security/pam_systemd.so is missing");
  if (problems.length > 0) {
    throw new HostError(
      `pacman ended well, but ${problems.join("; ")}\n  ${output.trim().split("\n").slice(-8).join("\n  ")}`,
    );
  }
}
