/** systemd-sleep.conf(5) for the bridge: /etc/lainos/sleep.conf and its drop-ins. */
import type { Logger } from "../../cli/index.ts";
import type { Sleep } from "../vocabulary/power-verbs.ts";
import {
  addedWords,
  boolean,
  CONFIG_FOLDERS,
  lastWords,
  readSettings,
  time,
  type Values,
} from "./setting.ts";

const HOUR = 3_600_000_000n;
const BATTERY = "neither charger nor battery is looked at before hibernating";

/** Whether a way to sleep is allowed; an empty value says no more than none. */
const allowed = <Initial extends true | undefined>(initial: Initial) =>
  boolean(initial, { empty: initial });

const STATES = ["mem", "standby", "freeze"];

const SETTINGS = {
  AllowSuspend: allowed(true),
  AllowHibernation: allowed(true),
  /** Unset, these two are allowed where suspension and hibernation are. */
  AllowSuspendThenHibernate: allowed(undefined),
  AllowHybridSleep: allowed(undefined),
  /** For /sys/power/state, disk and mem_sleep: the first that the kernel takes. */
  SuspendState: addedWords(STATES, STATES),
  /** None leaves the kernel's own, as with the next. */
  HibernateMode: lastWords(["platform", "shutdown"]),
  MemorySleepMode: lastWords([]),
  HibernateDelaySec: time(2n * HOUR),
  HibernateOnACPower: boolean(true, { never: BATTERY }),
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
