/**
 * The stand-in for the live medium on a host that has no Arch: the same overlay, menus, live boot and
 * package, over a Debian root file system without systemd. See docs/iso.md for what differs.
 */
import {
  chmod,
  chown,
  cp,
  lstat,
  mkdir,
  readdir,
  readFile,
  rm,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join } from "node:path";
import { ensureHostPackages, HostError } from "../host.ts";
import { installPackage } from "../lib/install.ts";
import { create, destroy, merged, upper, withOverlay } from "../lib/overlay.ts";
import { buildPackageStep } from "../lib/package-step.ts";
import type { Reporter } from "../lib/progress.ts";
import { ensureRootfs, type Recipe } from "../lib/rootfs.ts";
import { missing } from "../lib/state.ts";
import { buildByName } from "../repo/build.ts";
import { layOut, makeImage } from "./medium.ts";
import { AIROOTFS, imageName, type Profile } from "./profile.ts";
import { closeRepositories, hasKeys } from "./trust.ts";

/** By Debian's names, what packages.x86_64 stands for. */
const PACKAGES = {
  boot: ["linux-image-amd64", "dracut", "busybox"],
  init: ["openrc", "kmod", "udev", "procps", "psmisc", "util-linux", "util-linux-extra", "kbd"],
  bus: ["dbus", "dbus-bin", "dbus-daemon", "polkitd", "pkexec", "libsystemd0", "libsystemd-shared"],
  greeter: ["greetd", "tuigreet", "seatd"],
  login: ["login", "passwd", "libpam-modules", "libpam-runtime", "opendoas"],
  shell: ["bash", "zsh", "less", "nano", "zstd", "ncurses-base"],
  net: ["iproute2", "nftables", "chrony", "iwd", "dhcpcd-base", "openresolv", "netbase"],
  log: ["syslog-ng-core", "logrotate"],
  sound: ["pipewire", "wireplumber", "pipewire-pulse", "alsa-utils", "rtkit"],
  sway: ["sway", "swaybg", "swayidle", "swaylock", "autotiling", "xwayland"],
  wayland: ["alacritty", "foot", "wofi", "dunst", "grim", "slurp"],
  xorg: ["xserver-xorg-core", "xserver-xorg-input-libinput", "xinit", "xauth", "xterm"],
  openbox: ["openbox", "tint2", "hsetroot", "x11-utils", "x11-xserver-utils"],
  lock: ["i3lock", "xss-lock"],
  look: ["fonts-dejavu-core", "fonts-noto-core", "libgl1-mesa-dri", "adwaita-icon-theme"],
  fileSystems: ["btrfs-progs", "dosfstools", "e2fsprogs", "xfsprogs", "squashfs-tools"],
  disks: ["cryptsetup-bin", "dmsetup", "efibootmgr", "fdisk", "gdisk", "parted", "rsync"],
  loader: ["grub2-common", "grub-pc-bin", "grub-efi-amd64-bin"],
  installer: ["calamares", "locales", "tzdata", "python3-yaml"],
  // What the installed system needs: pacman takes the installer away, console-data has keymaps.
  installed: ["pacman-package-manager", "console-data"],
} as const;

export const MEDIUM_ROOT: Recipe = {
  kind: "iso/rootfs",
  suite: "forky",
  packages: Object.values(PACKAGES).flat(),
  boots: true,
  clients: false,
};

/** What LainOS has and Debian lacks, and what takes its place on the stand-in. */
export const REPLACED: Readonly<Record<string, string>> = {
  eudev: "Debian's udevd, started under eudev's name",
  "OpenRC's own sysfs, devfs, root, localmount, hostname, bootmisc": "stand-ins of the test system",
  "i3status-rs": "the status.sh of the overlay",
  powerlevel10k: "the overlay's own prompt",
  "lainos-calamares-dracut": "Debian's Calamares 3.4, with LainOS' settings",
};

/**
 * Our stand-ins for services that Debian's OpenRC lacks: where from, and in which runlevel. Those in
 * none are for the installer to add.
 */
const SERVICES: Readonly<Record<string, readonly [folder: string, runlevel?: string]>> = {
  devfs: ["lib/openrc-standins", "sysinit"],
  dmesg: ["iso/standins", "sysinit"],
  udev: ["iso/standins", "sysinit"],
  sysfs: ["lib/openrc-standins", "sysinit"],
  root: ["iso/standins", "boot"],
  keymaps: ["iso/standins"],
  swap: ["iso/standins"],
  localmount: ["lib/openrc-standins", "boot"],
  loopback: ["lib/openrc-standins", "boot"],
  hostname: ["lib/openrc-standins", "boot"],
  bootmisc: ["lib/openrc-standins", "boot"],
};

const SCRIPTS = join(import.meta.dir, "..");

const INSTALLER = "lainos-calamares-config-layer-02";

/** The gettys beside the greeter, which Arch's OpenRC brings itself. */
const GETTYS = [2, 3, 4, 5, 6];

/**
 * A level that costs an emulated processor seconds, for the initramfs of an installed system; and what
 * udevd of systemd 258 and later opens at run time, where dracut does not see it.
 */
const DRACUT = `compress_level_zstd=1
install_optional_items+=" /usr/lib/x86_64-linux-gnu/libkmod.so.2 /usr/lib/x86_64-linux-gnu/libacl.so.1 "
`;

/** Runs in the root: users, what must not be Debian's, and the initramfs. */
const CONFIGURE = `
rm -f /etc/chrony/chrony.conf
# As NoExtract in pacman.conf has it.
rm -f /usr/share/wayland-sessions/sway.desktop /usr/share/xsessions/openbox*.desktop
# Debian's entry of the launcher beside LainOS' own; lainos-calamares-dracut goes without it too.
rm -f /usr/share/applications/calamares.desktop
for group in seat input render netdev wheel; do getent group "$group" >/dev/null || groupadd -r "$group"; done
/usr/libexec/lainos/sysusers /etc/sysusers.d/lainos-live.conf
# Arch's greetd reads /etc/environment, by system-login.
echo 'session required pam_env.so' >>/etc/pam.d/greetd
# Debian's greetd has another user, and its pacman has none.
getent passwd greeter >/dev/null || useradd --system --user-group --groups video --shell /bin/sh greeter
getent passwd alpm >/dev/null || useradd --system --user-group --home-dir / --shell /usr/sbin/nologin alpm
cp -a /etc/skel /home/liveuser
chown -R 1000:1000 /home/liveuser
chmod 0750 /home/liveuser
# Debian's polkitd has another number than Arch's, which file_permissions has.
chgrp polkitd /etc/polkit-1/rules.d
`;

/** Runs in the root, after protocol7-core is there: what is left are the other packages' services. */
const WITHOUT_DAEMONS = `
rm -f /etc/runlevels/*/cgroup-delegate
for name in audio-init dbus-bridge ghost-units machine-id net-init notifyd; do
  rm -f /etc/runlevels/*/lainos-$name
done
sed -i '/pam_systemd.so/d' /etc/pam.d/*
echo 'rc_need="!lainos-ghost-units"' >>/etc/conf.d/polkit
echo '00000000000000000000000000000001' >/etc/machine-id
`;

/** The kernel's package is Arch's name for it here, so that lainos-dracut finds it. */
const INITRAMFS = `
release=$(ls /usr/lib/modules)
echo linux >/usr/lib/modules/$release/pkgbase
mkdir -p /new-boot
LAINOS_BOOT=/new-boot /usr/local/bin/lainos-dracut
`;

export interface StandinOptions {
  readonly profile: Profile;
  /** SOURCE_DATE_EPOCH. */
  readonly epoch: string;
  /** Where the image goes. */
  readonly out: string;
  /** For what is made on the way; the caller's to remove. */
  readonly work: string;
  readonly signal: AbortSignal;
  readonly report: Reporter;
  /** Without our daemons and PAM lines, to measure what they cost. */
  readonly withoutDaemons?: boolean;
}

/**
 * Builds the stand-in.
 * @returns the image's path.
 * @throws HostError where a step fails; nothing is left then but what is kept in the cache.
 */
export async function buildStandin(options: StandinOptions): Promise<string> {
  const { profile, epoch, out, work, signal, report } = options;
  await report.step("Tools", (detail) =>
    ensureHostPackages(
      [
        "mmdebstrap",
        "dpkg-deb",
        "unshare",
        "pacman",
        "bsdtar",
        "mksquashfs",
        "xorriso",
        "isolinux",
        "syslinux",
        "grub-mkimage",
        "grub for UEFI",
        "mkfs.fat",
        "mcopy",
      ],
      (names) => detail(`installing ${names.join(" ")}`),
    ),
  );
  const packageFile = await buildPackageStep(report, signal);
  const installer = await report.step("The installer's settings", () =>
    buildByName([INSTALLER], signal),
  );
  const rootfs = await report.step("Debian root without systemd", (detail) =>
    ensureRootfs(MEDIUM_ROOT, signal, detail),
  );
  const name = `iso-${process.pid}`;
  await create(name, rootfs);
  try {
    await report.step("Overlay and protocol7-core", async () => {
      await layOverlay(upper(name), profile);
      await layStandins(upper(name));
      await mergeAccounts(rootfs, upper(name));
      await installPackage(name, rootfs, packageFile, signal, installer);
      await inRoot(name, rootfs, CONFIGURE, signal);
      if (options.withoutDaemons) await inRoot(name, rootfs, WITHOUT_DAEMONS, signal);
    });
    await report.step("Initramfs by dracut", () => inRoot(name, rootfs, INITRAMFS, signal));
    const tree = join(work, "tree");
    await mkdir(tree, { recursive: true });
    const made = join(upper(name), "new-boot");
    await layOut(
      tree,
      profile,
      { vmlinuz: join(made, "vmlinuz-linux"), initramfs: join(made, "initramfs-linux.img") },
      epoch,
    );
    await rm(made, { recursive: true });
    await report.step("squashfs", () =>
      withOverlay(
        name,
        rootfs,
        squash(merged(name), join(tree, profile.install_dir, profile.arch, "airootfs.sfs"), epoch),
        signal,
      ),
    );
    const image = join(
      out,
      imageName(profile, options.withoutDaemons ? "-debian-bare" : "-debian"),
    );
    await report.step("Image", () => makeImage(tree, image, profile, work, epoch, signal));
    return image;
  } finally {
    await destroy(name);
  }
}

/** airootfs/ as mkarchiso copies it: root's, 0644 and 0755, and then file_permissions. */
export async function layOverlay(root: string, profile: Profile): Promise<void> {
  await cp(AIROOTFS, root, { recursive: true, verbatimSymlinks: true });
  const entries = await readdir(AIROOTFS, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const path = join(root, join(entry.parentPath, entry.name).slice(AIROOTFS.length));
    if (entry.isDirectory()) await chmod(path, 0o755);
    else if (entry.isFile()) await chmod(path, 0o644);
  }
  for (const [path, { uid, gid, mode }] of profile.file_permissions) {
    if ((await lstat(join(root, path)).catch(missing)) === undefined) {
      throw new HostError(
        `${path} is in file_permissions and not in airootfs/: see bun run iso check`,
      );
    }
    await chown(join(root, path), uid, gid);
    await chmod(join(root, path), Number.parseInt(mode, 8));
  }
  if (await hasKeys()) return;
  const config = join(root, "etc/pacman.conf");
  await writeFile(config, closeRepositories(await readFile(config, "utf8")));
}

async function layStandins(root: string): Promise<void> {
  for (const [service, [folder, runlevel]] of Object.entries(SERVICES)) {
    const script = join(root, "etc/init.d", service);
    await mkdir(dirname(script), { recursive: true });
    await cp(join(SCRIPTS, folder, service), script);
    await chmod(script, 0o755);
    if (runlevel) await enable(root, service, runlevel);
  }
  for (const vt of GETTYS) {
    await symlink("agetty", join(root, `etc/init.d/agetty.tty${vt}`));
    await enable(root, `agetty.tty${vt}`, "default");
  }
  await enable(root, "savecache", "shutdown");
  // Arch's is in the package pacman-mirrorlist; pacman does not start without.
  await writeFile(join(root, "etc/pacman.d/mirrorlist"), "# The stand-in has no mirrors.\n");
  // Arch's is in the package filesystem; Calamares unmounts what it finds there.
  await symlink("../proc/self/mounts", join(root, "etc/mtab"));
  await writeFile(join(root, "etc/dracut.conf.d/15-standin.conf"), DRACUT);
}

async function enable(root: string, service: string, runlevel: string): Promise<void> {
  const link = join(root, "etc/runlevels", runlevel, service);
  await mkdir(dirname(link), { recursive: true });
  await symlink(`/etc/init.d/${service}`, link);
}

/**
 * The overlay's accounts beside Debian's: pacman would leave the overlay's files and make the
 * system's users by sysusers, dpkg has made them already.
 */
async function mergeAccounts(rootfs: string, root: string): Promise<void> {
  for (const file of ["passwd", "group", "shadow", "gshadow"]) {
    const ours = await readFile(join(AIROOTFS, "etc", file), "utf8");
    const debians = await readFile(join(rootfs, "etc", file), "utf8");
    const name = (line: string) => line.split(":")[0];
    const named = new Set(ours.trim().split("\n").map(name));
    const others = debians.split("\n").filter((line) => line !== "" && !named.has(name(line)));
    await writeFile(
      join(root, "etc", file),
      `${[...ours.trim().split("\n"), ...others].join("\n")}\n`,
    );
  }
}

function inRoot(
  name: string,
  rootfs: string,
  script: string,
  signal: AbortSignal,
): Promise<string> {
  return withOverlay(name, rootfs, ["chroot", merged(name), "sh", "-euc", script], signal);
}

/** Folders whose contents belong to a running system, or to the host that builds. */
const EMPTIED = ["proc", "sys", "dev", "run", "tmp", "boot", "var/cache", "var/lib/apt/lists"];

function squash(root: string, file: string, epoch: string): string[] {
  return [
    ...["env", `SOURCE_DATE_EPOCH=${epoch}`, "mksquashfs", root, file, "-noappend", "-no-progress"],
    // A level that costs seconds: the medium of a person is mkarchiso's, which has its own.
    ...["-comp", "zstd", "-Xcompression-level", "3", "-b", "256K", "-quiet", "-wildcards", "-e"],
    ...EMPTIED.map((folder) => `${folder}/*`),
    // What has the time of the build in it.
    ...["var/lib/pacman/sync/*", "var/log/*.log", "var/log/apt/*"],
  ];
}
