/** Sending signals to what runs in sessions; see loginctl(1), kill-session and kill-user. */
import { constants } from "node:os";
import { busErrors } from "../../dbus/index.ts";
import type { Session, User } from "../model/objects.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import type { SessionScopes } from "./scopes.ts";
import type { Supervision } from "./supervision.ts";

export const { SIGCONT, SIGHUP, SIGKILL, SIGTERM } = constants.signals;

/** The kernel's _NSIG. */
const MOST_SIGNALS = 64;

export class SessionSignals {
  constructor(
    private readonly scopes: SessionScopes,
    private readonly supervision: Supervision,
  ) {}

  /**
   * Sends a signal to a session's leader or to all in it.
   *
   * @param who `leader` or `all`; "" is all
   * @throws {BusError} InvalidArgs, UnixProcessIdUnknown (ESRCH) if the leader has ended, NotSupported if it has no scope
   */
  kill(session: Session, who: string, signal: number): void {
    checkKill(who, signal);
    if (who !== "leader") {
      if (!session.hasScope) throw busErrors.notSupported(`Session ${session.id} has no scope`);
      this.sendToAll(session, signal);
    } else if (!this.supervision.signalLeader(session, signal)) {
      throw login1Errors.system("ESRCH", `The leader of session ${session.id} has ended`);
    }
  }

  /**
   * Sends a signal to every process in a user's slice.
   *
   * @throws {BusError} InvalidArgs
   */
  killUser(user: User, signal: number): void {
    checkSignal(signal);
    const slice = this.scopes.sliceOf(user);
    if (slice) slice.signal(signal);
    else for (const session of user.sessions) this.sendToAll(session, signal);
  }

  /** Sends a signal to all that runs in a session, as far as is known of it. */
  sendToAll(session: Session, signal: number): void {
    const scope = this.scopes.scopeOf(session);
    if (scope) scope.signal(signal);
    else this.supervision.signalLeader(session, signal);
  }
}

/**
 * What a session can be sent, and whom: logind says so before it asks who may.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkKill(who: string, signal: number): void {
  if (who !== "" && who !== "all" && who !== "leader") {
    throw busErrors.invalidArgs(`Invalid kill parameter '${who}': it is leader or all`);
  }
  checkSignal(signal);
}

function checkSignal(signal: number): void {
  if (signal >= 1 && signal <= MOST_SIGNALS) return;
  throw busErrors.invalidArgs(`Invalid signal ${signal}: it is 1 to ${MOST_SIGNALS}`);
}
