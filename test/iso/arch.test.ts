/** What the build on Arch does around mkarchiso, with a real pacman and a mkarchiso of the test's own. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmod, link, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { $ } from "zx";
import { ensureHostPackages } from "../../scripts/host.ts";
import { checkRoot, failuresIn, runMkarchiso, stageProfile } from "../../scripts/iso/arch.ts";
import { EXECUTABLES } from "../../scripts/lib/install.ts";
import { mounts, removeUnmounted } from "../../scripts/lib/mounts.ts";
import { makeRepository } from "../../scripts/package.ts";
import { forgetPackages } from "../../scripts/pacman.ts";
import { waitFor } from "../../testbed/live/ready.ts";
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

/** Runs a script as mkarchiso, with a folder as its only word. */
async function asMkarchiso(
  folder: string,
  script: string,
  signal = new AbortController().signal,
): Promise<void> {
  const program = join(folder, "bin/mkarchiso");
  await mkdir(join(folder, "bin"), { recursive: true });
  await writeFile(program, `#!/bin/sh\n${script}`);
  await chmod(program, 0o755);
  const path = process.env.PATH;
  process.env.PATH = `${folder}/bin:${path}`;
  try {
    await runMkarchiso([folder], "1795550674", join(folder, "log"), () => {}, signal);
  } finally {
    process.env.PATH = path;
  }
}

test("what pacman and its hooks fail at ends a build that mkarchiso calls well", async () => {
  const folder = await scratch();
  await asMkarchiso(folder, "echo '[mkarchiso] INFO: Done!'\n");
  const said = [
    "(61/61) Making system users and groups...",
    "sysusers: /usr/lib/sysusers.d/a.conf: user greeter cannot be made",
    "error: command failed to execute correctly",
  ];
  const failing = asMkarchiso(folder, `printf '%s\\n' '${said.join("' '")}' >&2\n`);
  await expect(failing).rejects.toThrow(
    `mkarchiso ended well, but what it ran did not; all of it is in ${folder}/log:\n  ${said[1]}\n  ${said[2]}`,
  );
});

test("a root without PAM lines, a user or a service is no medium, whatever pacman says", async () => {
  const root = await scratch();
  const put = (path: string, text: string) => Bun.write(join(root, path), text);
  const [first = "", ...others] = EXECUTABLES.map((name) => `usr/libexec/lainos/${name}`);
  await put(first, "");
  for (const path of others) await link(join(root, first), join(root, path));
  await put("etc/init.d/lainos-notifyd", "");
  await put("etc/runlevels/sysinit/lainos-notifyd", "");
  await put("etc/pam.d/system-login", "-session optional pam_systemd.so\n");
  await put("usr/lib/security/pam_systemd.so", "");
  await put("etc/passwd", "root:x:0:0::/root:/bin/sh\ngreeter:x:990:990::/:/bin/false\n");
  await put("etc/group", "root:x:0:\nwheel:x:998:\n");
  await put(
    "usr/lib/sysusers.d/a.conf",
    "# A comment\nu greeter - -\ng wheel 998\nm greeter wheel\n",
  );
  await checkRoot(root, "");
  await put("usr/lib/sysusers.d/b.conf", "u! alpm 946\ng seat -\n");
  await expect(checkRoot(root, "")).rejects.toThrow(
    "the medium's root lacks users or groups: alpm (b.conf), seat (b.conf)",
  );
  await put("etc/pam.d/system-login", "session optional pam_loginuid.so\n");
  await put("etc/init.d/lainos-net-init", "");
  await expect(checkRoot(root, "what pacman said")).rejects.toThrow(
    /service lainos-net-init is in no runlevel; nothing in \/etc\/pam.d\/system-login makes a login a session\n.*said/,
  );
});

test("a build in which nothing failed has no such line", () => {
  const harmless = `[mkarchiso] INFO: Installing packages to '/w/x86_64/airootfs/'...
warning: /w/x86_64/airootfs/etc/rc.conf installed as /w/x86_64/airootfs/etc/rc.conf.pacnew
protocol7-core: every login is a session from the next boot on; loginctl lists them.
lainos-dracut: 7.2.12-arch1-1: vmlinuz-linux and initramfs-linux.img
`;
  expect(failuresIn(harmless)).toEqual([]);
  for (const line of [
    "error: could not commit",
    "useradd: user 'greeter' already exists",
    "protocol7-core: greetd could not be added to default: run rc-update add greetd default",
    "lainos-dracut: 7.2.12-arch1-1 has no new initramfs: what is in /boot stays; see what dracut said",
    "[mkarchiso] ERROR: File '/w/iso.pacman.conf' does not exist.",
    "[mkarchiso] WARNING: Cannot change permissions of '/etc/x'. The file or directory does not exist.",
    "[mkarchiso] INFO: Initramfs file does not contain microcode update files. External microcode initramfs images will be copied.",
  ]) {
    expect(failuresIn(`${harmless}${line}\n`)).toEqual([line]);
  }
});

test("a build that is broken off, or whose pacstrap is killed, leaves no mount and no process", async () => {
  const folder = await scratch();
  // As pacstrap has the host's devices in the root; a process in it lives on.
  const mount = `mkdir -p "$1/root/dev"; mount --bind "$1/host" "$1/root/dev"; : >"$1/mounted"\n`;
  await mkdir(join(folder, "host"));
  await writeFile(join(folder, "host/null"), "");
  const killed = asMkarchiso(folder, `${mount} sleep 1000 & kill -9 $!; exit 137\n`);
  await expect(killed).rejects.toThrow("mkarchiso ended with 137");
  await Bun.file(join(folder, "mounted")).delete();
  const controller = new AbortController();
  const broken = asMkarchiso(folder, `${mount} sleep 987654 & sleep 987654\n`, controller.signal);
  while (!(await Bun.file(join(folder, "mounted")).exists())) await Bun.sleep(20);
  controller.abort(new Error("broken off"));
  await expect(broken).rejects.toThrow("broken off");
  expect((await mounts()).filter(({ point }) => point.startsWith(folder))).toEqual([]);
  await removeUnmounted(join(folder, "root"));
  expect(await readdir(join(folder, "host"))).toEqual(["null"]);
  const left = async () => (await run`pgrep -f ${"^sleep 987654$"}`).stdout;
  await waitFor(async () => (await left()) === "", "the end of its processes", 5_000);
});

test("nothing is removed through a mount", async () => {
  const folder = await scratch();
  const inside = join(folder, "root/dev");
  await mkdir(inside, { recursive: true });
  await mkdir(join(folder, "host"));
  await writeFile(join(folder, "host/null"), "");
  await writeFile(join(folder, "root/other"), "");
  await run`mount --bind ${join(folder, "host")} ${inside}`;
  try {
    const removal = removeUnmounted(join(folder, "root"));
    await expect(removal).rejects.toThrow(
      `${folder}/root is left, since something is mounted on ${inside}: umount it, and remove the folder`,
    );
    expect((await stat(join(folder, "root/other"))).isFile()).toBe(true);
  } finally {
    await run`umount ${inside}`;
  }
  expect(await readdir(join(folder, "host"))).toEqual(["null"]);
  await removeUnmounted(join(folder, "root"));
  expect(await readdir(folder)).toEqual(["host"]);
  await removeUnmounted(join(folder, "root"));
});
