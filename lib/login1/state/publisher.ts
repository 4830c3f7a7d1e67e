/** What happens to sessions, users and seats, on its way to the state files, the followers and the bus. */

import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import type { Seat } from "../model/seat.ts";
import type { Session } from "../model/session.ts";
import type { User } from "../model/user.ts";
import { Changes, type ManagerEvents, type SessionFollower } from "./pending-changes.ts";
import { saveSeat, saveSession, saveUser } from "./records.ts";

/** What there is: nothing is written or told of what is gone. */
export interface Books {
  readonly sessions: ReadonlyMap<string, Session>;
  readonly users: ReadonlyMap<number, User>;
  readonly seats: ReadonlyMap<string, Seat>;
}

export class News {
  readonly changes = new Changes();
  readonly followers: SessionFollower[] = [];
  readonly #moves: [Session | undefined, Session | undefined][] = [];
  /** Which session each user's files call the display, or will, as what is to be written stays in `changes` till then. */
  readonly #displays = new WeakMap<User, Session | undefined>();
  readonly #log: Logger;
  readonly #events: ManagerEvents;
  readonly #books: Books;

  constructor(log: Logger, events: ManagerEvents, books: Books) {
    this.#log = log;
    this.#events = events;
    this.#books = books;
  }

  /** A seat's foreground went from one session to another. */
  moved(before: Session | undefined, after: Session | undefined): void {
    this.#moves.push([before, after]);
  }

  /** Writes the files of all that changed. Signals go out after it, never before. */
  save(): void {
    if (!this.changes.unsaved) return;
    const { sessions, users } = this.changes;
    for (const user of users.keys()) {
      if (!this.#isKnownUser(user)) continue;
      const before = this.#displays.get(user);
      const { display } = user;
      if (display === before) continue;
      this.#displays.set(user, display);
      // Which session is the display is in its own file, and in that of the one before.
      for (const session of [before, display]) {
        if (session && this.#isKnownSession(session)) this.changes.session(session);
      }
    }
    for (const session of sessions.keys()) {
      if (!this.#isKnownSession(session)) continue;
      saveSession(session, this.#displays.get(session.user) === session);
    }
    for (const user of users.keys()) {
      if (this.#isKnownUser(user)) saveUser(user, this.#displays.get(user));
    }
    for (const seat of this.changes.seats.keys()) {
      if (this.#books.seats.get(seat.id) === seat) saveSeat(seat);
    }
    this.changes.unsaved = false;
  }

  #isKnownSession(session: Session): boolean {
    return this.#books.sessions.get(session.id) === session;
  }

  #isKnownUser(user: User): boolean {
    return this.#books.users.get(user.uid) === user;
  }

  /** Writes, and then tells. */
  flush(): void {
    this.save();
    this.tell();
  }

  /** Has the followers do what goes with a change of foreground: who comes up has the seat's devices then. */
  follow(): void {
    for (const [before, after] of this.#moves.splice(0)) {
      for (const follower of this.followers) follower.foreground?.(before, after);
    }
  }

  /** Tells what has changed and is written down. */
  tell(): void {
    this.follow();
    const { sessions, users, seats, manager } = this.changes.take();
    for (const [session, names] of sessions) this.#events.sessionChanged(session, names);
    for (const [user, names] of users) {
      if (this.#isKnownUser(user)) this.#events.userChanged(user, names);
    }
    for (const [seat, names] of seats) {
      if (this.#books.seats.get(seat.id) === seat) this.#events.seatChanged(seat, names);
    }
    if (manager.size > 0) this.#events.managerChanged(manager);
  }

  /**
   * Runs what an event has set off. There is nobody to answer, and one failure
   * (a full /run) must not end the daemon: it is logged, and what changed is
   * written with the next change.
   */
  after(what: string, react: () => void): void {
    try {
      react();
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`after ${what}: ${reason}`);
    }
  }
}
