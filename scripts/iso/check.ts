/**
 * What can be said about profile/ and airootfs/ without building them: mkarchiso's own rules
 * (archiso's README.profile.rst), and those that it only warns of or does not know.
 */
import { lstat, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { AIROOTFS, overlayPaths, PROFILE, type Profile } from "./profile.ts";
import { LEVEL } from "./trust.ts";

/** What archiso 88 knows. */
const BOOTMODES = ["bios.syslinux", "uefi.grub", "uefi.systemd-boot"];
const BUILDMODES = ["bootstrap", "iso", "netboot"];
const IMAGE_TYPES = ["squashfs", "ext4+squashfs", "erofs"];

/** The words between percent signs that mkarchiso fills in; the last in GRUB's files only. */
const WORDS = ["ARCHISO_LABEL", "INSTALL_DIR", "ARCH", "ARCHISO_UUID", "ARCHISO_SEARCH_FILENAME"];

/**
 * What starts OpenRC, at the end of every command line: dracut hands init all words that follow
 * (but console=), and openrc-init takes the first of them for the runlevel to start.
 */
export const INIT = "init=/sbin/openrc-init";

/** What every entry that starts the medium tells the kernel besides, in any order. */
export const COMMAND_LINE = [
  "root=live:CDLABEL=%ARCHISO_LABEL%",
  "rd.live.image",
  // An overlay of files in memory. Before dracut 110 the word was another.
  "rd.overlay",
  "rd.live.dir=%INSTALL_DIR%",
  "rd.live.squashimg=%ARCH%/airootfs.sfs",
  "rd.live.waitdev=5",
  "random.trust_cpu=off",
  // No use of memory that was freed or never written, and none of a place that can be guessed.
  "init_on_alloc=1",
  "init_on_free=1",
  "page_alloc.shuffle=1",
  // The security modules, for AppArmor: Arch's kernel has it, and leaves it out by default.
  "lsm=landlock,lockdown,yama,integrity,apparmor,bpf",
];

/** Files whose contents are secret, and the modes that keep them so. */
const SECRET: Readonly<Record<string, RegExp>> = {
  "/etc/shadow": /^0?[46]00$/,
  "/etc/gshadow": /^0?[46]00$/,
  "/etc/doas.conf": /^0?[46][04]0$/,
};

/** @returns what is wrong, a line each; empty where all is well. */
export async function checkProfile(profile: Profile, folder = PROFILE): Promise<string[]> {
  return [
    ...definition(profile),
    ...packages(profile),
    ...(await menus(profile, folder)),
    ...(await pacmanConfigurations(profile, folder)),
    ...(await permissions(profile)),
    ...(await accounts()),
    ...(await runlevels()),
  ];
}

function definition(profile: Profile): string[] {
  const faults: string[] = [];
  const expect = (right: boolean, fault: string) => {
    if (!right) faults.push(`profiledef.sh: ${fault}`);
  };
  const { install_dir, iso_label, bootmodes, buildmodes, airootfs_image_type } = profile;
  expect(
    /^[a-z0-9]{1,8}$/.test(install_dir),
    `install_dir is ${install_dir}: it must be up to eight small letters and digits`,
  );
  expect(
    /^[A-Z0-9_]{1,32}$/.test(iso_label),
    `iso_label is ${iso_label}: ISO 9660 has capital letters, digits and _, 32 of them at most`,
  );
  expect(/^[A-Za-z0-9._-]+$/.test(profile.iso_name), `iso_name is ${profile.iso_name}`);
  expect(
    /^\d{4}\.\d\d\.\d\d$/.test(profile.iso_version),
    `iso_version is ${profile.iso_version}: it must be YYYY.MM.DD`,
  );
  expect(profile.arch === "x86_64", `arch is ${profile.arch}: the boot modes need x86_64`);
  expect(bootmodes.length > 0, "bootmodes is empty");
  for (const mode of bootmodes) {
    expect(
      BOOTMODES.includes(mode),
      `${mode} in bootmodes: mkarchiso knows ${BOOTMODES.join(", ")}`,
    );
    expect(mode !== "uefi.systemd-boot", `${mode} takes its loader from systemd`);
  }
  for (const mode of buildmodes) expect(BUILDMODES.includes(mode), `${mode} in buildmodes`);
  expect(
    IMAGE_TYPES.includes(airootfs_image_type),
    `airootfs_image_type is ${airootfs_image_type}: mkarchiso knows ${IMAGE_TYPES.join(", ")}`,
  );
  return faults;
}

/** Which package a boot mode or the way the medium works needs. */
const NEEDED: Readonly<Record<string, string>> = {
  syslinux: "the boot mode bios.syslinux",
  grub: "the installer's boot loader",
  "amd-ucode": "the microcode of AMD's processors",
  "intel-ucode": "the microcode of Intel's processors",
  linux: "a kernel: mkarchiso copies /boot/vmlinuz-*",
  dracut: "the initramfs",
  openrc: INIT,
  "protocol7-core": "login1",
  "systemd-libs": "what Arch's packages link against",
};

function packages({ packages: names }: Profile): string[] {
  const faults = Object.entries(NEEDED)
    .filter(([name]) => !names.includes(name))
    .map(([name, why]) => `packages.x86_64: ${name} is missing: ${why}`);
  const twice = names.filter((name, index) => names.indexOf(name) !== index);
  for (const name of twice) faults.push(`packages.x86_64: ${name} is there twice`);
  for (const name of names) {
    if (!/^[a-z0-9@_+][a-z0-9@._+-]*$/.test(name))
      faults.push(`packages.x86_64: ${name} is no name`);
  }
  return faults;
}

async function menus(profile: Profile, folder: string): Promise<string[]> {
  const faults: string[] = [];
  for (const [loader, main] of [
    ["syslinux", "syslinux.cfg"],
    ["grub", "grub.cfg"],
  ] as const) {
    const names = await readdir(join(folder, loader)).catch(() => [] as string[]);
    if (!names.includes(main)) faults.push(`${loader}/${main} is missing`);
    for (const name of names.filter((each) => each.endsWith(".cfg"))) {
      const text = await readFile(join(folder, loader, name), "utf8");
      const where = `${loader}/${name}`;
      for (const [word, inside = ""] of text.matchAll(/%([A-Z_]+)%/g)) {
        const forGrub = inside === "ARCHISO_SEARCH_FILENAME";
        if (!WORDS.includes(inside) || (forGrub && loader !== "grub")) {
          faults.push(`${where}: ${word} is none of mkarchiso's words`);
        }
      }
      faults.push(...commandLines(where, text));
    }
  }
  if (profile.bootmodes.includes("bios.syslinux")) {
    const both = await Promise.all(
      ["syslinux/syslinux.cfg", "grub/grub.cfg"].map((path) =>
        readFile(join(folder, path), "utf8").catch(() => ""),
      ),
    );
    const [bios, uefi] = both.map((text) => entries(text).join("; "));
    if (bios !== uefi) faults.push(`the menus differ: BIOS has ${bios}; UEFI has ${uefi}`);
  }
  return faults;
}

/** The lines that start a kernel, each with what its entry adds. */
function kernelLines(text: string): string[] {
  return [...text.matchAll(/^\s*(?:APPEND|linux \S+)\s+(.*)$/gm)].map(([, words = ""]) => words);
}

function commandLines(where: string, text: string): string[] {
  const faults = kernelLines(text).flatMap((line) => {
    const words = line.split(/\s+/);
    const missing = COMMAND_LINE.filter((word) => !words.includes(word));
    return [
      ...missing.map((word) => `${where}: an entry does not say ${word}`),
      ...(words.at(-1) === INIT ? [] : [`${where}: the last word of an entry is not ${INIT}`]),
    ];
  });
  // SYSLINUX puts what it names behind all other words.
  if (/^\s*INITRD\b/m.test(text)) faults.push(`${where}: INITRD comes after ${INIT}`);
  return kernelLines(text).length === 0 ? [`${where}: no entry starts a kernel`] : faults;
}

/**
 * What distinguishes the entries. UEFI hands its screen on; after BIOS, vga= asks for one. GRUB has the
 * initramfs in a line of its own.
 */
function entries(text: string): string[] {
  return kernelLines(text).map((line) =>
    line
      .split(/\s+/)
      .filter((word) => ![...COMMAND_LINE, INIT].includes(word) && !/^(vga|initrd)=/.test(word))
      .join(" "),
  );
}

/** In the order of pacman.conf: the first repository that has a name wins, whatever the version. */
const ORDER = ["protocol_7_repo", "core", "extra", "lainos_repo"];

/**
 * Both pacman.conf: which repository goes before which, that nothing unsigned is taken, and that an
 * upgrade on the medium leaves out the same files as mkarchiso.
 */
async function pacmanConfigurations({ pacman_conf }: Profile, folder: string): Promise<string[]> {
  const faults: string[] = [];
  const leftOut: string[] = [];
  for (const [where, file] of [
    [pacman_conf, join(folder, pacman_conf)],
    ["/etc/pacman.conf", join(AIROOTFS, "etc/pacman.conf")],
  ] as const) {
    const text = await readFile(file, "utf8").catch(() => "");
    const patterns = [...text.matchAll(/^NoExtract\s*=\s*(.*)$/gm)].map(([, words]) => words);
    leftOut.push(patterns.join(" "));
    const levels = new Map<string, string>();
    let section = "";
    for (const line of text.split("\n")) {
      section = /^\[(.*)\]$/.exec(line)?.[1] ?? section;
      if (line === `[${section}]`) levels.set(section, "");
      const level = /^SigLevel\s*=\s*(.*)$/.exec(line)?.[1];
      if (level !== undefined) levels.set(section, level);
    }
    const order = [...levels.keys()].filter((name) => name !== "options");
    if (order.join() !== ORDER.join()) {
      faults.push(`${where}: the repositories are ${order.join(", ")}, not ${ORDER.join(", ")}`);
    }
    for (const [name, level] of levels) {
      const own = name === "protocol_7_repo" || name === "lainos_repo";
      const right = own ? level === LEVEL : name !== "options" || /^Required\b/.test(level);
      if (!right || /TrustAll|Never|Optional\b(?<!DatabaseOptional)/.test(level)) {
        faults.push(
          `${where}: SigLevel of ${name} is ${level || "not there"}: pacman would take what nobody signed`,
        );
      }
    }
  }
  const [build, medium] = leftOut;
  if (build !== medium) {
    faults.push(`NoExtract differs: ${pacman_conf} has ${build}; /etc/pacman.conf has ${medium}`);
  }
  return faults;
}

/** file_permissions against the overlay's files, both ways. */
async function permissions({ file_permissions }: Profile): Promise<string[]> {
  const faults: string[] = [];
  const there = new Set(await overlayPaths());
  for (const [path, { mode }] of file_permissions) {
    const file = await lstat(join(AIROOTFS, path)).catch(() => undefined);
    if (file === undefined) faults.push(`file_permissions: ${path} is not in airootfs/`);
    const secret = SECRET[path];
    if (secret && !secret.test(mode)) faults.push(`file_permissions: ${path} is ${mode}`);
  }
  for (const path of there) {
    const file = await lstat(join(AIROOTFS, path));
    if (file.isSymbolicLink()) continue;
    const given = file_permissions.get(path);
    const isExecutable = (file.mode & 0o111) !== 0;
    const willBe = given !== undefined && (Number.parseInt(given.mode, 8) & 0o111) !== 0;
    if (isExecutable && !willBe) {
      faults.push(`file_permissions: ${path} can be executed here and not on the medium`);
    }
    if (!isExecutable && willBe) {
      faults.push(`file_permissions: ${path} can be executed on the medium and not here`);
    }
    const start = (await readFile(join(AIROOTFS, path))).subarray(0, 2).toString();
    const isProgram = /^\/(etc\/init\.d|usr\/local\/bin)\//.test(path);
    if (start === "#!" && !isExecutable && isProgram) {
      faults.push(`${path} begins with #! and cannot be executed`);
    }
  }
  for (const path of Object.keys(SECRET)) {
    if (there.has(path) && !file_permissions.has(path)) {
      faults.push(`file_permissions: ${path} would be for everybody to read`);
    }
  }
  return faults;
}

/** The four account files against each other (passwd(5), shadow(5), group(5), gshadow(5)). */
async function accounts(): Promise<string[]> {
  const faults: string[] = [];
  const fields: Readonly<Record<string, number>> = { passwd: 7, shadow: 9, group: 4, gshadow: 4 };
  const lines: Record<string, string[][]> = {};
  for (const [file, count] of Object.entries(fields)) {
    const text = await readFile(join(AIROOTFS, "etc", file), "utf8").catch(() => "");
    lines[file] = text
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => line.split(":"));
    for (const line of lines[file]) {
      if (line.length !== count) faults.push(`/etc/${file}: ${line[0]} has ${line.length} fields`);
    }
  }
  const named = (file: string) => new Set(lines[file]?.map(([name]) => name));
  for (const [file, other] of [
    ["passwd", "shadow"],
    ["shadow", "passwd"],
    ["group", "gshadow"],
    ["gshadow", "group"],
  ] as const) {
    for (const name of named(file)) {
      if (!named(other).has(name)) faults.push(`/etc/${file}: ${name} is not in /etc/${other}`);
    }
  }
  const gids = new Set(lines.group?.map(([, , gid]) => gid));
  for (const [name, , , gid] of lines.passwd ?? []) {
    if (!gids.has(gid)) faults.push(`/etc/passwd: ${name} has the group ${gid}, which is none`);
  }
  return faults;
}

/** Links in the runlevels lead to the init script of their own name. */
async function runlevels(): Promise<string[]> {
  const faults: string[] = [];
  for (const path of await overlayPaths()) {
    const [, level, service] = /^\/etc\/runlevels\/([^/]+)\/([^/]+)$/.exec(path) ?? [];
    if (level === undefined) continue;
    const leads = await readlink(join(AIROOTFS, path)).catch(() => "nowhere");
    if (leads !== `/etc/init.d/${service}`) faults.push(`${path} leads to ${leads}`);
  }
  return faults;
}
