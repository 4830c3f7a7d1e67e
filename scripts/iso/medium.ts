/**
 * The image of a medium, laid out and made bootable as mkarchiso does it, so that the menus of
 * profile/ are those of both: El Torito with ISOLINUX for BIOS, GRUB in a FAT image for UEFI.
 */
import {
  copyFile,
  cp,
  mkdir,
  readdir,
  readFile,
  rm,
  stat,
  utimes,
  writeFile,
} from "node:fs/promises";
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

/** GRUB for UEFI, and the font of its menus, on Debian and on Arch. */
const GRUB = "/usr/lib/grub/x86_64-efi";
const GRUB_FONT = "/usr/share/grub/unicode.pf2";

/** What the menu of profile/syslinux needs. */
const SYSLINUX_MODULES = ["ldlinux", "libcom32", "libutil", "vesamenu"];

/** What profile/grub/grub.cfg loads, and what finds the medium on anything that it may be on. */
const GRUB_MODULES = [
  ...["all_video", "boot", "configfile", "echo", "efi_gop", "efifwsetup", "fat", "font"],
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
  await makeEfiImage(efi, scratch, uuid, epoch, signal);
  const building = `${image}.new`;
  const mbr = join(ISOLINUX, "isohdpfx.bin");
  try {
    const names = [".", ...(await readdir(tree, { recursive: true }))];
    await setTimes(
      names.map((name) => join(tree, name)),
      epoch,
    );
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
  epoch: string,
  signal: AbortSignal,
): Promise<void> {
  const run = tool(signal, epoch);
  const grub = join(scratch, "BOOTX64.EFI");
  await makeGrub(grub, join(scratch, "grub"), embeddedConfig(uuid), epoch, run);
  // Room for GRUB, and the eight MiB that mkarchiso leaves for what somebody may add.
  const size = Math.ceil((await stat(grub)).size / 1024 / 1024 + 8) * 1024;
  await rm(image, { force: true });
  // The volume's number, which would be the time.
  const id = Number(epoch).toString(16).padStart(8, "0").slice(-8);
  await run`mkfs.fat -C --invariant -i ${id} -n LAINOS_EFI ${image} ${size}`;
  await run`mmd -i ${image} ::/EFI ::/EFI/BOOT`;
  await setTimes([grub], epoch);
  await run`mcopy -m -i ${image} ${grub} ::/EFI/BOOT/${basename(grub)}`;
}

/**
 * GRUB with all its modules in it, as grub-mkstandalone(1) makes it, which packs them with the time at
 * which it copied them.
 */
async function makeGrub(
  file: string,
  scratch: string,
  config: string,
  epoch: string,
  run: ReturnType<typeof tool>,
): Promise<void> {
  const folder = join(scratch, "boot/grub");
  await mkdir(join(folder, "fonts"), { recursive: true });
  await copyFile(GRUB_FONT, join(folder, "fonts", basename(GRUB_FONT)));
  await writeFile(join(folder, "grub.cfg"), config);
  const all = (await readdir(GRUB)).filter((name) => /\.(?:mod|lst)$/.test(name));
  await mkdir(join(folder, basename(GRUB)));
  for (const name of all) await copyFile(join(GRUB, name), join(folder, basename(GRUB), name));
  const archive = `${scratch}.tar`;
  const order = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", `--mtime=@${epoch}`];
  await run`tar -c --format=ustar ${order} -f ${archive} -C ${scratch} boot`;
  const options = ["-O", basename(GRUB), "-d", GRUB, "-p", "(memdisk)/boot/grub", "-m", archive];
  await run`grub-mkimage ${options} -o ${file} memdisk tar ${GRUB_MODULES}`;
}

/** Gives files and folders the image's own date, so that two builds of one date are the same. */
async function setTimes(paths: readonly string[], epoch: string): Promise<void> {
  for (const path of paths) await utimes(path, Number(epoch), Number(epoch));
}

/** Runs a tool to its end. @throws HostError with its last line where it fails. */
function tool(signal: AbortSignal, epoch: string) {
  const env = { ...process.env, LC_ALL: "C", SOURCE_DATE_EPOCH: epoch };
  const shell = $({ quiet: true, nothrow: true, signal, env });
  return async (
    pieces: TemplateStringsArray,
    ...values: (string | number | readonly string[])[]
  ): Promise<void> => {
    const done = await shell(pieces, ...(values as string[]));
    signal.throwIfAborted();
    if (done.exitCode === 0) return;
    const said = (done.stderr.trim() || done.stdout.trim()).split("\n").slice(-4).join("; ");
    throw new HostError(`${pieces[0]?.trim().split(" ")[0]}: status ${done.exitCode}: ${said}`);
  };
}
