/** The one machine that the tests of this folder share, and what several of them do with it. */
import { expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cacheDir, ensureHostPackages } from "../../scripts/host.ts";
import { LIVE_USER } from "../../testbed/live/index.ts";
import { DESKTOP_LOG } from "../../testbed/machine/configure.ts";
import { type Machine, startMachine } from "../../testbed/machine/index.ts";
import { countColours, readScreen } from "../../testbed/machine/screen.ts";
import { compile } from "../login1/support/probe.ts";
import { must, show } from "../support/inside.ts";

export { must, show } from "../support/inside.ts";

/** Without KVM, on a loaded machine; the first time also builds the root and fetches a kernel. */
export const BOOT_TIMEOUT = 900_000;

/**
 * One test, in milliseconds: longer than all that it waits for takes to give up, since bun would end
 * QEMU with a test that is late.
 */
export const TEST_TIMEOUT = 600_000;

/** Where device-holder.c's executable is inside. */
const HOLDER = "/usr/local/bin/device-holder";

/** Where switches.c's is. */
export const SWITCHES = "/usr/local/bin/switches";

/** Where hid-device.c's is. */
export const HID_DEVICE = "/usr/local/bin/hid-device";

/** Where hostile.py of test/linux is. */
export const HOSTILE = "/usr/local/bin/hostile.py";

/** What is compiled for the machine, with the library that it needs. */
const PROGRAMS = [
  { path: HOLDER, source: "device-holder.c", library: "-lsystemd" },
  { path: SWITCHES, source: "switches.c", library: "-lc" },
  { path: HID_DEVICE, source: "hid-device.c", library: "-lc" },
];

/** Notes each call of a hook, so that a test sees which ran and in which order. */
const HOOK = '#!/bin/sh\necho "$1 $2" >>/run/sleep-hooks\n';

export const XORG_LOG = "/tmp/xorg.log";

/** An X server without a root of its own: it asks login1 for its devices only with -keeptty. */
const START_X = `#!/bin/sh
exec Xorg :5 "vt$XDG_VTNR" -keeptty -noreset -logfile ${XORG_LOG} >/tmp/xorg.out 2>&1
`;

/**
 * Boots a machine with the device holder, the devices, a start of Xorg and a hook for sleep in it. Its name is
 * this run's own, so that two checkouts can be tested at a time.
 */
export async function bootMachine(): Promise<Machine> {
  await removeDead();
  await ensureHostPackages(["gcc", "libsystemd's headers"], (names) =>
    console.log(`Installing ${names.join(" ")}`),
  );
  const folder = await mkdtemp(join(tmpdir(), "p7-machine-"));
  try {
    const programs = new Map<string, Buffer>();
    for (const { path, source, library } of PROGRAMS) {
      const program = await compile(join(import.meta.dir, source), library, folder);
      programs.set(path, await readFile(program));
    }
    const machine = await startMachine({
      name: `test-${process.pid}`,
      prepare: async (root) => {
        for (const [path, program] of programs) {
          await writeFile(join(root, path), program, { mode: 0o755 });
        }
        await writeFile(join(root, "usr/local/bin/start-x"), START_X, { mode: 0o755 });
        await cp(join(import.meta.dir, "../linux/hostile.py"), join(root, HOSTILE));
        const hooks = join(root, "etc/lainos/sleep.d");
        await mkdir(hooks, { recursive: true });
        await writeFile(join(hooks, "note"), HOOK, { mode: 0o755 });
      },
    });
    try {
      await machine.save();
    } catch (error) {
      await machine.stop();
      throw error;
    }
    return machine;
  } finally {
    await rm(folder, { recursive: true });
  }
}

/** Removes what runs have left that were killed. */
async function removeDead(): Promise<void> {
  const folder = join(cacheDir(), "machine", "run");
  for (const name of await readdir(folder).catch(() => [])) {
    const pid = /^test-(\d+)$/.exec(name)?.[1];
    if (pid && !existsSync(`/proc/${pid}`)) await rm(join(folder, name), { recursive: true });
  }
}

/** Whether the last test has left the machine as nobody knows. */
let isUnfit = false;

/**
 * A test that finds the machine up, as it was after its first boot if something has ended it or the
 * test before has failed, and whose failure says how the machine was then.
 */
export function onMachine(name: string, machine: () => Machine, run: () => Promise<void>): void {
  test(name, async () => {
    try {
      if (isUnfit || !machine().isReachable) await machine().restore();
      isUnfit = false;
      await run();
      if (machine().isReachable) await checkNothingDenied(machine());
    } catch (error) {
      isUnfit = true;
      const message = error instanceof Error ? error.message : String(error);
      throw new Error(`${message}\n${await diagnosis(machine())}`, { cause: error });
    }
  });
}

/** What AppArmor or a filter of system calls has refused a program of ours since the last look. */
async function checkNothingDenied(machine: Machine): Promise<void> {
  const look = "dmesg --read-clear | grep -aE 'apparmor=\"DENIED\"|type=1326' || :";
  const denied = await sh(machine, look);
  if (denied !== "") throw new Error(`the kernel has refused something:\n${denied}`);
}

/** Shown of each file, in lines. */
const TAIL = 40;

const LOOK = `loginctl --no-pager list-sessions; cat /sys/class/tty/tty0/active
for file in /var/log/lainos/*.log ${DESKTOP_LOG} ${XORG_LOG} /tmp/xorg.out /run/*.log; do
  [ ! -s "$file" ] || { echo "== $file"; tail -n ${TAIL} "$file"; }
done
for screen in /dev/vcs[1-6]; do echo "== $screen"; fold -w 160 "$screen" | sed 's/ *$//' | grep .; done
echo "== dmesg"; dmesg | tail -n ${TAIL}; ps -eo pid,tty,stat,wchan:20,args --forest | grep -vF ' ['`;

/** All that tells why something did not come; a part that cannot be had says so itself. */
async function diagnosis(machine: Machine): Promise<string> {
  const picture = join(tmpdir(), `protocol7-machine-${Date.now()}.png`);
  const parts = [
    async () => `QEMU ${machine.isOn ? "runs" : "has ended"}`,
    async () => `console:\n${await machine.consoleTail(TAIL)}`,
    async () => machine.screendump(picture).then(() => `the screen: ${picture}`),
    async () => {
      const { stdout, stderr } = await machine.exec(["sh", "-c", LOOK]);
      return stdout + stderr;
    },
  ];
  const said: string[] = [];
  for (const part of parts) said.push(await part().catch((error) => `not had: ${error}`));
  return said.join("\n");
}

/** The same for a line of sh. */
export function sh(machine: Machine, line: string): Promise<string> {
  return must(machine, ["sh", "-c", line]);
}

/** Starts a line of sh that goes on while the tests do; what it prints is in the file. */
export async function background(machine: Machine, line: string, file: string): Promise<void> {
  await sh(machine, `: >${file}; setsid sh -c '${line}' </dev/null >>${file} 2>&1 &`);
}

/** The session on a VT; undefined while there is none. */
export async function sessionOn(machine: Machine, vt: number): Promise<string | undefined> {
  for (const { id } of await machine.sessions()) {
    const properties = ["--property=VTNr", "--property=State"];
    const shown = await machine.exec(["loginctl", "show-session", ...properties, id]);
    // One that ended after it was listed.
    if (shown.code !== 0 && shown.stderr.includes(`No session '${id}' known`)) continue;
    const lines = shown.stdout.split("\n");
    if (lines.includes(`VTNr=${vt}`) && !lines.includes("State=closing")) return id;
  }
  return undefined;
}

/** The VT in the foreground, as the kernel has it. */
export async function foreground(machine: Machine): Promise<string> {
  return (await must(machine, ["cat", "/sys/class/tty/tty0/active"])).trim();
}

/** Gives the live user's Sway a command, as a word or words of sh. */
async function swaymsg(machine: Machine, words: string): Promise<void> {
  const line = `swaymsg -s /run/user/1000/sway-ipc.*.sock ${words}`;
  await must(machine, ["sh", "-c", line], LIVE_USER);
}

/** Runs a line of sh in the live user's session, as a child of its Sway. */
export function inSession(machine: Machine, line: string): Promise<void> {
  return swaymsg(machine, `exec -- '${line}'`);
}

export const MANAGER =
  "org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager";

/** A line of sh that calls a method of login1's manager. */
export function calling(method: string, ...words: string[]): string {
  return `busctl call ${MANAGER} ${method} ${words.join(" ")}`;
}

/** Calls a method of login1's manager as root; returns what busctl prints. */
export function login1(machine: Machine, method: string, ...words: string[]): Promise<string> {
  return sh(machine, calling(method, ...words));
}

/** The same without waiting for the reply, which a machine that goes down or sleeps owes us. */
export function login1Later(machine: Machine, method: string): Promise<void> {
  return background(machine, calling(method, "b", "false"), `/run/${method}.log`);
}

/** Waits until a daemon has logged a text. */
export function awaitLogged(
  machine: Machine,
  text: string,
  daemon = "lainos-dbus-bridge",
): Promise<true> {
  // lainos-notifyd's are syslog-ng's while that runs.
  const log = `cat /var/log/lainos/${daemon}.log /var/log/everything.log`;
  return machine.waitFor(async () => (await sh(machine, log)).includes(text), text);
}

/** Inhibits the handling of a key or switch, until `letGo`. */
export async function hold(machine: Machine, what: string): Promise<void> {
  const held = `systemd-inhibit --what=${what} --who=desktop --why=menu sleep infinity`;
  await background(machine, `exec ${held}`, "/run/inhibit.log");
  const list = "systemd-inhibit --list --no-pager";
  await machine.waitFor(async () => (await sh(machine, list)).includes(what), what);
}

/** Ends what `hold` began. */
export async function letGo(machine: Machine): Promise<void> {
  await sh(machine, "pkill -x systemd-inhibit");
  await machine.waitFor(
    async () => (await machine.exec(["pgrep", "-x", "systemd-inhibit"])).code === 1,
    "the end of the inhibitor",
  );
}

/** Brings the VT to the foreground through login1 and waits for it. */
export async function switchTo(machine: Machine, vt: number): Promise<void> {
  const seat = ["org.freedesktop.login1", "/org/freedesktop/login1/seat/seat0"];
  const method = ["org.freedesktop.login1.Seat", "SwitchTo", "u", String(vt)];
  await must(machine, ["busctl", "call", ...seat, ...method]);
  await awaitForeground(machine, vt);
}

export function awaitForeground(machine: Machine, vt: number): Promise<true> {
  return machine.waitFor(async () => (await foreground(machine)) === `tty${vt}`, `tty${vt}`);
}

/** The live user's Wayland session in the foreground; returns its id. */
export async function ensureDesktop(machine: Machine): Promise<string> {
  const id = await machine.waitFor(() => sessionOn(machine, 1), "the desktop's session");
  if ((await foreground(machine)) !== "tty1") await switchTo(machine, 1);
  const active = async () => (await show(machine, "session", id)).State === "active";
  await machine.waitFor(active, "the desktop in the foreground");
  return id;
}

/**
 * Logs in on a VT's getty by the keyboard; returns the session's id. The user has no password. What is
 * typed before somebody reads is thrown away by login(1), so this goes by what is on the VT.
 */
export async function loginOn(machine: Machine, vt: number, user: string): Promise<string> {
  await switchTo(machine, vt);
  await background(machine, `exec agetty tty${vt} linux`, `/run/agetty-${vt}.log`);
  await onVt(machine, vt, "lainos login:");
  await machine.type(`${user}\n`);
  await onVt(machine, vt, `${user}@lainos:`);
  return await machine.waitFor(() => sessionOn(machine, vt), `a session on tty${vt}`);
}

/** Waits for a text on a VT, in the foreground or not (vcs(4)). */
async function onVt(machine: Machine, vt: number, text: string): Promise<void> {
  const look = async () =>
    (await machine.exec(["grep", "--quiet", "--text", text, `/dev/vcs${vt}`])).code === 0;
  await machine.waitFor(look, `"${text}" on tty${vt}`);
}

/**
 * Takes control of a session, and these devices, by a program of its own.
 *
 * @returns `said` waits until it has said all these lines, and gives all that it has; `end` ends it
 */
export async function takeDevices(machine: Machine, session: string, devices: readonly string[]) {
  const path = /"(.*)"/.exec(await login1(machine, "GetSession", "s", session))?.[1];
  const log = "/run/device-holder.log";
  await background(machine, `exec ${HOLDER} ${path} ${devices.join(" ")}`, log);
  const said = (...expected: string[]) =>
    machine.waitFor(
      async () => {
        const lines = (await sh(machine, `cat ${log}`)).trim().split("\n");
        return expected.every((line) => lines.includes(line)) && lines;
      },
      `${expected.join(", ")} in ${log}`,
    );
  return { said, end: () => sh(machine, "pkill -x device-holder") };
}

/** Waits until the bridge, which was ended, answers again. */
export async function awaitBridge(machine: Machine): Promise<void> {
  const answers = async () => (await machine.exec(["loginctl"])).code === 0;
  await machine.waitFor(answers, "the bridge is back");
}

/** Ends a session by login1, and waits for it. */
export async function endSession(machine: Machine, id: string, vt: number): Promise<void> {
  await must(machine, ["loginctl", "terminate-session", id]);
  await machine.waitFor(async () => (await sessionOn(machine, vt)) === undefined, "its end");
}

/** The devices of a kind that udev has for the seat, by their nodes. */
export async function nodes(machine: Machine, pattern: string): Promise<string[]> {
  return (await sh(machine, `ls ${pattern}`)).trim().split("\n");
}

/** Which processes have the card open, and whether each is its master (DRM's debugfs). */
export async function drmMasters(
  machine: Machine,
): Promise<{ command: string; master: boolean }[]> {
  await machine.exec(["mount", "-t", "debugfs", "debugfs", "/sys/kernel/debug"]);
  const lines = (await must(machine, ["cat", "/sys/kernel/debug/dri/0/clients"]))
    .trim()
    .split("\n");
  return lines.slice(1).map((line) => {
    const [command = "", , , master] = line.trim().split(/\s+/);
    return { command, master: master === "y" };
  });
}

/** The colours that the screen shows: a text console has a few, drawn letters many. */
async function screenColours(machine: Machine): Promise<Map<string, number>> {
  return countColours(await readScreen((file) => machine.screendump(file)));
}

/** Has the live user's Sway draw its background in a colour that nothing else has, and sees it on the screen. */
export async function drawAnew(machine: Machine, colour: string): Promise<void> {
  expect((await screenColours(machine)).has(colour)).toBe(false);
  await swaymsg(machine, `'output * bg ${colour} solid_color'`);
  // Most of it is behind windows.
  const drawn = async () => ((await screenColours(machine)).get(colour) ?? 0) > 1000;
  await machine.waitFor(drawn, `${colour} on the screen`);
}

/** Sees the desktop's letters on the screen, the console of another VT in their place, and the letters again. */
export async function leaveAndReturn(machine: Machine): Promise<void> {
  const shown = async () => (await screenColours(machine)).size;
  await machine.waitFor(async () => (await shown()) > 64, "letters on the screen");
  await switchTo(machine, 6);
  await machine.waitFor(async () => (await shown()) < 64, "the console on the screen");
  await switchTo(machine, 1);
  await machine.waitFor(async () => (await shown()) > 64, "letters on the screen again");
}
