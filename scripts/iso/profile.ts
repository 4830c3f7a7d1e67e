/** What profile/ says, read as mkarchiso reads it (archiso's README.profile.rst). */
import { readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { $ } from "zx";
import { HostError } from "../host.ts";

export const PROFILE = resolve(import.meta.dir, "../../profile");

/** The overlay, where profile/airootfs leads. */
export const AIROOTFS = resolve(import.meta.dir, "../../airootfs");

export interface Permission {
  readonly uid: number;
  readonly gid: number;
  /** In octal digits, for chmod(1). */
  readonly mode: string;
}

export interface Profile {
  readonly iso_name: string;
  readonly iso_label: string;
  readonly iso_publisher: string;
  readonly iso_application: string;
  readonly iso_version: string;
  readonly install_dir: string;
  readonly arch: string;
  readonly pacman_conf: string;
  readonly airootfs_image_type: string;
  readonly buildmodes: readonly string[];
  readonly bootmodes: readonly string[];
  /** By path in the root, from its top. */
  readonly file_permissions: ReadonlyMap<string, Permission>;
  /** One a line in packages.x86_64, in its order. */
  readonly packages: readonly string[];
}

const SCALARS = [
  "iso_name",
  "iso_label",
  "iso_publisher",
  "iso_application",
  "iso_version",
  "install_dir",
  "arch",
  "pacman_conf",
  "airootfs_image_type",
] as const;

/** Prints what the file sets, each value with a NUL after it. */
const SHOW = `set -eu
declare -A file_permissions=()
buildmodes=() bootmodes=()
source "$1"
for name in ${SCALARS.join(" ")}; do printf '%s=%s\\0' "$name" "\${!name:-}"; done
for mode in "\${buildmodes[@]}"; do printf 'buildmodes=%s\\0' "$mode"; done
for mode in "\${bootmodes[@]}"; do printf 'bootmodes=%s\\0' "$mode"; done
for path in "\${!file_permissions[@]}"; do
  printf 'file_permissions=%s:%s\\0' "\${file_permissions[$path]}" "$path"
done`;

/**
 * Reads a profile.
 * @param epoch SOURCE_DATE_EPOCH, in seconds since 1970: the date in the version is its.
 * @throws HostError where profiledef.sh is no bash, or an entry of file_permissions is no
 * UID:GID:MODE.
 */
export async function readProfile(epoch: string, folder = PROFILE): Promise<Profile> {
  const file = join(folder, "profiledef.sh");
  const done = await $({
    nothrow: true,
    quiet: true,
    cwd: folder,
    env: { PATH: "/usr/bin:/bin", LC_ALL: "C", SOURCE_DATE_EPOCH: epoch },
  })`bash -c ${SHOW} profile ${file}`;
  if (done.exitCode !== 0) throw new HostError(`${file}: ${done.stderr.trim()}`);
  const scalars: Partial<Record<(typeof SCALARS)[number], string>> = {};
  const lists: Record<string, string[]> = { buildmodes: [], bootmodes: [] };
  const permissions = new Map<string, Permission>();
  for (const entry of done.stdout.split("\0").slice(0, -1)) {
    const [name = "", value = ""] = split(entry, "=");
    if (name === "file_permissions") {
      const [, uid, gid, mode, path] = /^(\d+):(\d+):([0-7]{3,4}):(\/.*)$/s.exec(value) ?? [];
      if (mode === undefined || path === undefined) {
        throw new HostError(`${file}: file_permissions has ${value}: it must be UID:GID:MODE`);
      }
      permissions.set(path, { uid: Number(uid), gid: Number(gid), mode });
    } else if (lists[name]) lists[name].push(value);
    else scalars[name as (typeof SCALARS)[number]] = value;
  }
  return {
    ...(scalars as Record<(typeof SCALARS)[number], string>),
    buildmodes: lists.buildmodes ?? [],
    bootmodes: lists.bootmodes ?? [],
    file_permissions: permissions,
    packages: await readPackages(join(folder, `packages.${scalars.arch}`)),
  };
}

/** The names in a package list; what follows a # is a comment. */
export async function readPackages(file: string): Promise<string[]> {
  const text = await readFile(file, "utf8");
  return text
    .split("\n")
    .map((line) => line.replace(/#.*/, "").trim())
    .filter((line) => line !== "");
}

/** What mkarchiso writes in place of the words between percent signs in the boot menus. */
export function filledIn(text: string, profile: Profile, uuid: string): string {
  const values: Readonly<Record<string, string>> = {
    ARCHISO_LABEL: profile.iso_label,
    ARCHISO_UUID: uuid,
    INSTALL_DIR: profile.install_dir,
    ARCH: profile.arch,
    ARCHISO_SEARCH_FILENAME: searchFile(uuid),
  };
  return text.replaceAll(/%([A-Z_]+)%/g, (word, name) => values[name] ?? word);
}

/** The file by which GRUB finds the medium. */
export function searchFile(uuid: string): string {
  return `/boot/${uuid}.uuid`;
}

/** The medium's UUID: its date, as ISO 9660 has it, to the second. */
export function mediumUuid(epoch: string): string {
  const date = new Date(Number(epoch) * 1000).toISOString();
  return `${date.slice(0, 19).replaceAll(/[T:]/g, "-")}-00`;
}

/** The name of the image. */
export function imageName({ iso_name, iso_version, arch }: Profile, addition = ""): string {
  return `${iso_name}-${iso_version}${addition}-${arch}.iso`;
}

/** Every file and link of the overlay, as paths in the root. */
export async function overlayPaths(folder = AIROOTFS): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => `/${join(entry.parentPath, entry.name).slice(folder.length + 1)}`)
    .sort();
}

function split(text: string, at: string): [string, string] {
  const index = text.indexOf(at);
  return [text.slice(0, index), text.slice(index + 1)];
}
