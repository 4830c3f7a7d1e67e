/** One seat: a set of hardware that one person sits at; see sd-login(3). */
import { join } from "node:path";
import { escapeLabel } from "../../dbus/index.ts";
import { seatsOfDevices } from "../hardware/udev.ts";
import { hasVts } from "../hardware/vt.ts";
import { SEAT_FOLDER, SEATS } from "../vocabulary/paths.ts";
import { combineIdle, type Idle, type Session } from "./session.ts";

export class Seat {
  readonly sessions = new Set<Session>();
  /** The session in the foreground. */
  active: Session | undefined;

  /** Without VTs: the session that comes to the foreground once this one's devices are paused. */
  pendingSwitch: Session | undefined;

  constructor(readonly id: string) {}

  /** Takes a session in. Where no VT numbers it, it gets the lowest free position, from 1. */
  add(session: Session): void {
    this.sessions.add(session);
    if (this.hasVts || session.position > 0) return;
    const taken = new Set([...this.sessions].map(({ position }) => position));
    session.position = 1;
    while (taken.has(session.position)) session.position++;
  }

  get objectPath(): string {
    return `${SEAT_FOLDER}/${escapeLabel(this.id)}`;
  }

  get stateFile(): string {
    return join(SEATS, this.id);
  }

  /** Only seat0 can have VTs, and only where the system has any. */
  get hasVts(): boolean {
    return this.id === "seat0" && hasVts();
  }

  /** True if udev has tagged a graphics device of this seat as its master. */
  get canGraphical(): boolean {
    return seatsOfDevices().has(this.id);
  }

  /** The session that a VT switch to `vt` brings up: the last that came to it and is not ending. */
  sessionAt(vt: number): Session | undefined {
    return [...this.sessions].findLast((session) => session.vtnr === vt && !session.stopping);
  }

  get idle(): Idle {
    return combineIdle([...this.sessions].map((session) => session.idle));
  }
}
