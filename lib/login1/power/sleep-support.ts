/**
 * Which ways to sleep the machine has, by the kernel's /sys/power (see its
 * "System Sleep States" and "Swap suspend" documents) and systemd's rules of when
 * hibernation is safe: memory may go only where the next boot looks for it.
 */
import { readFileSync, statSync } from "node:fs";
import { deviceOfMount, hasCode, majorMinor } from "../../linux/index.ts";
import { forbiddenBy, type SleepConfig } from "../settings/sleep-conf.ts";
import type { Sleep } from "../vocabulary/power-verbs.ts";

export const POWER = "/sys/power";

/** How the machine is put to sleep in one way, or why it cannot be. */
export type Support =
  | {
      possible: true;
      /** What goes into /sys/power/state, one after the other until one works. */
      states: string[];
      /** What goes into /sys/power/disk before it, in the same manner; none for suspend, or leaves the kernel's own. */
      modes: string[];
      /** What goes into /sys/power/mem_sleep before it; none leaves the kernel's own. */
      memoryModes: readonly string[];
      /** The device (`MAJOR:MINOR`) and the offset in it that the kernel has to be told of first. */
      resume?: { device: string; offset: string };
    }
  | {
      possible: false;
      reason: string;
      /** The machine could, perhaps, but sleep.conf says no. */
      forbidden: boolean;
    };

const impossible = (reason: string, forbidden = false): Support => ({
  possible: false,
  reason,
  forbidden,
});

/** Whether and how the machine can and may sleep in this way now. */
export function sleepSupport(way: Sleep, config: SleepConfig): Support {
  const key = forbiddenBy(way, config);
  return key === undefined
    ? kernelSupport(way, config)
    : impossible(`${key}=no in sleep.conf`, true);
}

/**
 * The same where it is allowed as part of another way. That of suspend-then-hibernate
 * is its second part's.
 */
export function kernelSupport(way: Sleep, config: SleepConfig): Support {
  switch (way) {
    case "suspend":
      return suspendSupport(config);
    case "hibernate":
      return diskSupport(config.HibernateMode, config);
    case "hybrid-sleep":
      return diskSupport(["suspend"], config);
    case "suspend-then-hibernate": {
      const suspend = suspendSupport(config);
      if (!suspend.possible) return suspend;
      return diskSupport(config.HibernateMode, config);
    }
  }
}

function suspendSupport({ SuspendState, MemorySleepMode }: SleepConfig): Support {
  const known = words("state");
  // `disk` would be to hibernate without a look at where to.
  const states = SuspendState.filter((state) => known.includes(state) && state !== "disk");
  if (states.length === 0) return impossible("the kernel cannot suspend this machine");
  const memoryModes = SuspendState.includes("mem") ? MemorySleepMode : [];
  if (!hasOneOf("mem_sleep", memoryModes)) return impossible(NO_MEMORY_MODE);
  return { possible: true, states, modes: [], memoryModes };
}

function diskSupport(wanted: readonly string[], { MemorySleepMode }: SleepConfig): Support {
  if (!words("state").includes("disk")) {
    return impossible("the kernel cannot hibernate this machine");
  }
  // By `suspend` the memory stays in force beside its image.
  const memoryModes = wanted.includes("suspend") ? MemorySleepMode : [];
  if (!hasOneOf("mem_sleep", memoryModes)) return impossible(NO_MEMORY_MODE);
  if (!hasOneOf("disk", wanted)) {
    return impossible("the kernel cannot hibernate this machine in that way");
  }
  const known = words("disk");
  const modes = wanted.filter((mode) => known.includes(mode));
  const place = hibernationPlace();
  if ("reason" in place) return impossible(place.reason);
  return { possible: true, states: ["disk"], modes, memoryModes, ...place };
}

const NO_MEMORY_MODE = "the kernel has no mode of MemorySleepMode";

/** Whether the kernel knows one of these words for a file in /sys/power; none leaves the choice to it. */
function hasOneOf(name: string, wanted: readonly string[]): boolean {
  if (wanted.length === 0) return true;
  const known = words(name);
  return wanted.some((word) => known.includes(word));
}

/** The words of a file in /sys/power, without the brackets around the one in force. */
function words(name: string): string[] {
  return (read(`${POWER}/${name}`) ?? "").split(/\s+/).map((word) => word.replace(/^\[|\]$/g, ""));
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV")) return undefined;
    throw error;
  }
}

interface Swap {
  path: string;
  isFile: boolean;
  /** In KiB. */
  free: number;
}

/**
 * Where memory would go: to the swap that resume= names, which must be in use and large enough.
 *
 * @returns the device that the kernel has yet to be told of, if any; else why it is not safe
 */
function hibernationPlace(): Pick<Support & { possible: true }, "resume"> | { reason: string } {
  const parameters = kernelParameters();
  if (parameters.has("noresume")) return { reason: "the kernel was started with noresume" };
  const current = read(`${POWER}/resume`) ?? "0:0";
  const offset = read(`${POWER}/resume_offset`) ?? "0";
  const named = parameters.get("resume");
  if (current === "0:0" && offset !== "0") {
    return { reason: "resume_offset is set and resume is not" };
  }
  if (current === "0:0" && !named) {
    return { reason: "the kernel was started without resume=, so nothing would bring it back" };
  }
  const device = current === "0:0" ? deviceNumber(devicePath(named ?? "")) : current;
  const swap = device === undefined ? undefined : swaps().find((one) => isOn(one, device));
  if (!swap || device === undefined) {
    return { reason: "what resume names is missing or is no swap in use" };
  }
  const place = {
    device,
    offset: current === "0:0" ? (parameters.get("resume_offset") ?? "0") : offset,
  };
  if (swap.isFile && place.offset === "0") {
    return { reason: `the swap file ${swap.path} needs resume_offset` };
  }
  const needed = Number(/^Active\(anon\):\s*(\d+)/m.exec(read("/proc/meminfo") ?? "")?.[1] ?? 0);
  // systemd leaves the kernel's image the same margin.
  const usable = swap.free * 0.98;
  if (needed > usable) {
    return { reason: `${swap.path} has ${Math.floor(usable)} KiB free, and ${needed} are needed` };
  }
  return current === "0:0" ? { resume: place } : {};
}

/** The kernel's command line; a parameter without a value has "". */
function kernelParameters(): Map<string, string> {
  const line = read("/proc/cmdline") ?? "";
  return new Map(
    line.split(/\s+/).map((word): [string, string] => {
      const at = word.indexOf("=");
      return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1).replace(/^"|"$/g, "")];
    }),
  );
}

/** The node of a device that is named as in fstab(5). */
function devicePath(name: string): string {
  const [, tag, value = ""] = /^(UUID|LABEL|PARTUUID|PARTLABEL)=(.*)$/.exec(name) ?? [];
  return tag === undefined ? name : `/dev/disk/by-${tag.toLowerCase()}/${value}`;
}

/** A block device as `MAJOR:MINOR`; undefined if it is not there. */
function deviceNumber(path: string): string | undefined {
  if (!path.startsWith("/dev/")) return undefined;
  const status = statSync(path, { throwIfNoEntry: false });
  return status?.isBlockDevice() ? majorMinor(status.rdev) : undefined;
}

/** The swap in use that outlives a power cut: not memory's own. */
function swaps(): Swap[] {
  const [, ...lines] = (read("/proc/swaps") ?? "").split("\n");
  return lines.flatMap((line) => {
    const [name = "", type, size, used] = line.split(/\s+/);
    const path = name.replace(/\\([0-7]{3})/g, (_, digits: string) =>
      String.fromCharCode(Number.parseInt(digits, 8)),
    );
    const isFile = type === "file";
    if ((!isFile && type !== "partition") || path.startsWith("/dev/zram")) return [];
    return [{ path, isFile, free: Number(size) - Number(used) }];
  });
}

function isOn({ path, isFile }: Swap, device: string): boolean {
  const status = statSync(path, { throwIfNoEntry: false });
  // In the sandbox no file is to be seen that a swap may be in.
  if (!status) return isFile && deviceOfMount(path, 1) === device;
  return majorMinor(isFile ? status.dev : status.rdev) === device;
}
