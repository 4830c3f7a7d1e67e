/**
 * How sessions end: asked to, by their leader's end or the close of their descriptor; then what is
 * left in them runs out or is ended; and when nothing runs in them any more, they are gone.
 */
import type { Logger } from "../../cli/index.ts";
import { messageOf, now } from "../../linux/index.ts";
import type { Seat, Session, User } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Foreground } from "../seats/foreground.ts";
import { killsProcessesOf, type Settings } from "../settings/logind-conf.ts";
import type { Publisher } from "../state/publisher.ts";
import type { SessionScopes } from "./scopes.ts";
import { type SessionSignals, SIGCONT, SIGHUP, SIGKILL, SIGTERM } from "./signals.ts";
import type { Supervision } from "./supervision.ts";
import type { UserLifecycle } from "./user-lifecycle.ts";

/** How long the processes of a terminated session have between SIGTERM and SIGKILL, in milliseconds. */
const KILL_DELAY = 10_000;
/** How long the leader of a released session has to leave before KillUserProcesses ends it too, as with logind. */
const RELEASE_DELAY = 20_000;
/** How soon it is looked again whether anything runs in a session, where that could not be seen. */
const LOOK_DELAY = 1000;

/** The parts of login1 that the end of a session needs. */
export interface SessionEndParts {
  readonly log: Logger;
  readonly settings: Settings;
  readonly registry: Registry;
  readonly publisher: Publisher;
  readonly foreground: Foreground;
  readonly scopes: SessionScopes;
  readonly signals: SessionSignals;
  readonly supervision: Supervision;
  readonly users: UserLifecycle;
}

export class SessionEnd {
  readonly #parts: SessionEndParts;

  constructor(parts: SessionEndParts) {
    this.#parts = parts;
  }

  /**
   * Ends a session as its leader asks: what still runs in it may run out, or is ended when the leader
   * has left (KillUserProcesses).
   */
  release(session: Session): void {
    const force = !this.#parts.supervision.leaderRuns(session) && this.#shallKill(session);
    this.#end(session, "it was released", force);
    this.#awaitLeader(session);
  }

  /** Ends a session and all that runs in it: SIGTERM and SIGHUP, then SIGKILL. */
  terminate(session: Session): void {
    this.#end(session, "it is to be terminated", true);
  }

  /** Terminates all sessions of a user, or on a seat. */
  terminateAll({ sessions }: User | Seat): void {
    for (const session of [...sessions]) this.terminate(session);
  }

  leaderGone(session: Session): void {
    this.#end(session, "its leader is gone", this.#shallKill(session));
    this.#abandon(session);
  }

  fifoClosed(session: Session): void {
    this.#end(session, "its descriptor was closed", this.#shallKill(session));
    this.#abandon(session);
  }

  /** After a restart: goes on with the end of a session that was ending. */
  goOn(session: Session): void {
    if (!session.stopping || this.finishIfEmpty(session)) return;
    this.#parts.supervision.watchScope(session);
    if (session.terminatedAt !== undefined) this.#killLater(session, session.terminatedAt);
    else this.#awaitLeader(session);
  }

  #end(session: Session, reason: string, force: boolean): void {
    const { registry, publisher, supervision } = this.#parts;
    if (!registry.hasSession(session)) return;
    if (!session.stopping) this.#begin(session, reason);
    if (force) this.#terminate(session);
    if (this.finishIfEmpty(session)) return;
    publisher.flush();
    supervision.watchScope(session);
  }

  /** From here on the session is `closing`: its seat is others', and it counts for nothing. */
  #begin(session: Session, reason: string): void {
    const { log, publisher, supervision, foreground } = this.#parts;
    session.stopping = true;
    session.user.electDisplay();
    log.info(`session ${session.id} of ${session.user.name} ends: ${reason}`);
    publisher.changes.session(session, "State");
    publisher.changes.user(session.user, "State", "Display");
    supervision.endFifo(session);
    const { seat } = session;
    if (seat) publisher.after("the end of a session on a seat", () => foreground.settle(seat));
    publisher.openChanged(session);
  }

  #shallKill(session: Session): boolean {
    return killsProcessesOf(this.#parts.settings.config, session.user.name);
  }

  /** A leader closes its session from inside: it may finish that before the rest is ended. */
  #awaitLeader(session: Session): void {
    const { registry, publisher, supervision } = this.#parts;
    if (!registry.hasSession(session) || !this.#shallKill(session)) return;
    supervision.later(session, RELEASE_DELAY, "terminate", () =>
      publisher.after(`the release of session ${session.id}`, () =>
        this.#end(session, "its leader did not leave", true),
      ),
    );
  }

  #terminate(session: Session): void {
    for (const signal of [SIGTERM, SIGCONT, SIGHUP]) this.#send(session, signal);
    session.terminatedAt ??= now().monotonic;
    this.#parts.publisher.changes.session(session);
    this.#killLater(session, session.terminatedAt);
  }

  /** Kills what SIGTERM, sent at that time of the monotonic clock, has not ended in time. */
  #killLater(session: Session, terminatedAt: bigint): void {
    const passed = Number(now().monotonic - terminatedAt) / 1000;
    this.#parts.supervision.later(session, Math.max(0, KILL_DELAY - passed), "kill", () => {
      this.#parts.log.warning(`session ${session.id} did not end on SIGTERM: it gets SIGKILL`);
      this.#send(session, SIGKILL);
    });
  }

  /**
   * Nobody is logged in any more, and processes are left. They get no signal, as with logind
   * (KillUserProcesses=no). But what controls the session would keep the VT from the next login, which
   * logind lets it do: its observers see to that.
   */
  #abandon(session: Session): void {
    const { registry, publisher } = this.#parts;
    if (registry.hasSession(session)) publisher.abandoned(session);
  }

  /** What cannot be signalled now (no descriptor is free) gets the next signal, and the session still ends. */
  #send(session: Session, signal: number): void {
    const { publisher, signals } = this.#parts;
    publisher.after(`the end of session ${session.id}, which gets signal ${signal}`, () =>
      signals.sendToAll(session, signal),
    );
  }

  /**
   * The last step: nothing runs in a session that is ending, so it is gone.
   *
   * @returns whether it is gone
   */
  finishIfEmpty(session: Session): boolean {
    const { log, registry, publisher, users } = this.#parts;
    if (!registry.hasSession(session)) return true;
    if (!session.stopping || !this.#isEmpty(session)) return false;
    const { user, seat } = session;
    this.forget(session);
    if (user.sessions.size === 0) user.lastSessionEnd = now().monotonic;
    publisher.changes.user(user, "Sessions", "State", "Display");
    if (seat) publisher.changes.seat(seat, "Sessions");
    publisher.persist();
    publisher.after(`the end of session ${session.id}`, () =>
      publisher.notifier.sessionRemoved(session),
    );
    log.info(`session ${session.id} of ${user.name} is gone`);
    users.removeIfUnused(user);
    publisher.flush();
    return true;
  }

  /** Whether nothing runs in a session, whose scope goes then. What cannot be seen now is looked at again. */
  #isEmpty(session: Session): boolean {
    const { log, publisher, scopes, supervision } = this.#parts;
    try {
      const isEmpty = scopes.isEmpty(session) ?? !supervision.leaderRuns(session);
      if (!isEmpty) return false;
    } catch (error) {
      log.error(`${session.scope}: ${messageOf(error)}: it is looked at again`);
      supervision.later(session, LOOK_DELAY, "finish", () => this.finishIfEmpty(session));
      return false;
    }
    // One that cannot be removed keeps no session: nothing runs in it. Unless that was only so just now.
    let isGone = true;
    publisher.after(`${session.scope}, which stays`, () => {
      isGone = scopes.leave(session) ?? true;
    });
    return isGone;
  }

  /** Takes a session out of the registry, with its files. */
  forget(session: Session): void {
    const { registry, publisher, supervision, foreground } = this.#parts;
    publisher.ended(session);
    supervision.forget(session);
    registry.removeSession(session);
    publisher.forgetSession(session);
    foreground.forget(session);
  }
}
