/** The sessions, users and seats that there are, and finding them. */
import { login1Errors } from "../vocabulary/errors.ts";
import { combineIdle, type Idle } from "../vocabulary/idle.ts";
import { Seat, type Session, type User } from "./objects.ts";

export class Registry {
  readonly sessions = new Map<string, Session>();
  readonly users = new Map<number, User>();
  readonly seats = new Map<string, Seat>();
  /** Their devices have gone; they stay their sessions' seats until these have ended, or a device is there again. */
  readonly #goneSeats = new Map<string, Seat>();
  /** The highest number that a session named by us had. */
  #counter = 0;

  /** @throws {BusError} NoSuchSession */
  session(id: string): Session {
    const session = this.sessions.get(id);
    if (!session) throw login1Errors.noSuchSession(id);
    return session;
  }

  /** @throws {BusError} NoSuchUser */
  user(uid: number): User {
    const user = this.users.get(uid);
    if (!user) throw login1Errors.noSuchUser(uid);
    return user;
  }

  /** @throws {BusError} NoSuchSeat */
  seat(id: string): Seat {
    const seat = this.seats.get(id);
    if (!seat) throw login1Errors.noSuchSeat(id);
    return seat;
  }

  hasSession(session: Session): boolean {
    return this.sessions.get(session.id) === session;
  }

  hasUser(user: User): boolean {
    return this.users.get(user.uid) === user;
  }

  hasSeat(seat: Seat): boolean {
    return this.seats.get(seat.id) === seat;
  }

  addSession(session: Session): void {
    this.sessions.set(session.id, session);
    session.user.sessions.add(session);
    session.seat?.add(session);
    this.#counter = Math.max(this.#counter, Number(/^c(\d+)$/.exec(session.id)?.[1] ?? 0));
  }

  removeSession(session: Session): void {
    this.sessions.delete(session.id);
    session.user.sessions.delete(session);
    if (session.user.display === session) session.user.display = undefined;
    const { seat } = session;
    seat?.sessions.delete(session);
    if (seat?.sessions.size === 0) this.#goneSeats.delete(seat.id);
  }

  /** A seat whose device is there; if it was gone, the same as before. */
  addSeat(id: string): Seat {
    const seat = this.#goneSeats.get(id) ?? new Seat(id);
    this.#goneSeats.delete(id);
    this.seats.set(id, seat);
    return seat;
  }

  removeSeat(seat: Seat): void {
    this.seats.delete(seat.id);
    if (seat.sessions.size > 0) this.#goneSeats.set(seat.id, seat);
  }

  /** The seat of a session of the last run, which may be gone by now. */
  seatOfBefore(id: string): Seat {
    const seat = this.seats.get(id) ?? this.#goneSeats.get(id) ?? new Seat(id);
    if (!this.seats.has(id)) this.#goneSeats.set(id, seat);
    return seat;
  }

  get goneSeats(): Iterable<Seat> {
    return this.#goneSeats.values();
  }

  /** The next of c1, c2, ..., the names of sessions that the audit system does not number. */
  nextName(isTaken: (id: string) => boolean): string {
    do this.#counter++;
    while (isTaken(`c${this.#counter}`));
    return `c${this.#counter}`;
  }

  /** Of all sessions that somebody sits at. */
  get idle(): Idle {
    return combineIdle(
      [...this.sessions.values()]
        .filter((session) => session.canIdle)
        .map((session) => session.idle),
    );
  }
}
