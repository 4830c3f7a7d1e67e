/** The palette and what is drawn with it. */
import { describe, expect, test } from "bun:test";
import { cpSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { drawText } from "../../scripts/artwork/letters.ts";
import { PICTURES, staleArtwork, withText } from "../../scripts/artwork/main.ts";
import { contrast, PALETTE, TERMINAL } from "../../scripts/artwork/palette.ts";
import { cleanUp, folder, SKEL, skelFiles } from "./support.ts";

const ROOT = resolve(import.meta.dir, "../..");

const BRANDING = "packages/lainos-calamares-config-layer-02/branding/lainos";

cleanUp();

describe("artwork", () => {
  test("is what the script makes: run bun run artwork", async () => {
    expect(await staleArtwork()).toEqual([]);
  });

  test("that is old or gone is named", async () => {
    const copy = folder();
    for (const { name, pngs } of PICTURES) {
      for (const path of [`scripts/artwork/${name}.svg`, ...pngs]) {
        if (path !== "profile/grub/splash.png") cpSync(join(ROOT, path), join(copy, path));
      }
    }
    writeFileSync(join(copy, "scripts/artwork/logo.svg"), "<svg/>");
    writeFileSync(
      join(copy, "profile/syslinux/splash.png"),
      withText(readFileSync(join(ROOT, "profile/grub/splash.png")), "Comment", "another one"),
    );
    expect(await staleArtwork(copy)).toEqual([
      "scripts/artwork/logo.svg is not what draw.ts makes",
      "profile/syslinux/splash.png is not made of what draw.ts makes",
      "profile/grub/splash.png is not made of what draw.ts makes",
    ]);
  });

  // Width and height are bytes 16 to 23 of a PNG, then its depth (PNG 3rd edition, 11.2.2).
  const sizes: [string, number, number, number][] = [
    ["airootfs/usr/share/lainos/icons/lainos.png", 256, 256, 30_000],
    ["airootfs/usr/share/lainos/wallpapers/lainos.png", 1920, 1080, 150_000],
    ["profile/syslinux/splash.png", 640, 480, 60_000],
    ["profile/grub/splash.png", 1024, 768, 60_000],
    [`${BRANDING}/logo.png`, 256, 256, 30_000],
    [`${BRANDING}/welcome.png`, 720, 240, 40_000],
  ];
  test.each(sizes)("%s is %d by %d", (path, width, height, most) => {
    const png = readFileSync(join(ROOT, path));
    expect([png.readUInt32BE(16), png.readUInt32BE(20), png.readUInt8(24)]).toEqual([
      ...[width, height, 8],
    ]);
    // GRUB and syslinux read no interlaced ones.
    expect(png.readUInt8(28)).toBe(0);
    expect(statSync(join(ROOT, path)).size).toBeLessThan(most);
  });

  test("a letter that is not there is an error, and a text goes into no file but a PNG", () => {
    expect(() => drawText("X", { x: 0, y: 0, size: 10, colour: "#fff" })).toThrow("no letter X");
    expect(() => withText(Buffer.alloc(64), "Source", "x")).toThrow("not a PNG");
  });
});

describe("colours", () => {
  const known = new Set<string>(Object.values(PALETTE));

  /** The colours that a file names: #rrggbb, and rrggbb where the format has no sign before it. */
  function coloursIn(path: string, text: string): string[] {
    const signed = [...text.matchAll(/#([0-9a-fA-F]{3,8})\b/g)].map((match) => match[1]);
    const bare = /foot\.ini$|swaylock\/config$/.test(path)
      ? [...text.matchAll(/(?<=[= ])([0-9a-fA-F]{6,8})\b/g)].map((match) => match[1])
      : [];
    return [...signed, ...bare].map((digits) => `#${digits}`.toLowerCase());
  }

  test("of the skel are all of the palette", () => {
    const strange: string[] = [];
    let seen = 0;
    for (const path of skelFiles()) {
      const colours = coloursIn(path, readFileSync(join(SKEL, path), "utf8"));
      seen += colours.length;
      strange.push(...colours.filter((one) => !known.has(one)).map((one) => `${path}: ${one}`));
    }
    expect(strange).toEqual([]);
    expect(seen).toBeGreaterThan(150);
  });

  test("a strange one would be seen", () => {
    expect(coloursIn(".config/foot/foot.ini", "regular0=123456\ncolor=14101a ABCDEF\n")).toEqual([
      ...["#123456", "#14101a", "#abcdef"],
    ]);
    expect(coloursIn(".zshrc", "a #fff b")).toEqual(["#fff"]);
  });

  test("of text are well read on what they are on", () => {
    const { background, panel, raised, quiet, text, bright, accent } = PALETTE;
    expect(contrast("#000000", "#ffffff")).toBeCloseTo(21);
    for (const behind of [background, panel]) {
      for (const one of [quiet, text, bright, accent]) {
        expect({ one, behind, good: contrast(one, behind) >= 4.5 }).toMatchObject({ good: true });
      }
    }
    expect(contrast(text, raised)).toBeGreaterThan(4.5);
    expect(contrast(panel, accent)).toBeGreaterThan(4.5);
    // All of a terminal's but black, which is there to lie behind something.
    for (const one of TERMINAL.slice(1)) expect(contrast(one, background)).toBeGreaterThan(4.5);
  });

  test("of the three terminals are the same sixteen", () => {
    const read = (path: string) => readFileSync(join(SKEL, path), "utf8");
    const names = ["black", "red", "green", "yellow", "blue", "magenta", "cyan", "white"];
    const { colors } = Bun.TOML.parse(read(".config/alacritty/alacritty.toml")) as {
      colors: Record<string, Record<string, string>>;
    };
    const alacritty = ["normal", "bright"].flatMap((row) =>
      names.map((name) => colors[row]?.[name]),
    );
    expect(alacritty).toEqual([...TERMINAL]);
    const foot = [...read(".config/foot/foot.ini").matchAll(/^(?:regular|bright)\d=(\S+)$/gm)];
    expect(foot.map((match) => `#${match[1]}`)).toEqual([...TERMINAL]);
    const xterm = [...read(".Xdefaults").matchAll(/^XTerm\*color\d+: (\S+)$/gm)];
    expect(xterm.map((match) => match[1])).toEqual([...TERMINAL]);
  });
});
