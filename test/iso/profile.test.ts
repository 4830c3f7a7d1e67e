/** profile/ and airootfs/ by the rules of mkarchiso, and that the checker finds what breaks them. */
import { afterEach, describe, expect, test } from "bun:test";
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { stageProfile } from "../../scripts/iso/arch.ts";
import { checkProfile } from "../../scripts/iso/check.ts";
import {
  AIROOTFS,
  filledIn,
  imageName,
  mediumUuid,
  PROFILE,
  type Profile,
  readProfile,
} from "../../scripts/iso/profile.ts";

/** 2026-11-24 20:04:34 UTC. */
const EPOCH = "1795550674";

const folders: string[] = [];
afterEach(async () => {
  for (const folder of folders.splice(0)) await rm(folder, { recursive: true });
});

async function scratch(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), "p7-profile-"));
  folders.push(folder);
  return folder;
}

/** A copy of the profile in which a file's text is changed. */
async function changed(path: string, change: (text: string) => string): Promise<string> {
  const folder = join(await scratch(), "profile");
  await cp(PROFILE, folder, { recursive: true, verbatimSymlinks: true });
  const file = join(folder, path);
  const before = await readFile(file, "utf8");
  const after = change(before);
  if (after === before) throw new Error(`the change of ${path} changes nothing`);
  await writeFile(file, after);
  return folder;
}

test("the profile is right", async () => {
  expect(await checkProfile(await readProfile(EPOCH))).toEqual([]);
});

test("its image is named after SOURCE_DATE_EPOCH", async () => {
  const profile = await readProfile(EPOCH);
  expect(imageName(profile)).toBe("LainOS-2026.11.24-x86_64.iso");
  expect(mediumUuid(EPOCH)).toBe("2026-11-24-20-04-34-00");
});

test("the menus are filled in as mkarchiso does it", async () => {
  const profile = await readProfile(EPOCH);
  const text = await readFile(join(PROFILE, "grub/grub.cfg"), "utf8");
  const filled = filledIn(text, profile, mediumUuid(EPOCH));
  expect(filled).toContain("linux /arch/boot/x86_64/vmlinuz-linux root=live:CDLABEL=LAINOS ");
  expect(filled).toContain("--file /boot/2026-11-24-20-04-34-00.uuid");
  expect(filled).not.toMatch(/%[A-Z_]+%/);
});

describe("the checker finds", () => {
  const wrong: [string, Partial<Profile>, string][] = [
    ["a long install_dir", { install_dir: "archlinux" }, "install_dir is archlinux"],
    ["a label in small letters", { iso_label: "lainos" }, "iso_label is lainos"],
    ["an unknown boot mode", { bootmodes: ["bios.grub"] }, "bios.grub in bootmodes"],
    ["a loader of systemd's", { bootmodes: ["uefi.systemd-boot"] }, "from systemd"],
    ["no boot mode", { bootmodes: [] }, "bootmodes is empty"],
    ["an unknown image", { airootfs_image_type: "zip" }, "airootfs_image_type is zip"],
    ["a list without syslinux", { packages: ["linux", "grub"] }, "syslinux is missing"],
    ["a package that is there twice", { packages: ["grub", "grub"] }, "grub is there twice"],
  ];
  test.each(wrong)("%s", async (_, change, fault) => {
    const faults = await checkProfile({ ...(await readProfile(EPOCH)), ...change });
    expect(faults.join("\n")).toContain(fault);
  });

  const permissions: [string, [string, string][], string[], string][] = [
    ["a file that is not there", [["/etc/none", "755"]], [], "/etc/none is not in airootfs/"],
    ["a program without its mode", [], ["/usr/local/bin/lainos-session-sway"], "not on the medium"],
    ["a secret without its mode", [], ["/etc/shadow"], "for everybody to read"],
    ["a secret that all may read", [["/etc/shadow", "644"]], [], "/etc/shadow is 644"],
    ["a mode too many", [["/etc/hostname", "755"]], [], "on the medium and not here"],
  ];
  test.each(permissions)("in file_permissions: %s", async (_, added, removed, fault) => {
    const profile = await readProfile(EPOCH);
    const map = new Map(profile.file_permissions);
    for (const path of removed) expect(map.delete(path)).toBe(true);
    for (const [path, mode] of added) map.set(path, { uid: 0, gid: 0, mode });
    const faults = await checkProfile({ ...profile, file_permissions: map });
    expect(faults.join("\n")).toContain(fault);
  });

  const texts: [string, string, (text: string) => string, string][] = [
    [
      "an entry without its init",
      "grub/grub.cfg",
      (t) => t.replace(" init=/sbin/openrc-init", ""),
      "grub/grub.cfg: the last word of an entry is not init=/sbin/openrc-init",
    ],
    [
      "an entry that hands a word to its init",
      "syslinux/syslinux.cfg",
      (t) => t.replace("init=/sbin/openrc-init", "init=/sbin/openrc-init quiet"),
      "syslinux/syslinux.cfg: the last word of an entry is not init=/sbin/openrc-init",
    ],
    [
      "an initramfs that SYSLINUX names behind all words",
      "syslinux/syslinux.cfg",
      (t) => t.replace("LABEL ram\n", "LABEL ram\nINITRD /initramfs.img\n"),
      "syslinux/syslinux.cfg: INITRD comes after init=/sbin/openrc-init",
    ],
    [
      "a word that nobody fills in",
      "syslinux/syslinux.cfg",
      (t) => t.replace("%ARCH%", "%MACHINE%"),
      "%MACHINE% is none of mkarchiso's words",
    ],
    [
      "GRUB's word in SYSLINUX's menu",
      "syslinux/syslinux.cfg",
      (t) => `${t}# %ARCHISO_SEARCH_FILENAME%\n`,
      "%ARCHISO_SEARCH_FILENAME% is none",
    ],
    [
      "a repository that takes what nobody signed",
      "pacman.conf",
      (t) => t.replace("SigLevel = Required DatabaseRequired", "SigLevel = Optional TrustAll"),
      "pacman.conf: SigLevel of protocol_7_repo is Optional TrustAll",
    ],
    [
      "a repository without a level of its own",
      "pacman.conf",
      (t) => t.replace("[lainos_repo]\nSigLevel = Required DatabaseRequired", "[lainos_repo]"),
      "pacman.conf: SigLevel of lainos_repo is not there",
    ],
    [
      "repositories of ours before Arch's",
      "pacman.conf",
      (t) => t.replace("[core]", "[lainos_repo]\n[core]"),
      "the repositories are protocol_7_repo, lainos_repo, core, extra, not",
    ],
    [
      "files that one pacman leaves out and the other does not",
      "pacman.conf",
      (t) => t.replace(" usr/share/xsessions/openbox*.desktop", ""),
      "NoExtract differs: pacman.conf has usr/share/wayland-sessions/sway.desktop usr/lib",
    ],
    [
      "menus that differ",
      "grub/grub.cfg",
      (t) => t.replace("nomodeset", "nomodeset verbose"),
      "the menus differ",
    ],
  ];
  test.each(texts)("%s", async (_, path, change, fault) => {
    const faults = await checkProfile(await readProfile(EPOCH), await changed(path, change));
    expect(faults.join("\n")).toContain(fault);
  });

  test("a profiledef.sh that bash does not understand", async () => {
    const folder = await changed("profiledef.sh", (text) => `${text}if\n`);
    await expect(readProfile(EPOCH, folder)).rejects.toThrow(/profiledef\.sh.*syntax error/s);
  });

  test("a mode that is none", async () => {
    const folder = await changed("profiledef.sh", (text) => text.replace("0:0:0755", "root:755"));
    await expect(readProfile(EPOCH, folder)).rejects.toThrow("it must be UID:GID:MODE");
  });
});

/** A repository's databases, as far as the stage looks at them. */
async function checkout(folder: string): Promise<string> {
  const repository = join(folder, "repository");
  for (const end of ["db", "files"]) {
    await Bun.write(join(repository, `protocol_7_repo.${end}.tar.gz`), end);
  }
  return repository;
}

/** What pacman reads in a pacman.conf: a key's values in a section, or the sections' names. */
async function pacmanReads(file: string, ...words: string[]): Promise<string[]> {
  await ensureHostPackages(["pacman"]);
  // Its Include is of a file that only Arch has.
  const text = (await readFile(file, "utf8")).replaceAll(/^Include = .*/gm, "Server = file:///");
  await writeFile(`${file}.read`, text);
  const done = await $({ quiet: true })`pacman-conf --config ${`${file}.read`} ${words}`;
  await rm(`${file}.read`);
  return done.stdout.trim().split("\n");
}

test("mkarchiso gets the overlay itself, and the new package before all repositories", async () => {
  const folder = await scratch();
  const repository = await checkout(folder);
  const staged = join(folder, "profile");
  await stageProfile(staged, { repository, cache: folder, keys: true });
  expect(await readdir(join(staged, "airootfs/etc/runlevels"))).toEqual(
    await readdir(join(AIROOTFS, "etc/runlevels")),
  );
  const config = await readFile(join(staged, "pacman.conf"), "utf8");
  const sections = [...config.matchAll(/^\[(.*)\]$/gm)].map(([, name]) => name);
  expect(sections).toEqual([
    "options",
    "protocol7-checkout",
    "protocol_7_repo",
    "core",
    "extra",
    "lainos_repo",
  ]);
  expect(await readFile(join(repository, "protocol7-checkout.db"), "utf8")).toBe("db");
});

describe("the installed system's pacman", () => {
  test("downloads as a user without rights, as Arch's does", async () => {
    const text = await readFile(join(AIROOTFS, "etc/pacman.conf"), "utf8");
    expect(text).toMatch(/^DownloadUser = alpm$/m);
  });

  test("takes nothing unsigned from our repositories, where there is a key", async () => {
    const folder = await scratch();
    const staged = join(folder, "profile");
    await stageProfile(staged, { repository: await checkout(folder), cache: folder, keys: true });
    const config = join(staged, "airootfs/etc/pacman.conf");
    for (const name of ["protocol_7_repo", "lainos_repo"]) {
      const levels = await pacmanReads(config, "--repo", name, "SigLevel");
      expect(levels).toEqual([
        ...["PackageRequired", "PackageTrustedOnly", "DatabaseRequired", "DatabaseTrustedOnly"],
      ]);
    }
    expect(await readFile(join(staged, "packages.x86_64"), "utf8")).toContain("lainos-keyring");
  });

  test("knows no repository of ours, where there is none, and says why", async () => {
    const folder = await scratch();
    const staged = join(folder, "profile");
    await stageProfile(staged, { repository: await checkout(folder), cache: folder, keys: false });
    const config = join(staged, "airootfs/etc/pacman.conf");
    expect(await pacmanReads(config, "--repo-list")).toEqual(["core", "extra"]);
    const text = await readFile(config, "utf8");
    expect(text).toContain("# Closed: this medium was built without a key");
    expect(text).toContain("#[lainos_repo]\n#SigLevel = Required DatabaseRequired\n#Server = ");
    expect(await pacmanReads(join(staged, "pacman.conf"), "--repo-list")).toEqual([
      ...["protocol7-checkout", "core", "extra"],
    ]);
    expect(await readFile(join(staged, "packages.x86_64"), "utf8")).not.toContain("lainos-keyring");
  });
});

test("the greeter's configuration is what greetd reads", async () => {
  const text = await readFile(join(AIROOTFS, "etc/greetd/config.toml"), "utf8");
  const config = Bun.TOML.parse(text) as Record<string, Record<string, unknown>>;
  // greetd(5): a configuration without these is refused.
  expect(config.terminal?.vt).toBe(1);
  expect(config.default_session?.user).toBe("greeter");
  const command = String(config.default_session?.command);
  expect(command).toMatch(/^tuigreet /);
  // tuigreet passes over what it does not know.
  const [, theme = ""] = /--theme '([^']*)'/.exec(command) ?? [];
  const parts = "border title text prompt input action button container".split(" ");
  expect(theme.split(";").map((part) => part.split("=")[0])).toEqual(parts);
  // It logs in by itself who is remembered and has no password.
  expect(command.split(" ")).not.toContain("--remember");
  // What Enter starts; without it, the first of the list by its name.
  expect(command).toContain(" --cmd /usr/local/bin/lainos-session-sway ");
});
