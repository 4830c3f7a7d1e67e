/**
 * The image of a medium, laid out and made bootable as mkarchiso does it, so that the menus of
 * profile/ are those of both: El Torito with ISOLINUX for BIOS, GRUB in a FAT image for UEFI.
 */
import { copyFile, cp, mkdir, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { HostError } from "../host.ts";
import { filledIn, mediumUuid, PROFILE, type Profile, searchFile } from "./profile.ts";

/** What a medium is made of besides its squashfs, on the host. */
export interface Parts {
  readonly vmlinuz: string;
  readonly initramfs: string;
}

/** Where Debian keeps what Arch has in /usr/lib/syslinux/bios. */
const ISOLINUX = "/usr/lib/ISOLINUX";
const SYSLINUX = "/usr/lib/syslinux/modules/bios";

/** What the menu of profile/syslinux needs. */
const SYSLINUX_MODULES = ["ldlinux", "libcom32", "libutil", "vesamenu"];

/** What profile/grub/grub.cfg loads, and what finds the medium on anything that it may be on. */
const GRUB_MODULES = [
  ...["all_video", "boot", "configfile", "echo", "efi_gop", "efi_uga", "efifwsetup", "fat", "font"],
  ...["gfxmenu", "gfxterm", "halt", "iso9660", "linux", "loopback", "normal", "part_gpt"],
  ...[
    "part_msdos",
    "png",
    "probe",
    "reboot",
    "regexp",
    "search",
    "search_fs_file",
    "serial",
    "test",
  ],
];

/** The first thing that GRUB runs: it looks for the medium by the file that bears its name. */
function embeddedConfig(uuid: string): string {
  return `search --no-floppy --set=root --file ${searchFile(uuid)}
if [ -f /boot/grub/grub.cfg ]; then
    set ARCHISO_HINT="$root"
    export ARCHISO_HINT
    configfile /boot/grub/grub.cfg
else
    echo "No medium with ${searchFile(uuid)} is there."
fi
`;
}

/**
 * Fills a folder with all that the image shall hold but the squashfs, which is to be
 * `INSTALL_DIR/ARCH/airootfs.sfs` in it.
 */
export async function layOut(
  tree: string,
  profile: Profile,
  parts: Parts,
  epoch: string,
): Promise<void> {
  const uuid = mediumUuid(epoch);
  const { install_dir, arch, iso_version } = profile;
  const boot = join(tree, install_dir, "boot", arch);
  await mkdir(boot, { recursive: true });
  await copyFile(parts.vmlinuz, join(boot, "vmlinuz-linux"));
  await copyFile(parts.initramfs, join(boot, "initramfs-linux.img"));
  await mkdir(join(tree, install_dir, arch), { recursive: true });
  await writeFile(join(tree, install_dir, "version"), `${iso_version}\n`);

  const syslinux = join(tree, "boot/syslinux");
  await mkdir(syslinux, { recursive: true });
  await copyFile(join(ISOLINUX, "isolinux.bin"), join(syslinux, "isolinux.bin"));
  for (const name of SYSLINUX_MODULES) {
    await copyFile(join(SYSLINUX, `${name}.c32`), join(syslinux, `${name}.c32`));
  }
  await copyMenus(join(PROFILE, "syslinux"), syslinux, profile, uuid);

  const grub = join(tree, "boot/grub");
  await mkdir(join(grub, "fonts"), { recursive: true });
  await copyMenus(join(PROFILE, "grub"), grub, profile, uuid);
  await writeFile(join(tree, searchFile(uuid)), "");
}

async function copyMenus(from: string, to: string, profile: Profile, uuid: string): Promise<void> {
  for (const name of await readdir(from)) {
    const source = join(from, name);
    if (name.endsWith(".cfg")) {
      const text = await readFile(source, "utf8");
      await writeFile(join(to, name), filledIn(text, profile, uuid));
    } else await cp(source, join(to, name), { recursive: true });
  }
}

/**
 * Makes the image, under its final name only when it is whole.
 * @param scratch a folder for what is made on the way.
 * @throws HostError with the words of the tool that failed.
 */
export async function makeImage(
  tree: string,
  image: string,
  profile: Profile,
  scratch: string,
  epoch: string,
  signal: AbortSignal,
): Promise<void> {
  const uuid = mediumUuid(epoch);
  const efi = join(scratch, "efiboot.img");
  await makeEfiImage(efi, scratch, uuid, signal);
  const building = `${image}.new`;
  const mbr = join(ISOLINUX, "isohdpfx.bin");
  try {
    await tool(signal, epoch)`xorriso -no_rc -report_about SORRY -as mkisofs \
      -iso-level 3 -full-iso9660-filenames -joliet -joliet-long -rational-rock \
      -volid ${profile.iso_label} -appid ${profile.iso_application} \
      -publisher ${profile.iso_publisher} -preparer ${"prepared by bun run iso"} \
      ${`--modification-date=${uuid.replaceAll("-", "")}`} \
      -eltorito-boot boot/syslinux/isolinux.bin -eltorito-catalog boot/syslinux/boot.cat \
      -no-emul-boot -boot-load-size 4 -boot-info-table \
      -isohybrid-mbr ${mbr} --mbr-force-bootable -partition_offset 16 \
      -append_partition 2 C12A7328-F81F-11D2-BA4B-00A0C93EC93B ${efi} -isohybrid-gpt-basdat \
      -eltorito-alt-boot -e ${"--interval:appended_partition_2:all::"} -no-emul-boot \
      -output ${building} ${tree}`;
    await $({ quiet: true })`mv -f ${building} ${image}`;
  } finally {
    await rm(building, { force: true });
    await rm(efi, { force: true });
  }
}

/** A FAT image with GRUB in it, where UEFI looks for what to start. */
async function makeEfiImage(
  image: string,
  scratch: string,
  uuid: string,
  signal: AbortSignal,
): Promise<void> {
  const config = join(scratch, "grub-embedded.cfg");
  const grub = join(scratch, "BOOTX64.EFI");
  await writeFile(config, embeddedConfig(uuid));
  const run = tool(signal);
  const modules = GRUB_MODULES.join(" ");
  await run`grub-mkstandalone -O x86_64-efi --modules=${modules} --locales= --themes= \
    -o ${grub} boot/grub/grub.cfg=${config}`;
  // Room for GRUB, and the eight MiB that mkarchiso leaves for what somebody may add.
  const size = Math.ceil((await stat(grub)).size / 1024 / 1024 + 8) * 1024;
  await rm(image, { force: true });
  await run`mkfs.fat -C -n LAINOS_EFI ${image} ${size}`;
  await run`mmd -i ${image} ::/EFI ::/EFI/BOOT`;
  await run`mcopy -i ${image} ${grub} ::/EFI/BOOT/${basename(grub)}`;
}

/** Runs a tool to its end. @throws HostError with its last line where it fails. */
function tool(signal: AbortSignal, epoch?: string) {
  const env = { ...process.env, LC_ALL: "C", ...(epoch ? { SOURCE_DATE_EPOCH: epoch } : {}) };
  const shell = $({ quiet: true, nothrow: true, signal, env });
  return async (pieces: TemplateStringsArray, ...values: unknown[]): Promise<void> => {
    const done = await shell(pieces, ...(values as string[]));
    signal.throwIfAborted();
    if (done.exitCode === 0) return;
    const said = (done.stderr.trim() || done.stdout.trim()).split("\n").slice(-4).join("; ");
    throw new HostError(`${pieces[0]?.trim().split(" ")[0]}: status ${done.exitCode}: ${said}`);
  };
}
