/** The image of a medium, started in QEMU by the firmware and the boot menu that a person has. */
import { copyFile, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { ensureHostPackages, HostError } from "../../scripts/host.ts";
import type { ExecResult } from "../live/enter.ts";
import { waitFor } from "../live/ready.ts";
import { press, type } from "../machine/keyboard.ts";
import { accelerator } from "../machine/qemu.ts";
import { Qmp } from "../machine/qmp.ts";
import { countColours, type Picture, readScreen } from "../machine/screen.ts";
import { SerialLine } from "./serial.ts";

export type Firmware = "bios" | "uefi";

/** The entries of the boot menus, in their order. */
export const ENTRIES = ["live", "ram", "safe", "serial"] as const;
export type Entry = (typeof ENTRIES)[number];

export interface BootOptions {
  /** The medium in the drive; without one, the disk is what starts. */
  readonly image?: string;
  /** A raw image that is the machine's disk, /dev/vda. */
  readonly disk?: string;
  readonly firmware: Firmware;
  readonly signal?: AbortSignal;
  /** In MiB. */
  readonly memory?: number;
}

/** Without KVM and on a busy host every step takes many times as long as on a real one, in milliseconds. */
const BOOT_TIMEOUT = 900_000;

/** OVMF in two parts, by the distributions' names, the first that is there. */
const OVMF = [
  ["/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"],
  ["/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"],
  ["/usr/share/edk2/x64/OVMF_CODE.4m.fd", "/usr/share/edk2/x64/OVMF_VARS.4m.fd"],
] as const;

/** A stage of the boot and when it was reached, in seconds since QEMU's start. */
export interface Stage {
  readonly name: string;
  readonly seconds: number;
}

export class BootedMedium {
  readonly stages: Stage[] = [];
  private readonly started = performance.now();

  private constructor(
    private readonly folder: string,
    private readonly child: Bun.Subprocess<"ignore", "ignore", "pipe">,
    private readonly qmp: Qmp,
    readonly serial: SerialLine,
    private readonly signal: AbortSignal,
  ) {}

  /**
   * Switches a machine on that has the medium in its drive. It ends with this process.
   * @throws HostError with QEMU's own words where it does not start.
   */
  static async start(options: BootOptions): Promise<BootedMedium> {
    const tools = options.firmware === "uefi" ? (["UEFI firmware"] as const) : [];
    await ensureHostPackages(["qemu-system-x86_64", "setpriv", ...tools]);
    const folder = await mkdtemp(join(tmpdir(), "protocol7-boot-"));
    const child = Bun.spawn(
      [
        ...["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"],
        ...(await hardware(options, folder)),
      ],
      { stdio: ["ignore", "ignore", "pipe"], cwd: folder },
    );
    try {
      const ended = () => child.exitCode !== null || child.signalCode !== null;
      const serial = await SerialLine.connect(join(folder, "serial.sock"), ended);
      const qmp = await Qmp.connect(join(folder, "qmp.sock"), ended);
      const signal = options.signal ?? new AbortController().signal;
      const medium = new BootedMedium(folder, child, qmp, serial, signal);
      await qmp.execute("cont");
      return medium;
    } catch (error) {
      child.kill("SIGKILL");
      await child.exited;
      const said = (await child.stderr.text()).trim();
      await rm(folder, { recursive: true, force: true });
      throw new HostError(`QEMU does not start: ${said || error}`);
    }
  }

  /**
   * Waits for the boot menu and chooses an entry by the arrow keys.
   * @param beforeChoice is called while the menu is shown.
   * @param append is added to the entry's command line as a person does it in Syslinux' menu (BIOS). It
   * comes after init=, so dracut hands it to init, but for console=.
   */
  async choose(entry: Entry, beforeChoice?: () => Promise<void>, append?: string): Promise<void> {
    await this.serial.awaitText(/serial console/, "the boot menu", BOOT_TIMEOUT);
    this.reached("boot menu");
    // What is drawn comes a moment after what is said on the serial line.
    await sleep(1500);
    await beforeChoice?.();
    for (let index = 0; index < ENTRIES.indexOf(entry); index++) {
      await this.press("down");
      await sleep(300);
    }
    if (append !== undefined) {
      await this.press("tab");
      await sleep(1000);
      await this.type(` ${append}`);
    }
    await this.press("ret");
  }

  /**
   * Follows a boot by an entry for the serial console to its getty, and logs in there to be root.
   * @param options who logs in, by default root of the medium; another one needs doas. And whether the
   * kernel was told to say nothing
   */
  async awaitBoot({ name = "root", password = "lain", quiet = false } = {}): Promise<void> {
    const stages = [
      ...(quiet ? [] : [[/Linux version/, "kernel"] as const]),
      [/OpenRC .*is starting up|OpenRC \S+ is/, "OpenRC"],
      [/ login: /, "login on the serial line"],
    ] as const;
    for (const [pattern, name] of stages) {
      await this.serial.awaitText(pattern, name, BOOT_TIMEOUT);
      this.reached(name);
    }
    await this.serial.logIn(name, password);
    await this.waitFor(
      async () => (await this.run("rc-status -r")).stdout.trim() === "default",
      "the runlevel default",
    );
    this.reached("runlevel default");
  }

  /** Notes the time at which something was reached. */
  reached(name: string): void {
    this.stages.push({ name, seconds: (performance.now() - this.started) / 1000 });
  }

  /** A line of sh, as root. A status other than 0 is no error. */
  run(line: string, timeout?: number): Promise<ExecResult> {
    return this.serial.run(line, timeout);
  }

  /** The same, whose output is wanted. @throws HostError where its status is not 0. */
  async must(line: string, timeout?: number): Promise<string> {
    const { code, stdout, stderr } = await this.run(line, timeout);
    if (code === 0) return stdout;
    throw new HostError(`${line}: status ${code}\n${stdout}${stderr}`);
  }

  /** @throws HostError that names what did not come in time (milliseconds). */
  waitFor<T>(
    look: () => Promise<T | undefined | false>,
    what: string,
    timeout = 120_000,
  ): Promise<T> {
    return waitFor(look, what, timeout, this.signal);
  }

  /** Takes the medium out of its drive, which the system may have locked. */
  async takeOut(): Promise<void> {
    await this.qmp.execute("eject", { id: "drive", force: true });
  }

  press(...keys: string[]): Promise<void> {
    return press(this.qmp, ...keys);
  }

  type(text: string): Promise<void> {
    return type(this.qmp, text);
  }

  /** What the screen shows, as a PNG file on the host. */
  async screendump(file: string): Promise<void> {
    await this.qmp.execute("screendump", { filename: resolve(file), format: "png" });
  }

  /** What the screen shows, to look at by a program. */
  screen(): Promise<Picture> {
    return readScreen((filename) => this.qmp.execute("screendump", { filename, format: "ppm" }));
  }

  /** The colours on the screen as #rrggbb, and how many pixels have each. */
  async colours(): Promise<Map<string, number>> {
    return countColours(await this.screen());
  }

  /** How many pixels have a colour. */
  async pixels(colour: string): Promise<number> {
    return (await this.colours()).get(colour) ?? 0;
  }

  /** Waits for the power to be off, or the machine to begin anew (`-no-reboot`): QEMU ends. */
  async ended(timeout = 120_000): Promise<void> {
    const off = async () => this.child.exitCode !== null || this.child.signalCode !== null;
    await this.waitFor(off, "the end of QEMU", timeout);
  }

  /** Why QEMU ended, by its last words: guest-shutdown, guest-reset, host-signal. */
  get ending(): string | undefined {
    const event = this.qmp.events.findLast(({ event }) => event === "SHUTDOWN");
    return event?.data?.reason as string | undefined;
  }

  /** Switches it off at once and removes all of it. */
  async stop(): Promise<void> {
    this.qmp.close();
    this.serial.close();
    this.child.kill("SIGKILL");
    await this.child.exited;
    await rm(this.folder, { recursive: true, force: true });
  }
}

async function hardware(options: BootOptions, folder: string): Promise<string[]> {
  const { firmware, memory = 2048 } = options;
  return [
    ...["-nodefaults", "-no-user-config", "-S", "-no-reboot", "-machine", "pc,usb=off"],
    // The oldest that Bun's baseline build runs on: newer ones have more to emulate. And one: Linux 7.2
    // panics with two that are emulated (QEMU 7.2).
    ...["-accel", accelerator(), "-cpu", "Nehalem", "-smp", "1", "-m", String(memory)],
    ...(firmware === "uefi" ? await uefi(folder) : []),
    ...["-display", "none", "-device", "virtio-vga", "-device", "virtio-rng-pci"],
    // Wired to a network that has a DHCP server and nothing else.
    ...["-nic", "user,restrict=on,model=virtio-net-pci"],
    ...drives(options),
    ...["-chardev", "socket,id=serial,path=serial.sock,server=on,wait=off"],
    ...["-serial", "chardev:serial"],
    ...["-qmp", "unix:qmp.sock,server=on,wait=off"],
  ];
}

function drives({ image, disk }: BootOptions): string[] {
  const words: string[] = [];
  if (image !== undefined) {
    const options = "media=cdrom,if=none,id=medium,format=raw,read-only=on";
    words.push("-drive", `file=${quoted(image)},${options}`);
    words.push(
      "-device",
      "virtio-scsi-pci",
      "-device",
      "scsi-cd,id=drive,drive=medium,bootindex=0",
    );
  }
  if (disk !== undefined) {
    // What is written need not outlive the host's crash.
    words.push("-drive", `file=${quoted(disk)},if=none,id=disk,format=raw,cache=unsafe`);
    words.push("-device", "virtio-blk-pci,drive=disk,bootindex=1");
  }
  return words;
}

async function uefi(folder: string): Promise<string[]> {
  for (const [code, variables] of OVMF) {
    if (!(await Bun.file(code).exists())) continue;
    // The machine writes to its own.
    await copyFile(variables, join(folder, "variables.fd"));
    return [
      ...["-drive", `if=pflash,format=raw,readonly=on,file=${code}`],
      ...["-drive", "if=pflash,format=raw,file=variables.fd"],
    ];
  }
  throw new HostError(
    "no UEFI firmware for QEMU is there: install ovmf (Debian) or edk2-ovmf (Arch)",
  );
}

/** A comma ends a value in QEMU's options. */
function quoted(path: string): string {
  return resolve(path).replaceAll(",", ",,");
}

/** Writes the stages as a table for people. */
export function stageTable(stages: readonly Stage[]): string {
  const width = Math.max(...stages.map(({ name }) => name.length));
  return stages
    .map(({ name, seconds }) => `${name.padEnd(width)}  ${seconds.toFixed(1).padStart(6)} s`)
    .join("\n");
}

export async function saveSerial(medium: BootedMedium, file: string): Promise<void> {
  await writeFile(file, medium.serial.text);
}
