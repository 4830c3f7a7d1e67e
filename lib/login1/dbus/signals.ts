/** What happens, as signals on the bus; see org.freedesktop.login1(5). */
import { type Interface, type ObjectTree, Variant } from "../../dbus/index.ts";
import { close, type Fd } from "../../linux/index.ts";
import type { DeviceEvents, Pause } from "../devices/parts.ts";
import type { Login1 } from "../login1.ts";
import type { Seat, Session, User } from "../model/objects.ts";
import type { BusNotifier } from "../state/pending-changes.ts";
import { MANAGER_PATH } from "../vocabulary/paths.ts";
import { isShutdown, type PowerVerb } from "../vocabulary/power-verbs.ts";
import { managerInterface } from "./manager.ts";

/** What the signals are of; they cannot come before there is what they tell of. */
export interface SignalSources {
  readonly login1: Login1;
  readonly session: Interface<Session>;
  readonly user: Interface<User>;
  readonly seat: Interface<Seat>;
}

export class BusSignals implements BusNotifier, DeviceEvents {
  /** What a controller is to be told before the name is ours. */
  #unnamed: (() => void)[] | undefined = [];
  #sources: SignalSources | undefined;

  constructor(private readonly tree: ObjectTree) {}

  /** Says what the signals are of: before anything happens. */
  begin(sources: SignalSources): void {
    this.#sources = sources;
  }

  /**
   * The bus name is ours: controllers are told of their devices from now on, and of what became of
   * them before. Libraries pass over signals of a connection that is not known as login1 yet.
   */
  named(): void {
    const waiting = this.#unnamed ?? [];
    this.#unnamed = undefined;
    for (const emit of waiting) emit();
  }

  noteSession(session: Session): void {
    this.tree.note(this.#of.session, session);
  }

  noteUser(user: User): void {
    this.tree.note(this.#of.user, user);
  }

  noteSeat(seat: Seat): void {
    this.tree.note(this.#of.seat, seat);
  }

  noteManager(): void {
    this.tree.note(managerInterface, this.#of.login1);
  }

  sessionNew({ id, objectPath }: Session): void {
    this.#ofManager("SessionNew", [id, objectPath]);
  }

  sessionRemoved({ id, objectPath }: Session): void {
    this.#ofManager("SessionRemoved", [id, objectPath]);
  }

  sessionChanged(session: Session, names: Set<string>): void {
    this.tree.emitChanged(session.objectPath, this.#of.session, session, names);
  }

  sessionLock({ objectPath }: Session, lock: boolean): void {
    this.tree.emit(objectPath, this.#of.session, lock ? "Lock" : "Unlock", []);
  }

  userNew({ uid, objectPath }: User): void {
    this.#ofManager("UserNew", [uid, objectPath]);
  }

  userRemoved({ uid, objectPath }: User): void {
    this.#ofManager("UserRemoved", [uid, objectPath]);
  }

  userChanged(user: User, names: Set<string>): void {
    this.tree.emitChanged(user.objectPath, this.#of.user, user, names);
  }

  seatNew({ id, objectPath }: Seat): void {
    this.#ofManager("SeatNew", [id, objectPath]);
  }

  seatRemoved({ id, objectPath }: Seat): void {
    this.#ofManager("SeatRemoved", [id, objectPath]);
  }

  seatChanged(seat: Seat, names: Set<string>): void {
    this.tree.emitChanged(seat.objectPath, this.#of.seat, seat, names);
  }

  managerChanged(names: Iterable<string>): void {
    this.tree.emitChanged(MANAGER_PATH, managerInterface, this.#of.login1, names);
  }

  /** A shutdown or sleep is about to begin, or is over. */
  prepareFor(way: PowerVerb, active: boolean): void {
    if (!isShutdown(way)) {
      this.#ofManager("PrepareForSleep", [active]);
      return;
    }
    // In this order: who gets the plain one first takes it that the other does not exist.
    const details = { type: new Variant("s", way) };
    this.#ofManager("PrepareForShutdownWithMetadata", [active, details]);
    this.#ofManager("PrepareForShutdown", [active]);
  }

  /** The secure attention key was pressed on a seat. */
  secureAttentionKey({ id, objectPath }: Seat): void {
    this.#ofManager("SecureAttentionKey", [id, objectPath]);
  }

  paused(session: Session, major: number, minor: number, how: Pause): void {
    this.#toController(session, "PauseDevice", [major, minor, how]);
  }

  resumed(session: Session, major: number, minor: number, fd: Fd): void {
    if (session.controller === undefined) close(fd);
    else this.#toController(session, "ResumeDevice", [major, minor, fd]);
  }

  get #of(): SignalSources {
    if (!this.#sources) throw new Error("a signal came before what it tells of");
    return this.#sources;
  }

  #ofManager(name: string, body: unknown[]): void {
    this.tree.emit(MANAGER_PATH, managerInterface, name, body);
  }

  /** To nobody but the controller: a device's descriptor must never be everybody's. */
  #toController({ objectPath, controller }: Session, name: string, body: unknown[]): void {
    if (controller === undefined) return;
    const emit = () => this.tree.emitTo(controller, objectPath, this.#of.session, name, body);
    if (this.#unnamed) this.#unnamed.push(emit);
    else emit();
  }
}
