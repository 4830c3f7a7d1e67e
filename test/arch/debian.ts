/** Whose the files of a Debian root are, by Arch's names and paths. */
import { readdir, readFile, readlink } from "node:fs/promises";
import { dirname, join, normalize } from "node:path";
import { PACKAGES } from "../../scripts/repo/recipe.ts";

/** Arch's own files in place of Debian's: a folder a package, each file where it lands. */
export const FILES = join(import.meta.dir, "files");
const SCRIPTS = join(import.meta.dir, "../../scripts");

/**
 * Which of Debian's packages have the files of one of Arch's, or of ours that cannot be built without
 * its source. A package of Debian's with the name of one of Arch's is that; what is in no package
 * here is the C library's.
 */
const DEBIANS: Readonly<Record<string, readonly string[]>> = {
  cryptsetup: ["cryptsetup-bin"],
  dbus: ["dbus", "dbus-bin", "dbus-daemon", "dbus-session-bus-common", "dbus-system-bus-common"],
  dhcpcd: ["dhcpcd-base"],
  dracut: ["dracut", "dracut-core"],
  eudev: ["udev"],
  "greetd-tuigreet": ["tuigreet"],
  gptfdisk: ["gdisk"],
  grub: ["grub-common", "grub-efi-amd64-bin", "grub-pc-bin", "grub2-common"],
  "lainos-calamares-dracut": ["calamares"],
  openrc: ["libeinfo1", "librc1t64", "openrc"],
  pacman: ["libalpm16", "makepkg", "pacman-package-manager"],
  polkit: ["pkexec", "polkitd"],
  "procps-ng": ["procps"],
  shadow: ["login.defs", "passwd"],
  "syslog-ng": ["syslog-ng-core"],
  "systemd-libs": ["libsystemd0", "libudev1"],
  "ttf-dejavu": ["fonts-dejavu-core"],
  "util-linux": ["bsdutils", "fdisk", "login", "mount", "util-linux", "util-linux-extra"],
  "xorg-server": ["xserver-common", "xserver-xorg-core"],
  "xorg-xinit": ["xinit"],
  "xorg-xwayland": ["xwayland"],
  zsh: ["zsh", "zsh-common"],
};

/** dpkg's own world, and what LainOS has parts of its own for. */
const LEFT_OUT = [
  ...["apt", "debconf", "debian-archive-keyring", "dpkg", "init-system-helpers", "linux-base"],
  ...["protocol7-test-logind", "systemd-standalone-sysusers", "systemd-standalone-tmpfiles"],
];

/** What is a running system's, Debian's alone, or Arch's own and in FILES. */
const SKIPPED = new RegExp(
  `^(?:${[
    "bin|boot|dev|home|lib|lib64|media|mnt|proc|root|run|sbin|srv|sys|tmp|vmlinuz.*|initrd.*",
    "var/(?:backups|cache|lib/(?:apt|dpkg|pam|systemd|ucf)|local|lock|log|mail|run|spool|tmp)",
    "etc/(?:\\.pwd\\.lock|apt|cron\\..*|debian_version|default/locale|dpkg|environment|hostname)",
    "etc/(?:(?:group|gshadow|passwd|shadow|subgid|subuid)-?|issue.*|kernel|ld\\.so\\.cache)",
    "etc/(?:chrony/chrony\\.conf|locale\\.conf|localtime|machine-id|motd|mtab|os-release|pam\\.d|polkit-1/rules\\.d)",
    "etc/(?:rc.\\.d|runlevels|skel|timezone|sysusers\\.d|udev|ucf\\.conf|xdg/autostart)",
    "etc/logrotate\\.d/(?:alternatives|apt|dpkg|[bw]tmp)",
    "usr/lib/(?:modules|os-release|sysusers\\.d|tmpfiles\\.d)",
    "usr/share/(?:bug|doc|info|initramfs-tools|lintian|locale|man|pam|pam-configs)",
  ].join("|")})(?:/|$)`,
);

/** Init scripts that Debian's OpenRC lacks: where ours for it are. */
export const INIT_SCRIPTS: Readonly<Record<string, readonly string[]>> = {
  [join(SCRIPTS, "lib/openrc-standins")]: [
    ...["bootmisc", "hostname", "localmount", "loopback", "sysfs"],
  ],
  [join(SCRIPTS, "../testbed/live/openrc-standins")]: ["devfs", "root"],
  [join(SCRIPTS, "iso/standins")]: ["dmesg", "keymaps", "swap"],
};

/** Of the kernel, what a medium starts with: an initramfs of all drivers takes minutes. */
const MODULES =
  /\/modules\.(?:builtin|order)|\/kernel\/(?:(?:arch|block|crypto|fs|lib)|drivers\/(?:ata|block|cdrom|hid|md|nvme|scsi|usb|virtio))\//;

/** Files by the package that they belong to: where each lands, and where it is. */
export type Contents = Map<string, Map<string, string>>;

/**
 * Divides a root's files, and those that take their place, among packages.
 * @param known the names that there are packages of.
 */
export async function readContents(rootfs: string, known: ReadonlySet<string>): Promise<Contents> {
  const kernel = (await readdir(join(rootfs, "usr/lib/modules")))[0] ?? "";
  const modules = `usr/lib/modules/${kernel}`;
  const contents: Contents = new Map();
  const taken = new Set<string>();
  const give = (name: string, path: string, from: string) => {
    contents.set(name, (contents.get(name) ?? new Map<string, string>()).set(path, from));
    if (!path.startsWith(".")) taken.add(path);
  };
  for (const file of await filesBelow(FILES)) {
    const [name = "", ...rest] = file
      .replace("KERNEL", kernel)
      .slice(FILES.length + 1)
      .split("/");
    give(name, rest.join("/"), file);
  }
  for (const name of ["udev", "udev-settle", "udev-trigger"]) {
    give("eudev", `etc/init.d/${name}`, join(PACKAGES, "eudev", `${name}.initd`));
    give("eudev", `etc/conf.d/${name}`, join(PACKAGES, "eudev", `${name}.confd`));
  }
  for (const name of ["eudev-hwdb", "eudev-reload"]) {
    const hook = join(PACKAGES, "eudev", `${name}.hook`);
    give("eudev", `usr/share/libalpm/hooks/30-${name}.hook`, hook);
  }
  for (const name of ["eudev", "openrc"]) {
    give(name, ".INSTALL", join(PACKAGES, name, `${name}.install`));
  }
  for (const [folder, names] of Object.entries(INIT_SCRIPTS)) {
    for (const name of names) give("openrc", `etc/init.d/${name}`, join(folder, name));
  }
  give("openrc", "usr/share/openrc/rc.conf", join(rootfs, "etc/rc.conf"));
  for (const file of await filesBelow(join(rootfs, modules))) {
    const path = file.slice(rootfs.length + 1);
    if (MODULES.test(path)) give("linux", path, file);
  }
  give("linux", `${modules}/vmlinuz`, join(rootfs, "boot", `vmlinuz-${kernel}`));

  const owners = new Map<string, string>();
  for await (const [debian, line] of dpkgLines(rootfs, ".list"))
    owners.set(archsPath(line), debian);
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await readdir(join(rootfs, folder), { withFileTypes: true })) {
      const from = join(folder, entry.name);
      if (SKIPPED.test(from)) continue;
      const file = join(rootfs, from);
      if (entry.isDirectory() && (await readdir(file)).length > 0) {
        await visit(from);
        continue;
      }
      const path = archsPath(from);
      if (taken.has(path)) continue;
      if (entry.isSymbolicLink()) {
        // From one of two folders to the other, which are one here.
        const target = normalize(join("/", dirname(from), await readlink(file)));
        if (archsPath(target) === path) continue;
      }
      const name = packageOf(owners.get(path), known);
      // Debian's init scripts are for what it has.
      if (name === undefined || (path.startsWith("etc/init.d/") && name !== "openrc")) continue;
      give(name, path, file);
    }
  };
  await visit("");
  return contents;
}

/** The configuration files of Debian's packages, as backup= names them, by Arch's. */
export async function readConffiles(
  rootfs: string,
  known: ReadonlySet<string>,
): Promise<Map<string, string[]>> {
  const found = new Map<string, string[]>();
  for await (const [debian, line] of dpkgLines(rootfs, ".conffiles")) {
    const name = packageOf(debian, known);
    if (name === undefined) continue;
    const path = archsPath(line.split(" ").at(-1) ?? "");
    found.set(name, [...(found.get(name) ?? []), path]);
  }
  return found;
}

/** Whose a file of one of Debian's packages, or of none, is; undefined where it is left out. */
function packageOf(debian = "", known: ReadonlySet<string>): string | undefined {
  if (LEFT_OUT.includes(debian) || debian.startsWith("linux-image-")) return undefined;
  const named = Object.entries(DEBIANS).find(([, names]) => names.includes(debian))?.[0];
  return named ?? (known.has(debian) ? debian : "glibc");
}

/** Debian's path as Arch has it: all commands in /usr/bin, all libraries in /usr/lib. */
function archsPath(path: string): string {
  return path
    .replace(/^\//, "")
    .replace(/^(?=s?bin\/|lib(?:64)?\/)/, "usr/")
    .replace(/^usr\/sbin\//, "usr/bin/")
    .replace(/^usr\/lib64\//, "usr/lib/");
}

/** The lines of dpkg's files of a kind, with the package that each is of. */
async function* dpkgLines(rootfs: string, end: string): AsyncGenerator<[string, string]> {
  const folder = join(rootfs, "var/lib/dpkg/info");
  for (const file of (await readdir(folder)).filter((name) => name.endsWith(end))) {
    const name = file.slice(0, -end.length).replace(/:.*/, "");
    const text = await readFile(join(folder, file), "utf8");
    for (const line of text.trim().split("\n")) yield [name, line];
  }
}

/** All files in a folder and its folders. */
export async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .sort();
}
