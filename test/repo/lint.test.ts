/** Our PKGBUILDs keep the rules, and what breaks one is named. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureHostPackages } from "../../scripts/host.ts";
import { isDummy, lintPackage, lintRecipe } from "../../scripts/repo/lint.ts";
import { type Recipe, readRecipes } from "../../scripts/repo/recipe.ts";
import { type Made, makePackage, removeAll, scratch } from "./support.ts";

let folder: string;

beforeAll(async () => {
  await ensureHostPackages(["makepkg", "pacman", "bsdtar", "zstd"]);
  folder = await scratch();
});
afterAll(removeAll);

/** One that is right, with changes. */
async function recipe(
  change: Partial<Recipe> = {},
  text = "package() {\n\t:\n}\n",
): Promise<Recipe> {
  const place = join(folder, "good");
  await mkdir(place, { recursive: true });
  await writeFile(join(place, "PKGBUILD"), text);
  return {
    name: "good",
    folder: place,
    packages: ["good"],
    version: "1-1",
    arch: ["any"],
    license: ["GPL-3.0-only"],
    depends: ["bash"],
    makedepends: [],
    provides: [],
    conflicts: [],
    backup: [],
    sources: [],
    sha256sums: [],
    install: undefined,
    ...change,
  };
}

describe("the packages of this checkout", () => {
  test("keep the rules", async () => {
    const { recipes, broken } = await readRecipes();
    expect(broken).toEqual([]);
    for (const one of recipes) {
      expect({ name: one.name, faults: await lintRecipe(one, recipes) }).toEqual({
        name: one.name,
        faults: [],
      });
    }
    const dummies = await Promise.all(
      recipes.map(async (one) => ((await isDummy(one)) ? [one.name] : [])),
    );
    expect(dummies.flat()).toEqual([
      "elogind",
      "initramfs",
      "libudev",
      "mkinitcpio",
      "systemd",
      "systemd-sysvcompat",
    ]);
  }, 60_000);
});

const BREAKS: [string, Partial<Recipe>, RegExp][] = [
  ["another pkgname", { packages: ["other"] }, /pkgname is other/],
  ["two packages", { packages: ["good", "more"] }, /pkgname is good more/],
  ["another architecture", { arch: ["i686"] }, /arch is i686/],
  ["a license that is no SPDX id", { license: ["GPL"] }, /license is "GPL"/],
  ["no license", { license: [] }, /license is ""/],
  [
    "a source without a checksum",
    { sources: ["https://x.org/a.tar.gz"], sha256sums: ["SKIP"] },
    /no checksum for a.tar.gz/,
  ],
  ["fewer checksums than sources", { sources: ["a"] }, /1 sources and 0 sha256sums/],
  [
    "a source that anybody on the way can change",
    { sources: ["http://x.org/a.tar.gz"], sha256sums: ["0".repeat(64)] },
    /must come by https/,
  ],
  ["a dependency that nobody has", { depends: ["no-such-thing"] }, /depends on no-such-thing/],
];

describe("a PKGBUILD", () => {
  test("that is right has no faults", async () => {
    expect(await lintRecipe(await recipe(), [])).toEqual([]);
    const expression = await recipe({ license: ["GPL-2.0-only OR (MIT AND ISC)"] });
    expect(await lintRecipe(expression, [])).toEqual([]);
  });

  for (const [what, change, fault] of BREAKS) {
    test(`with ${what} is refused`, async () => {
      const faults = await lintRecipe(await recipe(change), []);
      expect(faults).toHaveLength(1);
      expect(faults[0]).toMatch(fault);
    });
  }

  test("without files is for any architecture", async () => {
    const dummy = await recipe({ arch: ["x86_64"] }, "pkgname=good\n");
    expect(await lintRecipe(dummy, [])).toEqual(["has no files, so arch must be any"]);
  });

  test("may depend on what another of the set provides", async () => {
    const other = await recipe({ name: "other", packages: ["other"], provides: ["udev=251"] });
    expect(await lintRecipe(await recipe({ depends: ["udev>=240"] }), [other])).toEqual([]);
  });
});

const FAULTY: [string, Partial<Made>, RegExp][] = [
  ["a setuid file", { files: { "usr/bin/a": "" }, modes: { "usr/bin/a": "4755" } }, /setuid/],
  ["a file all may write", { files: { "etc/a": "" }, modes: { "etc/a": "666" } }, /writable/],
  ["another's file", { files: { "etc/a": "" }, owner: "1000" }, /belongs to 1000:1000/],
  ["a unit", { files: { "usr/lib/systemd/system/a.service": "" } }, /is a unit/],
  ["a service in a runlevel", { links: { "etc/runlevels/boot/a": "/etc/init.d/a" } }, /come back/],
  ["a file in a link of Arch's", { files: { "usr/sbin/a": "" } }, /usr\/sbin\/a? ?is no place/],
  ["the build's path", { files: { "etc/a": "x=/tmp/good-0123456789abcdef/work\n" } }, /own path/],
  ["another version", { version: "2-1" }, /it must be good-1-1-any/],
];

describe("a package", () => {
  const lint = async (made: Partial<Made>, change: Partial<Recipe> = {}, text?: string) =>
    lintPackage(
      await makePackage(await scratch(), { name: "good", ...made }),
      await recipe(change, text),
    );

  test("that is right has no faults", async () => {
    expect(await lint({ files: { "etc/a": "", "usr/bin/b": "" } }, { backup: ["etc/a"] })).toEqual(
      [],
    );
  });

  for (const [what, made, fault] of FAULTY) {
    test(`with ${what} is refused`, async () => {
      const faults = await lint(made);
      expect(faults.length).toBeGreaterThan(0);
      for (const one of faults) expect(one).toMatch(fault);
    });
  }

  test("without a file that backup names is refused", async () => {
    expect(await lint({}, { backup: ["etc/gone"] })).toEqual([
      "backup names etc/gone, which is not in the package",
    ]);
  });

  test("that is to have no files and has one is refused", async () => {
    expect(await lint({ files: { "etc/a": "" } }, {}, "pkgname=good\n")).toEqual([
      "has etc/: it is a package without files",
    ]);
  });
});
