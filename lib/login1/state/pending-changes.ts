/** What has changed since the last flush: files are written for it first, then the bus is told. */
import type { Seat, Session, User } from "../model/objects.ts";

/** Tells the bus what happened. The state files are up to date when it is called, unless /run is full. */
export interface BusNotifier {
  /** Takes note of an object before anything happens to it: `…Changed` tells of what is another then. */
  noteSession(session: Session): void;
  noteUser(user: User): void;
  noteSeat(seat: Seat): void;
  sessionNew(session: Session): void;
  sessionRemoved(session: Session): void;
  sessionChanged(session: Session, properties: Set<string>): void;
  /** Asks the session's own screen locker to lock or unlock. */
  sessionLock(session: Session, lock: boolean): void;
  userNew(user: User): void;
  userRemoved(user: User): void;
  userChanged(user: User, properties: Set<string>): void;
  seatNew(seat: Seat): void;
  seatRemoved(seat: Seat): void;
  seatChanged(seat: Seat, properties: Set<string>): void;
  managerChanged(properties: Iterable<string>): void;
}

/**
 * A part of login1 that follows the sessions, as far as it needs to. What it throws is logged, and
 * stops neither the others nor what happens to the session.
 */
export interface SessionObserver {
  /**
   * A session has left the foreground of its seat, for another one or for none: what it has of the
   * seat is taken away now, before anything is written down.
   */
  left?(session: Session, after: Session | undefined): void;
  /** A session has come to the foreground, from another one or from none; the files say so already. */
  entered?(session: Session, before: Session | undefined): void;
  /**
   * A seat without VTs is to switch away from its foreground session.
   *
   * @returns whether that may be now; if not, `Foreground.completeSwitch` is called later
   */
  leaving?(session: Session): boolean;
  /** The session has begun, or is `stopping`: what one has that is open it has from now on, or no more. */
  openChanged?(session: Session): void;
  /** The session is closing and its leader is gone, or its descriptor closed; processes are left in it. */
  abandoned?(session: Session): void;
  /** The session is about to be taken out of the registry. */
  ended?(session: Session): void;
  /** Something of sessions, users or seats has changed, and the bus knows. */
  changed?(): void;
}

/** What has changed and is neither written nor told yet. */
export class PendingChanges {
  readonly manager = new Set<string>();
  readonly sessions = new Map<Session, Set<string>>();
  readonly users = new Map<User, Set<string>>();
  readonly seats = new Map<Seat, Set<string>>();
  /** Whether something has come since the files were last written. */
  unsaved = false;

  session(session: Session, ...properties: string[]): void {
    this.#add(this.sessions, session, properties);
    this.user(session.user);
    if (session.seat) this.seat(session.seat);
  }

  user(user: User, ...properties: string[]): void {
    this.#add(this.users, user, properties);
  }

  seat(seat: Seat, ...properties: string[]): void {
    this.#add(this.seats, seat, properties);
  }

  /** Hands over what has gathered, and starts anew. */
  take(): PendingChanges {
    const taken = new PendingChanges();
    for (const name of this.manager) taken.manager.add(name);
    this.manager.clear();
    for (const [from, to] of [
      [this.sessions, taken.sessions],
      [this.users, taken.users],
      [this.seats, taken.seats],
    ] as Map<unknown, Set<string>>[][]) {
      for (const [key, value] of from ?? []) to?.set(key, value);
      from?.clear();
    }
    return taken;
  }

  #add<Key>(map: Map<Key, Set<string>>, key: Key, properties: string[]): void {
    const known = map.get(key) ?? new Set();
    for (const property of properties) known.add(property);
    map.set(key, known);
    this.unsaved = true;
  }
}
