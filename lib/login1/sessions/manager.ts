/**
 * The sessions, users and seats of the machine, and all that happens to them.
 * It knows nothing of D-Bus beyond the errors that it throws: `ManagerEvents`
 * tells the bus.
 */
import { existsSync, rmSync } from "node:fs";
import type { Logger } from "../../cli/index.ts";
import { busErrors } from "../../dbus/index.ts";
import {
  auditSession,
  type Cgroup,
  close,
  createPlaceholder,
  type Fd,
  findPidfd,
  hasCode,
  identityOf,
  makeFifo,
  messageOf,
  now,
  userById,
} from "../../linux/index.ts";
import { seatsOfDevices } from "../hardware/udev.ts";
import { activeVt, switchVt, watchActiveVt } from "../hardware/vt.ts";
import { Seat } from "../model/seat.ts";
import { combineIdle, type Idle, Session } from "../model/session.ts";
import { User } from "../model/user.ts";
import { killsProcessesOf, type Settings, userTasks } from "../settings/logind-conf.ts";
import type { ManagerEvents, SessionFollower } from "../state/pending-changes.ts";
import { News } from "../state/publisher.ts";
import {
  ensureStateFolders,
  loadActiveSession,
  loadSessions,
  loadUsers,
  removeSeat,
  removeSession,
  savedSeats,
} from "../state/records.ts";
import { createRuntimeDir } from "../users/runtime-dir.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { IDLE_PROPERTIES } from "./idle-hints.ts";
import { Leftovers } from "./orphans.ts";
import { nearestAncestor, SessionCgroups } from "./scopes.ts";
import {
  CreateError,
  type CreateRequest,
  checkDesktop,
  invalidArgument,
  placeSession,
} from "./session-request.ts";
import { SessionWatches } from "./session-watches.ts";
import { type Account, UserLives } from "./user-lifecycle.ts";

/** How long the processes of a terminated session have between SIGTERM and SIGKILL, in milliseconds. */
const KILL_DELAY = 10_000;
/** How long the leader of a released session has to leave before KillUserProcesses ends it too, as with logind. */
const RELEASE_DELAY = 20_000;

const ROOT = 0;
/** Of SessionsMax: what users may have who have sessions already. */
const SHARED = 3 / 4;

const SIGHUP = 1;
const SIGKILL = 9;
const SIGTERM = 15;
const SIGCONT = 18;
const MOST_SIGNALS = 64;

export class Manager {
  readonly sessions = new Map<string, Session>();
  readonly users = new Map<number, User>();
  readonly seats = new Map<string, Seat>();
  /** They stay their sessions' seats until these have ended, or the device is there again. */
  readonly #goneSeats = new Map<string, Seat>();
  readonly #cgroups: SessionCgroups;
  readonly #watches = new Map<Session, SessionWatches>();
  readonly #news: News;
  readonly #userLives: UserLives;
  readonly #leftovers: Leftovers;
  readonly #log: Logger;
  readonly #events: ManagerEvents;
  readonly #settings: Settings;
  readonly #afterwards: (task: () => void) => void;
  #counter = 0;
  #endVtWatch: (() => void) | undefined;

  /** @param afterwards does something once the answer to who asked for it is on its way */
  constructor(
    log: Logger,
    events: ManagerEvents,
    settings: Settings,
    afterwards: (task: () => void) => void,
  ) {
    this.#afterwards = afterwards;
    this.#log = log;
    this.#events = events;
    this.#settings = settings;
    this.#cgroups = new SessionCgroups((most) => userTasks(settings.config, most));
    settings.followers.push(() =>
      this.#news.after("the new configuration", () => {
        for (const user of this.users.values()) this.#warn(this.#cgroups.limitTasks(user));
      }),
    );
    this.#news = new News(log, events, this);
    this.#userLives = new UserLives(log, settings, events, this.#news, this.#cgroups, this.users);
    this.#leftovers = new Leftovers(log, this.#cgroups, {
      isSession: (id) => this.sessions.has(id),
      isUser: (uid) => this.users.has(uid),
    });
  }

  /** The parts of login1 that follow the sessions, to be added before `start`. */
  get followers(): SessionFollower[] {
    return this.#news.followers;
  }

  /**
   * Takes up where the last run ended: reads the state files, and sees which
   * sessions have ended meanwhile. Nobody is told of what is merely still so.
   */
  start(): void {
    ensureStateFolders();
    if (!this.#cgroups.available) {
      this.#log.warning(
        "no cgroup2 is mounted: processes are told apart by their parents only, and sd_pid_get_session(3) finds no session; start cgroup-delegate first",
      );
    }
    const onBad = (path: string, reason: string) =>
      this.#log.warning(`${path} is not used: ${reason}`);
    for (const id of new Set(["seat0", ...seatsOfDevices()])) this.seats.set(id, new Seat(id));
    for (const id of savedSeats()) if (!this.seats.has(id)) removeSeat(new Seat(id));
    for (const { uid, gid, name, runtimePath, since, lastSessionEnd } of loadUsers(onBad)) {
      const user = new User(uid, gid, name, runtimePath, since);
      user.lastSessionEnd = lastSessionEnd;
      this.users.set(uid, user);
    }
    const userOf = (uid: number) => this.users.get(uid);
    const seatOf = (id: string) => {
      if (id === "") return undefined;
      const seat = this.seats.get(id) ?? this.#goneSeats.get(id) ?? new Seat(id);
      if (!this.seats.has(id)) this.#goneSeats.set(id, seat);
      return seat;
    };
    for (const session of loadSessions(userOf, seatOf, onBad)) {
      this.#addSession(session);
    }
    for (const seat of this.seats.values()) {
      seat.active = seat.hasVts
        ? this.#sessionOnActiveVt(seat)
        : this.sessions.get(loadActiveSession(seat) ?? "");
      if (seat.hasVts) this.#endVtWatch = watchActiveVt(() => this.#onVtSwitch(seat));
      this.#news.changes.seat(seat);
    }
    // One that was killed may have written some of what belongs together.
    for (const user of this.users.values()) this.#news.changes.user(user);
    for (const session of [...this.sessions.values()]) {
      this.#news.changes.session(session);
      this.#watchAgain(session);
    }
    for (const seat of this.#goneSeats.values()) this.#releaseSessionsOn(seat);
    for (const user of [...this.users.values()]) this.#userLives.removeIfUnused(user);
    this.#userLives.startLingering();
    this.#news.after("looking for what a killed run has left", () => this.#leftovers.sweep());
    this.#news.flush();
    const { size } = this.sessions;
    if (size > 0) this.#log.info(`${size} session${size === 1 ? "" : "s"} found from before`);
  }

  /** Ends the watches. The sessions go on, and the next run finds them. */
  stop(): void {
    this.#endVtWatch?.();
    for (const watches of this.#watches.values()) watches.end();
    this.#userLives.stop();
    this.#leftovers.stop();
    this.#watches.clear();
  }

  // Finding things

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

  /** The session that a process belongs to: the one that it leads, or whose scope it is in. */
  sessionOfPid(pid: number): Session | undefined {
    const led = this.#sessionLedBy(pid);
    if (led) return led;
    if (this.#cgroups.available) return this.sessions.get(this.#cgroups.sessionIdOf(pid) ?? "");
    return nearestAncestor(pid, (ancestor) => this.#sessionLedBy(ancestor));
  }

  #sessionLedBy(pid: number): Session | undefined {
    for (const session of this.sessions.values()) {
      // Of a leader that has ended the number may be another's.
      if (session.leader.pid === pid && this.#leaderRuns(session)) return session;
    }
    return undefined;
  }

  /** The user in whose slice a process is. */
  userOfPid(pid: number): User | undefined {
    const uid = this.#cgroups.ownerOf(pid) ?? this.sessionOfPid(pid)?.user.uid;
    return uid === undefined ? undefined : this.users.get(uid);
  }

  /** The cgroup of a slice or scope of ours, by its unit's name; undefined if there is none such. */
  unitCgroup(unit: string): Cgroup | undefined {
    for (const user of this.users.values()) {
      if (unit === user.slice) return this.#cgroups.sliceOf(user);
    }
    for (const session of this.sessions.values()) {
      if (unit === session.scope) return this.#cgroups.scopeOf(session);
    }
    return undefined;
  }

  get idle(): Idle {
    return combineIdle(
      [...this.sessions.values()]
        .filter((session) => session.canIdle)
        .map((session) => session.idle),
    );
  }

  // What happens to sessions

  /**
   * Makes a session around its leader: its scope, the user's runtime directory,
   * the state files, and then the news of it.
   *
   * @param byDescriptor whether the session ends when the returned descriptor
   *   (a fifo's write end) is closed everywhere. If not, it is a placeholder and
   *   the leader alone decides, as from systemd 258 on.
   * @returns the session and that descriptor, which is the caller's to close
   * @throws {CreateError} InvalidArgs, SessionBusy, LimitsExceeded, and Failed if there is no scope to be had
   * @throws {BusError} NoSuchSeat
   */
  createSession(
    request: CreateRequest,
    leaderPid: number,
    byDescriptor: boolean,
  ): { session: Session; fd: Fd } {
    const pidfd = openLeader(leaderPid);
    let session: Session;
    try {
      session = this.#describe(request, leaderPid, pidfd, byDescriptor);
    } catch (error) {
      close(pidfd);
      throw error;
    }
    return { session, fd: this.#begin(session, pidfd) };
  }

  /** The session that is asked for, of which nobody knows yet, if there may be one. */
  #describe(request: CreateRequest, leaderPid: number, pidfd: Fd, byDescriptor: boolean): Session {
    const leader = identityOf(leaderPid, pidfd);
    if (!leader) throw noLeader(leaderPid);
    const known = this.users.get(request.uid);
    // A user database may be on the network: who is logged in already is not asked for again, as with logind.
    const account = known ?? userById(request.uid);
    if (!account) throw invalidArgument("uid", `There is no user with the UID ${request.uid}`);
    const place = placeSession(request, (id) => this.seats.get(id));
    if (this.sessionOfPid(leaderPid)) {
      const busy = login1Errors.sessionBusy("Already running in a session or user slice");
      throw new CreateError(busy, { why: "member" });
    }
    const there = place.vtnr > 0 ? place.seat?.sessionAt(place.vtnr) : undefined;
    if (there && there.class !== "greeter") {
      const text = `VT ${place.vtnr} is occupied by session ${there.id} already`;
      throw new CreateError(login1Errors.sessionBusy(text), { why: "vtTaken" });
    }
    this.#checkRoom(account, known?.sessions.size ?? 0);
    const runtimePath = createRuntimeDir(account.uid, account.gid, this.#settings.config);
    const user = known ?? new User(account.uid, account.gid, account.name, runtimePath, now());
    const audit = auditSession(leaderPid);
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
      audit: audit ?? 0,
      since: now(),
      hasFifo: byDescriptor,
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
    const most = Number(this.#settings.config.SessionsMax);
    const ofRoot = this.users.get(ROOT)?.sessions.size ?? 0;
    const count = uid === ROOT ? ofRoot : this.sessions.size - ofRoot;
    const text =
      count >= most
        ? `There are ${count} sessions, which is the most allowed (SessionsMax)`
        : uid !== ROOT && own > 0 && count >= most * SHARED
          ? `${name} has ${own} sessions, and what is left of SessionsMax is for users who have none`
          : undefined;
    if (text === undefined) return;
    throw new CreateError(busErrors.limitsExceeded(text), { why: "tooMany" });
  }

  /** @param pidfd the leader's, which is closed with the session. @returns what `createSession` does */
  #begin(session: Session, pidfd: Fd): Fd {
    const { user, seat } = session;
    const isNewUser = !this.users.has(user.uid);
    let fd: Fd | undefined;
    this.users.set(user.uid, user);
    this.#addSession(session);
    try {
      this.#watchLeader(session, pidfd);
      this.#moveIntoScope(session);
      if (session.hasFifo) {
        makeNewFifo(session.fifo);
        fd = this.#watchFifo(session);
      } else {
        fd = createPlaceholder();
      }
      this.#news.changes.session(session);
      if (seat) this.#settleSeat(seat, session);
      this.#news.changes.user(user, "Sessions", "State", "Display");
      this.#news.save();
      this.#news.follow();
      for (const follower of this.followers) follower.openChanged?.(session);
    } catch (error) {
      if (fd !== undefined) close(fd);
      this.#forget(session);
      this.#cgroups.leave(session);
      if (isNewUser) this.#userLives.removeIfUnused(user);
      throw error;
    }
    this.#afterwards(() =>
      this.#news.after(`the start of session ${session.id}`, () => {
        if (isNewUser) this.#events.userNew(user);
        this.#events.sessionNew(session);
        this.#news.tell();
        this.#cgroups.limit(session);
        this.#log.info(
          `new session ${session.id} of ${user.name}: ${session.type}, ${session.class}, leader ${session.leader.pid} (${session.service || "no service"})`,
        );
      }),
    );
    return fd;
  }

  #moveIntoScope(session: Session): void {
    try {
      this.#warn(this.#cgroups.enter(session, session.leader.pid));
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`the scope of session ${session.id} could not be made: ${reason}`);
      const failed = busErrors.failed(`${session.scope} could not be made: ${reason}`);
      throw new CreateError(failed, { why: "noScope" });
    }
  }

  #warn(problems: string[]): void {
    for (const problem of problems) this.#log.warning(problem);
  }

  /** How many processes and threads a user may have (UserTasksMax); undefined where nothing limits them. */
  get mostUserTasks(): bigint | undefined {
    return this.#cgroups.mostUserTasks;
  }

  /**
   * Ends a session as its leader asks: what still runs in it may run out, or is
   * ended when the leader has left (KillUserProcesses). Who asked need not wait for
   * it: logind answers before it writes anything down, too.
   */
  releaseSession(session: Session): void {
    this.#afterwards(() =>
      this.#news.after(`the release of session ${session.id}`, () => {
        const force = !this.#leaderRuns(session) && this.#shallKill(session);
        this.#end(session, "it was released", force);
        this.#awaitLeader(session);
      }),
    );
  }

  /** Ends a session and all that runs in it: SIGTERM and SIGHUP, then SIGKILL. */
  terminateSession(session: Session): void {
    this.#end(session, "it is to be terminated", true);
  }

  /** Terminates all sessions of a user. */
  terminateUser(user: User): void {
    for (const session of [...user.sessions]) this.terminateSession(session);
  }

  /** Terminates all sessions on a seat. */
  terminateSeat(seat: Seat): void {
    for (const session of [...seat.sessions]) this.terminateSession(session);
  }

  /**
   * Sends a signal to a session's leader or to all in it.
   *
   * @param who `leader` or `all`; "" is all
   * @throws {BusError} InvalidArgs
   */
  killSession(session: Session, who: string, signal: number): void {
    this.session(session.id);
    checkSignal(signal);
    if (who !== "" && who !== "all" && who !== "leader") {
      throw busErrors.invalidArgs(`Invalid kill parameter '${who}': it is leader or all`);
    }
    if (who === "leader") {
      if (!this.#signalLeader(session, signal)) throw login1Errors.noSuchSession(session.id);
    } else {
      this.#signalAll(session, signal);
    }
  }

  /**
   * Sends a signal to every process in a user's slice.
   *
   * @throws {BusError} InvalidArgs
   */
  killUser(user: User, signal: number): void {
    checkSignal(signal);
    const slice = this.#cgroups.sliceOf(user);
    if (slice) slice.signal(signal);
    else for (const session of user.sessions) this.#signalAll(session, signal);
  }

  /**
   * Asks a session's screen locker to lock or unlock.
   *
   * @throws {BusError} NotSupported for a class that has none
   */
  lockSession(session: Session, lock: boolean): void {
    this.session(session.id);
    this.#checkLockable(session);
    this.#events.sessionLock(session, lock);
  }

  /** The same for every session that has one. */
  lockAllSessions(lock: boolean): void {
    for (const session of this.sessions.values()) {
      if (session.canLock) this.lockSession(session, lock);
    }
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
    this.#news.changes.session(session, "Type", "Display");
    this.#news.changes.user(session.user, "Display");
    this.#news.flush();
  }

  /** Writes down and tells what a part of login1 has changed of a session. */
  sessionChanged(session: Session, ...properties: string[]): void {
    this.#news.changes.session(session, ...properties);
    this.#news.flush();
  }

  /** The same, where it may also change which session is its user's display. */
  displayChanged(session: Session, ...properties: string[]): void {
    this.#news.changes.user(session.user, "Display");
    this.sessionChanged(session, ...properties);
  }

  /** A session has become idle, or no longer is, and with it all that it counts for. */
  idleChanged(session: Session): void {
    this.#news.changes.session(session, ...IDLE_PROPERTIES);
    this.#news.changes.user(session.user, ...IDLE_PROPERTIES);
    if (session.seat) this.#news.changes.seat(session.seat, ...IDLE_PROPERTIES);
    for (const name of IDLE_PROPERTIES) this.#news.changes.manager.add(name);
    this.#news.flush();
  }

  /** Remembers what the session's locker says of itself. */
  setLockedHint(session: Session, locked: boolean): void {
    this.#checkLockable(session);
    if (session.lockedHint === locked) return;
    session.lockedHint = locked;
    this.#news.changes.session(session, "LockedHint");
    this.#news.flush();
  }

  #checkLockable(session: Session): void {
    if (!session.canLock) throw busErrors.notSupported("Session does not support lock screen.");
  }

  /**
   * Brings a session to the foreground of its seat.
   *
   * @throws {BusError} NotSupported if it has no seat or no VT to switch to
   */
  activateSession(session: Session): void {
    const { seat } = this.session(session.id);
    if (!seat) throw busErrors.notSupported(`Session ${session.id} is not on a seat`);
    if (seat.active === session) return;
    if (!seat.hasVts) {
      seat.pendingSwitch = session;
      const { active } = seat;
      // Each is asked, and those that have devices to pause are waited for.
      const ready = this.followers.map(
        (follower) => !active || (follower.leaving?.(active) ?? true),
      );
      if (!ready.includes(false)) this.completeSwitch(seat);
      return;
    }
    if (session.vtnr === 0) throw busErrors.notSupported(`Session ${session.id} has no VT`);
    switchVt(session.vtnr);
  }

  /** On a seat without VTs: makes the switch that `activateSession` asked for, if it still stands. */
  completeSwitch(seat: Seat): void {
    const session = seat.pendingSwitch;
    seat.pendingSwitch = undefined;
    if (!session || !seat.sessions.has(session)) return;
    this.#setActive(seat, session);
    this.#news.flush();
  }

  // How sessions end

  #end(session: Session, reason: string, force: boolean): void {
    if (!this.sessions.has(session.id)) return;
    if (!session.stopping) {
      session.stopping = true;
      this.#log.info(`session ${session.id} of ${session.user.name} ends: ${reason}`);
      this.#news.changes.session(session, "State");
      this.#news.changes.user(session.user, "State", "Display");
      this.#watches.get(session)?.endFifo();
      if (session.seat) this.#settleSeat(session.seat);
      for (const follower of this.followers) follower.openChanged?.(session);
    }
    if (force) this.#terminate(session);
    if (this.#finishIfEmpty(session)) return;
    this.#news.flush();
    this.#watchScope(session);
  }

  #shallKill(session: Session): boolean {
    return killsProcessesOf(this.#settings.config, session.user.name);
  }

  /** A leader closes its session from inside: it may finish that before the rest is ended. */
  #awaitLeader(session: Session): void {
    if (!this.sessions.has(session.id) || !this.#shallKill(session)) return;
    this.#watches
      .get(session)
      ?.after(RELEASE_DELAY, "terminate", () =>
        this.#news.after(`the release of session ${session.id}`, () =>
          this.#end(session, "its leader did not leave", true),
        ),
      );
  }

  #terminate(session: Session): void {
    for (const signal of [SIGTERM, SIGCONT, SIGHUP]) this.#signalAll(session, signal);
    session.terminatedAt ??= now().monotonic;
    this.#news.changes.session(session);
    this.#killLater(session, session.terminatedAt);
  }

  /** Kills what SIGTERM, sent at that time of the monotonic clock, has not ended in time. */
  #killLater(session: Session, terminatedAt: bigint): void {
    const passed = Number(now().monotonic - terminatedAt) / 1000;
    this.#watches.get(session)?.after(Math.max(0, KILL_DELAY - passed), "kill", () =>
      this.#news.after("SIGTERM was not enough", () => {
        this.#log.warning(`session ${session.id} did not end on SIGTERM: it gets SIGKILL`);
        this.#signalAll(session, SIGKILL);
      }),
    );
  }

  /**
   * Tells what is left of a session that its login has gone without a word, as
   * the kernel does for a terminal: SIGHUP, then SIGCONT. A compositor whose login
   * manager was killed ends by it, where logind would leave it on its seat; what
   * was started to outlive a login (nohup, tmux) does not heed it.
   */
  #hangUp(session: Session): void {
    if (!this.sessions.has(session.id) || session.class.startsWith("background")) return;
    for (const signal of [SIGHUP, SIGCONT]) this.#signalAll(session, signal);
  }

  #signalAll(session: Session, signal: number): void {
    const scope = this.#cgroups.scopeOf(session);
    if (scope) scope.signal(signal);
    else this.#signalLeader(session, signal);
  }

  /** @returns false if the leader has ended */
  #signalLeader(session: Session, signal: number): boolean {
    return this.#watches.get(session)?.signalLeader(signal) ?? false;
  }

  /** The last step: nothing runs in a session that is ending, so it is gone. */
  #finishIfEmpty(session: Session): boolean {
    if (!this.sessions.has(session.id)) return true;
    if (!session.stopping) return false;
    if (!(this.#cgroups.leave(session) ?? !this.#leaderRuns(session))) return false;
    const { user, seat } = session;
    this.#forget(session);
    if (user.sessions.size === 0) user.lastSessionEnd = now().monotonic;
    this.#news.changes.user(user, "Sessions", "State", "Display");
    if (seat) this.#news.changes.seat(seat, "Sessions");
    this.#news.save();
    this.#events.sessionRemoved(session);
    this.#log.info(`session ${session.id} of ${user.name} is gone`);
    this.#userLives.removeIfUnused(user);
    this.#news.flush();
    return true;
  }

  /** See `UserLives.setLinger`. */
  setLinger(account: Account, enable: boolean): void {
    this.#userLives.setLinger(account, enable);
  }

  // Watching

  /** Goes on watching a session of the last run, which may have ended while nobody was looking. */
  #watchAgain(session: Session): void {
    this.#watchLeaderAgain(session);
    if (!this.#leaderRuns(session)) this.#leaderGone(session);
    this.#watchFifoAgain(session);
    if (!session.stopping || this.#finishIfEmpty(session)) return;
    this.#watchScope(session);
    if (session.terminatedAt !== undefined) this.#killLater(session, session.terminatedAt);
    else this.#awaitLeader(session);
  }

  /** Unless its number is a later process's by now. */
  #watchLeaderAgain(session: Session): void {
    const { pid, pidfdId, startTime } = session.leader;
    const pidfd = findPidfd(pid);
    if (pidfd === undefined) return;
    const found = identityOf(pid, pidfd);
    if (found?.pidfdId === pidfdId && found.startTime === startTime) {
      this.#watchLeader(session, pidfd);
    } else {
      close(pidfd);
    }
  }

  #leaderRuns(session: Session): boolean {
    return this.#watches.get(session)?.leaderRuns ?? false;
  }

  /** Sees when nothing runs any more in a session that is ending. Until it is, its leader decides, as with logind. */
  #watchScope(session: Session): void {
    const scope = this.#cgroups.scopeOf(session);
    if (!scope) return;
    const emptied = () =>
      this.#news.after(`the end of all in ${session.scope}`, () => this.#finishIfEmpty(session));
    this.#news.after(`the start of the watch of ${session.scope}`, () =>
      this.#watchesOf(session).watchScope(scope, emptied),
    );
  }

  #watchLeader(session: Session, pidfd: Fd): void {
    this.#watchesOf(session).watchLeader(pidfd, () =>
      this.#news.after(`the end of session ${session.id}'s leader`, () =>
        this.#leaderGone(session),
      ),
    );
  }

  #leaderGone(session: Session): void {
    const unannounced = !session.stopping;
    this.#end(session, "its leader is gone", this.#shallKill(session));
    if (unannounced) this.#hangUp(session);
  }

  /** Goes on watching the fifo of a session from the last run, whose writer may be gone. */
  #watchFifoAgain(session: Session): void {
    if (!session.hasFifo || session.stopping || !existsSync(session.fifo)) return;
    close(this.#watchFifo(session));
    if (this.#watchesOf(session).fifoClosed) this.#fifoClosed(session);
  }

  /** The fifo's write end, which is the caller's to close. */
  #watchFifo(session: Session): Fd {
    return this.#watchesOf(session).watchFifo(session.fifo, () =>
      this.#news.after(`the close of session ${session.id}'s descriptor`, () =>
        this.#fifoClosed(session),
      ),
    );
  }

  #fifoClosed(session: Session): void {
    this.#end(session, "its descriptor was closed", this.#shallKill(session));
  }

  #watchesOf(session: Session): SessionWatches {
    let watches = this.#watches.get(session);
    if (!watches) {
      watches = new SessionWatches();
      this.#watches.set(session, watches);
    }
    return watches;
  }

  // Seats

  /** Adds a seat that udev has a master device of. */
  addSeat(id: string): void {
    const seat = this.#goneSeats.get(id) ?? new Seat(id);
    this.#goneSeats.delete(id);
    this.seats.set(id, seat);
    this.#news.changes.seat(seat);
    this.#news.save();
    this.#events.seatNew(seat);
    this.#news.flush();
  }

  /** Takes away a seat whose last master device went, and ends the sessions on it. */
  removeSeat(seat: Seat): void {
    this.#releaseSessionsOn(seat);
    // Also one that was closing before, and brought to the foreground then.
    this.#setActive(seat, undefined);
    this.seats.delete(seat.id);
    this.#goneSeats.set(seat.id, seat);
    removeSeat(seat);
    this.#events.seatRemoved(seat);
    this.#news.flush();
  }

  #releaseSessionsOn(seat: Seat): void {
    for (const session of [...seat.sessions]) this.releaseSession(session);
  }

  /** A seat has got or lost its graphics. */
  graphicalChanged(seat: Seat): void {
    this.#news.changes.seat(seat, "CanGraphical");
    this.#news.flush();
  }

  #onVtSwitch(seat: Seat): void {
    this.#news.after("a switch of VTs", () => {
      this.#setActive(seat, this.#sessionOnActiveVt(seat));
      this.#news.flush();
    });
  }

  #sessionOnActiveVt(seat: Seat): Session | undefined {
    const vt = activeVt();
    return vt === undefined ? undefined : seat.sessionAt(vt);
  }

  /**
   * Settles who is in the foreground after a session came or went. With VTs the
   * VT decides. Without, a new session comes up by itself, and when it ends the
   * one that came before it does.
   */
  #settleSeat(seat: Seat, newcomer?: Session): void {
    if (seat.hasVts) this.#setActive(seat, this.#sessionOnActiveVt(seat));
    else if (newcomer) this.#setActive(seat, newcomer);
    else if (seat.active?.stopping !== false) {
      this.#setActive(
        seat,
        [...seat.sessions].findLast((session) => !session.stopping),
      );
    }
    this.#news.changes.seat(seat, "Sessions");
  }

  #setActive(seat: Seat, session: Session | undefined): void {
    const before = seat.active;
    if (before === session) return;
    seat.active = session;
    this.#news.changes.seat(seat, "ActiveSession");
    this.#news.moved(before, session);
    for (const affected of [before, session]) {
      if (!affected || !this.sessions.has(affected.id)) continue;
      this.#news.changes.session(affected, "Active", "State");
      this.#news.changes.user(affected.user, "State", "Display");
    }
  }

  // Keeping books

  #addSession(session: Session): void {
    this.sessions.set(session.id, session);
    session.user.sessions.add(session);
    this.#userLives.keep(session.user);
    session.seat?.add(session);
    const number = Number(/^c(\d+)$/.exec(session.id)?.[1] ?? 0);
    this.#counter = Math.max(this.#counter, number);
  }

  /** Takes a session out of the books, with its files. */
  #forget(session: Session): void {
    for (const follower of this.followers) follower.ended?.(session);
    this.#watches.get(session)?.end();
    this.#watches.delete(session);
    this.sessions.delete(session.id);
    session.user.sessions.delete(session);
    session.seat?.sessions.delete(session);
    if (session.seat?.active === session) this.#setActive(session.seat, undefined);
    this.#news.changes.sessions.delete(session);
    removeSession(session);
  }

  /** The audit session's number, which no two logins share; else c1, c2, ... */
  #newId(audit: number | undefined): string {
    const isTaken = (id: string) => this.sessions.has(id) || this.#leftovers.has(id);
    if (audit !== undefined && !isTaken(String(audit))) return String(audit);
    do this.#counter++;
    while (isTaken(`c${this.#counter}`));
    return `c${this.#counter}`;
  }
}

/**
 * A pidfd of the process that is to lead a session, the caller's to close.
 *
 * @throws {CreateError} InvalidArgs
 */
function openLeader(pid: number): Fd {
  if (pid <= 1) throw invalidArgument("leader", `PID ${pid} cannot lead a session`);
  const pidfd = findPidfd(pid);
  if (pidfd === undefined) throw noLeader(pid);
  return pidfd;
}

const noLeader = (pid: number) =>
  invalidArgument("leader", `There is no process ${pid} to lead the session`);

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

function checkSignal(signal: number): void {
  if (signal >= 1 && signal <= MOST_SIGNALS) return;
  throw busErrors.invalidArgs(`Invalid signal ${signal}: it is 1 to ${MOST_SIGNALS}`);
}
