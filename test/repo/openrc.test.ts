/** What a person decides about runlevels outlives openrc's upgrades, by a real pacman that runs its scriptlet. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readdir, readFile, readlink, rename, rm, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { makePackage, removeAll, ScriptedRoot } from "./support.ts";

const PACKAGE = resolve(import.meta.dir, "../../packages/openrc");
const must = $({ quiet: true });

/** As OpenRC's build has them, some of them. */
const BUILT = [
  ...["boot/hostname", "boot/keymaps", "default/agetty.tty1", "default/agetty.tty2"],
  ...["default/local", "default/netmount", "nonetwork/local", "sysinit/devfs"],
];

/** Those of a new system: greetd has the first terminal. */
const NEW = BUILT.filter((link) => !link.endsWith("tty1"));

beforeAll(() => ensureHostPackages(["pacman", "bsdtar"]));
afterAll(removeAll);

const service = (link: string) => link.split("/")[1] ?? "";
const scripts = Object.fromEntries(
  BUILT.map((link) => [`etc/init.d/${service(link)}`, "#!/bin/sh\n"]),
);

/** A package with links as files, as they were up to 0.63.3-1. */
async function older(folder: string, left: readonly string[]): Promise<string> {
  const links = left.map((link) => [`etc/runlevels/${link}`, `/etc/init.d/${service(link)}`]);
  const shape = { files: scripts, links: Object.fromEntries(links) };
  return makePackage(folder, { name: "openrc", version: "0.63.3-1", ...shape });
}

/** A package as the PKGBUILD makes it of what OpenRC's build installs. */
async function newer(folder: string, version: string): Promise<string> {
  const built = join(folder, "built");
  await rm(built, { recursive: true, force: true });
  for (const link of BUILT) {
    await mkdir(join(built, "etc/runlevels", link, ".."), { recursive: true });
    await symlink(`/etc/init.d/${service(link)}`, join(built, "etc/runlevels", link));
  }
  await must`bash -euc ${`source ${PACKAGE}/PKGBUILD; pkgdir=${built}; _list_runlevels`}`;
  const levels = await readdir(join(built, "etc/runlevels"));
  expect(levels.sort()).toEqual(["boot", "default", "nonetwork", "sysinit"]);
  const list = await readFile(join(built, "usr/share/openrc/runlevels"), "utf8");
  return makePackage(folder, {
    name: "openrc",
    version,
    files: { ...scripts, "usr/share/openrc/runlevels": list },
    folders: levels.map((level) => `etc/runlevels/${level}`),
    install: await readFile(join(PACKAGE, "openrc.install"), "utf8"),
  });
}

/** LEVEL/SERVICE of every link in a root. */
async function linksOf({ root }: ScriptedRoot): Promise<string[]> {
  const base = join(root, "etc/runlevels");
  const found = await readdir(base, { recursive: true, withFileTypes: true }).catch(() => []);
  const links = found.filter((entry) => entry.isSymbolicLink());
  for (const { name, parentPath } of links) {
    expect(await readlink(join(parentPath, name))).toBe(`/etc/init.d/${name}`);
  }
  return links.map((one) => join(one.parentPath, one.name).slice(base.length + 1)).sort();
}

const place = ({ root }: ScriptedRoot, link: string) => join(root, "etc/runlevels", link);

test("a new system has OpenRC's runlevels, and an upgrade brings nothing back", async () => {
  const system = await ScriptedRoot.make();
  await system.must("-U", await newer(system.folder, "0.63.3-2"));
  expect(await linksOf(system)).toEqual(NEW);
  await rm(place(system, "boot/keymaps"));
  await rename(place(system, "default/netmount"), place(system, "boot/netmount"));
  const decided = await linksOf(system);
  await system.must("-U", await newer(system.folder, "0.64-1"));
  expect(await linksOf(system)).toEqual(decided);
}, 60_000);

test("an upgrade from a version whose links were its files keeps what is there", async () => {
  const system = await ScriptedRoot.make();
  await system.must("-U", await older(system.folder, NEW));
  await rm(place(system, "boot/keymaps"));
  await rename(place(system, "default/netmount"), place(system, "boot/netmount"));
  await symlink("/etc/init.d/mine", place(system, "default/mine"));
  const decided = await linksOf(system);
  await system.must("-U", await newer(system.folder, "0.63.3-2"));
  expect(await linksOf(system)).toEqual(decided);
  expect(await readdir(join(system.root, "etc"))).toEqual(["init.d", "runlevels"]);
}, 60_000);

test("a removal leaves the links of other packages' services", async () => {
  const system = await ScriptedRoot.make();
  await system.must("-U", await newer(system.folder, "0.63.3-2"));
  await Bun.write(join(system.root, "etc/init.d/other"), "#!/bin/sh\n");
  await symlink("/etc/init.d/other", place(system, "default/other"));
  await system.must("-R", "openrc");
  expect(await linksOf(system)).toEqual(["default/other"]);
}, 60_000);
