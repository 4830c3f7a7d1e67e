/** Shutdowns: at once, scheduled, and what people are told of them. */

import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { type Logger, NEVER } from "../../cli/index.ts";
import { busErrors } from "../../dbus/index.ts";
import { atRealtime, hasCode, messageOf, now } from "../../linux/index.ts";
import { LAST_UID } from "../../sd-login/index.ts";
import { NOLOGIN, runShutdown, setNoLogin } from "../host/privileged.ts";
import { findCommand } from "../host/run-program.ts";
import type { Settings } from "../settings/logind-conf.ts";
import type { StateFiles } from "../state/state-files.ts";
import { escapeC, unescapeC } from "../vocabulary/c-escape.ts";
import { LOGINS_FORBIDDEN, SCHEDULED_SHUTDOWN } from "../vocabulary/paths.ts";
import { isShutdown, POWER_VERBS, type Shutdown } from "../vocabulary/power-verbs.ts";
import type { Operations } from "./operations.ts";
import { isNear, nextWarning, wall } from "./wall.ts";

/** How long before a scheduled shutdown nobody may log in any more, in microseconds. */
const NOLOGIN_BEFORE = 5n * 60_000_000n;
const OPTIONS: Readonly<Record<Shutdown, string>> = {
  poweroff: "--poweroff",
  reboot: "--reboot",
  halt: "--halt",
  kexec: "--kexec",
};
/** The longest wall message, in bytes, as in logind. */
const MOST_WALL_MESSAGE = 4096;

/** A shutdown that is to come. */
export interface Scheduled {
  readonly way: Shutdown;
  /** Everything but the shutdown itself. */
  readonly dry: boolean;
  /** In microseconds since the epoch. */
  readonly due: bigint;
  /** Who asked for it. */
  readonly uid: number;
}

export class Power {
  wallMessage = "";
  /** Whether people are told at all: as logind.conf's WallMessages says, until somebody says otherwise on the bus. */
  wallEnabled: boolean;
  readonly #log: Logger;
  readonly #operations: Operations;
  readonly #files: StateFiles;
  readonly #changed: () => void;
  #scheduled: Scheduled | undefined;
  /** The one of the scheduled that is being carried out. */
  #begun: Scheduled | undefined;
  #timers = new Map<"due" | "nologin" | "wall", () => void>();
  /** Whether /run/nologin is ours to remove; a file says so to the next bridge. */
  #nologin = false;

  /** @param changed called when ScheduledShutdown has */
  constructor(
    log: Logger,
    operations: Operations,
    settings: Settings,
    files: StateFiles,
    changed: () => void,
  ) {
    this.#log = log;
    this.wallEnabled = settings.config.WallMessages;
    settings.observers.push(() => {
      this.wallEnabled = settings.config.WallMessages;
    });
    this.#operations = operations;
    this.#files = files;
    this.#changed = changed;
    operations.performBy("shutdown", {
      before: async () => {},
      perform: async (way) => {
        if (!isShutdown(way)) throw new Error(`${way} is no shutdown`);
        await runShutdown(this.#command(), OPTIONS[way]);
        return true;
      },
      after: async () => this.#onStayedUp(),
    });
  }

  /** Takes up a shutdown that was scheduled before. */
  start(): void {
    this.#nologin = existsSync(LOGINS_FORBIDDEN);
    const scheduled = this.#load();
    try {
      if (scheduled) this.#setUp(scheduled);
    } catch (error) {
      this.#log.error(`the scheduled ${scheduled?.way} does not come: ${messageOf(error)}`);
    }
    if (!this.#scheduled && this.#operations.announced("shutdown") === undefined) {
      this.#allowLogins();
    }
  }

  #load(): Scheduled | undefined {
    try {
      const values = this.#files.load(SCHEDULED_SHUTDOWN);
      if (!values) return undefined;
      const scheduled = readScheduled(values);
      this.setWallMessage(unescapeC(values.get("WALL_MESSAGE") ?? ""));
      this.wallEnabled = values.get("WARN_WALL") === "1";
      return scheduled;
    } catch (error) {
      this.#log.warning(`${SCHEDULED_SHUTDOWN} is not used: ${messageOf(error)}`);
      this.#files.remove(SCHEDULED_SHUTDOWN);
      return undefined;
    }
  }

  /** Ends the timers. What is scheduled stays, for the next run. */
  stop(): void {
    this.#endTimers();
  }

  get scheduled(): Scheduled | undefined {
    return this.#scheduled;
  }

  /** Whether the machine can be told to shut down at all. */
  get available(): boolean {
    return findCommand("openrc-shutdown") !== undefined;
  }

  /** Whether a kernel is loaded that kexec can start. */
  get kexecLoaded(): boolean {
    try {
      return readFileSync("/sys/kernel/kexec_loaded", "utf8").trim() === "1";
    } catch (error) {
      if (hasCode(error, "ENOENT")) return false;
      throw error;
    }
  }

  /**
   * Shuts down, at once or when delay inhibitors let it. A scheduled shutdown is none any more then, but
   * logins that it has closed stay closed until this one is over.
   *
   * @throws {BusError} OperationInProgress, AccessDenied without openrc-shutdown
   * @throws {Error} openrc-shutdown failed
   */
  async shutDown(way: Shutdown): Promise<void> {
    this.#command();
    this.#operations.checkFree(way);
    this.#unschedule();
    if (this.wallEnabled) void this.#tell(way, undefined);
    await this.#operations.begin(way);
  }

  /**
   * Schedules a shutdown, in the place of one that is scheduled already.
   *
   * @param due in microseconds since the epoch; one that is past is at once
   */
  schedule(scheduled: Scheduled): void {
    this.#command();
    const { due } = scheduled;
    this.#setUp(scheduled);
    this.#save(scheduled);
    if (this.wallEnabled && isNear(due, now().realtime)) void this.#tell(scheduled.way, due);
    this.#log.info(`${scheduled.way} is scheduled for ${format(due)}`);
    this.#changed();
  }

  /**
   * Takes back a scheduled shutdown, or one that waits for delay inhibitors.
   *
   * @returns whether there was one
   */
  cancel(): boolean {
    const waited = this.#operations.cancel("shutdown");
    if (!this.#scheduled && !waited) return false;
    this.#unschedule();
    this.#allowLogins();
    this.#log.info("the shutdown is cancelled");
    if (this.wallEnabled) void wall(this.#log, "The shutdown has been cancelled.");
    return true;
  }

  /**
   * Sets what people are told with a shutdown.
   *
   * @throws {BusError} InvalidArgs
   */
  setWallMessage(message: string): void {
    this.checkWallMessage(message);
    this.wallMessage = message;
  }

  /** @throws {BusError} InvalidArgs */
  checkWallMessage(message: string): void {
    if (Buffer.byteLength(message) > MOST_WALL_MESSAGE) {
      throw busErrors.invalidArgs(
        `Wall message too long, maximum permitted length is ${MOST_WALL_MESSAGE} characters.`,
      );
    }
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
    if (/[\x00-\x08\x0b-\x1f\x7f]/.test(message)) {
      throw busErrors.invalidArgs("Wall message contains control characters, refusing.");
    }
  }

  #command(): string {
    const path = findCommand("openrc-shutdown");
    if (!path)
      throw busErrors.accessDenied("openrc-shutdown is not installed, refusing operation.");
    return path;
  }

  /** In the place of the one before, which stays if there can be no timers (no descriptors). */
  #setUp(scheduled: Scheduled): void {
    const { due } = scheduled;
    const before = this.#timers;
    this.#timers = new Map();
    try {
      this.#at("due", due, () => this.#onDue(scheduled));
      this.#at("nologin", due - NOLOGIN_BEFORE, () => this.#forbidLogins());
      this.#warnLater(scheduled);
    } catch (error) {
      this.#endTimers();
      this.#timers = before;
      throw error;
    }
    for (const end of before.values()) end();
    this.#scheduled = scheduled;
    if (!forbidsLogins(scheduled)) this.#allowLogins();
  }

  #warnLater(scheduled: Scheduled): void {
    const next = nextWarning(scheduled.due, now().realtime);
    if (next === undefined) return;
    this.#at("wall", next, () => {
      if (this.wallEnabled) void this.#tell(scheduled.way, scheduled.due);
      this.#warnLater(scheduled);
    });
  }

  #at(name: "due" | "nologin" | "wall", moment: bigint, fire: () => void): void {
    const end = atRealtime(moment, () => {
      if (this.#timers.get(name) === end) this.#timers.delete(name);
      try {
        fire();
      } catch (error) {
        const reason = messageOf(error);
        this.#log.error(`a scheduled shutdown's timer: ${reason}`);
      }
    });
    this.#timers.set(name, end);
  }

  #onDue(scheduled: Scheduled): void {
    if (this.#scheduled !== scheduled) return;
    const { way, dry } = scheduled;
    if (dry) {
      this.#log.info(`${way} would be now, but it is a dry run`);
      this.#unschedule();
      this.#allowLogins();
      return;
    }
    const { underWay } = this.#operations;
    if (underWay !== undefined) {
      this.#log.info(`${way} is due, and comes after ${underWay}, which is under way`);
      this.#operations.whenFree(() => this.#onDue(scheduled));
      return;
    }
    this.#begun = scheduled;
    this.#operations.begin(way).catch((error: Error) => {
      this.#log.error(`the scheduled ${way} failed: ${error.message}`);
    });
  }

  /** A shutdown has failed or was called off. One that was scheduled meanwhile still comes. */
  #onStayedUp(): void {
    if (this.#begun !== undefined && this.#begun === this.#scheduled) this.#unschedule();
    this.#begun = undefined;
    if (!this.#scheduled || !forbidsLogins(this.#scheduled)) this.#allowLogins();
  }

  #forbidLogins(): void {
    this.#nologin = true;
    this.#files.change(LOGINS_FORBIDDEN, () => {
      mkdirSync(dirname(LOGINS_FORBIDDEN), { recursive: true, mode: 0o755 });
      writeFileSync(LOGINS_FORBIDDEN, "");
    });
    this.#files.change(NOLOGIN, () => setNoLogin(true));
    this.#log.info("a shutdown is near: nobody but root may log in any more");
  }

  #allowLogins(): void {
    if (!this.#nologin) return;
    this.#nologin = false;
    this.#files.change(NOLOGIN, () => setNoLogin(false));
    this.#files.remove(LOGINS_FORBIDDEN);
    this.#log.info("no shutdown is near any more: everybody may log in");
  }

  #unschedule(): void {
    this.#endTimers();
    const had = this.#scheduled !== undefined;
    this.#scheduled = undefined;
    this.#files.remove(SCHEDULED_SHUTDOWN);
    if (had) this.#changed();
  }

  #endTimers(): void {
    for (const end of this.#timers.values()) end();
    this.#timers.clear();
  }

  #save({ way, dry, due, uid }: Scheduled): void {
    const values = {
      USEC: due,
      WARN_WALL: this.wallEnabled,
      MODE: way,
      DRY_RUN: dry ? true : undefined,
      UID: uid,
      WALL_MESSAGE: escapeC(this.wallMessage),
    };
    this.#files.save(SCHEDULED_SHUTDOWN, () => {
      mkdirSync(dirname(SCHEDULED_SHUTDOWN), { recursive: true, mode: 0o755 });
      return values;
    });
  }

  #tell(way: Shutdown, due: bigint | undefined): Promise<void> {
    const when = due === undefined || due <= now().realtime ? "now" : `at ${format(due)}`;
    const notice = `About to ${POWER_VERBS[way].phrase} ${when}.`;
    return wall(this.#log, this.wallMessage === "" ? notice : `${this.wallMessage}\n${notice}`);
  }
}

/** Whether it is so near that nobody but root may log in any more. */
const forbidsLogins = ({ due }: Scheduled) => due - NOLOGIN_BEFORE <= now().realtime;

/**
 * What the file says of a shutdown that is to come.
 *
 * @throws {Error} that says which of it makes no sense: a machine is not switched off by half of it
 */
function readScheduled(values: ReadonlyMap<string, string>): Scheduled {
  const text = (key: string) => values.get(key) ?? "";
  const way = text("MODE");
  const due = /^\d{1,20}$/.test(text("USEC")) ? BigInt(text("USEC")) : NEVER;
  if (!isShutdown(way) || due >= NEVER) throw new Error("its MODE or USEC is missing or wrong");
  const dry = values.get("DRY_RUN") ?? "0";
  if (dry !== "0" && dry !== "1") throw new Error("its DRY_RUN is wrong");
  const uid = /^\d{1,10}$/.test(text("UID")) ? Number(text("UID")) : LAST_UID + 1;
  if (uid > LAST_UID) throw new Error("its UID is missing or wrong");
  return { way, dry: dry === "1", due, uid };
}

/** A moment, in microseconds since the epoch, in local time. */
function format(moment: bigint): string {
  const latest = 8_640_000_000_000_000_000n;
  return new Date(Number((moment < latest ? moment : latest) / 1000n)).toString();
}
