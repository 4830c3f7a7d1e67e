/** How sessions begin: from the request of a login program to the news of it. */
import { rmSync } from "node:fs";
import type { Logger } from "../../cli/index.ts";
import { busErrors } from "../../dbus/index.ts";
import {
  auditSession,
  close,
  createPlaceholder,
  type Fd,
  hasCode,
  identityOf,
  makeFifo,
  messageOf,
  now,
  userById,
} from "../../linux/index.ts";
import { type IdleRule, NO_AUDIT, Session, User } from "../model/objects.ts";
import type { Registry } from "../model/registry.ts";
import type { Foreground } from "../seats/foreground.ts";
import { type Settings, ttyIdleAfter } from "../settings/logind-conf.ts";
import type { Publisher } from "../state/publisher.ts";
import { createRuntimeDir } from "../users/runtime-dir.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import type { SessionEnd } from "./end-session.ts";
import { type Leader, noLeader } from "./leader.ts";
import type { Membership } from "./membership.ts";
import type { Orphans } from "./orphans.ts";
import type { SessionScopes } from "./scopes.ts";
import {
  CreateError,
  type CreateRequest,
  invalidArgument,
  placeSession,
} from "./session-request.ts";
import type { Supervision } from "./supervision.ts";
import type { SessionTerminals } from "./terminals.ts";
import type { Account, UserLifecycle } from "./user-lifecycle.ts";

const ROOT = 0;
/** Of SessionsMax: what users may have who have sessions already. */
const SHARED = 3 / 4;

/** Does something once the answer to who asked is on its way. */
export type AfterReply = (task: () => void) => void;

/** The parts of login1 that the beginning of a session needs. */
export interface SessionCreationParts {
  readonly log: Logger;
  readonly settings: Settings;
  readonly registry: Registry;
  readonly publisher: Publisher;
  readonly foreground: Foreground;
  readonly scopes: SessionScopes;
  readonly supervision: Supervision;
  readonly membership: Membership;
  readonly terminals: SessionTerminals;
  readonly orphans: Orphans;
  readonly users: UserLifecycle;
  readonly end: SessionEnd;
}

export class SessionCreation {
  readonly #parts: SessionCreationParts;

  constructor(parts: SessionCreationParts) {
    this.#parts = parts;
  }

  /**
   * Makes a session around its leader: its scope, the user's runtime directory,
   * the state files, and then the news of it.
   *
   * @param leader its descriptor is the session's from here on, also where there is none
   * @param byDescriptor whether the session ends when the returned descriptor
   *   (a fifo's write end) is closed everywhere. If not, it is a placeholder and
   *   the leader alone decides, as from systemd 258 on.
   * @returns the session and that descriptor, which is the caller's to close
   * @throws {CreateError} InvalidArgs, SessionBusy, LimitsExceeded, and Failed if there is no scope to be had
   * @throws {BusError} NoSuchSeat
   */
  create(
    request: CreateRequest,
    leader: Leader,
    byDescriptor: boolean,
    afterReply: AfterReply,
  ): { session: Session; fd: Fd } {
    let session: Session;
    try {
      session = this.#describe(request, leader, byDescriptor);
    } catch (error) {
      close(leader.pidfd);
      throw error;
    }
    const isNewUser = !this.#parts.registry.hasUser(session.user);
    const fd = this.#prepare(session, leader.pidfd, isNewUser);
    this.#begin(session);
    afterReply(() => this.#announce(session, isNewUser));
    return { session, fd };
  }

  /** The session that is asked for, of which nobody knows yet, if there may be one. */
  #describe(request: CreateRequest, { pid, pidfd }: Leader, byDescriptor: boolean): Session {
    const { registry, membership, settings, terminals } = this.#parts;
    const leader = identityOf(pid, pidfd);
    if (!leader) throw noLeader(pid);
    const place = placeSession(request, (id) => registry.seats.get(id));
    if (membership.sessionOfPid(pid)) {
      const busy = login1Errors.sessionBusy("Already running in a session or user slice");
      throw new CreateError(busy, { why: "member" });
    }
    // A greeter takes a VT over, and gives it up to the next login.
    const there = place.vtnr > 0 ? registry.seats.get("seat0")?.sessionAt(place.vtnr) : undefined;
    if (there && place.class !== "greeter" && there.class !== "greeter") {
      const text = `VT ${place.vtnr} is occupied by session ${there.id} already`;
      throw new CreateError(login1Errors.sessionBusy(text), { why: "vtTaken" });
    }
    const known = registry.users.get(request.uid);
    // A user database may be on the network: who is logged in already is not asked for again, as with logind.
    const account = known ?? userById(request.uid);
    if (!account) throw invalidArgument("uid", `There is no user with the UID ${request.uid}`);
    this.#checkRoom(account, known?.sessions.size ?? 0);
    const runtimePath = createRuntimeDir(account.uid, account.gid, settings.config);
    const user = known ?? new User(account.uid, account.gid, account.name, runtimePath, now());
    const audit = auditSession(pid);
    return new Session({
      id: this.#newId(audit),
      user,
      leader,
      service: request.service,
      ...place,
      desktop: request.desktop,
      display: request.display,
      remote: request.remote,
      remoteHost: request.remoteHost,
      remoteUser: request.remoteUser,
      extraDeviceAccess: request.extraDeviceAccess,
      audit: audit ?? NO_AUDIT,
      since: now(),
      hasFifo: byDescriptor,
      idleRule: idleRuleOf(settings, terminals),
    });
  }

  /**
   * By SessionsMax. Its last quarter is for users who have no session yet, so that no single one keeps
   * the others out, and root has room of its own, so that they do not keep out root.
   *
   * @param own how many sessions that user has
   * @throws {CreateError} LimitsExceeded
   */
  #checkRoom({ uid, name }: Account, own: number): void {
    const { registry, settings } = this.#parts;
    const most = Number(settings.config.SessionsMax);
    const ofRoot = registry.users.get(ROOT)?.sessions.size ?? 0;
    const count = uid === ROOT ? ofRoot : registry.sessions.size - ofRoot;
    const text =
      count >= most
        ? `There are ${count} sessions, which is the most allowed (SessionsMax)`
        : uid !== ROOT && own > 0 && count >= most * SHARED
          ? `${name} has ${own} sessions, and what is left of SessionsMax is for users who have none`
          : undefined;
    if (text === undefined) return;
    throw new CreateError(busErrors.limitsExceeded(text), { why: "tooMany" });
  }

  /** The audit session's number, which no two logins share; else c1, c2, ... */
  #newId(audit: number | undefined): string {
    const { registry, orphans } = this.#parts;
    const isTaken = (id: string) => registry.sessions.has(id) || orphans.has(id);
    if (audit !== undefined && !isTaken(String(audit))) return String(audit);
    return registry.nextName(isTaken);
  }

  /**
   * Makes what a session cannot do without, and nothing that others see: if any of it fails there is no
   * session, and nobody has lost anything. The leader's move into the scope is therefore the last.
   *
   * @returns what `create` does
   */
  #prepare(session: Session, pidfd: Fd, isNewUser: boolean): Fd {
    const { registry, supervision, scopes, users, end, publisher } = this.#parts;
    const { user } = session;
    let fd: Fd | undefined;
    registry.users.set(user.uid, user);
    if (isNewUser) publisher.notifier.noteUser(user);
    registry.addSession(session);
    users.keep(user);
    publisher.notifier.noteSession(session);
    try {
      supervision.watchLeader(session, pidfd);
      if (session.hasFifo) {
        fd = this.#openFifo(session);
      } else {
        fd = createPlaceholder();
      }
      this.#moveIntoScope(session);
      return fd;
    } catch (error) {
      if (fd !== undefined) close(fd);
      end.forget(session);
      publisher.after(`${session.scope}, which stays`, () => scopes.leave(session));
      // Also who was kept for a while after the last session, and is not waited for since `keep`.
      users.removeIfUnused(user, !isNewUser);
      throw error;
    }
  }

  #openFifo(session: Session): Fd {
    const { log, supervision } = this.#parts;
    try {
      makeNewFifo(session.fifo);
    } catch (error) {
      if (!hasCode(error, "ENOSPC", "EROFS", "EDQUOT")) throw error;
      log.warning(
        `session ${session.id} has a pipe, which no later run finds: ${messageOf(error)}`,
      );
      return supervision.watchPipe(session);
    }
    return supervision.watchFifo(session);
  }

  #moveIntoScope(session: Session): void {
    const { log, scopes } = this.#parts;
    try {
      for (const problem of scopes.enter(session, session.leader.pid)) log.warning(problem);
    } catch (error) {
      const reason = messageOf(error);
      log.error(`the scope of session ${session.id} could not be made: ${reason}`);
      const failed = busErrors.failed(`${session.scope} could not be made: ${reason}`);
      throw new CreateError(failed, { why: "noScope" });
    }
  }

  /** From here on there is the session, whatever the files and the bus do. */
  #begin(session: Session): void {
    const { publisher, foreground } = this.#parts;
    const { user, seat } = session;
    user.electDisplay();
    publisher.changes.session(session);
    if (seat) publisher.after("a session on a seat", () => foreground.settle(seat, session));
    // That it is in the foreground is no news: SessionNew is the first of it.
    publisher.notifier.noteSession(session);
    publisher.changes.user(user, "Sessions", "State", "Display");
    publisher.persist();
    publisher.enter();
    publisher.openChanged(session);
  }

  #announce(session: Session, isNewUser: boolean): void {
    const { log, publisher, scopes, terminals } = this.#parts;
    const { user } = session;
    terminals.follow();
    publisher.after(`the start of session ${session.id}`, () => {
      if (isNewUser) publisher.notifier.userNew(user);
      publisher.notifier.sessionNew(session);
    });
    publisher.tell();
    publisher.after(`the start of ${session.scope}`, () => scopes.limit(session));
    log.info(
      `new session ${session.id} of ${user.name}: ${session.type}, ${session.class}, leader ${session.leader.pid} (${session.service || "no service"})`,
    );
  }
}

/** By what sessions that say nothing of themselves count as idle, as logind.conf has it at the time. */
export const idleRuleOf = (settings: Settings, terminals: SessionTerminals): IdleRule => ({
  get ttyAfter() {
    return ttyIdleAfter(settings.config);
  },
  lastTouched: (session) => terminals.lastTouched(session),
});

function makeNewFifo(path: string): void {
  try {
    makeFifo(path, 0o600);
  } catch (error) {
    if (!hasCode(error, "EEXIST")) throw error;
    // A rejected state file left it behind.
    rmSync(path);
    makeFifo(path, 0o600);
  }
}
