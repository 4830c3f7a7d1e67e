/** The image of a medium has the date that it is told, and nothing of the moment in which it was made. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureHostPackages } from "../../scripts/host.ts";
import { layOut, makeImage } from "../../scripts/iso/medium.ts";
import { readProfile } from "../../scripts/iso/profile.ts";
import { removeAll, scratch } from "../repo/support.ts";

beforeAll(() =>
  ensureHostPackages([
    ...(["xorriso", "isolinux", "syslinux", "mkfs.fat", "mcopy"] as const),
    ...(["grub-mkimage", "grub for UEFI"] as const),
  ]),
);
afterAll(removeAll);

/** An image with all but a squashfs. @param past how long ago its files were changed, in seconds. */
async function image(epoch: string, past: number): Promise<string> {
  const folder = await scratch();
  const profile = await readProfile(epoch);
  const parts = { vmlinuz: join(folder, "vmlinuz"), initramfs: join(folder, "initramfs") };
  for (const file of Object.values(parts)) await writeFile(file, file.slice(folder.length));
  const tree = join(folder, "tree");
  await mkdir(tree);
  await layOut(tree, profile, parts, epoch);
  const time = Date.now() / 1000 - past;
  await utimes(join(tree, "boot/grub/grub.cfg"), time, time);
  const made = join(folder, "image.iso");
  await makeImage(tree, made, profile, folder, epoch, new AbortController().signal);
  const hash = new Bun.CryptoHasher("sha256");
  return hash.update(await Bun.file(made).bytes()).digest("hex");
}

test("two of one date are the same, byte for byte, and of two dates are not", async () => {
  const first = await image("1795550674", 0);
  // FAT counts in two seconds.
  await Bun.sleep(2_000);
  expect(await image("1795550674", 1_000_000)).toBe(first);
  expect(await image("1795550676", 0)).not.toBe(first);
}, 120_000);
