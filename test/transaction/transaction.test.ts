/**
 * Whole transactions of the host's pacman, in roots of their own: LainOS with Arch's packages around
 * it, of which each is a stub with the real one's name, version and relations. docs/transactions.md
 * says where these are from.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { checkRepositories } from "../../scripts/repo/check.ts";
import {
  conflict,
  expectRefusal,
  IN_ITS_PLACE,
  KEPT_OUT,
  OURS,
  owners,
  WITHOUT_FILES,
} from "./expectations.ts";
import { factsOf } from "./facts.ts";
import { ARCHS_OWN, archFirst, configuration, mediumPackages, Root, withServers } from "./root.ts";
import { MARKERS, writeStub } from "./stubs.ts";
import { makeWorld, type World } from "./world.ts";

const BUILD = "profile/pacman.conf";
const MEDIUM = "airootfs/etc/pacman.conf";

let world: World;
/** All of the medium's packages, installed by the pacman.conf that mkarchiso uses. */
let medium: Root;

beforeAll(async () => {
  world = await makeWorld();
  medium = await Root.make(world.folder, await configuration(BUILD, world.now));
  await medium.must("-Sy", ...(await mediumPackages()));
}, 600_000);
afterAll(() => world && rm(world.folder, { recursive: true }), 300_000);

describe("all packages of the medium, in an empty root", () => {
  test("are those that it names, with ours where Arch's must not be", async () => {
    const installed = await medium.installed();
    expect(installed).toMatchObject(WITHOUT_FILES);
    expect(installed["systemd-libs"]).toBe("256.4-1");
    expect((await mediumPackages()).filter((name) => !(name in installed))).toEqual([]);
  });

  test("bring no file of systemd or mkinitcpio", async () => {
    expect(await owners(medium)).toEqual(IN_ITS_PLACE);
  });

  test("bring Arch's libsystemd and libudev", async () => {
    for (const path of MARKERS["systemd-libs"] ?? []) {
      expect(await medium.read(path)).toBe("systemd-libs 256.4-1\n");
    }
  });

  test("leave nothing unsatisfied, in the root and in the repositories", async () => {
    await medium.must("-Dk");
    await medium.must("-Dkk");
  });

  test("leave nothing for bun run repo check to find, with Arch's databases at hand", async () => {
    for (const { ours, arch } of [world.now, world.later]) {
      expect(await checkRepositories(ours, arch)).toEqual({ faults: [], notes: [] });
    }
  });

  test("bring no units", async () => {
    expect(await medium.has("usr/bin/seatd")).toBe(true);
    expect(await medium.has("usr/lib/systemd/system")).toBe(false);
  });

  test("bring no sessions of Sway and Openbox beside ours, and those of others", async () => {
    expect(await medium.has("usr/share/wayland-sessions/sway.desktop")).toBe(false);
    expect(await medium.has("usr/share/xsessions/openbox.desktop")).toBe(false);
    expect(await medium.has("usr/share/xsessions/openbox-kde.desktop")).toBe(false);
    expect(await medium.has("usr/share/xsessions/other.desktop")).toBe(true);
  });

  test("are the same by the medium's own pacman.conf", async () => {
    await using root = await Root.make(world.folder, await configuration(MEDIUM, world.now));
    await root.must("-Sy", ...(await mediumPackages()));
    expect(await root.installed()).toEqual(await medium.installed());
  });
});

describe("Arch's package base, in an empty root", () => {
  test("brings OpenRC and protocol7-core, and nothing of systemd but its libraries", async () => {
    await using root = await Root.make(world.folder, await configuration(BUILD, world.now));
    await root.must("-Sy", "base");
    const installed = await root.installed();
    for (const name of ["systemd", "systemd-sysvcompat"]) expect(installed[name]).toMatch(OURS);
    for (const name of ["openrc", "eudev", "protocol7-core", "systemd-libs"]) {
      expect(Object.keys(installed)).toContain(name);
    }
    expect(await owners(root)).toEqual(IN_ITS_PLACE);
    await root.must("-S", "protocol7-core");
    expect(await root.installed()).toEqual(installed);
    await root.must("-Dk");
  });
});

describe("when Arch moves on", () => {
  /** The medium's packages after -Syu, with three settings edited before it. */
  let root: Root;

  beforeAll(async () => {
    root = await medium.copy();
    for (const name of ["conf.d/seatd", "conf.d/dhcpcd", "lainos/logind.conf"]) {
      await root.edit(`etc/${name}`);
    }
    await root.configure(await configuration(MEDIUM, world.later));
    // Twice y: pacman goes by whole seconds, in one of which both states may have been made.
    await root.must("-Syyu");
  }, 60_000);

  test("all is upgraded, and systemd and mkinitcpio stay out", async () => {
    const installed = await root.installed();
    expect(installed).toMatchObject({
      ...WITHOUT_FILES,
      "systemd-libs": "262.1-2",
      // It depends on systemd since.
      polkit: "128-1",
    });
    expect(installed["protocol7-core"]).toEndWith("-99");
    expect(installed.linux).toEndWith(".1");
    expect(await owners(root)).toEqual(IN_ITS_PLACE);
    await root.must("-Dkk");
  });

  test("edited settings stay, with the new ones beside them where those are others", async () => {
    for (const name of ["etc/conf.d/seatd", "etc/lainos/logind.conf"]) {
      expect(await root.read(name)).toEndWith("# mine\n");
      expect(await root.read(`${name}.pacnew`)).toEndWith("# new\n");
    }
    expect(await root.read("etc/conf.d/dhcpcd")).toEndWith("# mine\n");
    expect(await root.has("etc/conf.d/dhcpcd.pacnew")).toBe(false);
    // Nobody edited it: the new one is taken.
    expect(await root.read("etc/conf.d/iwd")).toEndWith("# new\n");
  });

  test("a package that wants a systemd newer than all that is known gets it", async () => {
    const file = await stub("wants-systemd", "systemd>=263");
    await using copy = await root.copy();
    await copy.must("-U", file);
    await copy.must("-Dk");
  });

  test("a package that wants newer libraries than there are is refused", async () => {
    const file = await stub("wants-libraries", "systemd-libs>=263");
    await expectRefusal(root, ["-U", file], "unable to satisfy dependency 'systemd-libs>=263'");
  });

  test.each(["core/systemd", "systemd-resolvconf"])(
    "%s is refused, even where a conflict is overruled",
    async (name) => {
      await expectRefusal(root, ["-S", name], "are in conflict");
      // ALPM_QUESTION_CONFLICT_PKG: the other answer than --noconfirm's.
      await expectRefusal(
        root,
        ["-S", "--ask", "4", name],
        "removing protocol7-core breaks dependency 'protocol7-core' required by elogind",
      );
    },
  );

  test("Arch's repositories before ours, and nothing ignored, bring no systemd back", async () => {
    await using copy = await root.copy();
    const config = await configuration(MEDIUM, world.later);
    await copy.configure(archFirst(config));
    const before = await copy.installed();
    expect((await copy.must("-Syu")).output).toMatch(
      /systemd: local \(999-\d+\) is newer than core/,
    );
    expect(await copy.installed()).toEqual(before);
    await expectRefusal(copy, ["-Syuu"], conflict("systemd", "eudev"));
  });

  async function stub(name: string, depend: string): Promise<string> {
    return join(world.folder, (await writeStub(world.folder, factsOf(name, [depend]))).file);
  }
});

describe("a system with systemd", () => {
  /** As Arch is installed, with two settings edited that go with systemd and mkinitcpio. */
  let arch: Root;

  beforeAll(async () => {
    arch = await Root.make(world.folder, withServers(ARCHS_OWN, world.now.repositories));
    const packages = ["base", "linux", "mkinitcpio", "polkit", "sway", "openssh", "iwd"];
    await arch.must("-Sy", ...packages);
    await arch.edit("etc/systemd/logind.conf");
    await arch.edit("etc/mkinitcpio.conf");
  }, 60_000);

  test("does not take protocol7-core beside systemd", async () => {
    await using root = await arch.copy();
    await root.configure(await configuration(MEDIUM, world.now));
    await root.must("-Sy");
    const refusal = conflict("protocol7-core", "systemd");
    await expectRefusal(root, ["-S", "protocol7-core"], refusal);
  });

  test("stays as it is where IgnorePkg names what is to go", async () => {
    await using root = await arch.copy();
    const config = await configuration(MEDIUM, world.now);
    const ignored = `IgnorePkg = ${KEPT_OUT.join(" ")}`;
    await root.configure(config.replace(/^\[options\]$/m, `$&\n${ignored}`));
    const before = await root.installed();
    expect((await root.must("-Syu")).output).toContain("systemd: ignoring package upgrade");
    expect(await root.installed()).toEqual(before);
  });

  test("loses systemd by -Syu with our repositories first, and keeps what was edited", async () => {
    await using root = await arch.copy();
    await root.configure(await configuration(MEDIUM, world.now));
    await root.must("-Syu", "elogind", "initramfs", "libudev");
    const installed = await root.installed();
    expect(installed).toMatchObject(WITHOUT_FILES);
    for (const name of ["dracut", "eudev", "openrc", "protocol7-core"]) {
      expect(Object.keys(installed)).toContain(name);
    }
    expect(await owners(root)).toEqual(IN_ITS_PLACE);
    expect(await root.read("usr/lib/libsystemd.so.0")).toBe("systemd-libs 256.4-1\n");
    await root.must("-Dk");
    for (const path of ["etc/systemd/logind.conf", "etc/mkinitcpio.conf"]) {
      expect(await root.has(path)).toBe(false);
      expect(await root.read(`${path}.pacsave`)).toEndWith("# mine\n");
    }
  });

  test("gets it back when ours are removed first", async () => {
    await using root = await arch.copy();
    await root.configure(await configuration(MEDIUM, world.now));
    await root.must("-Syu");
    await expectRefusal(
      root,
      ["-R", "protocol7-core"],
      "removing protocol7-core breaks dependency 'protocol7-core' required by systemd",
    );
    await root.edit("etc/conf.d/seatd");
    await root.configure(withServers(ARCHS_OWN, world.now.repositories));
    await root.must("-Sy");
    await root.must("-Rdd", "protocol7-core", "openrc", "eudev", "initramfs", ...KEPT_OUT);
    expect(await root.read("etc/conf.d/seatd.pacsave")).toEndWith("# mine\n");
    await root.must("-S", ...KEPT_OUT);
    expect(await root.installed()).toMatchObject(await arch.installed());
    expect(await root.has("etc/init.d/lainos-dbus-bridge")).toBe(false);
    await root.must("-Dk");
  });
});
