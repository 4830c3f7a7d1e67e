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

/** A package's file, and what a database says of it. */
export interface Written {
  readonly facts: Facts;
  readonly file: string;
  /** In bytes. */
  readonly size: number;
  readonly sha256: string;
}

/** Makes FOLDER a repository NAME of stubs: `Server = file://FOLDER`. */
export async function writeStubs(
  folder: string,
  name: string,
  packages: readonly Facts[],
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const written: Written[] = [];
  for (const facts of packages) written.push(await writeStub(folder, facts));
  await writeDatabase(folder, name, written);
}

/**
 * Writes the database of a repository. It is in the format of repo-add(8), which itself takes half a
 * minute for so many.
 */
export async function writeDatabase(
  folder: string,
  name: string,
  packages: readonly Written[],
): Promise<void> {
  const entries = packages.map((one) => {
    return [`${one.facts.name}-${one.facts.version}/desc`, description(one)] as const;
  });
  const archive = new Bun.Archive(Object.fromEntries(entries), { compress: "gzip" });
  await writeFile(join(folder, `${name}.db`), await archive.bytes());
}

/** Writes one stub into a folder. */
export async function writeStub(folder: string, facts: Facts): Promise<Written> {
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
  const file = fileName(facts);
  await writeFile(join(folder, file), bytes);
  await chmod(join(folder, file), 0o644);
  const sha256 = new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
  return { facts, file, size: bytes.length, sha256 };
}

/** pacman wants no colon in a file's name where an epoch is: makepkg has one as well. */
export function fileName({ name, version }: Facts): string {
  return `${name}-${version}-any.pkg.tar.zst`;
}

/** .PKGINFO, as makepkg writes it. */
export function information(facts: Facts): string {
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
function description({ facts, file, size, sha256 }: Written): string {
  const sections: [string, readonly string[]][] = [
    ["FILENAME", [file]],
    ["NAME", [facts.name]],
    ["BASE", [facts.name]],
    ["VERSION", [facts.version]],
    ["CSIZE", [String(size)]],
    ["ISIZE", ["1"]],
    ["SHA256SUM", [sha256]],
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
