/** A machine as tests use it: start one, look into it, press its keys, end it. See docs/machine.md. */
import { cp, mkdir, readFile, rename, rm } from "node:fs/promises";
import { basename, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { $ } from "zx";
import { cacheDir, ensureHostPackages, HostError } from "../../scripts/host.ts";
import { destroy, upper } from "../../scripts/lib/overlay.ts";
import { quiet, type Reporter } from "../../scripts/lib/progress.ts";
import { checkName, stateDir } from "../../scripts/lib/state.ts";
import { asUser, type ExecOptions, type ExecResult } from "../live/enter.ts";
import { LIVE_USER, prepareLive } from "../live/index.ts";
import { parseSessions, type SessionLine, waitFor } from "../live/ready.ts";
import { cacheDependencies, configureMachine } from "./configure.ts";
import { cachedDisk, makeInitramfs, overlayDisk, writableDisk } from "./images.ts";
import { ensureKernel } from "./kernel.ts";
import { press, type } from "./keyboard.ts";
import { type Beginning, type Hardware, type Running, SNAPSHOT, startQemu } from "./qemu.ts";
import type { QmpEvent } from "./qmp.ts";

export interface MachineOptions {
  /** Lower-case letters, digits and inner hyphens. Machines of different names run side by side. */
  readonly name: string;
  /** A built package; without it the checkout's own is built, where it is not already. */
  readonly packageFile?: string;
  /** Aborts the start; nothing is left then. */
  readonly signal?: AbortSignal;
  readonly report?: Reporter;
  /** Changes the files of the root that are not Debian's (their folder is given). */
  readonly prepare?: (root: string) => Promise<void>;
}

/** Without KVM every step takes some times as long as on the host; the way down has many, too. */
const BOOT_TIMEOUT = 300_000;

/** What hibernation may write. */
const SWAP_SIZE = "1G";

/** A machine, on or off. */
export class Machine {
  private running: Running | undefined;

  constructor(
    readonly name: string,
    private readonly hardware: Hardware,
  ) {}

  /**
   * Runs a command inside, outside every session. A status other than 0 is no error.
   * @throws Error where it has not ended in time, or the machine stands still.
   */
  async exec(command: readonly string[], options: ExecOptions = {}): Promise<ExecResult> {
    const seconds = (options.timeout ?? 60_000) / 1000;
    const inside = ["timeout", "--kill-after=5", String(seconds), ...asUser(command, options)];
    const running = this.on.channel.run(`exec ${inside.map(quoted).join(" ")}`, options.stdin);
    const late = new AbortController();
    const done = await Promise.race([
      running,
      sleep((seconds + 30) * 1000, undefined, { signal: late.signal }),
    ]).finally(() => late.abort());
    if (done !== undefined && done.code !== 124) return done;
    throw new Error(
      `${command.join(" ")}: not done in time\n${done?.stdout ?? ""}${done?.stderr ?? ""}`,
    );
  }

  /** See `waitFor` of the container test system. @throws HostError that names what did not come. */
  async waitFor<T>(
    look: () => Promise<T | undefined | false>,
    what: string,
    timeout = 60_000,
    signal?: AbortSignal,
  ): Promise<T> {
    try {
      return await waitFor(look, what, timeout, signal);
    } catch (error) {
      if (!(error instanceof HostError)) throw error;
      throw new HostError(`${error.message}\nconsole:\n${await this.consoleTail(20)}`);
    }
  }

  /** The sessions, by the system's loginctl, which is ours. @throws HostError where it fails. */
  async sessions(): Promise<SessionLine[]> {
    const done = await this.exec(["loginctl", "--no-legend", "--no-pager", "list-sessions"]);
    if (done.code !== 0) throw new HostError(`loginctl list-sessions: ${done.stderr.trim()}`);
    return parseSessions(done.stdout);
  }

  /** Presses keys of QEMU's QKeyCode together and lets them go: `press("ctrl", "alt", "f2")`. */
  press(...keys: string[]): Promise<void> {
    return press(this.on.qmp, ...keys);
  }

  /** Types a text. @throws Error for a character that is on no key of the American layout. */
  type(text: string): Promise<void> {
    return type(this.on.qmp, text);
  }

  /** What the screen shows, as a file on the host: a PNG, or a PPM where its name ends so. */
  async screendump(file: string): Promise<void> {
    const format = file.endsWith(".ppm") ? "ppm" : "png";
    await this.on.qmp.execute("screendump", { filename: resolve(file), format });
  }

  /** Presses the power button for a moment. */
  async powerButton(): Promise<void> {
    await this.on.qmp.execute("system_powerdown");
  }

  /** Wakes the machine from suspend. @throws HostError where it does not sleep. */
  async wake(): Promise<void> {
    await this.on.qmp.execute("system_wakeup");
  }

  /** What QEMU has told of the machine since it was switched on, oldest first. */
  get events(): readonly QmpEvent[] {
    return this.on.qmp.events;
  }

  /** Waits for an event of that name that is not among the first `after`. */
  awaitEvent(name: string, after = 0, timeout = BOOT_TIMEOUT): Promise<QmpEvent> {
    const { events } = this.on.qmp;
    const look = async () => events.slice(after).find(({ event }) => event === name);
    return this.waitFor(look, `QEMU's event ${name}`, timeout);
  }

  /** Whether QEMU runs. */
  get isOn(): boolean {
    const child = this.running?.process;
    return child !== undefined && child.exitCode === null && child.signalCode === null;
  }

  /** Waits for the power to be off: QEMU ends. */
  async ended(timeout = BOOT_TIMEOUT): Promise<void> {
    await this.waitFor(async () => !this.isOn, "the end of QEMU", timeout);
    this.release();
  }

  /** Switches it on. */
  async start(beginning: Beginning = "off"): Promise<void> {
    if (this.running) throw new HostError(`${this.name} is on`);
    this.running = await startQemu(this.hardware, beginning);
  }

  /** Keeps memory, devices and disks as they are, for `restore`. */
  async save(): Promise<void> {
    const said = await this.on.qmp.execute("human-monitor-command", {
      "command-line": `savevm ${SNAPSHOT}`,
    });
    if (said !== "") throw new HostError(`savevm: ${said}`);
  }

  /** Goes on from `save`, whatever has become of the machine since. */
  async restore(): Promise<void> {
    await this.switchOff();
    await this.start("saved");
  }

  /** Waits until commands can be run in it. */
  async reachable(signal?: AbortSignal): Promise<void> {
    const look = async () => {
      if (!this.isOn) throw new HostError(`QEMU has ended: ${await this.errors()}`);
      return this.on.channel.isReady;
    };
    await this.waitFor(look, "the agent in the machine", BOOT_TIMEOUT, signal);
  }

  /** Waits until OpenRC has brought up the runlevel default. */
  async defaultReached(signal?: AbortSignal): Promise<void> {
    const script =
      'cd /run/openrc && grep -qx default softlevel && [ ! -e rc.starting ] && [ -z "$(ls starting)" ]';
    const look = async () => (await this.exec(["sh", "-c", script])).code === 0;
    await this.waitFor(look, "the runlevel default", BOOT_TIMEOUT, signal);
  }

  /**
   * Waits until greetd has logged the live user in and Sway shows something. Who takes the card from
   * a wlroots that sets its first mode has it try all the others, up to the slowest.
   */
  async desktopReached(signal?: AbortSignal): Promise<void> {
    const outputs = "exec swaymsg -s /run/user/1000/sway-ipc.*.sock -t get_outputs";
    const look = async () => {
      const { stdout, code } = await this.exec(["sh", "-c", outputs], { user: LIVE_USER });
      return code === 0 && JSON.parse(stdout).some(({ active }: { active: boolean }) => active);
    };
    await this.waitFor(look, `${LIVE_USER}'s Sway`, BOOT_TIMEOUT, signal);
  }

  /** Whether it is on and commands can be run in it. */
  get isReachable(): boolean {
    return this.isOn && this.on.channel.isReady;
  }

  /** The last lines that the kernel, the init and its services printed. */
  async consoleTail(count: number): Promise<string> {
    const text = await readFile(join(this.hardware.folder, "console.log"), "utf8").catch(() => "");
    return text.replaceAll("\r", "").trimEnd().split("\n").slice(-count).join("\n");
  }

  /** Switches it off at once and removes all of it. */
  async stop(): Promise<void> {
    await this.switchOff();
    await rm(this.hardware.folder, { recursive: true, force: true });
  }

  /** Pulls the plug. */
  private async switchOff(): Promise<void> {
    const child = this.running?.process;
    this.release();
    child?.kill("SIGKILL");
    await child?.exited;
  }

  private async errors(): Promise<string> {
    return this.running ? (await this.running.process.stderr.text()).trim() : "";
  }

  private get on(): Running {
    if (this.running) return this.running;
    throw new HostError(`${this.name} is off`);
  }

  private release(): void {
    this.running?.qmp.close();
    this.running?.channel.close();
    this.running = undefined;
  }
}

function quoted(word: string): string {
  return `'${word.replaceAll("'", "'\\''")}'`;
}

/**
 * Builds what is not built yet, boots a machine and waits for the live user's session.
 * @throws HostError with the end of the console where it does not come up; nothing is left then.
 */
export async function startMachine(options: MachineOptions): Promise<Machine> {
  const name = checkName(options.name);
  const report = options.report ?? quiet;
  const signal = options.signal ?? new AbortController().signal;
  await ensureHostPackages([
    "qemu-system-x86_64",
    "qemu-img",
    "mke2fs",
    "modprobe",
    "bsdtar",
    "setpriv",
  ]);
  const folder = join(cacheDir(), "machine", "run", name);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const machine = new Machine(
    name,
    await build(options, folder, report, signal).catch(async (error) => {
      await rm(folder, { recursive: true, force: true });
      throw error;
    }),
  );
  try {
    await machine.start();
    await report.step("Kernel and udev", () => machine.reachable(signal));
    await report.step("OpenRC to the runlevel default", () => machine.defaultReached(signal));
    await report.step(`${LIVE_USER}'s session and Sway`, () => machine.desktopReached(signal));
    return machine;
  } catch (error) {
    await machine.stop();
    throw error;
  }
}

async function build(
  options: MachineOptions,
  folder: string,
  report: Reporter,
  signal: AbortSignal,
): Promise<Hardware> {
  const overlay = `machine-${options.name}`;
  const rootfs = await prepareLive({
    ...options,
    name: overlay,
    prepare: async (root) => {
      await configureMachine(root);
      await options.prepare?.(root);
    },
  });
  try {
    await cacheDependencies(overlay, rootfs, signal);
    const kernel = await report.step("Debian's kernel", (detail) => ensureKernel(signal, detail));
    const initramfs = join(folder, "initramfs");
    const [own, swap] = [join(folder, "own.ext4"), join(folder, "swap")];
    const disks = await report.step("Disks", async () => {
      const base = await cachedDisk(rootfs, `root-${basename(rootfs)}`, signal);
      // An overlay's upper folder and its work folder are on one file system.
      const image = join(stateDir(overlay), "image");
      await mkdir(join(image, "work"), { recursive: true });
      const root = join(image, "upper");
      await rename(upper(overlay), root);
      // /lib is a link to usr/lib in the root.
      await cp(join(kernel.modules, "lib"), join(root, "usr/lib"), { recursive: true });
      await writableDisk(own, image, signal);
      await makeInitramfs(initramfs, folder, kernel, signal);
      await $({ quiet: true, signal })`truncate --size ${SWAP_SIZE} ${swap}`;
      await $({ quiet: true, signal })`mkswap ${swap}`;
      return [
        { path: base, format: "raw" as const, writable: false },
        await overlayDisk(own, signal),
        await overlayDisk(swap, signal),
      ];
    });
    return { folder, vmlinuz: kernel.vmlinuz, initramfs, disks };
  } finally {
    await destroy(overlay);
  }
}
