/**
 * The sessions, users and seats of the machine, and all that happens to them: the one door to the parts
 * in this folder and in seats/. It knows nothing of D-Bus beyond the errors that it throws;
 * `BusNotifier` tells the bus.
 */
import type { Logger } from "../../cli/index.ts";
import { type Cgroup, type Fd, now } from "../../linux/index.ts";
import type { Seat, Session, User } from "../model/objects.ts";
import { Registry } from "../model/registry.ts";
import { Foreground } from "../seats/foreground.ts";
import { SeatHotplug } from "../seats/hotplug.ts";
import { switchBy, switchTo } from "../seats/switching.ts";
import { type Settings, userTasks } from "../settings/logind-conf.ts";
import type { BusNotifier, SessionObserver } from "../state/pending-changes.ts";
import { Publisher } from "../state/publisher.ts";
import { StateFiles } from "../state/state-files.ts";
import type { Idle } from "../vocabulary/idle.ts";
import { type AfterReply, SessionCreation } from "./create-session.ts";
import { SessionEnd } from "./end-session.ts";
import { SessionHints } from "./hints.ts";
import type { Leader } from "./leader.ts";
import { Membership } from "./membership.ts";
import { Orphans } from "./orphans.ts";
import { restore } from "./restore.ts";
import { SessionScopes } from "./scopes.ts";
import type { CreateRequest } from "./session-request.ts";
import { SessionSignals } from "./signals.ts";
import { Supervision } from "./supervision.ts";
import { SessionTerminals } from "./terminals.ts";
import { type Account, UserLifecycle } from "./user-lifecycle.ts";

export class Manager {
  /** When this run began. */
  readonly started = now();
  readonly #log: Logger;
  readonly #settings: Settings;
  readonly #registry = new Registry();
  readonly #files: StateFiles;
  readonly #publisher: Publisher;
  readonly #foreground: Foreground;
  readonly #scopes: SessionScopes;
  readonly #supervision: Supervision;
  readonly #membership: Membership;
  readonly #signals: SessionSignals;
  readonly #hints: SessionHints;
  readonly #users: UserLifecycle;
  readonly #orphans: Orphans;
  readonly #terminals: SessionTerminals;
  readonly #end: SessionEnd;
  readonly #creation: SessionCreation;
  readonly #hotplug: SeatHotplug;

  constructor(log: Logger, notifier: BusNotifier, settings: Settings) {
    const registry = this.#registry;
    this.#log = log;
    this.#settings = settings;
    this.#files = new StateFiles(log);
    const publisher = new Publisher(log, notifier, registry, this.#files);
    const foreground = new Foreground(registry, publisher);
    const scopes = new SessionScopes((most) => userTasks(settings.config, most));
    const supervision = new Supervision(log, publisher, scopes, {
      leaderGone: (session) => this.#end.leaderGone(session),
      fifoClosed: (session) => this.#end.fifoClosed(session),
      emptied: (session) => this.#end.finishIfEmpty(session),
    });
    const signals = new SessionSignals(scopes, supervision);
    const users = new UserLifecycle(log, settings, registry, publisher, scopes);
    const shared = { log, settings, registry, publisher, foreground, scopes, supervision, users };
    const end = new SessionEnd({ ...shared, signals });
    const membership = new Membership(registry, scopes, supervision);
    const terminals = new SessionTerminals(log, publisher, scopes, membership);
    const orphans = new Orphans(log, scopes, {
      isSession: (id) => registry.sessions.has(id),
      isUser: (uid) => registry.users.has(uid),
    });
    this.#publisher = publisher;
    this.#foreground = foreground;
    this.#scopes = scopes;
    this.#supervision = supervision;
    this.#signals = signals;
    this.#users = users;
    this.#end = end;
    this.#membership = membership;
    this.#orphans = orphans;
    this.#terminals = terminals;
    this.#hints = new SessionHints(registry, publisher);
    this.#creation = new SessionCreation({ ...shared, membership, orphans, end, terminals });
    this.#hotplug = new SeatHotplug(registry, publisher, foreground, (session) =>
      end.release(session),
    );
    settings.observers.push(() => this.#limitTasks());
  }

  /** The parts of login1 that follow the sessions, to be added before `start`. */
  get observers(): SessionObserver[] {
    return this.#publisher.observers;
  }

  /** By which the other parts write theirs too: what fails is logged once, for all of them. */
  get files(): StateFiles {
    return this.#files;
  }

  /**
   * Takes up where the last run ended: reads the state files, and sees which
   * sessions have ended meanwhile. Nobody is told of what is merely still so.
   */
  start(): void {
    restore({
      log: this.#log,
      settings: this.#settings,
      registry: this.#registry,
      files: this.#files,
      publisher: this.#publisher,
      foreground: this.#foreground,
      supervision: this.#supervision,
      scopes: this.#scopes,
      end: this.#end,
      users: this.#users,
      orphans: this.#orphans,
      terminals: this.#terminals,
      hotplug: this.#hotplug,
    });
  }

  /** Ends the watches. The sessions go on, and the next run finds them. */
  stop(): void {
    this.#foreground.stop();
    this.#supervision.stop();
    this.#users.stop();
    this.#orphans.stop();
    this.#terminals.stop();
    this.#files.stop();
  }

  #limitTasks(): void {
    this.#publisher.after("the new configuration", () => {
      for (const user of this.users.values()) {
        for (const problem of this.#scopes.limitTasks(user)) this.#log.warning(problem);
      }
    });
  }

  // What there is

  get sessions(): ReadonlyMap<string, Session> {
    return this.#registry.sessions;
  }

  get users(): ReadonlyMap<number, User> {
    return this.#registry.users;
  }

  get seats(): ReadonlyMap<string, Seat> {
    return this.#registry.seats;
  }

  /** @throws {BusError} NoSuchSession */
  session(id: string): Session {
    return this.#registry.session(id);
  }

  /** @throws {BusError} NoSuchUser */
  user(uid: number): User {
    return this.#registry.user(uid);
  }

  /** @throws {BusError} NoSuchSeat */
  seat(id: string): Seat {
    return this.#registry.seat(id);
  }

  get idle(): Idle {
    return this.#registry.idle;
  }

  /** How many processes and threads a user may have (UserTasksMax); undefined where nothing limits them. */
  get mostUserTasks(): bigint | undefined {
    return this.#scopes.mostUserTasks;
  }

  /** See `Membership`. */
  sessionOfPid(pid: number): Session | undefined {
    return this.#membership.sessionOfPid(pid);
  }

  /** See `Membership`. */
  userOfPid(pid: number): User | undefined {
    return this.#membership.userOfPid(pid);
  }

  /** See `Membership.ownerOfPid`. */
  ownerOfPid(pid: number): number | undefined {
    return this.#membership.ownerOfPid(pid);
  }

  /** See `Membership`. */
  unitCgroup(unit: string): Cgroup | undefined {
    return this.#membership.unitCgroup(unit);
  }

  /** Whether nobody is logged in to a session any more: it is closing, and its leader is gone. */
  isOver(session: Session): boolean {
    return session.stopping && !this.#supervision.leaderRuns(session);
  }

  // How sessions begin and end

  /** See `SessionCreation.create`. */
  createSession(
    request: CreateRequest,
    leader: Leader,
    byDescriptor: boolean,
    afterReply: AfterReply,
  ): { session: Session; fd: Fd } {
    return this.#creation.create(request, leader, byDescriptor, afterReply);
  }

  /** See `SessionEnd.release`; who asked need not wait for it: logind answers before it writes anything down, too. */
  releaseSession(session: Session, afterReply: AfterReply): void {
    afterReply(() =>
      this.#publisher.after(`the release of session ${session.id}`, () =>
        this.#end.release(session),
      ),
    );
  }

  /** See `SessionEnd.terminate`. */
  terminateSession(session: Session): void {
    this.#end.terminate(session);
  }

  /** Terminates all sessions of a user, who goes with them also if lingering, until the next login or boot. */
  terminateUser(user: User): void {
    user.terminating = true;
    this.#end.terminateAll(user);
    this.#users.removeIfUnused(user);
  }

  /** Terminates all sessions on a seat. */
  terminateSeat(seat: Seat): void {
    this.#end.terminateAll(seat);
  }

  /** See `SessionSignals.kill`. */
  killSession(session: Session, who: string, signal: number): void {
    this.#signals.kill(this.session(session.id), who, signal);
  }

  /** See `SessionSignals.killUser`. */
  killUser(user: User, signal: number): void {
    this.#signals.killUser(user, signal);
  }

  /** See `UserLifecycle.setLinger`. */
  setLinger(account: Account, enable: boolean): void {
    this.#users.setLinger(account, enable);
  }

  // What sessions say of themselves

  /** See `SessionHints`. */
  get hints(): SessionHints {
    return this.#hints;
  }

  /** Writes down and tells what a part of login1 has changed of a session. */
  sessionChanged(session: Session, ...properties: string[]): void {
    this.#hints.changed(session, ...properties);
  }

  /** The same, where it may also change which session is its user's display. */
  displayChanged(session: Session, ...properties: string[]): void {
    this.#hints.displayChanged(session, ...properties);
  }

  // Seats

  /** See `Foreground.activate`. */
  activateSession(session: Session): void {
    this.#foreground.activate(session);
  }

  /** See `Foreground.completeSwitch`. */
  completeSwitch(seat: Seat): void {
    this.#foreground.completeSwitch(seat);
  }

  /** See switching.ts. */
  switchTo(seat: Seat, position: number): void {
    switchTo(this.#foreground, seat, position);
  }

  /** See switching.ts. */
  switchBy(seat: Seat, step: 1 | -1): void {
    switchBy(this.#foreground, seat, step);
  }

  /** Takes note of seats that have come or gone in udev's database. */
  refreshSeats(): void {
    this.#hotplug.refresh();
  }
}
