/**
 * `bun run artwork`: writes the SVGs beside this file and the PNGs where the live system and the boot
 * menus look for them. `bun run artwork --check` writes nothing and says what is not as it would be.
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { crc32 } from "node:zlib";
import { $ } from "zx";
import { ensureHostPackages, HostError } from "../host.ts";
import { UserError } from "../user-error.ts";
import { installerWelcome, logo, splashBios, splashUefi, wallpaper } from "./draw.ts";

const ROOT = resolve(import.meta.dir, "../..");

interface Picture {
  readonly name: string;
  readonly draw: () => string;
  /** Where its PNG goes, from the top of the checkout; a package cannot reach out of its folder. */
  readonly pngs: readonly string[];
}

const BRANDING = "packages/lainos-calamares-config-layer-02/branding/lainos";

export const PICTURES: readonly Picture[] = [
  {
    name: "logo",
    draw: logo,
    pngs: ["airootfs/usr/share/lainos/icons/lainos.png", `${BRANDING}/logo.png`],
  },
  { name: "wallpaper", draw: wallpaper, pngs: ["airootfs/usr/share/lainos/wallpapers/lainos.png"] },
  { name: "splash-bios", draw: splashBios, pngs: ["profile/syslinux/splash.png"] },
  { name: "splash-uefi", draw: splashUefi, pngs: ["profile/grub/splash.png"] },
  { name: "installer-welcome", draw: installerWelcome, pngs: [`${BRANDING}/welcome.png`] },
];

/** The PNG keyword (PNG 3rd edition, 11.3.3) under which it says what it was made of. */
const KEYWORD = "Source";

const sourceOf = (svg: string): string => createHash("sha256").update(svg).digest("hex");

const svgPath = (root: string, name: string): string => join(root, `scripts/artwork/${name}.svg`);

/**
 * The same PNG with a text in it, right before its end.
 * @throws Error where it is no PNG.
 */
export function withText(png: Uint8Array, keyword: string, text: string): Buffer {
  const at = png.length - 12;
  const bytes = Buffer.from(png);
  if (bytes.toString("latin1", at + 4, at + 8) !== "IEND") throw new Error("not a PNG");
  const body = Buffer.from(`tEXt${keyword}\0${text}`, "latin1");
  const chunk = Buffer.alloc(body.length + 8);
  chunk.writeUInt32BE(body.length - 4, 0);
  body.copy(chunk, 4);
  chunk.writeUInt32BE(crc32(body), body.length + 4);
  return Buffer.concat([bytes.subarray(0, at), chunk, bytes.subarray(at)]);
}

/** What in the checkout is not as the script would make it, a line for each; empty if all is. */
export async function staleArtwork(root = ROOT): Promise<string[]> {
  const stale: string[] = [];
  for (const { name, draw, pngs } of PICTURES) {
    const svg = draw();
    const drawn = await readFile(svgPath(root, name), "utf8").catch(absent);
    if (drawn !== svg) stale.push(`scripts/artwork/${name}.svg is not what draw.ts makes`);
    for (const png of pngs) {
      const painted = await readFile(join(root, png)).catch(absent);
      // rsvg's versions differ in a pixel, so the PNG is not made again: it says of what it is.
      if (!painted?.includes(Buffer.from(`${KEYWORD}\0${sourceOf(svg)}`, "latin1"))) {
        stale.push(`${png} is not made of what draw.ts makes`);
      }
    }
  }
  return stale;
}

function absent(error: NodeJS.ErrnoException): undefined {
  if (error.code !== "ENOENT") throw error;
}

async function write(root: string): Promise<void> {
  await ensureHostPackages(["rsvg-convert"], (names) =>
    console.log(`installing ${names.join(" ")}`),
  );
  for (const { name, draw, pngs } of PICTURES) {
    const svg = draw();
    await writeFile(svgPath(root, name), svg);
    for (const png of pngs) {
      await paint(svgPath(root, name), join(root, png), sourceOf(svg));
      console.log(`${png}: ${Bun.file(join(root, png)).size} bytes`);
    }
  }
}

async function paint(svg: string, png: string, source: string): Promise<void> {
  await mkdir(dirname(png), { recursive: true });
  const done = await $({ nothrow: true, quiet: true })`rsvg-convert --output ${png} ${svg}`;
  if (done.exitCode !== 0) throw new HostError(`rsvg-convert ${svg}: ${done.stderr.trim()}`);
  await writeFile(png, withText(await readFile(png), KEYWORD, source));
}

async function main(words: readonly string[]): Promise<number> {
  if (words.length === 0) {
    await write(ROOT);
    return 0;
  }
  if (words.length > 1 || words[0] !== "--check") {
    console.error("artwork: the one option is --check");
    return 2;
  }
  const stale = await staleArtwork();
  for (const line of stale) console.error(`artwork: ${line}: run bun run artwork`);
  return stale.length === 0 ? 0 : 1;
}

if (import.meta.main) {
  try {
    process.exitCode = await main(process.argv.slice(2));
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    console.error(`artwork: ${error.message}`);
    process.exitCode = 1;
  }
}
