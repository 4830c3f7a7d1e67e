/** What happens to sessions, users and seats, on its way to the state files, the followers and the bus. */

import type { Logger } from "../cli/index.ts";
import { messageOf } from "../linux/index.ts";
import { Changes, type ManagerEvents, type SessionFollower } from "./changes.ts";
import type { Seat } from "./seat.ts";
import type { Session } from "./session.ts";
import { saveSeat, saveSession, saveUser } from "./state.ts";
import type { User } from "./user.ts";

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
  /** Which session each user's files call the display. */
  readonly #savedDisplays = new WeakMap<User, Session | undefined>();
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
    const stale = new Set(this.changes.sessions.keys());
    const users = [...this.changes.users.keys()].filter(
      (user) => this.#books.users.get(user.uid) === user,
    );
    const displays = new Map(users.map((user) => [user, user.display]));
    // Which session is the display is in its own file, and in that of the one before.
    for (const [user, display] of displays) {
      const before = this.#savedDisplays.get(user);
      if (display === before) continue;
      for (const session of [before, display]) if (session) stale.add(session);
    }
    for (const session of stale) {
      if (this.#books.sessions.get(session.id) !== session) continue;
      saveSession(session, session === displays.get(session.user));
    }
    for (const [user, display] of displays) {
      saveUser(user);
      this.#savedDisplays.set(user, display);
    }
    for (const seat of this.changes.seats.keys()) {
      if (this.#books.seats.get(seat.id) === seat) saveSeat(seat);
    }
  }

  /** Writes, and then tells. */
  flush(): void {
    this.save();
    this.tell();
  }

  /** Tells what has changed and is written down. */
  tell(): void {
    for (const [before, after] of this.#moves.splice(0)) {
      for (const follower of this.followers) follower.foreground(before, after);
    }
    const { sessions, users, seats, manager } = this.changes.take();
    for (const [session, names] of sessions) this.#events.sessionChanged(session, names);
    for (const [user, names] of users) {
      if (this.#books.users.get(user.uid) === user) this.#events.userChanged(user, names);
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
