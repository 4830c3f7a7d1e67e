/**
 * The stand-in medium as a person meets it: from the firmware's menu to the desktops, by keys, in
 * QEMU. Pictures of what it showed are in build/boot.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { PALETTE } from "../../scripts/artwork/palette.ts";
import { COMMAND_LINE, INIT } from "../../scripts/iso/check.ts";
import { buildStandin } from "../../scripts/iso/debian.ts";
import { readProfile } from "../../scripts/iso/profile.ts";
import { quiet } from "../../scripts/lib/progress.ts";
import { sourceDate } from "../../scripts/makepkg.ts";
import { BootedMedium, type Entry, type Firmware } from "../../testbed/boot/index.ts";
import { TITLE } from "../../testbed/boot/installer.ts";
import {
  asUser,
  awaitGreeter,
  awaitLogout,
  awaitProgram,
  liveSession,
  logInAtGreeter,
  nodes,
  type SwayNode,
  swaymsg,
  swayTree,
} from "../../testbed/boot/session.ts";
import { onMachine, type TakePicture } from "../support/on-machine.ts";

/** The first time also fetches the root's packages. */
const BUILD_TIMEOUT = 900_000;

/** Both boots, without KVM and on a busy host. */
const BOOTS_TIMEOUT = 3_600_000;

/** One boot, and what is asked of it. */
const BOOT_TIMEOUT = 1_200_000;

/** What a key sets off, at most: a shell's first prompt took a minute once. */
const STEP_TIMEOUT = 240_000;

const PICTURES = resolve(import.meta.dir, "../../build/boot");

let out: string;
let image: string;
/** The ids of the machines, by boot. */
const machineIds: string[] = [];

beforeAll(async () => {
  out = resolve(import.meta.dir, "../../build/iso-test");
  await mkdir(out, { recursive: true });
  await mkdir(PICTURES, { recursive: true });
  const epoch = await sourceDate();
  image = await buildStandin({
    profile: await readProfile(epoch),
    epoch,
    out,
    work: join(out, `work-${process.pid}`),
    signal: new AbortController().signal,
    report: quiet,
  });
}, BUILD_TIMEOUT);

afterAll(() => rm(out, { recursive: true, force: true }));

/**
 * Boots, has the steps done in their order, since a machine has one life, and ends the machine. A step
 * that fails ends them, with its name in the error and a picture in build/boot.
 */
async function onMedium(
  firmware: Firmware,
  steps: (medium: BootedMedium, step: Step, picture: TakePicture) => Promise<void>,
  { name = firmware as string, entry = "serial" as Entry, memory = 2048 } = {},
): Promise<void> {
  const medium = await BootedMedium.start({ image, firmware, memory });
  const step: Step = async (what, run) => {
    try {
      await run();
    } catch (error) {
      throw new Error(`${name}: ${what}: ${error instanceof Error ? error.message : error}`, {
        cause: error,
      });
    }
    medium.reached(what);
  };
  await onMachine(medium, PICTURES, name, async (picture) => {
    await step("the greeter comes up", async () => {
      const messages = entry === "serial" ? undefined : "console=tty0 console=ttyS0,115200";
      await medium.choose(entry, () => picture("menu"), messages);
      await medium.awaitBoot({ quiet: entry === "ram" });
      await awaitGreeter(medium);
    });
    await steps(medium, step, picture);
  });
}

type Step = (name: string, run: () => Promise<void>) => Promise<void>;

/** A call of login1's Manager, which needs no answer of anybody. */
function call(method: string): string {
  const path = "/org/freedesktop/login1";
  return `dbus-send --system --print-reply --dest=org.freedesktop.login1 ${path} org.freedesktop.login1.Manager.${method} boolean:false`;
}

/** What both firmwares must bring up. */
async function boots(
  medium: BootedMedium,
  step: Step,
  picture: TakePicture,
  firmware: Firmware,
): Promise<void> {
  await step("OpenRC is the first process, and none is systemd's", async () => {
    expect(await medium.must("cat /proc/1/comm")).toBe("openrc-init\n");
    const names = (await medium.must("ps -eo comm=")).trim().split("\n");
    expect(names).toContain("lainos-dbus-bri");
    const systemd = names.filter((name) => name.startsWith("systemd"));
    const who = systemd.length > 0 ? await medium.must("ps -eo pid,ppid,etimes,args") : "";
    expect({ systemd, who }).toEqual({ systemd: [], who: "" });
  });

  machineIds.push((await medium.must("cat /etc/machine-id")).trim());

  await step("the kernel was told what the menu says", async () => {
    const words = (await medium.must("cat /proc/cmdline")).trim().split(" ");
    const expected = COMMAND_LINE.map((word) =>
      word
        .replace("%ARCHISO_LABEL%", "LAINOS")
        .replace("%INSTALL_DIR%", "arch")
        .replace("%ARCH%", "x86_64"),
    );
    for (const word of [...expected, INIT]) expect(words).toContain(word);
    // What follows init= would be the runlevel to start.
    expect(await medium.must("tr '\\0' ' ' </proc/1/cmdline")).toBe("/sbin/openrc-init ");
    const efi = (await medium.run("test -d /sys/firmware/efi")).code === 0;
    expect(efi).toBe(firmware === "uefi");
  });

  await step("every service of every runlevel is started", async () => {
    const shown = await medium.must("rc-status --nocolor sysinit boot default");
    const services = [...shown.matchAll(/^ (\S+)\s+\[\s+(\w+)/gm)].map(([, name, state]) => ({
      name,
      state,
    }));
    const order = [
      "cgroup-delegate",
      "dbus",
      "lainos-apparmor",
      "lainos-ghost-units",
      "lainos-notifyd",
      "lainos-machine-id",
    ];
    order.push("lainos-dbus-bridge", "iwd", "greetd", "chrony", "nftables", "polkit");
    order.push(
      "logrotate",
      "lainos-net-init",
      "lainos-audio-init",
      "dhcpcd",
      "syslog-ng",
      "lainos-serial",
    );
    for (const name of order) expect(services).toContainEqual({ name, state: "started" });
    // A member of the group seat could read the keyboard of whoever sits there.
    expect((await medium.run("pgrep -x seatd")).stdout).toBe("");
    expect(await medium.must("getent group seat")).toEndWith(":\n");
    expect(services.filter(({ state }) => state !== "started")).toEqual([]);
  });

  await step("the greeter is a session on seat0's first terminal", async () => {
    const list = await medium.must("loginctl --no-legend --no-pager list-sessions");
    const id = /^\s*(\S+)\s+\d+\s+\S+\s+seat0\s.*\btty1\b/m.exec(list)?.[1];
    const shown = await medium.must(`loginctl show-session ${id}`);
    for (const line of ["Class=greeter", "Seat=seat0", "VTNr=1", "State=active"]) {
      expect(shown.split("\n")).toContain(line);
    }
    await picture("greeter");
  });
}

async function byBios(medium: BootedMedium, step: Step, picture: TakePicture): Promise<void> {
  await boots(medium, step, picture, "bios");

  await step("its programs find their configurations right", async () => {
    for (const line of [
      "doas -C /etc/doas.conf",
      "nft --check --file /etc/nftables.conf",
      "syslog-ng --syntax-only --cfgfile /etc/syslog-ng/syslog-ng.conf",
      "chronyd -p -f /etc/chrony.conf",
    ]) {
      await medium.must(line);
    }
    // It would be on the screen at each start.
    const { stderr } = await medium.run("syslog-ng --syntax-only");
    expect(stderr).toBe("");
    const sway = await asUser(
      medium,
      "export XDG_RUNTIME_DIR=$(mktemp -d) WLR_BACKENDS=headless; exec sway --validate",
    );
    // Others are about the card, which is the greeter's now.
    expect(sway.stderr).not.toMatch(/Error on line|Unknown\/invalid command/);
    expect(sway.code).toBe(0);
  });

  await step("the kernel and the network are hardened", async () => {
    const { code, stdout } = await medium.run("/usr/libexec/lainos/lainos-net-init --check");
    expect({ code, stdout }).toMatchObject({ code: 0 });
    for (const [key, value] of [
      ["kernel.kptr_restrict", "2"],
      ["kernel.dmesg_restrict", "1"],
      ["kernel.sysrq", "0"],
      ["kernel.pid_max", "4194304"],
      ["kernel.core_pattern", "|/bin/false"],
      ["kernel.yama.ptrace_scope", "1"],
      ["kernel.kexec_load_disabled", "1"],
      ["fs.protected_symlinks", "1"],
      ["net.core.bpf_jit_harden", "1"],
      ["net.ipv4.tcp_syncookies", "1"],
      ["net.ipv6.conf.all.disable_ipv6", "1"],
    ]) {
      expect(await medium.must(`sysctl -n ${key}`)).toBe(`${value}\n`);
    }
    const rules = await medium.must("nft list ruleset");
    expect(rules).toContain("hook input priority filter; policy drop;");
    expect(rules).toContain("hook forward priority filter; policy drop;");
    // sshd is in no runlevel.
    expect(rules).not.toContain("dport");
  });

  await step("a wired network has an address by DHCP", async () => {
    const shown = async () => await medium.must("ip -4 -o address show scope global");
    await medium.waitFor(async () => (await shown()).includes(" 10.0.2."), "an address");
  });

  await step("what is logged is in everything.log", async () => {
    await medium.must("logger --tag medium-test 'a line of the test'");
    const look = async () =>
      (await medium.run("grep 'medium-test: a line of the test' /var/log/everything.log")).code ===
      0;
    await medium.waitFor(look, "the line in /var/log/everything.log");
    expect(await medium.must("stat -c '%a %G' /var/log/everything.log")).toBe("640 adm\n");
    await medium.must("logrotate --force /etc/logrotate.d/syslog-ng");
    await medium.must("logger --tag medium-test 'a line after the rotation'");
    const fresh = async () =>
      (await medium.run("grep 'medium-test: a line after' /var/log/everything.log")).code === 0;
    await medium.waitFor(fresh, "the line in the new /var/log/everything.log");
    await medium.must("grep 'medium-test: a line of the test' /var/log/everything.log.1");
  });

  await step("secrets are root's, and the live user has a home, doas and no password", async () => {
    expect(await medium.must("stat -c '%a %U' /etc/shadow /etc/doas.conf")).toBe(
      "400 root\n400 root\n",
    );
    expect(await medium.must("stat -c '%a %U' /home/liveuser")).toBe("750 liveuser\n");
    expect((await asUser(medium, "doas -n id -u")).stdout).toBe("0\n");
    expect((await asUser(medium, "id -nG")).stdout.split(/\s/)).toContain("wheel");
  });

  await step("a login at the greeter gives Sway", () => logInAtGreeter(medium, "sway"));
  {
    await step("is the seat's session, as loginctl shows it", async () => {
      const id = await liveSession(medium);
      const shown = (await medium.must(`loginctl show-session ${id}`)).split("\n");
      for (const line of [
        ...["Name=liveuser", "Seat=seat0", "VTNr=1", "Type=wayland", "Class=user"],
        ...["State=active", "Active=yes", "Desktop=sway", "Remote=no", "Service=greetd"],
      ]) {
        expect(shown).toContain(line);
      }
      expect(await medium.must("loginctl show-seat seat0 -p ActiveSession --value")).toBe(
        `${id}\n`,
      );
    });

    await step("shows bar and wallpaper in the medium's colours", async () => {
      // A moment lies between Sway's answer and its first picture.
      await medium.waitFor(async () => (await medium.colours()).size > 20, "Sway's picture");
      await picture("sway-empty");
      const colours = await medium.colours();
      // Not the background alone.
      expect(colours.size).toBeGreaterThan(20);
      expect(colours.get(PALETTE.panel) ?? 0).toBeGreaterThan(1000);
      expect(colours.get(PALETTE.accent) ?? 0).toBeGreaterThan(100);
      expect(await medium.must("tr '\\0' ' ' </proc/$(pgrep -x swaybg)/cmdline")).toContain(
        "/usr/share/lainos/wallpapers/",
      );
    });

    const windows = async () =>
      nodes(await swayTree(medium)).filter(
        ({ type, nodes: inside, name }) =>
          ["con", "floating_con"].includes(type) && inside.length === 0 && name !== null,
      );
    const focused = async () => nodes(await swayTree(medium)).find((node) => node.focused);
    /** Whether autotiling has set how the window that has the focus is split: by its longer side. */
    const isSplitByShape = async () =>
      nodes(await swayTree(medium)).some(({ layout, nodes: inside }) =>
        inside.some(
          ({ focused, rect }) =>
            focused && layout === (rect.height > rect.width ? "splitv" : "splith"),
        ),
      );
    const workspace = async (): Promise<number> =>
      JSON.parse(await swaymsg(medium, "-t get_workspaces")).find(
        (each: { focused: boolean }) => each.focused,
      ).num;
    const until = (look: () => Promise<boolean>, what: string) =>
      medium.waitFor(look, what, STEP_TIMEOUT);
    const count = (wanted: number) =>
      until(async () => (await windows()).length === wanted, `${wanted} windows`);
    /** On which workspace each window is, by their numbers. */
    const places = async (): Promise<number[]> =>
      nodes(await swayTree(medium))
        .filter(({ type }) => type === "workspace")
        .flatMap((space: SwayNode) =>
          nodes(space)
            .filter(
              ({ type, nodes: inside, name }) =>
                type === "con" && inside.length === 0 && name !== null,
            )
            .map(() => space.num ?? -1),
        );

    await step("Mod4+Return opens a terminal, and Mod4+Shift+q closes it", async () => {
      await medium.press("meta_l", "ret");
      await count(1);
      await medium.press("meta_l", "ret");
      await count(2);
      const quiet = () => medium.pixels(PALETTE.quiet);
      const before = await quiet();
      await until(async () => (await quiet()) > before + 100, "the prompts of the shells");
      await picture("sway");
      await medium.press("meta_l", "shift", "q");
      await count(1);
    });

    await step("Mod4+d opens the launcher", async () => {
      await medium.press("meta_l", "d");
      await awaitProgram(medium, "wofi");
      const before = await medium.pixels(PALETTE.background);
      await until(
        async () => before - (await medium.pixels(PALETTE.background)) > 10_000,
        "the launcher on the screen",
      );
      await Bun.sleep(3000);
      await picture("sway-wofi");
      await until(async () => {
        await medium.press("esc");
        return (await medium.run("pgrep -x wofi")).code !== 0;
      }, "the end of the launcher");
    });

    await step(
      "Mod4+1 to 9 go to the workspaces, and Mod4+Shift+1 to 9 send a window there",
      async () => {
        for (let number = 2; number <= 9; number++) {
          await medium.press("meta_l", "shift", String(number));
          await until(async () => (await places())[0] === number, `the window on ${number}`);
          await medium.press("meta_l", String(number));
          await until(async () => (await workspace()) === number, `workspace ${number}`);
        }
        await medium.press("meta_l", "shift", "1");
        await until(async () => (await places())[0] === 1, "the window on 1");
        await medium.press("meta_l", "1");
        await until(async () => (await workspace()) === 1, "workspace 1");
      },
    );

    await step(
      "a window that is taller than wide is split in two, one below the other",
      async () => {
        for (const wanted of [2, 3]) {
          // autotiling has to have seen the window that has the focus, for the next one to go by it.
          await until(isSplitByShape, "the split of the window that has the focus");
          await medium.press("meta_l", "ret");
          await count(wanted);
        }
        const [first, second, third] = (await windows()).map(({ rect }) => rect);
        if (!first || !second || !third) throw new Error("three windows were there before");
        expect({ x: second.x > first.x, y: second.y }).toEqual({ x: true, y: first.y });
        expect({ x: third.x, y: third.y > second.y }).toEqual({ x: second.x, y: true });
      },
    );

    await step("Mod4+h j k l move the focus, and with Shift the window", async () => {
      // From the window at the bottom right up and back, and to the left and back.
      for (const shift of [[], ["shift"]]) {
        for (const [key, axis, sign] of [
          ["k", "y", -1],
          ["j", "y", 1],
          ["h", "x", -1],
          ["l", "x", 1],
        ] as const) {
          await until(isSplitByShape, "the split of the window that has the focus");
          const before = await focused();
          await medium.press("meta_l", ...shift, key);
          const moved = async () => {
            const after = await focused();
            if (!before || !after || (after.id === before.id) !== shift.length > 0) return false;
            return (after.rect[axis] - before.rect[axis]) * sign > 0;
          };
          await until(moved, `what ${[...shift, key].join("+")} does`);
        }
      }
    });

    await step("Ctrl+Alt+l logs out, and the greeter is back", async () => {
      await medium.press("ctrl", "alt", "l");
      await awaitLogout(medium);
      expect((await medium.run("pgrep -u liveuser")).stdout).toBe("");
    });
  }

  await step("a login at the greeter gives Openbox", () => logInAtGreeter(medium, "openbox"));

  await step("is the seat's session, with X on its terminal", async () => {
    const id = await liveSession(medium);
    const shown = (await medium.must(`loginctl show-session ${id}`)).split("\n");
    for (const line of [
      ...["Name=liveuser", "Seat=seat0", "VTNr=1", "Type=x11", "Class=user"],
      ...["State=active", "Desktop=openbox", "Display=:0"],
    ]) {
      expect(shown).toContain(line);
    }
    expect(await medium.must("ps -o user= -p $(pgrep -x Xorg)")).toBe("liveuser\n");
  });

  await step("starts the installer, as root and on its screen", async () => {
    await awaitProgram(medium, "calamares", "root");
    const titles = async () => (await asUser(medium, "xwininfo -root -tree")).stdout;
    await medium.waitFor(
      async () => (await titles()).includes(`"${TITLE}"`),
      "the installer's window",
      STEP_TIMEOUT,
    );
  });

  await step("shows panel, wallpaper and a terminal", async () => {
    // By their classes: the installer's window may come at the same time.
    const each = "for id in $(xprop -root _NET_CLIENT_LIST | grep -o '0x[0-9a-f]*')";
    const windows = async () =>
      (await asUser(medium, `${each}; do xprop -id $id WM_CLASS; done`)).stdout;
    await medium.press("meta_l", "ret");
    await medium.waitFor(
      async () => /alacritty|xterm/i.test(await windows()),
      "a terminal's window",
      STEP_TIMEOUT,
    );
    await Bun.sleep(8000);
    await picture("openbox");
    const colours = await medium.colours();
    expect(colours.size).toBeGreaterThan(20);
    expect(colours.get(PALETTE.panel) ?? 0).toBeGreaterThan(1000);
  });

  await step("Ctrl+Alt+l logs out", async () => {
    await medium.press("ctrl", "alt", "l");
    await awaitLogout(medium);
  });

  await step("Reboot begins anew", async () => {
    await medium.must(call("Reboot"));
    await medium.ended();
    expect(medium.ending).toBe("guest-reset");
  });
}

async function byUefi(medium: BootedMedium, step: Step, picture: TakePicture): Promise<void> {
  await boots(medium, step, picture, "uefi");

  await step("has another machine id than the boot before", async () => {
    expect(machineIds).toHaveLength(2);
    for (const id of machineIds) expect(id).toMatch(/^[0-9a-f]{32}$/);
    expect(machineIds[0]).not.toBe(machineIds[1]);
  });

  await step("PowerOff switches it off", async () => {
    await medium.must(call("PowerOff"));
    await medium.ended();
    expect(medium.ending).toBe("guest-shutdown");
  });
}

test(
  "the medium starts by BIOS and by UEFI, and does all that is asked of it",
  async () => {
    await onMedium("bios", byBios);
    await onMedium("uefi", byUefi);
  },
  BOOTS_TIMEOUT,
);

test(
  "copied to memory, it does without the medium",
  () =>
    onMedium(
      "bios",
      async (medium, step) => {
        await step("a login gives Sway after the medium was taken out", async () => {
          await medium.takeOut();
          // So that what comes now is read from where it is kept.
          await medium.must("sync; echo 3 >/proc/sys/vm/drop_caches");
          const read = await medium.run("dd if=/dev/sr0 of=/dev/null bs=2048 count=1");
          expect(read.stderr).toContain("No medium found");
          await logInAtGreeter(medium, "sway");
          await medium.must("find /usr/bin -type f -exec cat {} + >/dev/null", STEP_TIMEOUT);
        });
      },
      { name: "ram", entry: "ram", memory: 3072 },
    ),
  BOOT_TIMEOUT,
);

test(
  "with safe graphics, it comes up on what the firmware has set",
  () =>
    onMedium(
      "bios",
      async (medium, step, picture) => {
        await step("the screen is the firmware's, in 1024x768", async () => {
          // On Debian's kernel by vesafb; Arch's has simpledrm, which is a card too.
          expect(await medium.must("cat /sys/class/graphics/fb0/name")).toBe("VESA VGA\n");
          expect(await medium.must("cat /sys/class/graphics/fb0/virtual_size")).toStartWith(
            "1024,",
          );
          expect(await medium.must("ls /sys/class/drm")).not.toContain("card");
          const { width, height } = await medium.screen();
          expect({ width, height }).toEqual({ width: 1024, height: 768 });
          await picture("greeter");
        });
      },
      { name: "safe", entry: "safe" },
    ),
  BOOT_TIMEOUT,
);
