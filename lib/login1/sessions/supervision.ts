/** Seeing when a session's leader ends, its descriptor is closed, and the last process in it is gone. */
import { existsSync } from "node:fs";
import type { Logger } from "../../cli/index.ts";
import {
  close,
  type Fd,
  findPidfd,
  identityOf,
  messageOf,
  type ProcessIdentity,
} from "../../linux/index.ts";
import type { Session } from "../model/objects.ts";
import type { Publisher } from "../state/publisher.ts";
import type { SessionScopes } from "./scopes.ts";
import { type SessionStep, SessionWatches } from "./session-watches.ts";

/** What is done about what is seen. */
export interface SupervisionEvents {
  leaderGone(session: Session): void;
  fifoClosed(session: Session): void;
  emptied(session: Session): void;
}

/** How soon the watch of a scope is tried again that could not begin, in milliseconds. */
const WATCH_DELAY = 5000;

export class Supervision {
  readonly #watches = new Map<Session, SessionWatches>();

  constructor(
    private readonly log: Logger,
    private readonly publisher: Publisher,
    private readonly scopes: SessionScopes,
    private readonly events: SupervisionEvents,
  ) {}

  /** Ends the watches. The sessions go on. */
  stop(): void {
    for (const watches of this.#watches.values()) watches.end();
    this.#watches.clear();
  }

  /** Ends the watches of a session. */
  forget(session: Session): void {
    this.#watches.get(session)?.end();
    this.#watches.delete(session);
  }

  // The leader

  /** @param pidfd the leader's, which is closed with the session */
  watchLeader(session: Session, pidfd: Fd): void {
    this.#of(session).watchLeader(pidfd, () =>
      this.publisher.after(`the end of session ${session.id}'s leader`, () =>
        this.events.leaderGone(session),
      ),
    );
  }

  /** After a restart, unless the leader's number is a later process's by now. */
  watchLeaderAgain(session: Session): void {
    const { pid } = session.leader;
    const pidfd = findPidfd(pid);
    if (pidfd === undefined) return;
    let found: ProcessIdentity | undefined;
    try {
      found = identityOf(pid, pidfd);
      if (found && !this.#isLeader(found, session)) found = undefined;
    } finally {
      if (!found) close(pidfd);
    }
    if (!found) return;
    session.leader = found;
    this.watchLeader(session, pidfd);
  }

  #isLeader(found: ProcessIdentity, { id, leader }: Session): boolean {
    // What would tell was lost with a part of the state file; the scope is the kernel's word.
    const isUnknown = leader.pidfdId === 0n && leader.startTime === 0n;
    if (isUnknown) return this.scopes.sessionIdOf(found.pid) === id;
    return found.pidfdId === leader.pidfdId && found.startTime === leader.startTime;
  }

  leaderRuns(session: Session): boolean {
    return this.#watches.get(session)?.leaderRuns ?? false;
  }

  /** @returns false if the leader has ended */
  signalLeader(session: Session, signal: number): boolean {
    return this.#watches.get(session)?.signalLeader(signal) ?? false;
  }

  // The descriptor that CreateSession returned

  /** @returns the fifo's write end, which is the caller's to close */
  watchFifo(session: Session): Fd {
    return this.#of(session).watchFifo(session.fifo, () => this.#fifoClosed(session));
  }

  /**
   * The same with a pipe, for a /run that takes no fifo: of a session that outlives this run its leader
   * alone decides then.
   */
  watchPipe(session: Session): Fd {
    return this.#of(session).watchPipe(() => this.#fifoClosed(session));
  }

  #fifoClosed(session: Session): void {
    this.publisher.after(`the close of session ${session.id}'s descriptor`, () =>
      this.events.fifoClosed(session),
    );
  }

  /** After a restart, when its writer may be gone. */
  watchFifoAgain(session: Session): void {
    if (!session.hasFifo || session.stopping || !existsSync(session.fifo)) return;
    close(this.watchFifo(session));
    if (this.#of(session).fifoClosed) this.events.fifoClosed(session);
  }

  endFifo(session: Session): void {
    this.#watches.get(session)?.endFifo();
  }

  // What is left of a session that is ending

  /** Sees when nothing runs any more in a session that is ending. Until it is, its leader decides, as with logind. */
  watchScope(session: Session): void {
    const scope = this.scopes.scopeOf(session);
    if (!scope) return;
    const emptied = () =>
      this.publisher.after(`the end of all in ${session.scope}`, () =>
        this.events.emptied(session),
      );
    try {
      this.#of(session).watchScope(scope, emptied);
    } catch (error) {
      // The session would be closing for ever.
      this.log.error(`${session.scope} is not watched: ${messageOf(error)}: it is tried again`);
      this.later(session, WATCH_DELAY, "watch", () => this.watchScope(session));
    }
  }

  /** Takes a step towards the session's end after so many milliseconds, unless that is to come already. */
  later(session: Session, delay: number, step: SessionStep, act: () => void): void {
    this.#watches.get(session)?.after(delay, step, act);
  }

  #of(session: Session): SessionWatches {
    let watches = this.#watches.get(session);
    if (!watches) {
      watches = new SessionWatches();
      this.#watches.set(session, watches);
    }
    return watches;
  }
}
