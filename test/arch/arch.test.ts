/**
 * The medium's packages as pacman installs, upgrades and removes them over the overlay, in the order in
 * which mkarchiso does it, and what that leaves boots. Arch's packages are stand-ins: see docs/arch.md.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { lstat, mkdir, mkdtemp, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { $ } from "zx";
import { checkRoot, failuresIn } from "../../scripts/iso/arch.ts";
import { readProfile } from "../../scripts/iso/profile.ts";
import { KEYRING } from "../../scripts/iso/trust.ts";
import { create, destroy, merged, withOverlay } from "../../scripts/lib/overlay.ts";
import { quiet } from "../../scripts/lib/progress.ts";
import { sourceDate } from "../../scripts/makepkg.ts";
import { pacmanWords } from "../../scripts/pacman.ts";
import { configure } from "../../testbed/live/configure.ts";
import { bootAndWait, LIVE_USER } from "../../testbed/live/index.ts";
import { must } from "../support/inside.ts";
import { WITHOUT_FILES } from "../transaction/expectations.ts";
import { buildNext, type Repositories } from "../transaction/world.ts";
import { type Medium, makeWorld, pacstrapMedium, removeWorld, type World } from "./medium.ts";
import { rebuilt } from "./standin.ts";

/** Cold, a Debian root is made first. */
const LONG = 900_000;
const { signal } = new AbortController();

let world: World;
let medium: Medium;

beforeAll(async () => {
  world = await makeWorld(signal);
  medium = await pacstrapMedium(world);
}, LONG);
afterAll(() => world && removeWorld(world), LONG);

const read = (path: string) => readFile(join(medium.root, path), "utf8");

/** LEVEL/SERVICE of every link in a root's runlevels. */
async function runlevels(root: string): Promise<string[]> {
  const base = join(root, "etc/runlevels");
  const found = await readdir(base, { recursive: true, withFileTypes: true });
  const links = found.filter((entry) => entry.isSymbolicLink());
  return links.map((one) => join(one.parentPath, one.name).slice(base.length + 1)).sort();
}

/** Paths of a root that match a name of find(1). */
async function named(root: string, ...names: string[]): Promise<string[]> {
  const words = names.flatMap((name, at) => [...(at > 0 ? ["-o"] : []), "-name", name]);
  const { stdout } = await $({ quiet: true })`find ${root} ${words}`;
  return stdout
    .trim()
    .split("\n")
    .filter(Boolean)
    .map((path) => path.slice(root.length))
    .sort();
}

describe("the medium's root", () => {
  test("is made without a conflict, a failed scriptlet or a failed hook", async () => {
    expect(failuresIn(medium.said)).toEqual([]);
    expect(medium.said).not.toMatch(/exists in filesystem|FAILED|command not found/);
    await checkRoot(medium.root, medium.said);
  });

  test("has every package of the profile, and ours where Arch's must not be", async () => {
    const words = ["--root", medium.root, "--dbpath", join(medium.root, "var/lib/pacman"), "-Q"];
    const { stdout } = await $({ quiet: true })`pacman ${words}`;
    const lines = stdout.trim().split("\n");
    const installed = Object.fromEntries(lines.map((line) => line.split(" ")));
    expect(installed).toMatchObject(WITHOUT_FILES);
    const { packages } = await readProfile("0");
    const wanted = packages.filter((name) => name !== KEYRING);
    expect(wanted.filter((name) => !(name in installed))).toEqual([]);
    for (const path of ["usr/lib/systemd/systemd", "usr/bin/mkinitcpio", "usr/bin/systemctl"]) {
      expect(await lstat(join(medium.root, path)).catch(() => path)).toBe(path);
    }
  });

  test("has files of protocol7-core as they were packed", async () => {
    const words = ["--root", medium.root, "--dbpath", join(medium.root, "var/lib/pacman")];
    const { stdout } = await $({ quiet: true })`pacman ${words} -Qkk protocol7-core`;
    expect(stdout).toMatch(/^protocol7-core: \d+ total files, 0 altered files$/m);
  });

  test("was finished by these hooks, in this order", () => {
    expect([...medium.said.matchAll(/^\(\d+\/\d+\) (.*)$/gm)].map(([, text]) => text)).toEqual([
      "Making system users and groups...",
      "Making udev's hardware database...",
      "Having udev read its rules...",
      "Naming the system LainOS...",
      "Updating module dependencies...",
      "Making the initramfs with dracut...",
      "Leaving nothing of the time of the build...",
    ]);
  });

  test("has nothing in it of the moment in which it was made", async () => {
    const folder = join(medium.root, "var/lib/pacman/local");
    const times = new Set<string>();
    for (const name of await readdir(folder)) {
      if (name === "ALPM_DB_VERSION") continue;
      const text = await readFile(join(folder, name, "desc"), "utf8");
      times.add(/^%INSTALLDATE%\n(.*)$/m.exec(text)?.[1] ?? name);
    }
    expect([...times]).toEqual([await sourceDate()]);
    expect(await readdir(join(medium.root, "var/cache/ldconfig"))).toEqual([]);
    const left = ["zz-lainos-image*", ".pwd.lock", "passwd-", "group-", "shadow-", "gshadow-"];
    expect(await named(join(medium.root, "etc"), ...left)).toEqual([]);
  });

  test("has .pacnew only where the overlay is meant to win, and nothing half done", async () => {
    expect(await named(medium.root, "*.pacnew")).toEqual(
      [
        ...[
          "chrony.conf",
          "dhcpcd.conf",
          "fstab",
          "greetd/config.toml",
          "group",
          "gshadow",
          "hosts",
        ],
        ...["issue", "iwd/main.conf", "logrotate.d/syslog-ng", "nftables.conf", "pacman.conf"],
        ...["passwd", "rc.conf", "resolvconf.conf", "shadow", "syslog-ng/syslog-ng.conf"],
      ].map((path) => `/etc/${path}.pacnew`),
    );
    const half = ["*.pacsave", "*.pacorig", "*.lainos-new", "*.img.new", "runlevels.kept", "*.lck"];
    expect(await named(medium.root, ...half)).toEqual([]);
  });

  test("has Arch's and LainOS' users and groups, with the numbers that are theirs", async () => {
    const table = async (path: string) =>
      Object.fromEntries(
        (await read(path))
          .trim()
          .split("\n")
          .map((line) => {
            const [name = "", , id, members] = line.split(":");
            return [name, `${id}:${members}`];
          }),
      );
    const users = await table("etc/passwd");
    const ids = {
      alpm: "946",
      liveuser: "1000",
      messagebus: "81",
      nobody: "65534",
      polkitd: "102",
    };
    for (const [name, id] of Object.entries(ids)) expect(users[name]).toBe(`${id}:${id}`);
    for (const name of ["_chrony", "dhcpcd", "greeter", "lainos-notifyd", "sshd"]) {
      expect(Object.keys(users)).toContain(name);
    }
    const groups = await table("etc/group");
    expect(groups).toMatchObject({ log: "19:root", sys: "3:bin", tty: "5:", root: "0:root" });
    expect(groups.video).toEndWith(":greeter");
    for (const name of ["audio", "input", "kvm", "seat", "wheel"]) {
      expect(Object.keys(groups)).toContain(name);
    }
    const again = await read("etc/passwd");
    expect(new Set(again.match(/^[^:]+/gm)).size).toBe(again.trim().split("\n").length);
  });

  // The hook reads what pacman names, which no file of the overlay is.
  test.failing("has liveuser in the group wheel", async () => {
    expect(await read("etc/group")).toMatch(/^wheel:.*liveuser/m);
  });

  test("has each service in the runlevel that it is meant for", async () => {
    expect(await runlevels(medium.root)).toEqual(
      [
        ...[
          "bootmisc",
          "hostname",
          "keymaps",
          "lainos-audio-init",
          "lainos-net-init",
          "localmount",
        ].map((name) => `boot/${name}`),
        ...["boot/loopback", "boot/root", "boot/swap", "shutdown/savecache"],
        ...[2, 3, 4, 5, 6].map((tty) => `default/agetty.tty${tty}`),
        ...[
          "chrony",
          "dhcpcd",
          "greetd",
          "iwd",
          "lainos-dbus-bridge",
          "lainos-serial",
          "logrotate",
        ].map((name) => `default/${name}`),
        ...["default/nftables", "default/polkit", "default/syslog-ng"],
        ...[
          "cgroup-delegate",
          "dbus",
          "devfs",
          "dmesg",
          "lainos-apparmor",
          "lainos-ghost-units",
        ].map((name) => `sysinit/${name}`),
        ...[
          "lainos-machine-id",
          "lainos-notifyd",
          "sysfs",
          "udev",
          "udev-settle",
          "udev-trigger",
        ].map((name) => `sysinit/${name}`),
      ].sort(),
    );
    for (const link of await runlevels(medium.root)) {
      const script = join(medium.root, "etc/init.d", link.split("/")[1] ?? "");
      expect((await stat(script)).mode & 0o111).not.toBe(0);
    }
  });

  test("has Arch's own line in PAM, and ours where su -l has none", async () => {
    const { stdout } = await $({ quiet: true })`grep -rc pam_systemd.so ${medium.root}/etc/pam.d`;
    const counts = stdout
      .trim()
      .split("\n")
      .filter((line) => !line.endsWith(":0"));
    expect(counts.map((line) => line.split("/pam.d/")[1]).sort()).toEqual([
      "su-l:1",
      "system-login:1",
    ]);
    const session = (await read("etc/pam.d/system-login")).match(/^-?session.*$/gm) ?? [];
    // The user's own environment comes after it.
    expect(session.at(-2)).toMatch(/^-session +optional +pam_systemd\.so$/);
    expect(session.at(-1)).toMatch(/pam_env\.so$/);
    expect(await read("etc/pam.d/su-l")).toMatch(
      /\n-session +optional +\/usr\/lib\/security\/pam_systemd\.so\n$/,
    );
  });

  test("has no unit and no session of others, and calls itself LainOS", async () => {
    expect(await named(medium.root, "*.service", "*.socket", "*.target")).toEqual(
      expect.not.arrayContaining([expect.stringMatching(/^\/usr\/lib\/systemd\//)]),
    );
    expect(await readdir(join(medium.root, "usr/share/wayland-sessions"))).toEqual([
      "lainos-sway.desktop",
    ]);
    expect(await readdir(join(medium.root, "usr/share/xsessions"))).toEqual([
      "lainos-openbox.desktop",
    ]);
    expect(await read("etc/os-release")).toMatch(
      /^NAME=LainOS\n[\s\S]*^ID=lainos\nID_LIKE=arch\n/m,
    );
  });

  test("has a kernel and its initramfs, and the modes that the profile asks for", async () => {
    const boot = await readdir(join(medium.root, "boot"));
    expect(boot).toEqual(expect.arrayContaining(["initramfs-linux.img", "vmlinuz-linux"]));
    const { file_permissions } = await readProfile("0");
    for (const [path, { uid, gid, mode }] of file_permissions) {
      const found = await stat(join(medium.root, path));
      expect([path, found.uid, found.gid, found.mode & 0o7777]).toEqual([
        path,
        uid,
        gid,
        Number.parseInt(mode, 8),
      ]);
    }
  });
});

/** An overlay of the medium's root, and pacman on it as on an installed system. */
class System implements AsyncDisposable {
  private constructor(private readonly name: string) {}

  static async make(): Promise<System> {
    const name = `test-arch-${++made}`;
    await create(name, medium.root);
    await mkdir(join(world.folder, "keys"), { recursive: true });
    return new System(name);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return destroy(this.name);
  }

  /** @throws HostError where it fails. @returns what it printed. */
  pacman(...words: string[]): Promise<string> {
    const place = {
      root: merged(this.name),
      config: medium.config,
      cache: join(world.folder, "cache"),
      keys: join(world.folder, "keys"),
      hooks: join(merged(this.name), "etc/pacman.d/hooks"),
    };
    const command = [...pacmanWords(place), "--noprogressbar", ...words];
    return withOverlay(this.name, medium.root, command, signal);
  }

  /** Runs a script of sh(1) in it. @throws HostError where it fails. @returns what it printed. */
  sh(script: string): Promise<string> {
    const command = ["chroot", merged(this.name), "sh", "-euc", script];
    return withOverlay(this.name, medium.root, command, signal);
  }

  /** Expects pacman to stop with a message, and nothing to be installed or removed. */
  async refuses(words: string[], message: string): Promise<void> {
    const before = await this.sh("pacman -Q");
    await expect(this.pacman(...words)).rejects.toThrow(message);
    expect(await this.sh("pacman -Q")).toBe(before);
  }
}

let made = 0;

describe("a person's system made of it", () => {
  test(
    "keeps what a person took out of a runlevel, and edited, over upgrades",
    async () => {
      await using system = await System.make();
      await system.sh(`
rm /etc/runlevels/boot/swap /etc/runlevels/default/logrotate
mv /etc/runlevels/default/iwd /etc/runlevels/boot/iwd
echo '# mine' >>/etc/conf.d/seatd
`);
      const show =
        "find /etc/runlevels -type l | sort; cat /etc/passwd /etc/group; grep -r pam_systemd /etc/pam.d";
      const decided = await system.sh(show);
      const ours = world.repositories.protocol_7_repo ?? "";
      const openrc = await rebuilt(ours, "openrc", world.folder);
      const said = await system.pacman("-U", await buildNext(world.folder), openrc);
      expect(failuresIn(said)).toEqual([]);
      expect(await system.sh("pacman -Q openrc protocol7-core")).toMatch(
        /^openrc \S+-99\nprotocol7-core \S+-99\n$/,
      );
      expect(await system.sh(show)).toBe(decided);
      expect(await system.sh("tail -n1 /etc/conf.d/seatd; ls /etc/conf.d/*.pacnew")).toBe(
        // iwd's is not edited, and new in the next release as well.
        "# mine\n/etc/conf.d/seatd.pacnew\n",
      );
    },
    LONG,
  );

  test(
    "takes packages that ask for systemd without it, and refuses the real ones",
    async () => {
      await using system = await System.make();
      await system.pacman("-Sy", "networkmanager");
      expect(await system.sh("pacman -Q systemd")).toMatch(/^systemd 999-/);
      await system.refuses(["-S", "core/systemd"], "conflict");
      await system.refuses(["-S", "core/mkinitcpio"], "conflict");
      await system.refuses(["-R", "protocol7-core"], "required by systemd");
    },
    LONG,
  );

  test(
    "has nothing of protocol7-core after its removal by force",
    async () => {
      await using system = await System.make();
      await system.sh("echo '# mine' >>/etc/conf.d/seatd");
      const files = await system.sh("pacman -Qlq protocol7-core");
      expect(files.split("\n").length).toBeGreaterThan(100);
      await system.pacman("-Rdd", "protocol7-core");
      const left = await system.sh(`
find /etc/runlevels -xtype l
grep -rl security/pam_systemd /etc/pam.d || :
while read -r path; do
  case $path in */) ;; *) [ ! -e "$path" ] && [ ! -L "$path" ] || echo "$path" ;; esac
done <<'PATHS'
${files}PATHS
find /etc -name '*.pacsave'
`);
      expect(left).toBe("/etc/conf.d/seatd.pacsave\n");
    },
    LONG,
  );
});

test(
  "boots: every service starts, login1 has liveuser's session, and powers off",
  async () => {
    const name = "test-arch";
    await create(name, medium.root);
    try {
      await configure(name, medium.root, "arch", signal);
      const live = await bootAndWait(name, medium.root, quiet, signal, true);
      expect(await must(live, ["cat", "/proc/1/comm"])).toBe("openrc-init\n");
      const states = Object.entries(await live.services());
      expect(states.filter(([, state]) => state !== "started")).toEqual([]);
      const started = ["chrony", "dbus", "greetd", "lainos-dbus-bridge", "polkit", "syslog-ng"];
      expect(states.map(([service]) => service)).toEqual(expect.arrayContaining(started));
      const manager = "/org/freedesktop/login1 org.freedesktop.login1.Manager".split(" ");
      const call = async (member: string, ...words: string[]) => {
        const to = ["--system", "--print-reply", "--dest=org.freedesktop.login1", manager[0] ?? ""];
        return must(live, ["dbus-send", ...to, `${manager[1]}.${member}`, ...words]);
      };
      expect(await call("ListSessions")).toMatch(/string "liveuser"\s+string "seat0"/);
      expect(await must(live, ["su", "-l", LIVE_USER, "-c", "id -un"])).toBe(`${LIVE_USER}\n`);
      await call("PowerOff", "boolean:false");
      expect(await live.waitFor(() => live.ending(), "power-off")).toBe("power-off");
    } finally {
      await destroy(name);
    }
  },
  LONG,
);

test(
  "bun run live makes its root of a host's repositories, where that is Arch, and boots it",
  async () => {
    const host = await makeHost("NAME=Arch Linux\nID=arch\n", world.repositories);
    const done = await host.run("testbed/live/main.ts", "--json", "--name", "test-arch-live");
    expect(done.stderr).toBe("");
    expect(done.code).toBe(0);
    const { services, sessions } = JSON.parse(done.stdout);
    expect(new Set(Object.values(services))).toEqual(new Set(["started"]));
    expect(Object.keys(services)).toEqual(expect.arrayContaining(["lainos-dbus-bridge", "greetd"]));
    expect(sessions).toMatchObject([{ user: LIVE_USER, seat: "seat0" }]);
  },
  LONG,
);

test("bun run live says what it lacks on a host with other repositories than Arch's", async () => {
  const { core = "" } = world.repositories;
  const host = await makeHost("NAME=Artix Linux\nID=artix\n", { system: core, world: core });
  const done = await host.run("testbed/live/main.ts", "--json", "--name", "test-arch-live");
  expect(done.code).toBe(1);
  expect(done.stderr).toBe(
    "live: the test system is made of Arch's packages, and /etc/pacman.conf has no core and no extra, but system, world (as Artix does): run this on Arch or Debian\n",
  );
}, 60_000);

/** This system under another name and with other repositories, for what runs in it. */
async function makeHost(release: string, repositories: Repositories) {
  const folder = await mkdtemp(join(world.folder, "host-"));
  const sections = Object.entries(repositories).map(
    ([name, place]) => `[${name}]\nServer = file://${place}\n`,
  );
  await mkdir(join(folder, "keys"));
  const options = `Architecture = auto\nSigLevel = Never\nGPGDir = ${folder}/keys/\n`;
  const config = `[options]\n${options}${sections.join("")}`;
  await writeFile(join(folder, "pacman.conf"), config);
  await writeFile(join(folder, "os-release"), release);
  const mounts = ["pacman.conf", "os-release"].map(
    (name) => `mount --bind ${join(folder, name)} $(realpath /etc/${name})`,
  );
  const script = `${mounts.join(" && ")} && exec "$@"`;
  const run = async (...words: string[]) => {
    const child = Bun.spawn(
      ["unshare", "--mount", "sh", "-c", script, "sh", process.execPath, ...words],
      {
        cwd: join(import.meta.dir, "../.."),
        stdin: "ignore",
        stdout: "pipe",
        stderr: "pipe",
        // A cache of its own: what it makes of the stand-in is of no use to anyone else.
        env: { ...process.env, XDG_CACHE_HOME: join(folder, "cache") },
      },
    );
    const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
    return { code: await child.exited, stdout, stderr };
  };
  return { run };
}
