/**
 * What comes of idleness: IdleAction for the machine, StopIdleSessionSec for each
 * session. One timer, set to the next moment at which either may be due; whatever
 * brings it nearer or puts it off is told by `settle`.
 */
import { type Logger, NEVER } from "../../cli/index.ts";
import { messageOf, now, setLongTimeout } from "../../linux/index.ts";
import { isInteractive } from "../../sd-login/index.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import type { Session } from "../model/objects.ts";
import type { Manager } from "../sessions/manager.ts";
import { type Settings, ttyIdleAfter } from "../settings/logind-conf.ts";
import { combineIdle, type Idle } from "../vocabulary/idle.ts";
import type { Act } from "./event.ts";

/** A session as it counts here. */
export interface IdlePart {
  idle: Idle;
  /** It turns idle by the mere passing of time, so long after `since`: a terminal that nobody touches. */
  timed: boolean;
}

/**
 * When the machine, as it is now, has been idle for `span`, in microseconds since boot.
 *
 * @param from since when it may have been idle at the earliest
 * @param ttyAfter how long after its last touch a terminal's session is idle
 * @returns the moment, and whether (and since when) the machine is idle already; undefined if
 *   only something that will be told of can make it idle
 */
export function idleDue(
  parts: readonly IdlePart[],
  from: bigint,
  span: bigint,
  ttyAfter: bigint,
): { at: bigint; idle: true; since: bigint } | { at: bigint; idle: false } | undefined {
  if (span === NEVER) return undefined;
  const { hint, since } = combineIdle(parts.map(({ idle }) => idle));
  if (hint) {
    const { monotonic } = since;
    return { at: (monotonic > from ? monotonic : from) + span, idle: true, since: monotonic };
  }
  const busy = parts.filter(({ idle }) => !idle.hint);
  if (ttyAfter === NEVER || busy.some(({ timed }) => !timed)) return undefined;
  // The terminal that was touched last decides.
  const touched = busy.map(({ idle }) => idle.since.monotonic).sort((a, b) => Number(b - a));
  return { at: (touched[0] ?? 0n) + ttyAfter, idle: false };
}

/** When a session has been idle for `span`; undefined as for `idleDue`. */
export function stopDue({ idle, timed }: IdlePart, span: bigint): bigint | undefined {
  if (span === NEVER || (!idle.hint && !timed)) return undefined;
  return idle.since.monotonic + span;
}

/** Nobody tells that a login in text has got its terminal: it is looked at as if touched now. */
const partOf = ({ idle, type }: Session): IdlePart => {
  const timed = type === "tty";
  const isUnknown = timed && idle.since.realtime === 0n;
  return { idle: isUnknown ? { hint: false, since: now() } : idle, timed };
};

export class IdleActions {
  readonly #log: Logger;
  readonly #settings: Settings;
  readonly #manager: Manager;
  readonly #inhibitors: Inhibitors;
  readonly #act: Act;
  /** From when on idleness counts: the start, the last inhibitor's end, a wake-up, the last action. */
  #from = now().monotonic;
  #inhibited = false;
  /** Whether this idleness has had its action already. */
  #acted = false;
  #endTimer: (() => void) | undefined;
  #queued = false;
  #stopped = false;

  constructor(log: Logger, settings: Settings, manager: Manager, inhibitors: Inhibitors, act: Act) {
    this.#log = log;
    this.#settings = settings;
    this.#manager = manager;
    this.#inhibitors = inhibitors;
    this.#act = act;
  }

  /** A session, an inhibitor or the configuration has changed. */
  settle(): void {
    if (this.#queued || this.#stopped) return;
    this.#queued = true;
    // Once for all that one event brings, and after whoever reports it is done.
    queueMicrotask(() => {
      this.#queued = false;
      if (!this.#stopped) this.#settle();
    });
  }

  /** The machine has woken up: what was idle before starts to be so anew. */
  awoke(): void {
    this.#from = now().monotonic;
    this.settle();
  }

  stop(): void {
    this.#stopped = true;
    this.#endTimer?.();
  }

  #settle(): void {
    this.#endTimer?.();
    this.#endTimer = undefined;
    const { monotonic } = now();
    try {
      const due = [this.#actionDue(monotonic), ...this.#stopsDue(monotonic)];
      const next = due.reduce(
        (first, at) => (at !== undefined && (first === undefined || at < first) ? at : first),
        undefined,
      );
      if (next !== undefined)
        this.#endTimer = setLongTimeout(next - monotonic, () => this.#settle());
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`nothing comes of idleness until the next change: ${reason}`);
    }
  }

  /** Acts if it is due; when it is due next. */
  #actionDue(monotonic: bigint): bigint | undefined {
    const { IdleAction, IdleActionSec } = this.#settings.config;
    const inhibited = this.#inhibitors.isBlocking("idle");
    if (this.#inhibited && !inhibited) this.#from = monotonic;
    this.#inhibited = inhibited;
    if (IdleAction === "ignore" || IdleActionSec === 0n) return undefined;
    const parts = [...this.#manager.sessions.values()].filter(({ canIdle }) => canIdle).map(partOf);
    const due = idleDue(parts, this.#from, IdleActionSec, ttyIdleAfter(this.#settings.config));
    if (inhibited || !due?.idle) this.#acted = false;
    if (inhibited || !due) return undefined;
    if (!due.idle || due.at > monotonic) return due.at;
    // As with logind, the same idleness has its action every IdleActionSec: what was refused may be
    // possible by now, and a machine that something has woken up sleeps again.
    const again = this.#acted && due.since < this.#from;
    this.#acted = true;
    this.#from = monotonic;
    this.#act(IdleAction, {
      because: `nobody has used the machine for ${seconds(IdleActionSec)}`,
      ignoreInhibited: false,
      again,
    });
    return monotonic + IdleActionSec;
  }

  /** Ends the sessions that have been idle for long enough; when the others will have been. */
  #stopsDue(monotonic: bigint): (bigint | undefined)[] {
    const { StopIdleSessionSec } = this.#settings.config;
    if (StopIdleSessionSec === NEVER) return [];
    return [...this.#manager.sessions.values()].map((session) => {
      // Nobody's greeter or lock screen.
      if (session.stopping || !isInteractive(session.class)) return undefined;
      const due = stopDue(partOf(session), StopIdleSessionSec);
      if (due === undefined || due > monotonic) return due;
      this.#log.info(
        `session ${session.id} of ${session.user.name} was idle for ${seconds(StopIdleSessionSec)}`,
      );
      this.#manager.terminateSession(session);
      return undefined;
    });
  }
}

const seconds = (microseconds: bigint) => `${Number(microseconds) / 1_000_000} s`;
