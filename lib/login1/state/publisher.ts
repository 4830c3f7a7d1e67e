/**
 * What happens to sessions, users and seats, on its way to devices, state files and the bus. The order
 * is always the same: what is so in memory, and who leaves the foreground loses its devices, at once;
 * then the files; then who comes up gets its devices; then the signals. None of the steps can fail
 * what comes after it.
 */
import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import type { Seat, Session, User } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import { type BusNotifier, PendingChanges, type SessionObserver } from "./pending-changes.ts";
import { seatValues, sessionValues, userValues } from "./records.ts";
import type { StateFiles } from "./state-files.ts";

export class Publisher {
  readonly changes = new PendingChanges();
  readonly observers: SessionObserver[] = [];
  /** Who has come to the foreground, and whom it came after, until the files say so. */
  readonly #entered = new Map<Session, Session | undefined>();
  /** Which session each user's files call the display, or will, as what is to be written stays in `changes` till then. */
  readonly #displays = new WeakMap<User, Session | undefined>();

  constructor(
    private readonly log: Logger,
    readonly notifier: BusNotifier,
    private readonly registry: Registry,
    readonly files: StateFiles,
  ) {}

  /** A seat's foreground has gone from one session to another. */
  moved(before: Session | undefined, after: Session | undefined): void {
    if (before) {
      this.#entered.delete(before);
      this.#observe("leaving the foreground", (observer) => observer.left?.(before, after));
    }
    if (after) this.#entered.set(after, before);
  }

  /** A session is in the foreground as before, but may have lost its devices on the way. */
  stayed(session: Session): void {
    this.#entered.set(session, session);
  }

  /** The session has begun, or ends. */
  openChanged(session: Session): void {
    this.#observe("the start or end of a session", (observer) => observer.openChanged?.(session));
  }

  /** The session's login is over, and processes are left in it. */
  abandoned(session: Session): void {
    this.#observe("the end of a login", (observer) => observer.abandoned?.(session));
  }

  /** The session is about to be taken out of the registry. */
  ended(session: Session): void {
    this.#entered.delete(session);
    this.#observe("the end of a session", (observer) => observer.ended?.(session));
  }

  /**
   * Asks each observer whether the foreground session may be switched away from; those that have
   * devices to pause are waited for.
   */
  mayLeave(session: Session): boolean {
    let may = true;
    this.#observe("a switch", (observer) => {
      if (observer.leaving?.(session) === false) may = false;
    });
    return may;
  }

  /** Writes the files of all that changed, as far as that can be done now. */
  persist(): void {
    if (!this.changes.unsaved) return;
    const { sessions, users, seats } = this.changes;
    for (const user of users.keys()) if (this.registry.hasUser(user)) this.#settleDisplay(user);
    for (const session of sessions.keys()) {
      if (!this.registry.hasSession(session)) continue;
      this.files.save(session.stateFile, () =>
        sessionValues(session, this.#displays.get(session.user) === session),
      );
    }
    for (const user of users.keys()) {
      if (!this.registry.hasUser(user)) continue;
      this.files.save(user.stateFile, () => userValues(user, this.#displays.get(user)));
    }
    for (const seat of seats.keys()) {
      if (this.registry.hasSeat(seat)) this.files.save(seat.stateFile, () => seatValues(seat));
    }
    this.changes.unsaved = false;
  }

  /** Which session is the display is in its own file, and in that of the one before. */
  #settleDisplay(user: User): void {
    const before = this.#displays.get(user);
    const { display } = user;
    if (display === before) return;
    this.#displays.set(user, display);
    for (const session of [before, display]) {
      if (session && this.registry.hasSession(session)) this.changes.session(session);
    }
  }

  /** Lets who has come to the foreground have its devices. */
  enter(): void {
    const entered = [...this.#entered];
    this.#entered.clear();
    for (const [session, before] of entered) {
      if (!session.active) continue;
      this.#observe("coming to the foreground", (observer) => observer.entered?.(session, before));
    }
  }

  /** Tells what has changed. */
  tell(): void {
    const { sessions, users, seats, manager } = this.changes.take();
    const { notifier } = this;
    this.after("a change, of which the bus is told", () => {
      for (const [session, names] of sessions) notifier.sessionChanged(session, names);
      for (const [user, names] of users) {
        if (this.registry.hasUser(user)) notifier.userChanged(user, names);
      }
      for (const [seat, names] of seats) {
        if (this.registry.hasSeat(seat)) notifier.seatChanged(seat, names);
      }
      if (manager.size > 0) notifier.managerChanged(manager);
    });
    if (sessions.size + users.size + seats.size === 0) return;
    this.#observe("a change", (observer) => observer.changed?.());
  }

  /** Writes, lets come up, and tells. */
  flush(): void {
    this.persist();
    this.enter();
    this.tell();
  }

  /** The files of a session that is no more. */
  forgetSession(session: Session): void {
    this.changes.sessions.delete(session);
    this.files.remove(session.stateFile);
    this.files.remove(session.fifo);
  }

  /** The file of a user who is no more. */
  forgetUser(user: User): void {
    this.changes.users.delete(user);
    this.files.remove(user.stateFile);
  }

  /** The file of a seat that is no more. */
  forgetSeat(seat: Seat): void {
    this.changes.seats.delete(seat);
    this.files.remove(seat.stateFile);
  }

  /**
   * Runs what an event has set off, or a step that must not stop those after it: there is nobody to
   * answer, and a failure is logged.
   */
  after(what: string, react: () => void): void {
    try {
      react();
    } catch (error) {
      this.log.error(`after ${what}: ${messageOf(error)}`);
    }
  }

  #observe(what: string, notify: (observer: SessionObserver) => void): void {
    for (const observer of this.observers) this.after(what, () => notify(observer));
  }
}
