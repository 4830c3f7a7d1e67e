/**
 * An installation as a person does it, from the medium's menu to a login on the new system: Calamares
 * by keys, in QEMU, onto a disk that then starts by itself. Pictures and logs are in build/install.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdir, rm, truncate, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildStandin } from "../../scripts/iso/debian.ts";
import { readProfile } from "../../scripts/iso/profile.ts";
import { quiet } from "../../scripts/lib/progress.ts";
import { sourceDate } from "../../scripts/makepkg.ts";
import { BootedMedium, type Firmware, stageTable } from "../../testbed/boot/index.ts";
import { type Choices, install, LOG, LOG_TIMEOUT } from "../../testbed/boot/installer.ts";
import {
  asUser,
  awaitGreeter,
  liveSession,
  logInAtGreeter,
  nodes,
  swayTree,
} from "../../testbed/boot/session.ts";
import { onMachine } from "../support/on-machine.ts";

/** The first time also fetches the root's packages. */
const BUILD_TIMEOUT = 900_000;

/** Copying and an initramfs without KVM, on a busy host. */
const INSTALL_TIMEOUT = 6_000_000;

const FOLDER = resolve(import.meta.dir, "../../build/install");

/** The firmware and GRUB's first part. */
const GRUB_TIMEOUT = 240_000;

/** The bytes of the disk, none of which is there until it is written. */
const DISK_SIZE = 12 * 2 ** 30;

const PERSON = { name: "lain", password: "close the world" };

const PLAIN: Choices = {
  // Belgrade, and the one after it.
  zone: ["tab", "b", "down"],
  // Georgian, and the one after it.
  layout: ["tab", "tab", "g", "down"],
  fileSystem: "ext4",
  fullName: "Lain Iwakura",
  person: PERSON,
  hostname: "navi",
};

/** The passphrase has letters that both layouts have in one place: GRUB knows the American one alone. */
const ENCRYPTED: Choices = { ...PLAIN, fileSystem: "btrfs", passphrase: "no matter where we are" };

let image: string;
const images = join(FOLDER, "iso");

beforeAll(async () => {
  await mkdir(images, { recursive: true });
  const epoch = await sourceDate();
  image = await buildStandin({
    profile: await readProfile(epoch),
    epoch,
    out: images,
    work: join(images, `work-${process.pid}`),
    signal: new AbortController().signal,
    report: quiet,
  });
}, BUILD_TIMEOUT);

afterAll(() => rm(images, { recursive: true, force: true }));

async function installOn(disk: string, firmware: Firmware, choices: Choices): Promise<void> {
  const machine = await BootedMedium.start({ image, disk, firmware, memory: 3072 });
  await onMachine(machine, FOLDER, `${firmware}-medium`, async (picture) => {
    await machine.choose("serial");
    await machine.awaitBoot();
    await logInAtGreeter(machine, "openbox");
    machine.reached("Openbox");
    const saveLog = async () => {
      const { stdout } = await machine.run(`cat ${LOG}`, LOG_TIMEOUT);
      await writeFile(join(FOLDER, `${firmware}-calamares.log`), stdout);
    };
    try {
      await install(machine, choices, {
        page: async (step) => {
          machine.reached(step);
          await picture(step);
        },
        job: (name) => {
          machine.reached(name);
          // At once: a run that is ended from outside has told what it was at.
          console.log(stageTable(machine.stages.slice(-1)));
        },
      });
    } catch (error) {
      // What failed first is what is told.
      await saveLog().catch(() => {});
      throw error;
    }
    await saveLog();
    await machine.run("openrc-shutdown --poweroff now");
    await machine.ended();
  });
}

/** What must be true of every installed system. */
async function check(
  machine: BootedMedium,
  { person, hostname, passphrase, fileSystem }: Choices,
): Promise<void> {
  const must = (line: string) => machine.must(line, 120_000);
  expect(await must("cat /proc/1/comm")).toBe("openrc-init\n");
  expect(await must("ps -eo comm= | grep ^systemd || :")).toBe("");

  const words = (await must("cat /proc/cmdline")).trim().split(" ");
  for (const word of [
    ...["init=/sbin/openrc-init", "random.trust_cpu=off", "init_on_alloc=1", "init_on_free=1"],
    ...["page_alloc.shuffle=1", "lsm=landlock,lockdown,yama,integrity,apparmor,bpf"],
  ]) {
    expect(words).toContain(word);
  }
  expect(words.filter((word) => /^rd\.(live|overlay)/.test(word))).toEqual([]);
  // What follows init= would be the runlevel to start.
  expect(await must("tr '\\0' ' ' </proc/1/cmdline")).toBe("/sbin/openrc-init ");
  const kind = (await must('lsblk -ndo TYPE "$(findmnt -nvo SOURCE /)"')).trim();
  expect(kind).toBe(passphrase === undefined ? "part" : "crypt");
  expect(await must("findmnt -no FSTYPE,OPTIONS /")).toMatch(new RegExp(`^${fileSystem} +rw\\b`));
  // Each file system of fstab is mounted or used.
  expect((await machine.run("findmnt --verify")).code).toBe(0);
  expect(await must("swapon --show=TYPE --noheadings")).toBe("file\n");

  const shown = await must("rc-status --nocolor sysinit boot default");
  const states = [...shown.matchAll(/^ (\S+)\s+\[\s+(\w+)/gm)].map(([, name, state]) => ({
    name,
    state,
  }));
  expect(states.length).toBeGreaterThan(20);
  expect(states.filter(({ state }) => state !== "started")).toEqual([]);
  for (const name of ["greetd", "keymaps", "swap"])
    expect(shown).toMatch(new RegExp(`^ ${name} `, "m"));

  // Nothing of the medium is left.
  expect(await must("grep -rl liveuser /etc /home --exclude='*-' || :")).toBe("");
  expect((await machine.run("getent passwd liveuser")).code).not.toBe(0);
  expect(await must("getent shadow root")).toStartWith("root:!:");
  expect(await must("getent group seat")).toEndWith(":\n");
  for (const path of [
    ...["/home/liveuser", "/etc/polkit-1/rules.d/49-lainos-live.rules", "/etc/calamares"],
    ...["/etc/dracut.conf.d/20-lainos-live.conf", "/usr/share/applications/lainos-install.desktop"],
  ]) {
    expect((await machine.run(`test -e ${path}`)).code).not.toBe(0);
  }

  // What was chosen.
  expect(await must("hostname")).toBe(`${hostname}\n`);
  expect(await must("readlink /etc/localtime")).toContain("/Europe/Berlin\n");
  expect(await must("grep ^LANG= /etc/locale.conf")).toMatch(/^LANG=en_US\.UTF-8\n$/);
  expect(await must("locale -a")).toMatch(/^en_US\.utf8$/m);
  const [name, , uid] = (await must(`getent passwd ${person.name}`)).split(":");
  expect([name, uid]).toEqual([person.name, "1000"]);
  const groups = (await must(`id -nG ${person.name}`)).trim().split(" ");
  expect(groups).toEqual(expect.arrayContaining(["wheel", "users"]));
  // Devices come by the session: a member of seat could read the keyboard of whoever sits there.
  expect(groups).not.toContain("seat");
}

/** The layout of the keyboard, on the console, in X's file and in the session. */
async function checkKeyboard(machine: BootedMedium): Promise<void> {
  const layout = /"XkbLayout" "(\w+)"/.exec(
    await machine.must("cat /etc/X11/xorg.conf.d/00-keyboard.conf"),
  )?.[1];
  expect(layout).toBe("de");
  const inSession = `tr '\\0' '\\n' </proc/$(pgrep -u ${PERSON.name} -x sway)/environ`;
  expect(await machine.must(inSession)).toContain(`XKB_DEFAULT_LAYOUT=${layout}\n`);
  const keymap = await machine.must(". /etc/vconsole.conf; echo $KEYMAP");
  expect(await machine.must(". /etc/conf.d/keymaps; echo $keymap")).toBe(keymap);
}

async function startInstalled(
  disk: string,
  firmware: Firmware,
  choices: Choices,
  unlock: (machine: BootedMedium) => Promise<void>,
): Promise<void> {
  const machine = await BootedMedium.start({ disk, firmware });
  await onMachine(machine, FOLDER, `${firmware}-installed`, async (picture) => {
    await unlock(machine);
    // root is locked.
    await machine.awaitBoot({ ...choices.person, quiet: true });
    await awaitGreeter(machine);
    machine.reached("greeter");
    await picture("greeter");
    await check(machine, choices);
    await logInAtGreeter(machine, "sway", choices.person);
    machine.reached("Sway");
    await checkKeyboard(machine);
    const id = await liveSession(machine, choices.person.name);
    const session = (await machine.must(`loginctl show-session ${id}`)).split("\n");
    for (const line of ["Seat=seat0", "Type=wayland", "Active=yes", "Service=greetd"]) {
      expect(session).toContain(line);
    }
    // Doas asks for the password, and takes it.
    expect((await asUser(machine, "doas -n true")).code).not.toBe(0);
    await machine.press("meta_l", "ret");
    // What is typed before the shell's prompt waits for it.
    const inTerminal = async () =>
      nodes(await swayTree(machine)).some(({ type, focused }) => type === "con" && focused);
    await machine.waitFor(inTerminal, "a terminal that has the keyboard");
    // In letters that both layouts have in one place.
    await machine.type("doas touch done\n");
    await machine.waitFor(
      async () => (await machine.run("pgrep -x doas")).code === 0,
      "the question of doas",
    );
    await Bun.sleep(2000);
    await machine.type(`${choices.person.password}\n`);
    const owner = async () => (await asUser(machine, "stat -c %U ~/done")).stdout;
    await machine.waitFor(async () => (await owner()) === "root\n", "what doas does");
    await picture("sway");
  });
}

async function installAndStart(
  firmware: Firmware,
  choices: Choices,
  unlock: (machine: BootedMedium) => Promise<void>,
): Promise<void> {
  const disk = join(FOLDER, `${firmware}.img`);
  await writeFile(disk, "");
  await truncate(disk, DISK_SIZE);
  try {
    await installOn(disk, firmware, choices);
    await startInstalled(disk, firmware, choices, unlock);
  } finally {
    await rm(disk, { force: true });
  }
}

test(
  "by BIOS onto a plain disk",
  () => installAndStart("bios", PLAIN, async () => {}),
  INSTALL_TIMEOUT,
);

test(
  "by UEFI onto an encrypted disk with btrfs",
  () =>
    installAndStart("uefi", ENCRYPTED, async (machine) => {
      await machine.serial.awaitText(/Enter passphrase/, "GRUB's question", GRUB_TIMEOUT);
      machine.reached("passphrase");
      await machine.type(`${ENCRYPTED.passphrase}\n`);
    }),
  INSTALL_TIMEOUT,
);
