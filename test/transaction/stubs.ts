/** Packages that have another's name, version and relations, and of its files a few that tell it. */
import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { Facts } from "./facts.ts";

/**
 * Files by which the real packages are known, besides those in `backup`. Those of systemd are what
 * its build system installs; Arch's PKGBUILD moves the libraries to systemd-libs.
 */
export const MARKERS: Readonly<Record<string, readonly string[]>> = {
  systemd: [
    ...["journalctl", "loginctl", "systemctl", "systemd-inhibit", "systemd-notify", "udevadm"].map(
      (name) => `usr/bin/${name}`,
    ),
    ...["systemd", "systemd-logind", "systemd-udevd", "system/systemd-logind.service"].map(
      (name) => `usr/lib/systemd/${name}`,
    ),
    "usr/lib/security/pam_systemd.so",
    "usr/share/dbus-1/system.d/org.freedesktop.login1.conf",
    "usr/share/polkit-1/actions/org.freedesktop.login1.policy",
  ],
  "systemd-libs": ["usr/lib/libsystemd.so.0", "usr/lib/libudev.so.1"],
  "systemd-sysvcompat": ["halt", "init", "poweroff", "reboot", "shutdown"].map(
    (name) => `usr/bin/${name}`,
  ),
  mkinitcpio: ["usr/bin/mkinitcpio", "usr/lib/initcpio/init_functions"],
  dracut: ["usr/bin/dracut"],
  seatd: ["usr/bin/seatd", "usr/lib/systemd/system/seatd.service"],
  eudev: ["usr/bin/udevadm"],
  openrc: ["halt", "init", "openrc-init", "poweroff", "reboot", "shutdown"].map(
    (name) => `usr/bin/${name}`,
  ),
  // The last is nobody's in fact, and stands for the session of another package.
  openbox: ["openbox", "openbox-kde", "other"].map((name) => `usr/share/xsessions/${name}.desktop`),
  sway: ["usr/share/wayland-sessions/sway.desktop"],
};

/**
 * Makes FOLDER a repository NAME of stubs: `Server = file://FOLDER`. The database is in the format
 * of repo-add(8), which itself takes half a minute for so many.
 */
export async function writeStubs(
  folder: string,
  name: string,
  packages: readonly Facts[],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const database: Record<string, string> = {};
  for (const facts of packages) {
    const { file, bytes } = await writeStub(folder, facts);
    database[`${facts.name}-${facts.version}/desc`] = description(facts, file, bytes);
  }
  const archive = new Bun.Archive(database, { compress: "gzip" });
  await writeFile(join(folder, `${name}.db`), await archive.bytes());
}

/** Writes one stub into a folder. @returns its file's name and bytes. */
export async function writeStub(
  folder: string,
  facts: Facts,
): Promise<{ file: string; bytes: Uint8Array }> {
  const content = `${facts.name} ${facts.version}\n`;
  const files = new Set([
    `usr/share/licenses/${facts.name}/stub`,
    ...facts.backup,
    ...(MARKERS[facts.name] ?? []),
  ]);
  const archive = new Bun.Archive({
    ".PKGINFO": information(facts),
    ...Object.fromEntries([...files].map((path) => [path, content])),
  });
  const bytes = Bun.zstdCompressSync(await archive.bytes());
  // pacman wants no colon in a file's name where an epoch is: makepkg has one as well.
  const file = `${facts.name}-${facts.version}-any.pkg.tar.zst`;
  await writeFile(join(folder, file), bytes);
  await chmod(join(folder, file), 0o644);
  return { file, bytes };
}

/** .PKGINFO, as makepkg writes it. */
function information(facts: Facts): string {
  const pairs: [string, string][] = [
    ["pkgname", facts.name],
    ["pkgver", facts.version],
    ["pkgdesc", "a stub"],
    ["builddate", "0"],
    ["packager", "nobody"],
    ["size", "1"],
    ["arch", "any"],
    ...facts.replaces.map((value): [string, string] => ["replaces", value]),
    ...facts.conflicts.map((value): [string, string] => ["conflict", value]),
    ...facts.provides.map((value): [string, string] => ["provides", value]),
    ...facts.backup.map((value): [string, string] => ["backup", value]),
    ...facts.depends.map((value): [string, string] => ["depend", value]),
  ];
  return pairs.map(([key, value]) => `${key} = ${value}\n`).join("");
}

/** A database's entry, as repo-add writes it. */
function description(facts: Facts, file: string, bytes: Uint8Array): string {
  const sections: [string, readonly string[]][] = [
    ["FILENAME", [file]],
    ["NAME", [facts.name]],
    ["BASE", [facts.name]],
    ["VERSION", [facts.version]],
    ["CSIZE", [String(bytes.length)]],
    ["ISIZE", ["1"]],
    ["SHA256SUM", [new Bun.CryptoHasher("sha256").update(bytes).digest("hex")]],
    ["ARCH", ["any"]],
    ["REPLACES", facts.replaces],
    ["DEPENDS", facts.depends],
    ["CONFLICTS", facts.conflicts],
    ["PROVIDES", facts.provides],
  ];
  return sections
    .filter(([, values]) => values.length > 0)
    .map(([key, values]) => `%${key}%\n${values.join("\n")}\n\n`)
    .join("");
}
