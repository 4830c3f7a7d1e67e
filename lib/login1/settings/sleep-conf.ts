/** systemd-sleep.conf(5) for the bridge: /etc/lainos/sleep.conf and its drop-ins. */
import type { Logger } from "../../cli/index.ts";
import type { Sleep } from "../vocabulary/power-verbs.ts";
import { boolean, CONFIG_FOLDERS, list, readSettings, time, type Values } from "./setting.ts";

const HOUR = 3_600_000_000n;
const BATTERY = "neither charger nor battery is looked at before hibernating";

/** What the kernel has a file of words for; which of them it knows is seen when it is used. */
const modes = (initial: string[]) =>
  list(initial, "the kernel's own words", (word): word is string => /^\w+$/.test(word));

const SETTINGS = {
  AllowSuspend: boolean(true),
  AllowHibernation: boolean(true),
  /** Unset, these two are allowed where suspension and hibernation are. */
  AllowSuspendThenHibernate: boolean(undefined),
  AllowHybridSleep: boolean(undefined),
  /** For /sys/power/state, disk and mem_sleep: the first that the kernel takes. */
  SuspendState: modes(["mem", "standby", "freeze"]),
  HibernateMode: modes(["platform", "shutdown"]),
  /** Unset, the kernel's own (mem_sleep_default=). */
  MemorySleepMode: modes([]),
  HibernateDelaySec: time(2n * HOUR),
  HibernateOnACPower: boolean(true, BATTERY),
  SuspendEstimationSec: time(HOUR, BATTERY),
};

/** What is configured of sleep; times in microseconds. */
export type SleepConfig = Values<typeof SETTINGS>;

/** Reads sleep.conf; see `readSettings`. */
export function readSleepConfig(log: Logger, folders = CONFIG_FOLDERS): SleepConfig {
  return readSettings(log, { name: "sleep.conf", section: "Sleep", settings: SETTINGS }, folders);
}

/** The key that is about each way. */
const ALLOW = {
  suspend: "AllowSuspend",
  hibernate: "AllowHibernation",
  "hybrid-sleep": "AllowHybridSleep",
  "suspend-then-hibernate": "AllowSuspendThenHibernate",
} as const satisfies Record<Sleep, keyof SleepConfig>;

/** The key by which this way to sleep is forbidden; undefined if it is allowed. */
export function forbiddenBy(way: Sleep, config: SleepConfig): string | undefined {
  const allowed = config[ALLOW[way]];
  if (allowed !== undefined) return allowed ? undefined : ALLOW[way];
  return [ALLOW.suspend, ALLOW.hibernate].find((key) => !config[key]);
}
