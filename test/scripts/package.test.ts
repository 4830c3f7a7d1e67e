/** The package that makepkg makes of this checkout. */
import { beforeAll, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { readFile, rm } from "node:fs/promises";
import { dirname } from "node:path";
import { buildPackage } from "../../scripts/package.ts";

const MINUTE = 60_000;
const COMMANDS = ["loginctl", "systemd-inhibit", "systemd-notify"];
const NAMES = [
  ...["audio-init", "dbus-bridge", "ghost-units", "init", "net-init", "notifyd"].map(
    (name) => `usr/libexec/lainos/lainos-${name}`,
  ),
  ...COMMANDS.map((name) => `usr/libexec/lainos/${name}`),
];

let packageFile: string;

beforeAll(async () => {
  ({ packageFile } = await buildPackage());
}, 5 * MINUTE);

async function bsdtar(...words: string[]): Promise<string> {
  const child = Bun.spawn(["bsdtar", ...words], { stderr: "inherit" });
  const text = await child.stdout.text();
  if ((await child.exited) !== 0) throw new Error(`bsdtar ${words.join(" ")} failed`);
  return text;
}

const hash = async (file: string) =>
  createHash("sha256")
    .update(await readFile(file))
    .digest("hex");

describe("protocol7-core", () => {
  test("is under 50 MB packed and under 125 MB installed", async () => {
    expect(Bun.file(packageFile).size).toBeLessThan(50_000_000);
    const info = await bsdtar("-xOf", packageFile, ".PKGINFO");
    expect(Number(/^size = (\d+)$/m.exec(info)?.[1])).toBeLessThan(125_000_000);
    expect(info).toMatch(/^pkgver = 6\.0\.0-1$/m);
    expect(info).toMatch(/^arch = x86_64$/m);
    expect(info).toMatch(/^license = GPL-3\.0-only$/m);
  });

  test("holds one executable, and a hard link to it for every other name", async () => {
    const lines = (await bsdtar("-tvf", packageFile)).split("\n");
    const rows = lines.filter((line) => NAMES.some((name) => line.includes(` ${name}`)));
    expect(rows).toHaveLength(NAMES.length);
    expect(rows.filter((line) => line.includes(" link to "))).toHaveLength(NAMES.length - 1);
    expect(rows.every((line) => /^[-h]rwxr-xr-x/.test(line))).toBe(true);
  });

  test("has systemd's commands in /usr/bin, which find their name by the link", async () => {
    const lines = (await bsdtar("-tvf", packageFile)).split("\n");
    for (const name of COMMANDS) {
      expect(lines.filter((line) => line.includes(` usr/bin/${name} `))).toEqual([
        expect.stringMatching(new RegExp(`^l.* usr/bin/${name} -> \\.\\./libexec/lainos/${name}$`)),
      ]);
    }
  });

  test("has nothing that is setuid or writable by others", async () => {
    const modes = (await bsdtar("-tvf", packageFile)).split("\n").filter(Boolean);
    for (const line of modes) {
      if (line.startsWith("l")) continue;
      expect(line).toMatch(/^[-dh]r..r-.r-. /);
      expect(line).not.toMatch(/^.{3}[sS]|^.{6}[sS]/);
    }
  });

  test(
    "has the same bytes when it is built again",
    async () => {
      // Both times here: what was there before may have been made by another makepkg, on the host.
      const build = async () => {
        await rm(dirname(packageFile), { recursive: true });
        const built = await buildPackage();
        expect(built.packageFile).toBe(packageFile);
        return hash(packageFile);
      };
      expect(await build()).toBe(await build());
    },
    5 * MINUTE,
  );
});
