/** One QEMU process and its sockets. */
import { existsSync, readFileSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { HostError } from "../../scripts/host.ts";
import { Channel, PORTS, portName } from "./channel.ts";
import { Qmp } from "./qmp.ts";

export interface Hardware {
  /** The folder for sockets and the console's log. */
  readonly folder: string;
  readonly vmlinuz: string;
  readonly initramfs: string;
  /** In the order of vda, vdb, ... */
  readonly disks: readonly Disk[];
}

export interface Disk {
  readonly path: string;
  /** A machine can be saved if those that it writes to are qcow2. */
  readonly format: "raw" | "qcow2";
  readonly writable: boolean;
}

/** How a machine begins: with a boot, by going on after a hibernation, or as `SNAPSHOT` has it. */
export type Beginning = "off" | "hibernated" | "saved";

/** The name of a machine's one snapshot. */
export const SNAPSHOT = "saved";

export interface Running {
  readonly process: Bun.Subprocess<"ignore", "ignore", "pipe">;
  readonly qmp: Qmp;
  readonly channel: Channel;
}

/** Enough for the tests; more only makes hibernation slower. */
const MEMORY = "1536";

/** All that the kernel is told; `resume=` is where init.sh and login1 look for a hibernation. */
const COMMAND_LINE = [
  "console=tty0 console=ttyS0 quiet panic=-1 resume=/dev/vdc",
  // As on the medium and the installed system. What is refused is in the log of the kernel.
  "lsm=landlock,lockdown,yama,integrity,apparmor,bpf",
  // What costs time on a processor that is emulated.
  "mitigations=off cryptomgr.notests tsc=reliable no_timer_check",
].join(" ");

/**
 * Starts the machine, which ends with this process.
 * @throws HostError with QEMU's own words where it does not start.
 */
export async function startQemu(hardware: Hardware, beginning: Beginning): Promise<Running> {
  const { folder } = hardware;
  const ports = Array.from({ length: PORTS }, (_, index) => join(folder, `port${index}.sock`));
  const qmpPath = join(folder, "qmp.sock");
  for (const path of [...ports, qmpPath]) await rm(path, { force: true });
  const child = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "qemu-system-x86_64"],
      ...words(hardware, ports, qmpPath),
      ...(beginning === "saved" ? ["-loadvm", SNAPSHOT] : []),
    ],
    { stdio: ["ignore", "ignore", "pipe"], cwd: folder },
  );
  try {
    const ended = () => child.exitCode !== null || child.signalCode !== null;
    const qmp = await Qmp.connect(qmpPath, ended);
    const channel = await Channel.connect(ports, beginning !== "off", ended);
    qmp.onEvent = ({ event }) => event === "RESET" && channel.reset();
    return { process: child, qmp, channel };
  } catch {
    child.kill("SIGKILL");
    await child.exited;
    throw new HostError(`QEMU does not start: ${(await child.stderr.text()).trim()}`);
  }
}

/**
 * How QEMU runs the guest. A /dev/kvm alone says too little: a kernel that does without the
 * processor's help (PVM) has one too, and runs only guests that know of it.
 */
export function accelerator(): string {
  const helps = /^flags.*\b(vmx|svm)\b/m.test(readFileSync("/proc/cpuinfo", "utf8"));
  return helps && existsSync("/dev/kvm") ? "kvm" : "tcg,thread=multi,tb-size=512";
}

function words(hardware: Hardware, ports: readonly string[], qmp: string): string[] {
  const { folder, vmlinuz, initramfs, disks } = hardware;
  return [
    // Without the buses and mice of a PC that nothing here uses: each has a driver to load. The newer
    // q35 has no ACPI registers any more after S3 (seen with QEMU 7.2 and SeaBIOS 1.16): no power button.
    ...["-nodefaults", "-no-user-config", "-machine", "pc,usb=off,smbus=off,i8042=off"],
    // The oldest that Bun's baseline build runs on: newer ones have more to emulate. And one: with
    // two that are emulated (QEMU 7.2) Linux 6.12 panicked as it woke up from S3, and 7.2 in a boot.
    ...["-accel", accelerator(), "-cpu", "Nehalem", "-smp", "1", "-m", MEMORY],
    ...["-kernel", vmlinuz, "-initrd", initramfs, "-append", COMMAND_LINE],
    // With virtio's card nothing is drawn after S3, and a switch of VTs hung in the kernel (6.1). The
    // memory has room for what Sway and Xorg draw into.
    ...["-display", "none", "-device", "VGA,vgamem_mb=64"],
    ...["-device", "virtio-keyboard-pci", "-device", "virtio-tablet-pci"],
    ...["-audiodev", "none,id=none", "-device", "AC97,audiodev=none"],
    ...["-device", "virtio-rng-pci", "-global", "PIIX4_PM.disable_s3=0"],
    ...["-global", "PIIX4_PM.disable_s4=0"],
    ...["-serial", `file:${join(folder, "console.log")}`],
    ...["-qmp", `unix:${qmp},server=on,wait=off`],
    ...disks.flatMap(({ path, format, writable }, index) => [
      "-drive",
      `file=${path.replaceAll(",", ",,")},if=none,id=disk${index},format=${format},cache=unsafe,` +
        `read-only=${writable ? "off" : "on"}`,
      ...["-device", `virtio-blk-pci,drive=disk${index}`],
    ]),
    ...["-device", "virtio-serial-pci"],
    ...ports.flatMap((path, index) => [
      ...["-chardev", `socket,id=port${index},path=${path},server=on,wait=off`],
      ...["-device", `virtserialport,chardev=port${index},name=${portName(index)}`],
    ]),
  ];
}
