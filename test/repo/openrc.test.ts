/** What a person decides about runlevels outlives openrc's upgrades, by a real pacman that runs its scriptlet. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readdir, readFile, readlink, rename, rm, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { pacmanWords } from "../../scripts/pacman.ts";
import { makePackage, removeAll, scratch } from "./support.ts";

const PACKAGE = resolve(import.meta.dir, "../../packages/openrc");
const must = $({ quiet: true });

/** As OpenRC's build has them, some of them. */
const BUILT = [
  ...["boot/hostname", "boot/keymaps", "default/agetty.tty1", "default/agetty.tty2"],
  ...["default/local", "default/netmount", "nonetwork/local", "sysinit/devfs"],
];

/** Those of a new system: greetd has the first terminal. */
const NEW = BUILT.filter((link) => !link.endsWith("tty1"));

beforeAll(() => ensureHostPackages(["pacman", "bsdtar", "unshare"]));
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

/** A root in which the host's programs are, for scriptlets, while pacman runs. */
class System {
  private constructor(readonly folder: string) {}

  static async make(): Promise<System> {
    const folder = await scratch();
    const root = join(folder, "root");
    for (const path of ["var/lib/pacman", "tmp"])
      await mkdir(join(root, path), { recursive: true });
    for (const name of ["bin", "lib", "lib64", "sbin"]) {
      await mkdir(join(root, "usr", name), { recursive: true });
      await symlink(`usr/${name}`, join(root, name));
    }
    await Bun.write(join(folder, "pacman.conf"), "[options]\nArchitecture = x86_64\n");
    return new System(folder);
  }

  async pacman(...words: string[]): Promise<void> {
    const place = (name: string) => join(this.folder, name);
    const root = place("root");
    const mounts = ["bin", "lib", "lib64", "sbin"].map(
      (name) => `mount --bind --options ro /usr/${name} ${root}/usr/${name}`,
    );
    const pacman = pacmanWords({
      root,
      config: place("pacman.conf"),
      cache: place("cache"),
      keys: place("keys"),
    });
    const script = `${mounts.join("; ")}; exec "$@"`;
    const done = await must`unshare --mount sh -euc ${script} sh ${pacman} ${words}`;
    expect(done.stdout + done.stderr).not.toMatch(/error|failed/);
  }

  /** LEVEL/SERVICE of every link. */
  async links(): Promise<string[]> {
    const base = join(this.folder, "root/etc/runlevels");
    const found = await readdir(base, { recursive: true, withFileTypes: true }).catch(() => []);
    const links = found.filter((entry) => entry.isSymbolicLink());
    for (const { name, parentPath } of links) {
      expect(await readlink(join(parentPath, name))).toBe(`/etc/init.d/${name}`);
    }
    return links.map((one) => join(one.parentPath, one.name).slice(base.length + 1)).sort();
  }

  path(link: string): string {
    return join(this.folder, "root/etc/runlevels", link);
  }
}

test("a new system has OpenRC's runlevels, and an upgrade brings nothing back", async () => {
  const system = await System.make();
  await system.pacman("-U", await newer(system.folder, "0.63.3-2"));
  expect(await system.links()).toEqual(NEW);
  await rm(system.path("boot/keymaps"));
  await rename(system.path("default/netmount"), system.path("boot/netmount"));
  const decided = await system.links();
  await system.pacman("-U", await newer(system.folder, "0.64-1"));
  expect(await system.links()).toEqual(decided);
}, 60_000);

test("an upgrade from a version whose links were its files keeps what is there", async () => {
  const system = await System.make();
  await system.pacman("-U", await older(system.folder, NEW));
  await rm(system.path("boot/keymaps"));
  await rename(system.path("default/netmount"), system.path("boot/netmount"));
  await symlink("/etc/init.d/mine", system.path("default/mine"));
  const decided = await system.links();
  await system.pacman("-U", await newer(system.folder, "0.63.3-2"));
  expect(await system.links()).toEqual(decided);
  expect(await readdir(join(system.folder, "root/etc"))).toEqual(["init.d", "runlevels"]);
}, 60_000);

test("a removal leaves the links of other packages' services", async () => {
  const system = await System.make();
  await system.pacman("-U", await newer(system.folder, "0.63.3-2"));
  await Bun.write(join(system.folder, "root/etc/init.d/other"), "#!/bin/sh\n");
  await symlink("/etc/init.d/other", system.path("default/other"));
  await system.pacman("-R", "openrc");
  expect(await system.links()).toEqual(["default/other"]);
}, 60_000);
