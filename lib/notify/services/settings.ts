/** What /etc/conf.d/NAME says about a service's notifications. */
import { join } from "node:path";
import { hasCode, messageOf } from "../../linux/index.ts";
import { ACCESS, type Access } from "../protocol/notification.ts";
import { readPlainFile } from "./read-note.ts";

export interface Settings {
  /** lainos_notify_access: who may speak for it, until NOTIFYACCESS says otherwise. */
  access: Access;
  /** lainos_watchdog=restart: a missed watchdog restarts it, and is not only said. */
  restarts: boolean;
  /** lainos_watchdog_sec: the watchdog's interval in microseconds, 0 for none. */
  watchdogUsec: bigint;
  /** lainos_fdstore_max: how many descriptors are kept for it. */
  storeMost: number;
  /** lainos_fdstore_preserve=yes: they are kept while it is stopped. */
  storePreserved: boolean;
}

/**
 * As in systemd, only the main process speaks, and nothing is stored, unless the settings say so:
 * what runs in a service's cgroup may be anybody's, such as a user's cron job.
 */
const DEFAULTS: Settings = {
  access: "main",
  restarts: false,
  watchdogUsec: 0n,
  storeMost: 0,
  storePreserved: false,
};

/** No settings file is as long, in bytes; what is more is left out. */
const LONGEST = 2 ** 20;

/** The most that lainos_fdstore_max takes. */
const STORE_LIMIT = 4096;

type Value = (text: string) => Partial<Settings> | undefined;

const whole = (text: string, most: number) =>
  /^\d{1,9}$/.test(text) && Number(text) <= most ? Number(text) : undefined;

const VALUES: Readonly<Record<string, Value>> = {
  lainos_notify_access: (text) => {
    const access = ACCESS.find((name) => name === text);
    return access && { access };
  },
  lainos_watchdog: (text) =>
    text === "restart" || text === "log" ? { restarts: text === "restart" } : undefined,
  lainos_watchdog_sec: (text) => {
    const seconds = whole(text, 86_400);
    return seconds === undefined ? undefined : { watchdogUsec: BigInt(seconds) * 1_000_000n };
  },
  lainos_fdstore_max: (text) => {
    const storeMost = whole(text, STORE_LIMIT);
    return storeMost === undefined ? undefined : { storeMost };
  },
  lainos_fdstore_preserve: (text) =>
    text === "yes" || text === "no" ? { storePreserved: text === "yes" } : undefined,
};

/**
 * Reads them. The file is a shell script, of which only plain assignments count: `name=word`,
 * `name="word"` or `name='word'` on a line of its own, the last of each.
 *
 * @param folder where the settings are, /etc/conf.d
 * @param problem called with what is wrong with a value, which then has no effect
 * @param known what they were before, which holds where the file cannot be read now
 * @param read reads it, as `readPlainFile` does
 */
export function readSettings(
  folder: string,
  service: string,
  problem: (text: string) => void,
  known: Settings = DEFAULTS,
  read = readPlainFile,
): Settings {
  let text: string | undefined;
  const path = join(folder, service);
  try {
    text = read(path, LONGEST);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return DEFAULTS;
    problem(messageOf(error));
    return known;
  }
  if (text === undefined) {
    problem(`${path} is no plain file: what it said before holds`);
    return known;
  }
  const settings = { ...DEFAULTS };
  for (const [, name = "", value = ""] of text.matchAll(
    /^[ \t]*(?:export[ \t]+)?(lainos_\w+)=("[^"$`\\\n]*"|'[^'\n]*'|[^\s"'$`\\#;]*)[ \t]*(?:[#;].*)?$/gm,
  )) {
    const read = Object.hasOwn(VALUES, name) ? VALUES[name] : undefined;
    if (!read) continue;
    const word = value.replace(/^(["'])(.*)\1$/, "$2");
    // An empty word is how a conf.d file takes a setting back.
    const change = word === "" ? {} : read(word);
    if (change) Object.assign(settings, change);
    else problem(`${path}: ${name}=${word} is no value that it takes`);
  }
  return settings;
}
