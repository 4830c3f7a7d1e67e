/** What sessions say of themselves: locked, idle, which desktop; see org.freedesktop.login1(5). */
import { busErrors } from "../../dbus/index.ts";
import { now } from "../../linux/index.ts";
import type { Session } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Publisher } from "../state/publisher.ts";
import { IDLE_PROPERTIES } from "../vocabulary/idle.ts";
import { checkDesktop } from "./session-request.ts";

export class SessionHints {
  constructor(
    private readonly registry: Registry,
    private readonly publisher: Publisher,
  ) {}

  /**
   * Asks a session's screen locker to lock or unlock.
   *
   * @throws {BusError} NotSupported for a class that has none
   */
  lock(session: Session, lock: boolean): void {
    checkLockable(this.registry.session(session.id));
    this.publisher.notifier.sessionLock(session, lock);
  }

  /** The same for every session that has one. */
  lockAll(lock: boolean): void {
    for (const session of this.registry.sessions.values()) {
      if (session.canLock) this.lock(session, lock);
    }
  }

  /**
   * Remembers what the session's locker says of itself.
   *
   * @throws {BusError} NotSupported for a class that has none
   */
  setLocked(session: Session, locked: boolean): void {
    checkLockable(session);
    if (session.lockedHint === locked) return;
    session.lockedHint = locked;
    this.changed(session, "LockedHint");
  }

  /**
   * Takes note of what a graphical session says of its idleness. Saying the same again
   * changes nothing, the time since when least of all.
   *
   * @throws {BusError} NotSupported for a session whose idleness is not its own
   *   to say: a tty's is its terminal's, and a background session has none
   */
  setIdle(session: Session, hint: boolean): void {
    if (!session.canIdle || !session.graphical) {
      throw busErrors.notSupported(
        "Idle hint control is not supported on non-graphical and non-user sessions",
      );
    }
    if (session.idleHint.hint === hint) return;
    session.idleHint = { hint, since: now() };
    const { changes } = this.publisher;
    changes.session(session, ...IDLE_PROPERTIES);
    changes.user(session.user, ...IDLE_PROPERTIES);
    if (session.seat) changes.seat(session.seat, ...IDLE_PROPERTIES);
    for (const name of IDLE_PROPERTIES) changes.manager.add(name);
    this.publisher.flush();
  }

  /**
   * Takes note of the desktop that is about to start in a session. The login
   * program often cannot know it: greetd registers before it runs anything.
   *
   * @throws {BusError} InvalidArgs
   */
  announceDesktop(session: Session, type: string, desktop: string, display: string): void {
    session.type = checkDesktop(type, desktop, display);
    session.originalType = session.type;
    session.desktop = desktop;
    session.display = session.type === "x11" ? display : "";
    session.user.electDisplay();
    this.displayChanged(session, "Type", "Display");
  }

  /** Writes down and tells what a part of login1 has changed of a session. */
  changed(session: Session, ...properties: string[]): void {
    this.publisher.changes.session(session, ...properties);
    this.publisher.flush();
  }

  /** The same, where it may also change which session is its user's display. */
  displayChanged(session: Session, ...properties: string[]): void {
    this.publisher.changes.user(session.user, "Display");
    this.changed(session, ...properties);
  }
}

function checkLockable(session: Session): void {
  if (!session.canLock) throw busErrors.notSupported("Session does not support lock screen.");
}
