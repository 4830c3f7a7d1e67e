/** Shutdowns: at once, scheduled, and what people are told of them. */
import { existsSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "../../cli/index.ts";
import { busErrors } from "../../dbus/index.ts";
import { atRealtime, hasCode, messageOf, now } from "../../linux/index.ts";
import { NOLOGIN, runShutdown, setNoLogin } from "../host/privileged.ts";
import { findCommand } from "../host/run-program.ts";
import type { Settings } from "../settings/logind-conf.ts";
import { loadState, saveState } from "../state/env-file.ts";
import { escapeC, unescapeC } from "../vocabulary/c-escape.ts";
import { SCHEDULED_SHUTDOWN } from "../vocabulary/paths.ts";
import { isShutdown, type Shutdown, WAYS } from "../vocabulary/power-verbs.ts";
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
  readonly #changed: () => void;
  #scheduled: Scheduled | undefined;
  #timers = new Map<"due" | "nologin" | "wall", () => void>();
  /** Whether /run/nologin is ours to remove. */
  #nologin = false;

  /** @param changed called when ScheduledShutdown has */
  constructor(log: Logger, operations: Operations, settings: Settings, changed: () => void) {
    this.#log = log;
    this.wallEnabled = settings.config.WallMessages;
    settings.followers.push(() => {
      this.wallEnabled = settings.config.WallMessages;
    });
    this.#operations = operations;
    this.#changed = changed;
    operations.performBy("shutdown", {
      before: async () => {},
      perform: async (way) => {
        if (!isShutdown(way)) throw new Error(`${way} is no shutdown`);
        await runShutdown(this.#command(), OPTIONS[way]);
        return true;
      },
      after: async () => {},
    });
  }

  /** Takes up a shutdown that was scheduled before. */
  start(): void {
    const values = loadState(SCHEDULED_SHUTDOWN);
    if (!values) return;
    const way = values.get("MODE") ?? "";
    const usec = values.get("USEC") ?? "";
    if (!isShutdown(way) || !/^\d{1,19}$/.test(usec)) {
      this.#log.warning(`${SCHEDULED_SHUTDOWN} is not used: its MODE or USEC is missing or wrong`);
      rmSync(SCHEDULED_SHUTDOWN, { force: true });
      return;
    }
    this.wallEnabled = values.get("WARN_WALL") === "1";
    this.wallMessage = unescapeC(values.get("WALL_MESSAGE") ?? "");
    const dry = values.get("DRY_RUN") === "1";
    this.#setUp({ way, dry, due: BigInt(usec), uid: Number(values.get("UID") ?? 0) });
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
   * Shuts down, at once or when delay inhibitors let it. A scheduled shutdown is none any more then.
   *
   * @throws {BusError} OperationInProgress, AccessDenied without openrc-shutdown
   * @throws {Error} openrc-shutdown failed
   */
  async shutDown(way: Shutdown): Promise<void> {
    this.#command();
    this.#operations.checkFree(way);
    // Logins that a scheduled shutdown has closed stay closed.
    this.#nologin = false;
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
    this.#save(scheduled);
    this.#setUp(scheduled);
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

  #setUp(scheduled: Scheduled): void {
    this.#endTimers();
    this.#scheduled = scheduled;
    const { due } = scheduled;
    this.#at("due", due, () => this.#onDue(scheduled));
    this.#at("nologin", due - NOLOGIN_BEFORE, () => this.#forbidLogins());
    this.#warnLater(scheduled);
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
    const { way, dry } = scheduled;
    if (dry) {
      this.#log.info(`${way} would be now, but it is a dry run`);
      this.#unschedule();
      return;
    }
    this.#operations.begin(way).catch((error: Error) => {
      this.#log.error(`the scheduled ${way} failed: ${error.message}`);
      this.#unschedule();
    });
  }

  #forbidLogins(): void {
    setNoLogin(true);
    this.#nologin = true;
    this.#log.info(`${NOLOGIN} is there now: nobody may log in any more`);
  }

  #unschedule(): void {
    this.#endTimers();
    const had = this.#scheduled !== undefined;
    this.#scheduled = undefined;
    if (existsSync(SCHEDULED_SHUTDOWN)) rmSync(SCHEDULED_SHUTDOWN, { force: true });
    if (this.#nologin) setNoLogin(false);
    this.#nologin = false;
    if (had) this.#changed();
  }

  #endTimers(): void {
    for (const end of this.#timers.values()) end();
    this.#timers.clear();
  }

  #save({ way, dry, due, uid }: Scheduled): void {
    mkdirSync(dirname(SCHEDULED_SHUTDOWN), { recursive: true, mode: 0o755 });
    saveState(SCHEDULED_SHUTDOWN, {
      USEC: due,
      WARN_WALL: this.wallEnabled,
      MODE: way,
      DRY_RUN: dry ? true : undefined,
      UID: uid,
      WALL_MESSAGE: escapeC(this.wallMessage),
    });
  }

  #tell(way: Shutdown, due: bigint | undefined): Promise<void> {
    const when = due === undefined || due <= now().realtime ? "now" : `at ${format(due)}`;
    const notice = `About to ${WAYS[way].phrase} ${when}.`;
    return wall(this.#log, this.wallMessage === "" ? notice : `${this.wallMessage}\n${notice}`);
  }
}

/** A moment, in microseconds since the epoch, in local time. */
function format(moment: bigint): string {
  const latest = 8_640_000_000_000_000_000n;
  return new Date(Number((moment < latest ? moment : latest) / 1000n)).toString();
}
