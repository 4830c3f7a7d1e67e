/** The options of the verbs that switch the machine off or put it to sleep; see elogind's loginctl(1). */
import { type GetoptOption, NEVER, parseTimeSpan } from "../cli/index.ts";
import { CommandError } from "./errors.ts";
import { parseTimestamp } from "./timestamp.ts";

/** A cut name means an option of systemd's loginctl first, and one of these only where that has none. */
export const POWER_OPTIONS: readonly GetoptOption[] = [
  { key: "cancel", short: "c" },
  { key: "dry-run", long: "dry-run", extra: true },
  { key: "force", long: "force", short: "f", extra: true },
  { key: "ignore-inhibitors", long: "ignore-inhibitors", short: "i", extra: true },
  { key: "no-wall", long: "no-wall", extra: true },
  { key: "when", long: "when", value: "required", extra: true },
  { key: "firmware-setup", long: "firmware-setup", extra: true },
  { key: "boot-loader-menu", long: "boot-loader-menu", value: "required", extra: true },
  { key: "boot-loader-entry", long: "boot-loader-entry", value: "required", extra: true },
  { key: "reboot-argument", long: "reboot-argument", value: "required", extra: true },
];

export interface PowerOptions {
  /** What is asked for instead of a shutdown: of one that is scheduled, or of the boot loader's entries. */
  asked: "cancel" | "show" | "entries" | undefined;
  /** When to go down, in microseconds since the epoch, or when login1 thinks best; undefined for now. */
  when: bigint | undefined;
  dryRun: boolean;
  /** How often --force was given: once for inhibitors, twice for the kernel alone. */
  force: number;
  ignoreInhibitors: boolean;
  wall: boolean;
  firmwareSetup: boolean;
  /** How long the menu is shown, in microseconds. */
  bootLoaderMenu: bigint | undefined;
  bootLoaderEntry: string | undefined;
  rebootArgument: string | undefined;
}

export const newPowerOptions = (): PowerOptions => ({
  asked: undefined,
  when: undefined,
  dryRun: false,
  force: 0,
  ignoreInhibitors: false,
  wall: true,
  firmwareSetup: false,
  bootLoaderMenu: undefined,
  bootLoaderEntry: undefined,
  rebootArgument: undefined,
});

/**
 * Takes note of an option.
 *
 * @returns false if it is none of these
 * @throws {CommandError} if its value is wrong
 */
export function setPowerOption(options: PowerOptions, key: string, value: string): boolean {
  switch (key) {
    case "cancel":
      options.asked = "cancel";
      return true;
    case "dry-run":
      options.dryRun = true;
      return true;
    case "force":
      options.force++;
      return true;
    case "ignore-inhibitors":
      options.ignoreInhibitors = true;
      return true;
    case "no-wall":
      options.wall = false;
      return true;
    case "when":
      setWhen(options, value);
      return true;
    case "firmware-setup":
      options.firmwareSetup = true;
      return true;
    case "boot-loader-menu":
      options.bootLoaderMenu = parseTimeSpan(value);
      if (options.bootLoaderMenu === undefined) throw unreadable(key, value);
      return true;
    case "boot-loader-entry":
      if (value === "help") options.asked = "entries";
      else options.bootLoaderEntry = value || undefined;
      return true;
    case "reboot-argument":
      options.rebootArgument = value || undefined;
      return true;
    default:
      return false;
  }
}

const unreadable = (key: string, value: string) =>
  new CommandError(`Failed to parse --${key}= argument '${value}': Invalid argument`);

function setWhen(options: PowerOptions, value: string): void {
  if (value === "show") options.asked = "show";
  else if (value === "" || value === "cancel") options.asked = "cancel";
  else if (value === "auto") options.when = NEVER;
  else {
    options.when = parseTimestamp(value);
    if (options.when === undefined) throw unreadable("when", value);
    if (options.when === 0n) {
      throw new CommandError(`Invalid timestamp '${value}' specified for --when=.`);
    }
  }
}
