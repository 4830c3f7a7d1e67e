/** What the build on Arch does around mkarchiso, with a real pacman and a mkarchiso of the test's own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { forgetPackages, stageProfile } from "../../scripts/iso/arch.ts";
import { makeRepository } from "../../scripts/package.ts";
import { makePackage, removeAll, scratch } from "../repo/support.ts";

const run = $({ nothrow: true, quiet: true });

beforeAll(() => ensureHostPackages(["pacman", "bsdtar", "repo-add"]));
afterAll(removeAll);

test("a second build takes the packages of its own checkout, not those of the last one", async () => {
  const folder = await scratch();
  const [repository, cache] = [join(folder, "repository"), join(folder, "cache")];
  const install = async (text: string, forget: boolean) => {
    const files = { "etc/own": text };
    const file = await makePackage(folder, { name: "protocol7-core", files });
    await makeRepository(repository, [file]);
    if (forget) await forgetPackages(cache, ["protocol7-core"]);
    await stageProfile(join(folder, "profile"), { repository, cache, keys: true });
    // Up to the repositories that only Arch and the network have.
    const staged = await readFile(join(folder, "profile/pacman.conf"), "utf8");
    const config = join(folder, "pacman.conf");
    await writeFile(config, staged.split("[protocol_7_repo]")[0] ?? "");
    const root = join(folder, `root-${text.trim()}`);
    await mkdir(join(root, "var/lib/pacman"), { recursive: true });
    const words = ["--config", config, "--root", root, "--noconfirm", "--noscriptlet"];
    const done = await run`pacman ${words} --logfile /dev/null -Sy protocol7-core`;
    // pacman 6 takes packages from a folder where they are; 7 copies them, as mkarchiso's does.
    await run`cp -n ${file} ${cache}`;
    const installed = await Bun.file(join(root, "etc/own"))
      .text()
      .catch(() => undefined);
    return { code: done.exitCode, installed, said: done.stdout + done.stderr };
  };
  expect(await install("first\n", true)).toMatchObject({ code: 0, installed: "first\n" });
  expect((await install("spoiled\n", false)).said).toContain("is corrupted");
  expect(await install("third\n", true)).toMatchObject({ code: 0, installed: "third\n" });
});

test("of the cache, only our own packages go", async () => {
  const cache = join(await scratch(), "new/cache");
  await forgetPackages(cache, ["systemd"]);
  expect(await readdir(cache)).toEqual([]);
  const names = ["systemd-999-1-any", "systemd-libs-258-1-x86_64", "openrc-0.63.3-2-x86_64"];
  for (const name of names) await writeFile(join(cache, `${name}.pkg.tar.zst`), "");
  await writeFile(join(cache, "systemd-999-1-any.pkg.tar.zst.sig"), "");
  await forgetPackages(cache, ["systemd", "openrc"]);
  expect((await readdir(cache)).map((file) => basename(file))).toEqual([
    "systemd-libs-258-1-x86_64.pkg.tar.zst",
  ]);
});
