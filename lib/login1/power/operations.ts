/**
 * One shutdown or sleep at a time, from its announcement over the wait for delay
 * inhibitors to its end. What is under way is in a file, so that a bridge that is
 * killed takes it up again; nothing waits for that file, or fails with it.
 */

import type { Logger } from "../../cli/index.ts";
import { messageOf, setLongTimeout } from "../../linux/index.ts";
import type { InhibitWhat } from "../inhibitors/inhibitor.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import type { StateFiles } from "../state/state-files.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { OPERATION } from "../vocabulary/paths.ts";
import { isPowerVerb, isShutdown, POWER_VERBS, type PowerVerb } from "../vocabulary/power-verbs.ts";

/**
 * How far it is: `before` runs what comes before the announcement, `waiting` has
 * announced it and waits for delay inhibitors, `doing` does it.
 */
const STAGES = ["before", "waiting", "doing"] as const;
type Stage = (typeof STAGES)[number];

interface Operation {
  readonly way: PowerVerb;
  stage: Stage;
  /** Called when it is over, after the announcement of that. */
  readonly onEnded: (() => void)[];
}

/** What carries out shutdowns or sleeps. */
export interface OperationBackend {
  /** Runs before anybody is told. To throw is to call it off; nothing may be left to undo then. */
  before(way: PowerVerb): Promise<void>;
  /** Does it, and resolves when it is over; true if the machine goes down for good. */
  perform(way: PowerVerb): Promise<boolean>;
  /** Undoes `before`, whether it was done or not. Called once, unless the machine goes down for good. */
  after(way: PowerVerb): Promise<void>;
}

export class Operations {
  /** Tells the bus. */
  readonly #announce: (way: PowerVerb, active: boolean) => void;
  readonly #inhibitors: Inhibitors;
  readonly #files: StateFiles;
  readonly #log: Logger;
  readonly #performers: { shutdown?: OperationBackend; sleep?: OperationBackend } = {};
  #current: Operation | undefined;
  /** Ends the wait for delay inhibitors. */
  #endWait: (() => void) | undefined;

  constructor(
    log: Logger,
    inhibitors: Inhibitors,
    files: StateFiles,
    announce: (way: PowerVerb, active: boolean) => void,
  ) {
    this.#log = log;
    this.#inhibitors = inhibitors;
    this.#files = files;
    this.#announce = announce;
    inhibitors.onEnded(() => this.#onInhibitorEnded());
  }

  /** Says who carries out what is inhibited by `what`. */
  performBy(what: "shutdown" | "sleep", performer: OperationBackend): void {
    this.#performers[what] = performer;
  }

  /** Takes up what a bridge that was killed had begun. The bus name must be ours already. */
  start(): void {
    const saved = this.#load();
    if (!saved) return;
    const { way, stage } = saved;
    this.#log.warning(`${way} was under way (${stage}) when the bridge ended`);
    const operation: Operation = { way, stage, onEnded: [] };
    this.#current = operation;
    if (stage === "waiting") this.#wait(operation);
    // To tell init once more that the machine is to go down does no harm; to
    // sleep once more after the machine has woken up would.
    else if (stage === "doing" && isShutdown(way)) void this.#perform(operation);
    else void this.#finish(operation);
  }

  #load(): { way: PowerVerb; stage: Stage } | undefined {
    try {
      const values = this.#files.load(OPERATION);
      if (!values) return undefined;
      const way = values.get("WAY") ?? "";
      const stage = STAGES.find((known) => known === values.get("STAGE"));
      if (isPowerVerb(way) && stage) return { way, stage };
      throw new Error("its WAY or STAGE is missing or wrong");
    } catch (error) {
      this.#log.warning(`${OPERATION} is not used: ${messageOf(error)}`);
      this.#files.remove(OPERATION);
      return undefined;
    }
  }

  /** Ends the wait. What is under way goes on in the next run. */
  stop(): void {
    this.#endWait?.();
  }

  /** What is under way, announced or not; undefined for nothing. */
  get underWay(): PowerVerb | undefined {
    return this.#current?.way;
  }

  /** Calls `act` when nothing is under way any more, at once if nothing is. It must not throw. */
  whenFree(act: () => void): void {
    if (this.#current) this.#current.onEnded.push(act);
    else act();
  }

  /** The way that the machine is about to go, announced on the bus; undefined for none. */
  announced(what: "shutdown" | "sleep"): PowerVerb | undefined {
    const current = this.#current;
    if (!current || current.stage === "before") return undefined;
    return POWER_VERBS[current.way].inhibitedBy === what ? current.way : undefined;
  }

  /**
   * Refuses an inhibitor that would come too late.
   *
   * @throws {BusError} OperationInProgress
   */
  checkInhibitable(whats: readonly InhibitWhat[]): void {
    if (this.#current && whats.includes(POWER_VERBS[this.#current.way].inhibitedBy)) {
      throw login1Errors.operationInProgress(
        "The operation inhibition has been requested for is already running",
      );
    }
  }

  /**
   * Refuses a second operation.
   *
   * @throws {BusError} OperationInProgress
   */
  checkFree(way: PowerVerb): void {
    if (!this.#current) return;
    throw login1Errors.operationInProgress(
      `Action ${this.#current.way} already in progress, refusing requested ${way} operation.`,
    );
  }

  /**
   * Begins an operation: what comes before it, the announcement, and, unless a
   * delay inhibitor is waited for, a shutdown itself. A sleep goes on by itself.
   *
   * @throws {BusError} OperationInProgress
   * @throws {Error} what came before it, or a shutdown, failed; it is called off then
   */
  async begin(way: PowerVerb): Promise<void> {
    this.checkFree(way);
    const operation: Operation = { way, stage: "before", onEnded: [] };
    this.#current = operation;
    try {
      this.#save(operation);
      await this.#performer(way).before(way);
    } catch (error) {
      this.#end(operation);
      throw error;
    }
    operation.stage = "waiting";
    this.#save(operation);
    this.#tell(way, true);
    const { delayMax } = this.#inhibitors;
    if (delayMax > 0n && this.#inhibitors.delaying(POWER_VERBS[way].inhibitedBy))
      this.#wait(operation);
    else if (isShutdown(way)) {
      const failure = await this.#perform(operation);
      if (failure) throw failure;
    } else void this.#perform(operation);
  }

  /**
   * Tells everybody of a sleep that somebody else sees to, before and after it.
   *
   * @throws {BusError} OperationInProgress: what is under way here is told of by itself, and
   *   to say it twice would run everybody's preparations twice
   */
  announceSleep(active: boolean): void {
    this.checkFree("suspend");
    this.#announce("suspend", active);
  }

  /** Calls off what still waits for a delay inhibitor; false if there is nothing such. */
  cancel(what: "shutdown" | "sleep"): boolean {
    const current = this.#current;
    if (current?.stage !== "waiting" || POWER_VERBS[current.way].inhibitedBy !== what) return false;
    this.#endWait?.();
    // No inhibitor that ends now may set it off any more.
    current.stage = "doing";
    void this.#finish(current);
    return true;
  }

  #performer(way: PowerVerb): OperationBackend {
    const performer = this.#performers[POWER_VERBS[way].inhibitedBy];
    if (!performer) throw new Error(`nobody carries out ${way}`);
    return performer;
  }

  #wait(operation: Operation): void {
    const { inhibitedBy } = POWER_VERBS[operation.way];
    this.#endWait?.();
    if (!this.#inhibitors.delaying(inhibitedBy)) {
      void this.#perform(operation);
      return;
    }
    this.#endWait = setLongTimeout(this.#inhibitors.delayMax, () => {
      const held = this.#inhibitors.delaying(inhibitedBy);
      if (held) {
        this.#log.warning(
          `${operation.way} does not wait any longer for ${held.who} (uid ${held.uid}, pid ${held.pid})`,
        );
      }
      void this.#perform(operation);
    });
  }

  #onInhibitorEnded(): void {
    const current = this.#current;
    if (current?.stage !== "waiting") return;
    if (this.#inhibitors.delaying(POWER_VERBS[current.way].inhibitedBy)) return;
    this.#endWait?.();
    void this.#perform(current);
  }

  /**
   * Does it, and ends the operation unless the machine goes down.
   *
   * @returns what failed, which is in the log by then
   */
  async #perform(operation: Operation): Promise<Error | undefined> {
    const { way } = operation;
    operation.stage = "doing";
    this.#save(operation);
    this.#log.info(`${way} begins`);
    let failure: Error | undefined;
    try {
      if (await this.#performer(way).perform(way)) return undefined;
      this.#log.info(`${way} is over`);
    } catch (error) {
      this.#log.error(`${way} failed: ${messageOf(error)}`);
      failure = error instanceof Error ? error : new Error(messageOf(error));
    }
    await this.#finish(operation);
    return failure;
  }

  /** Ends an operation, whatever fails on the way: one that stays refuses every later one. */
  async #finish(operation: Operation): Promise<void> {
    const { way, stage } = operation;
    try {
      await this.#performer(way).after(way);
    } catch (error) {
      this.#log.error(`after ${way}: ${messageOf(error)}`);
    }
    this.#end(operation, stage !== "before");
  }

  #end(operation: Operation, wasAnnounced = false): void {
    if (this.#current === operation) this.#current = undefined;
    this.#files.remove(OPERATION);
    if (wasAnnounced) this.#tell(operation.way, false);
    for (const ended of operation.onEnded) ended();
  }

  #tell(way: PowerVerb, active: boolean): void {
    try {
      this.#announce(way, active);
    } catch (error) {
      this.#log.error(`${way}: nobody could be told: ${messageOf(error)}`);
    }
  }

  #save({ way, stage }: Operation): void {
    this.#files.save(OPERATION, () => ({ WAY: way, STAGE: stage }));
  }
}
