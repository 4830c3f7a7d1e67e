/**
 * The packages without files, by a real pacman beside a "core" in which the real ones are by name,
 * version and dependencies. Their contents do not matter here.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { buildPackages } from "../../scripts/repo/build.ts";
import { isDummy } from "../../scripts/repo/lint.ts";
import { parseDependency, type Recipe, readRecipes, WORK } from "../../scripts/repo/recipe.ts";
import { publish } from "../../scripts/repo/repository.ts";
import { type Made, makePackage, Pacman, removeAll, scratch } from "./support.ts";

const signal = new AbortController().signal;
const must = $({ quiet: true });

/** What pulls systemd on Arch, and what else has the names that ours take. */
const CORE: readonly Made[] = [
  {
    name: "systemd",
    version: "259.1-1",
    info: [
      ...["nss-myhostname", "systemd-tools=259.1", "udev=259.1"].map((one) => `provides = ${one}`),
      "depend = systemd-libs=259.1",
    ],
    files: { "usr/lib/systemd/systemd": "real\n" },
  },
  {
    name: "systemd-libs",
    version: "259.1-1",
    info: ["provides = libsystemd", "provides = libudev.so=1-64"],
    files: { "usr/lib/libsystemd.so.0": "real\n" },
  },
  {
    name: "systemd-sysvcompat",
    version: "259.1-1",
    info: ["depend = systemd=259.1"],
    files: { "usr/bin/poweroff": "real\n" },
  },
  { name: "systemd-ukify", version: "259.1-1", info: ["depend = systemd=259.1"] },
  { name: "systemd-resolvconf", version: "259.1-1", info: ["depend = systemd=259.1"] },
  {
    name: "mkinitcpio",
    version: "40-1",
    info: ["provides = initramfs"],
    files: { "usr/share/libalpm/hooks/90-mkinitcpio-install.hook": "real\n" },
  },
  { name: "wants-mkinitcpio", info: ["depend = mkinitcpio=40"] },
  { name: "booster", info: ["provides = initramfs"] },
  { name: "dracut", info: ["provides = initramfs", "depend = systemd"] },
  { name: "linux", info: ["depend = initramfs"] },
  { name: "base", info: ["depend = systemd", "depend = systemd-sysvcompat"] },
  { name: "device-mapper", info: ["depend = systemd", "depend = libudev.so=1-64"] },
  { name: "needs-udev", info: ["depend = udev"] },
  { name: "asks-for-version", info: ["depend = systemd>=250", "depend = mkinitcpio>=37"] },
  // From the AUR and Artix.
  { name: "elogind", version: "255.5-1", files: { "usr/lib/elogind/elogind": "real\n" } },
  { name: "libelogind", info: ["provides = elogind-libs"] },
  { name: "elogind-openrc", info: ["depend = elogind"] },
  { name: "libeudev", files: { "usr/lib/libudev.so.1": "second\n" } },
];

/** Those of ours whose contents are not looked at here and take long to build: as they say they are. */
const STANDINS = ["eudev", "openrc", "protocol7-core"];

function standIn({ name, version, provides, conflicts, depends }: Recipe): Made {
  const known = [...CORE, ...STANDINS.map((one) => ({ name: one }))].map((made) => made.name);
  const needed = depends.filter((word) => known.includes(parseDependency(word).name));
  const info = [
    ...provides.map((word) => `provides = ${word}`),
    ...conflicts.map((word) => `conflict = ${word}`),
    ...needed.map((word) => `depend = ${word}`),
  ];
  return { name, version, info };
}

const NAMES = ["elogind", "initramfs", "libudev", "mkinitcpio", "systemd", "systemd-sysvcompat"];

let sections: string;
let built: string[];

beforeAll(async () => {
  const { recipes } = await readRecipes();
  const dummies = [];
  for (const recipe of recipes) if (await isDummy(recipe)) dummies.push(recipe);
  const outcomes = await buildPackages({
    recipes: dummies,
    known: recipes,
    work: WORK,
    level: "fast",
    signal,
  });
  expect(outcomes.flatMap(({ why }) => why ?? [])).toEqual([]);
  built = outcomes.flatMap(({ file }) => file ?? []);
  const folder = await scratch();
  const standins = await Promise.all(
    recipes
      .filter(({ name }) => STANDINS.includes(name))
      .map((recipe) => makePackage(folder, standIn(recipe))),
  );
  const out = join(folder, "repository");
  await publish({ out, files: [...built, ...standins], sign: undefined, signal });
  const core = await scratch();
  const real = await Promise.all(CORE.map((made) => makePackage(core, made)));
  await must`repo-add --quiet ${join(core, "core.db.tar.gz")} ${real}`;
  sections = `[protocol_7_repo]\nServer = file://${out}/$repo/$arch\n[core]\nServer = file://${core}\n`;
}, 120_000);
afterAll(removeAll);

async function clean(): Promise<Pacman> {
  const pacman = await Pacman.make(sections);
  await pacman.must("-Sy");
  return pacman;
}

/** What is in the root but pacman's own. */
async function filesOf(pacman: Pacman): Promise<string[]> {
  const all = await readdir(pacman.root, { recursive: true, withFileTypes: true });
  const files = all.filter((entry) => entry.isFile());
  return files
    .map((entry) => join(entry.parentPath, entry.name).slice(pacman.root.length + 1))
    .filter((path) => !path.startsWith("var/lib/pacman/"));
}

describe("a package without files", () => {
  for (const name of NAMES) {
    test(`${name} installs by itself into an empty root and brings nothing`, async () => {
      const pacman = await clean();
      const file = built.find((path) => path.includes(`/${name}-`) && /-\d+-any/.test(path));
      if (file === undefined) throw new Error(`${name} was not built`);
      await pacman.must("-U", "--nodeps", "--nodeps", file);
      expect((await pacman.installed())[0]?.split(" ")[0]).toBe(name);
      expect(await filesOf(pacman)).toEqual([]);
    });
  }

  test("is what base, a kernel and the tools of Arch get, and no systemd comes", async () => {
    const pacman = await clean();
    await pacman.must("-S", "base", "linux", "device-mapper", "asks-for-version", "needs-udev");
    expect(await pacman.installed()).toEqual([
      "asks-for-version 1-1",
      "base 1-1",
      "device-mapper 1-1",
      "dracut 1-1",
      "eudev 3.2.14-1",
      "initramfs 1-1",
      "linux 1-1",
      "mkinitcpio 999-1",
      "needs-udev 1-1",
      "openrc 0.63.3-2",
      "protocol7-core 6.0.0-1",
      "systemd 999-1",
      "systemd-libs 259.1-1",
      "systemd-sysvcompat 999-1",
    ]);
    expect(await filesOf(pacman)).toEqual(["usr/lib/libsystemd.so.0"]);
    expect(await pacman.must("-Dk")).toBe("No database errors have been found!\n");
  });

  test("stays at an upgrade, in whatever order the repositories are", async () => {
    const pacman = await clean();
    await pacman.must("-S", ...NAMES);
    const before = await pacman.installed();
    const reversed = sections
      .split(/(?=\[)/)
      .reverse()
      .join("");
    await Bun.write(
      join(pacman.folder, "pacman.conf"),
      `[options]\nArchitecture = x86_64\nSigLevel = Never\n${reversed}`,
    );
    expect(await pacman.must("-Syu")).toMatch(/there is nothing to do/);
    expect(await pacman.installed()).toEqual(before);
  });
});

/** What is asked for where all of ours are, and the two that pacman does not put together. */
const BLOCKED: [string, string, string][] = [
  ["core/systemd", "protocol7-core", "systemd"],
  // These pull Arch's systemd by its very version.
  ["core/systemd-sysvcompat", "protocol7-core", "systemd"],
  ["core/systemd-ukify", "protocol7-core", "systemd"],
  ["core/systemd-resolvconf", "protocol7-core", "systemd"],
  ["core/elogind", "protocol7-core", "elogind"],
  ["core/libelogind", "elogind", "libelogind"],
  ["core/elogind-openrc", "elogind", "elogind-openrc"],
  ["core/mkinitcpio", "initramfs", "mkinitcpio"],
  ["core/wants-mkinitcpio", "initramfs", "mkinitcpio"],
  ["core/libeudev", "eudev", "libeudev"],
];

describe("what a package without files keeps out", () => {
  for (const [wanted, one, other] of BLOCKED) {
    test(wanted, async () => {
      const pacman = await clean();
      await pacman.must("-S", ...NAMES);
      const before = await pacman.installed();
      const { code, text } = await pacman.run("-S", wanted);
      const pair = `(${one}-\\S+ and ${other}-\\S+|${other}-\\S+ and ${one}-\\S+)`;
      const said = new RegExp(`${pair} are in conflict`);
      expect([code, text]).toEqual([1, expect.stringMatching(said)]);
      expect(await pacman.installed()).toEqual(before);
    });
  }

  test("a name alone means ours", async () => {
    const pacman = await clean();
    await pacman.must("-S", ...NAMES);
    await pacman.must("-S", ...NAMES);
    expect(await filesOf(pacman)).toEqual(["usr/lib/libsystemd.so.0"]);
  });
});
