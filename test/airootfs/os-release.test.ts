/** The system's name outlives upgrades of the package that has the file, by a real pacman. */
import { afterAll, expect, test } from "bun:test";
import { cp } from "node:fs/promises";
import { join } from "node:path";
import { AIROOTFS } from "../../scripts/iso/profile.ts";
import { makePackage, removeAll, ScriptedRoot } from "../repo/support.ts";

afterAll(removeAll);

const HOOK = "etc/pacman.d/hooks/40-lainos-os-release.hook";
const OURS = "usr/share/lainos/os-release";

test("a new system and an upgraded one call themselves LainOS", async () => {
  const system = await ScriptedRoot.make();
  for (const path of [HOOK, OURS]) await cp(join(AIROOTFS, path), join(system.root, path));
  for (const version of ["1-1", "2-1"]) {
    const filesystem = await makePackage(system.folder, {
      name: "filesystem",
      version,
      links: { "etc/os-release": "../usr/lib/os-release" },
      files: { "usr/lib/os-release": `NAME="Arch Linux"\nVERSION=${version}\n` },
    });
    await system.must("-U", filesystem);
    const text = await Bun.file(join(system.root, "etc/os-release")).text();
    expect(text).toBe(await Bun.file(join(AIROOTFS, OURS)).text());
    // What knows Arch alone finds it by this.
    expect(text).toContain("\nID=lainos\nID_LIKE=arch\n");
  }
});
