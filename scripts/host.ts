/** What the host is, what must be installed on it, and where our caches are. */
import { globSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";
import { $ } from "zx";
import { lock } from "./lock.ts";
import { UserError } from "./user-error.ts";

export type HostKind = "debian" | "arch";

/** The host lacks something, or something on it failed. */
export class HostError extends UserError {
  override name = "HostError";
}

interface Tool {
  readonly debian: string;
  readonly arch: string;
  /** Arch has it only in its user repository, from where pacman cannot install. */
  readonly aur?: true;
  /** What to look for where it is no command on PATH: one of these files or folders, by glob(7). */
  readonly files?: readonly string[];
}

/** The commands that our scripts call and the packages that carry them. */
const TOOLS = {
  mmdebstrap: { debian: "mmdebstrap", arch: "mmdebstrap", aur: true },
  "dpkg-deb": { debian: "dpkg", arch: "dpkg" },
  "apt-get": { debian: "apt", arch: "apt" },
  pacman: { debian: "pacman-package-manager", arch: "pacman" },
  makepkg: { debian: "makepkg", arch: "pacman" },
  "repo-add": { debian: "makepkg", arch: "pacman" },
  pacstrap: { debian: "arch-install-scripts", arch: "arch-install-scripts" },
  bsdtar: { debian: "libarchive-tools", arch: "libarchive" },
  fakeroot: { debian: "fakeroot", arch: "fakeroot" },
  zstd: { debian: "zstd", arch: "zstd" },
  curl: { debian: "curl", arch: "curl" },
  gcc: { debian: "gcc", arch: "gcc" },
  busctl: { debian: "systemd", arch: "systemd" },
  "dbus-daemon": { debian: "dbus-daemon", arch: "dbus" },
  gdbus: { debian: "libglib2.0-bin", arch: "glib2" },
  shellcheck: { debian: "shellcheck", arch: "shellcheck" },
  python3: { debian: "python3", arch: "python" },
  ip: { debian: "iproute2", arch: "iproute2" },
  nft: { debian: "nftables", arch: "nftables" },
  ping: { debian: "iputils-ping", arch: "iputils" },
  ps: { debian: "procps", arch: "procps-ng" },
  alsactl: { debian: "alsa-utils", arch: "alsa-utils" },
  pipewire: { debian: "pipewire", arch: "pipewire" },
  "pipewire-pulse": { debian: "pipewire-pulse", arch: "pipewire-pulse" },
  "pw-mon": { debian: "pipewire-bin", arch: "pipewire" },
  wireplumber: { debian: "wireplumber", arch: "wireplumber" },
  "libsystemd's headers": {
    debian: "libsystemd-dev",
    arch: "systemd-libs",
    files: ["/usr/include/systemd/sd-login.h"],
  },
  "libseat's headers": {
    debian: "libseat-dev",
    arch: "seatd",
    files: ["/usr/include/libseat.h"],
  },
  "pam_systemd.so": {
    debian: "libpam-systemd",
    arch: "systemd",
    files: [
      "/usr/lib/x86_64-linux-gnu/security/pam_systemd.so",
      "/lib/x86_64-linux-gnu/security/pam_systemd.so",
      "/usr/lib/security/pam_systemd.so",
    ],
  },
  logrotate: { debian: "logrotate", arch: "logrotate" },
  acpid: { debian: "acpid", arch: "acpid" },
  polkitd: {
    debian: "polkitd",
    arch: "polkit",
    files: ["/usr/lib/polkit-1/polkitd", "/usr/libexec/polkitd"],
  },
  "python-dbusmock": {
    debian: "python3-dbusmock",
    arch: "python-dbusmock",
    files: ["/usr/lib/python3/dist-packages/dbusmock", "/usr/lib/python3.*/site-packages/dbusmock"],
  },
  "python-varlink": {
    debian: "python3-varlink",
    arch: "python-varlink",
    files: ["/usr/lib/python3/dist-packages/varlink", "/usr/lib/python3.*/site-packages/varlink"],
  },
  pamtester: { debian: "pamtester", arch: "pamtester", aur: true },
  "PAM's headers": {
    debian: "libpam0g-dev",
    arch: "pam",
    files: ["/usr/include/security/pam_modules.h"],
  },
  "libc's headers": { debian: "libc6-dev", arch: "glibc", files: ["/usr/include/stdio.h"] },
  "qemu-system-x86_64": { debian: "qemu-system-x86", arch: "qemu-system-x86" },
  "qemu-img": { debian: "qemu-utils", arch: "qemu-img" },
  mke2fs: { debian: "e2fsprogs", arch: "e2fsprogs" },
  modprobe: { debian: "kmod", arch: "kmod" },
  setpriv: { debian: "util-linux", arch: "util-linux" },
  mksquashfs: { debian: "squashfs-tools", arch: "squashfs-tools" },
  xorriso: { debian: "xorriso", arch: "libisoburn" },
  "mkfs.fat": { debian: "dosfstools", arch: "dosfstools" },
  mcopy: { debian: "mtools", arch: "mtools" },
  isolinux: {
    debian: "isolinux",
    arch: "syslinux",
    files: ["/usr/lib/ISOLINUX/isolinux.bin", "/usr/lib/syslinux/bios/isolinux.bin"],
  },
  syslinux: {
    debian: "syslinux-common",
    arch: "syslinux",
    files: ["/usr/lib/syslinux/modules/bios/vesamenu.c32", "/usr/lib/syslinux/bios/vesamenu.c32"],
  },
  "grub-mkimage": { debian: "grub-common", arch: "grub" },
  "grub-mkstandalone": { debian: "grub-common", arch: "grub" },
  "grub for UEFI": {
    debian: "grub-efi-amd64-bin",
    arch: "grub",
    files: ["/usr/lib/grub/x86_64-efi/linux.mod"],
  },
  "UEFI firmware": {
    debian: "ovmf",
    arch: "edk2-ovmf",
    files: ["/usr/share/OVMF/OVMF_CODE*.fd", "/usr/share/edk2/x64/OVMF_CODE*.fd"],
  },
  mkarchiso: { debian: "archiso", arch: "archiso" },
  "rsvg-convert": { debian: "librsvg2-bin", arch: "librsvg" },
  xmllint: { debian: "libxml2-utils", arch: "libxml2" },
  sway: { debian: "sway", arch: "sway" },
  foot: { debian: "foot", arch: "foot" },
  dunst: { debian: "dunst", arch: "dunst" },
  openbox: { debian: "openbox", arch: "openbox" },
  tint2: { debian: "tint2", arch: "tint2" },
  Xvfb: { debian: "xvfb", arch: "xorg-server-xvfb" },
  "xss-lock": { debian: "xss-lock", arch: "xss-lock" },
  i3lock: { debian: "i3lock", arch: "i3lock" },
  sshd: { debian: "openssh-server", arch: "openssh" },
  ssh: { debian: "openssh-client", arch: "openssh" },
  fish: { debian: "fish", arch: "fish" },
  crond: { debian: "cronie", arch: "cronie" },
  doas: { debian: "opendoas", arch: "opendoas" },
  lightdm: { debian: "lightdm", arch: "lightdm" },
  sddm: { debian: "sddm", arch: "sddm" },
  xdotool: { debian: "xdotool", arch: "xdotool" },
  "qml of Qt 6": { debian: "qml-qt6", arch: "qt6-declarative", files: ["/usr/lib/qt6/bin/qml"] },
  "QtQml of Qt 6": {
    debian: "qml6-module-qtqml",
    arch: "qt6-declarative",
    files: [
      "/usr/lib/x86_64-linux-gnu/qt6/qml/QtQml/libqmlplugin.so",
      "/usr/lib/qt6/qml/QtQml/libqmlplugin.so",
    ],
  },
  "QtQml.WorkerScript of Qt 6": {
    debian: "qml6-module-qtqml-workerscript",
    arch: "qt6-declarative",
    files: [
      "/usr/lib/x86_64-linux-gnu/qt6/qml/QtQml/WorkerScript/libworkerscriptplugin.so",
      "/usr/lib/qt6/qml/QtQml/WorkerScript/libworkerscriptplugin.so",
    ],
  },
  "QtQuick of Qt 6": {
    debian: "qml6-module-qtquick",
    arch: "qt6-declarative",
    files: [
      "/usr/lib/x86_64-linux-gnu/qt6/qml/QtQuick/libqtquick2plugin.so",
      "/usr/lib/qt6/qml/QtQuick/libqtquick2plugin.so",
    ],
  },
  "QtQuick.Window of Qt 6": {
    debian: "qml6-module-qtquick-window",
    arch: "qt6-declarative",
    files: [
      "/usr/lib/x86_64-linux-gnu/qt6/qml/QtQuick/Window/libquickwindowplugin.so",
      "/usr/lib/qt6/qml/QtQuick/Window/libquickwindowplugin.so",
    ],
  },
  zsh: { debian: "zsh", arch: "zsh" },
  apparmor_parser: { debian: "apparmor", arch: "apparmor" },
  unshare: { debian: "util-linux", arch: "util-linux" },
  nsenter: { debian: "util-linux", arch: "util-linux" },
} as const satisfies Record<string, Tool>;

export type ToolName = keyof typeof TOOLS;

/** The Debian packages of all of them that Debian has. */
export function debianPackages(): string[] {
  const names = Object.entries(TOOLS).flatMap(([name, { debian }]) =>
    name === "mkarchiso" ? [] : [debian],
  );
  return [...new Set(names)];
}

/**
 * Debian or Arch, by ID and ID_LIKE in /etc/os-release (os-release(5)), so that derivatives count
 * as what they derive from.
 * @throws HostError on any other system.
 */
export async function hostKind(): Promise<HostKind> {
  const text = await Bun.file("/etc/os-release").text();
  const ids = [...text.matchAll(/^ID(?:_LIKE)?=(.*)$/gm)].flatMap((match) =>
    (match[1] ?? "").replaceAll(/["']/g, "").trim().split(/\s+/),
  );
  for (const id of ids) {
    if (id === "debian" || id === "ubuntu") return "debian";
    // Artix need not say what it is like.
    if (id === "arch" || id === "artix") return "arch";
  }
  throw new HostError(
    `this system (${ids.join(", ") || "no ID in /etc/os-release"}) is neither Debian nor Arch: use one of them`,
  );
}

/** ${XDG_CACHE_HOME:-~/.cache}/protocol7 (XDG base directories: a relative path is ignored). */
export function cacheDir(): string {
  const base = process.env.XDG_CACHE_HOME;
  return join(base?.startsWith("/") ? base : join(homedir(), ".cache"), "protocol7");
}

/**
 * Returns when the process is root; otherwise runs the same command line again through doas or
 * sudo and ends with its exit status.
 * @throws HostError where neither is installed.
 */
export function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  const tool = Bun.which("doas") ?? Bun.which("sudo");
  if (tool === null) {
    throw new HostError("this needs root, and neither doas nor sudo is installed: run it as root");
  }
  // The whole path of Bun, since root's PATH need not have it.
  const child = Bun.spawnSync([tool, process.execPath, ...process.argv.slice(1)], {
    stdio: ["inherit", "inherit", "inherit"],
  });
  process.exit(child.exitCode ?? 1);
}

/**
 * Installs the packages of those tools that are not on PATH. Does nothing, and asks nobody for
 * anything, where none is missing. Needs root where one is.
 * @param onInstall is told the packages before they are installed.
 * @throws HostError when a package cannot be had or its installation fails.
 */
export async function ensureHostPackages(
  tools: readonly ToolName[],
  onInstall: (packages: readonly string[]) => void = () => {},
): Promise<void> {
  const missing = tools.filter((tool) => !isInstalled(tool));
  if (missing.length === 0) return;
  const kind = await hostKind();
  const fromAur = missing.filter((tool) => kind === "arch" && "aur" in TOOLS[tool]);
  if (fromAur.length > 0) {
    const names = fromAur.map((tool) => TOOLS[tool][kind]).join(" ");
    throw new HostError(`${names} must be installed from the AUR first: pacman does not have it`);
  }
  const packages = [...new Set<string>(missing.map((tool) => TOOLS[tool][kind]))];
  if (process.geteuid?.() !== 0) {
    throw new HostError(`install ${packages.join(" ")} first, or run this as root`);
  }
  onInstall(packages);
  const release = await lock(INSTALLING);
  try {
    if (kind === "debian") await installOnDebian(packages);
    else await installOnArch(packages);
  } finally {
    release();
  }
  const still = missing.filter((tool) => !isInstalled(tool));
  if (still.length > 0) {
    throw new HostError(`${packages.join(" ")} installed, but ${still.join(", ")} is not there`);
  }
}

function isInstalled(name: ToolName): boolean {
  const { files }: Tool = TOOLS[name];
  return files ? globSync([...files]).length > 0 : Bun.which(name) !== null;
}

/** Held while packages are installed: apt-get fails where another one runs, and tests run side by side. */
const INSTALLING = "/run/protocol7-host.lock";

const APT_ENV = { ...process.env, DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8" };

async function installOnDebian(packages: readonly string[]): Promise<void> {
  const apt = $({ nothrow: true, quiet: true, env: APT_ENV });
  const update = await apt`apt-get -q update`;
  if (update.exitCode !== 0) throw new HostError(`apt-get update: ${lastLine(update.stderr)}`);
  const install = await apt`apt-get -qy install --no-install-recommends ${packages}`;
  if (install.exitCode !== 0) {
    throw new HostError(`apt-get install ${packages.join(" ")}: ${lastLine(install.stderr)}`);
  }
}

async function installOnArch(packages: readonly string[]): Promise<void> {
  const done = await $({ nothrow: true, quiet: true })`pacman -S --needed --noconfirm ${packages}`;
  if (done.exitCode !== 0) {
    throw new HostError(`pacman -S ${packages.join(" ")}: ${lastLine(done.stderr)}`);
  }
}

function lastLine(text: string): string {
  return text.trim().split("\n").at(-1) ?? "";
}
