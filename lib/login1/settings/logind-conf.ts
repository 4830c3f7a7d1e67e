/** logind.conf(5) for the bridge: /etc/lainos/logind.conf and its drop-ins; sleep.conf with it. */
import { totalmem } from "node:os";
import { type Logger, NEVER, parseTimeSpan } from "../../cli/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";
import { MOST_VTS } from "../hardware/vt.ts";
import { isPowerVerb, isShutdown, type Sleep } from "../vocabulary/power-verbs.ts";
import { type Calendar, readCalendar } from "./calendar/calendar.ts";
import {
  addedWords,
  boolean,
  CONFIG_FOLDERS,
  knownWords,
  number,
  readSettings,
  setting,
  time,
  type Values,
} from "./setting.ts";
import { readSleepConfig, type SleepConfig } from "./sleep-conf.ts";
import { type Bound, readBound, readSize, readSizeOf } from "./values.ts";

/** What a key, the lid or idleness may set off. */
export const HANDLE_ACTIONS = [
  "ignore",
  "poweroff",
  "reboot",
  "halt",
  "kexec",
  "soft-reboot",
  "suspend",
  "hibernate",
  "hybrid-sleep",
  "suspend-then-hibernate",
  "sleep",
  "lock",
  "factory-reset",
  "secure-attention-key",
] as const;
export type HandleAction = (typeof HANDLE_ACTIONS)[number];

const handle = <Initial extends HandleAction | undefined>(initial: Initial) =>
  setting<HandleAction | Initial>(
    (text) => HANDLE_ACTIONS.find((action) => action === text),
    `one of ${HANDLE_ACTIONS.join(", ")}`,
    initial,
  );

const SECOND = 1_000_000n;
const PAGE = 4096n;
const MEMORY = BigInt(totalmem());
const TENTH_OF_MEMORY = (MEMORY / PAGE / 10n) * PAGE;
const MOST_VT = BigInt(MOST_VTS);
const TERMINALS = "which VT has a login prompt is said by OpenRC's agetty services";

/** How large a runtime directory may be: a part of the memory, or a size rounded up, in whole pages. */
const readRuntimeDirectorySize = (text: string) => {
  const size = readSizeOf(text, MEMORY / PAGE, PAGE);
  return size !== undefined && size > UINT64_MAX ? UINT64_MAX : size;
};

/**
 * Every key of logind.conf(5), under its own name, with logind's default; only the
 * users' runtime directories go at once here (UserStopDelaySec).
 */
const SETTINGS = {
  NAutoVTs: number(6n, MOST_VT, TERMINALS),
  ReserveVT: number(6n, MOST_VT, TERMINALS),
  KillUserProcesses: boolean(false),
  KillOnlyUsers: addedWords<string[]>([], []),
  /** Unset, it is root alone. */
  KillExcludeUsers: addedWords(undefined, []),
  InhibitDelayMaxSec: time(5n * SECOND),
  UserStopDelaySec: time(0n),
  SleepOperation: knownWords<Sleep>(
    ["suspend-then-hibernate", "suspend", "hibernate"],
    "of suspend, hibernate, hybrid-sleep and suspend-then-hibernate",
    (word): word is Sleep => isPowerVerb(word) && !isShutdown(word),
  ),
  HandlePowerKey: handle("poweroff"),
  HandlePowerKeyLongPress: handle("ignore"),
  HandleRebootKey: handle("reboot"),
  HandleRebootKeyLongPress: handle("poweroff"),
  HandleSuspendKey: handle("suspend"),
  HandleSuspendKeyLongPress: handle("hibernate"),
  HandleHibernateKey: handle("hibernate"),
  HandleHibernateKeyLongPress: handle("ignore"),
  HandleSecureAttentionKey: handle("secure-attention-key"),
  HandleLidSwitch: handle("suspend"),
  /** Unset, HandleLidSwitch decides on external power too. */
  HandleLidSwitchExternalPower: handle(undefined),
  HandleLidSwitchDocked: handle("ignore"),
  PowerKeyIgnoreInhibited: boolean(false),
  SuspendKeyIgnoreInhibited: boolean(false),
  HibernateKeyIgnoreInhibited: boolean(false),
  LidSwitchIgnoreInhibited: boolean(true),
  RebootKeyIgnoreInhibited: boolean(false),
  HoldoffTimeoutSec: time(30n * SECOND),
  IdleAction: handle("ignore"),
  IdleActionSec: time(30n * 60n * SECOND),
  /** In bytes, of each user's runtime directory. */
  RuntimeDirectorySize: setting(
    readRuntimeDirectorySize,
    "a size such as 64M, or a part of the memory such as 10%",
    TENTH_OF_MEMORY,
  ),
  /** Unset, one for each 4096 bytes of what RuntimeDirectorySize is when unset. */
  RuntimeDirectoryInodesMax: setting(readSize, "a number such as 64K", TENTH_OF_MEMORY / 4096n),
  /** Of each user's slice. logind had the key until systemd's own slices took its place (TasksMax= of user-.slice). */
  UserTasksMax: setting<Bound>(
    readBound,
    "a number, a part of all that there can be such as 33%, or infinity",
    { share: 3300n },
  ),
  RemoveIPC: boolean(true),
  InhibitorsMax: number(8192n),
  SessionsMax: number(8192n),
  /** 0 is never, as logind reads it. */
  StopIdleSessionSec: setting(
    (text) => {
      const after = parseTimeSpan(text);
      return after === 0n ? NEVER : after;
    },
    "a time span such as 2h",
    NEVER,
  ),
  /** When a shutdown that is scheduled without a time is due; unset, a minute later. */
  DesignatedMaintenanceTime: setting<Calendar | undefined>(
    readCalendar,
    "a calendar event such as 'Sun 03:00'",
    undefined,
    { empty: undefined },
  ),
  WallMessages: boolean(true),
};

/** What is configured; times in microseconds. */
export type Config = Values<typeof SETTINGS>;
export type ConfigKey = keyof Config;

/** How many inodes a user's runtime directory is mounted with: no tmpfs takes more. */
export function runtimeDirectoryInodes({ RuntimeDirectoryInodesMax: wanted }: Config): bigint {
  const most = 2n ** 53n;
  return wanted < most ? wanted : most;
}

/**
 * How many processes and threads a user may have.
 *
 * @param most how many there can be at all
 * @returns undefined for no limit
 */
export function userTasks({ UserTasksMax: bound }: Config, most: bigint): bigint | undefined {
  if (bound === "infinity") return undefined;
  if ("count" in bound) return bound.count;
  const share = (most * bound.share) / 10_000n;
  return share > 0n ? share : 1n;
}

/** Whether what still runs in a user's session is to end with it: KillUserProcesses and its two lists. */
export function killsProcessesOf(config: Config, user: string): boolean {
  if ((config.KillExcludeUsers ?? ["root"]).includes(user)) return false;
  if (config.KillOnlyUsers.length > 0) return config.KillOnlyUsers.includes(user);
  return config.KillUserProcesses;
}

/** Reads logind.conf; see `readSettings`. */
export function readConfig(log: Logger, folders = CONFIG_FOLDERS): Config {
  return readSettings(log, { name: "logind.conf", section: "Login", settings: SETTINGS }, folders);
}

/** The configuration in force, which can be read again while everybody holds on to this. */
export class Settings {
  /** Called after the files were read again. None may throw. */
  readonly observers: (() => void)[] = [];
  #config: Config;
  #sleep: SleepConfig;
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
    this.#config = readConfig(log);
    this.#sleep = readSleepConfig(log);
  }

  get config(): Config {
    return this.#config;
  }

  get sleep(): SleepConfig {
    return this.#sleep;
  }

  /** Reads the files again; what is asked for after it goes by them. */
  reload(): void {
    const [config, sleep] = [readConfig(this.#log), readSleepConfig(this.#log)];
    this.#config = config;
    this.#sleep = sleep;
    this.#log.info("the configuration was read again");
    for (const observer of this.observers) observer();
  }
}

/** How long a terminal is untouched before its session counts as idle, in microseconds; logind's rule. */
export function ttyIdleAfter({ IdleActionSec, StopIdleSessionSec }: Config): bigint {
  if (IdleActionSec === 0n) return StopIdleSessionSec;
  return IdleActionSec < StopIdleSessionSec ? IdleActionSec : StopIdleSessionSec;
}
