/** Which session is in the foreground of each seat: see sd_seat_get_active(3). */
import { busErrors } from "../../dbus/index.ts";
import { activeVt, switchVt, watchActiveVt } from "../hardware/vt.ts";
import type { Seat, Session } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Publisher } from "../state/publisher.ts";

export class Foreground {
  #endVtWatch: (() => void) | undefined;

  constructor(
    private readonly registry: Registry,
    private readonly publisher: Publisher,
  ) {}

  /**
   * After a restart: sees who is in the foreground of a seat now, and goes on watching.
   *
   * @param before the id of the session that was; the seat's file may be damaged, or not say yet that
   *   this one has ended
   */
  start(seat: Seat, before: string | undefined): void {
    if (!seat.hasVts) {
      const there = [...seat.sessions];
      const open = there.filter((session) => !session.stopping);
      seat.active =
        there.find(({ id }) => id === before) ??
        open.findLast(({ wasActive }) => wasActive) ??
        open.at(-1);
      return;
    }
    seat.active = sessionOnActiveVt(seat);
    this.#endVtWatch = watchActiveVt(() => this.#onVtSwitch(seat));
  }

  stop(): void {
    this.#endVtWatch?.();
  }

  /**
   * Brings a session to the foreground of its seat.
   *
   * @throws {BusError} NotSupported if it has no seat or no VT to switch to
   */
  activate(session: Session): void {
    const { seat } = this.registry.session(session.id);
    if (!seat) throw busErrors.notSupported(`Session ${session.id} is not on a seat`);
    if (seat.active === session) {
      // It may have lost its devices on the way to where it is not to go any more.
      if (seat.hasVts ? sessionOnActiveVt(seat) === session : seat.pendingSwitch) {
        this.#callOff(seat);
      }
      return;
    }
    if (!seat.hasVts) {
      seat.pendingSwitch = session;
      if (!seat.active || this.publisher.mayLeave(seat.active)) this.completeSwitch(seat);
      return;
    }
    if (session.vtnr === 0) throw busErrors.notSupported(`Session ${session.id} has no VT`);
    switchVt(session.vtnr);
  }

  /** On a seat without VTs: makes the switch that `activate` asked for, if it still stands. */
  completeSwitch(seat: Seat): void {
    const session = seat.pendingSwitch;
    if (!session) return;
    seat.pendingSwitch = undefined;
    this.#setActive(seat, session);
    this.publisher.flush();
  }

  /** There is nobody any more to switch to: who was asked to pause its devices has them again. */
  #callOff(seat: Seat): void {
    seat.pendingSwitch = undefined;
    if (!seat.active) return;
    this.publisher.stayed(seat.active);
    this.publisher.flush();
  }

  /**
   * Settles who is in the foreground after a session came or went. With VTs the
   * VT decides. Without, a new session comes up by itself, and when it ends the one
   * that is being switched to does, or else the one that came before it.
   */
  settle(seat: Seat, newcomer?: Session): void {
    if (seat.hasVts) {
      this.#setActive(seat, sessionOnActiveVt(seat));
    } else if (newcomer) {
      seat.pendingSwitch = undefined;
      this.#setActive(seat, newcomer);
    } else if (seat.active?.stopping !== false) {
      const pending = seat.pendingSwitch;
      seat.pendingSwitch = undefined;
      const last = [...seat.sessions].findLast((session) => !session.stopping);
      this.#setActive(seat, pending?.stopping === false ? pending : last);
    }
    this.publisher.changes.seat(seat, "Sessions");
  }

  /** Nobody is in the foreground of a seat any more. */
  clear(seat: Seat): void {
    this.#setActive(seat, undefined);
  }

  /** A session is out of the registry: the seat goes to another, and nobody waits for it to be switched to. */
  forget(session: Session): void {
    const { seat } = session;
    if (seat?.active === session) this.settle(seat);
    else if (seat?.pendingSwitch === session) this.#callOff(seat);
  }

  #onVtSwitch(seat: Seat): void {
    this.publisher.after("a switch of VTs", () => {
      const session = sessionOnActiveVt(seat);
      // Left and entered again before we looked: it gave up its devices at the kernel's question.
      if (session && session === seat.active) this.publisher.stayed(session);
      this.#setActive(seat, session);
      this.publisher.flush();
    });
  }

  /** Takes the seat from whoever has it, at once; the files, the newcomer and the bus are `flush`'s. */
  #setActive(seat: Seat, session: Session | undefined): void {
    const before = seat.active;
    if (before === session) return;
    const { changes } = this.publisher;
    seat.active = session;
    changes.seat(seat, "ActiveSession");
    this.publisher.moved(before, session);
    for (const affected of [before, session]) {
      if (!affected || !this.registry.hasSession(affected)) continue;
      changes.session(affected, "Active", "State");
      changes.user(affected.user, "State", "Display");
    }
  }
}

function sessionOnActiveVt(seat: Seat): Session | undefined {
  const vt = activeVt();
  return vt === undefined ? undefined : seat.sessionAt(vt);
}
