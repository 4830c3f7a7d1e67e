/**
 * Who controls a session (TakeControl): one connection to the bus, a compositor
 * or an X server, that may say what the session is and take its devices. It
 * loses control when it lets go or leaves the bus.
 */
import type { Logger } from "../../cli/index.ts";
import { BusError, busErrors, type CallContext, type Caller } from "../../dbus/index.ts";
import { close, type Fd, findPidfd, hasCode, killPidfd, messageOf } from "../../linux/index.ts";
import { SESSION_CLASSES, SESSION_TYPES } from "../../sd-login/index.ts";
import { isReadWrite, terminalName } from "../hardware/terminal.ts";
import { activeVt, ControlledVt, VT_RELEASE_SIGNAL } from "../hardware/vt.ts";
import type { Session } from "../model/objects.ts";
import type { Manager } from "../sessions/manager.ts";
import { SIGCONT, SIGTERM } from "../sessions/signals.ts";
import type { SessionObserver } from "../state/pending-changes.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { checkText } from "../vocabulary/texts.ts";
import type { Devices } from "./session-devices.ts";

/** A number of a VT without a seat is only what somebody says. */
const hasVt = ({ vtnr, seat }: Session): boolean => vtnr > 0 && seat !== undefined;

const NO_REPLY = "org.freedesktop.DBus.Error.NoReply";

/** Who is behind a unique name of the bus; it throws a BusError if nobody is. */
type CallerOf = (name: string) => Caller | Promise<Caller>;

export class Control implements SessionObserver {
  readonly #vts = new Map<Session, ControlledVt>();
  readonly #onRelease = () => this.#leaveVt();
  #listening = false;
  /** Calls of TakeControl that are not decided yet. */
  readonly #requests = new Set<{ sender: string; gone: boolean }>();

  constructor(
    private readonly log: Logger,
    private readonly manager: Manager,
    private readonly devices: Devices,
    private readonly callerOf: CallerOf,
  ) {}

  /**
   * After a restart: gives control back to those who are still on the bus, and
   * takes it from those who have left meanwhile.
   */
  async restore(): Promise<void> {
    await this.devices.fetch();
    for (const session of [...this.manager.sessions.values()]) {
      const { controller } = session;
      if (controller === undefined) continue;
      if (hasVt(session)) this.#resumeVt(session);
      // A bus that was started anew gives its names anew, to others.
      const isThere = await this.#isThere(controller, session.user.uid);
      // It may have left while we asked for it, which `nameLost` has seen to.
      if (session.controller !== controller) continue;
      if (isThere) this.devices.restore(session);
      else this.#drop(session);
      if (this.manager.sessions.get(session.id) === session) this.manager.sessionChanged(session);
    }
    this.devices.endRestore();
  }

  /**
   * After the bus was lost for a while: takes control from those that have left it meanwhile, which
   * nobody told us.
   *
   * @param sameBus whether unique names still mean what they did
   */
  async checkControllers(sameBus: boolean): Promise<void> {
    const controllers = new Set<string>();
    for (const { controller } of this.manager.sessions.values()) {
      if (controller !== undefined) controllers.add(controller);
    }
    for (const { sender } of this.#requests) controllers.add(sender);
    for (const name of controllers) {
      if (!sameBus || !(await this.#isThere(name))) this.nameLost(name);
    }
  }

  /**
   * Whether a controller is on the bus. One that the bus does not tell us of in time is taken to be: a
   * bus that hangs must not cost a compositor its devices, and its end is told of later.
   *
   * @param uid whose it has to be, or root's
   */
  async #isThere(name: string, uid?: number): Promise<boolean> {
    try {
      const caller = await this.callerOf(name);
      return uid === undefined || caller.uid === 0 || caller.uid === uid;
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      return error.errorName === NO_REPLY;
    }
  }

  /** Ends what we listen for. Control stays as it is, for the next run. */
  stop(): void {
    for (const vt of this.#vts.values()) vt.keep();
    // The signal's handler stays: without it, one on its way would kill the process.
    this.#vts.clear();
  }

  /**
   * Gives control of a session to a connection.
   *
   * @param force also if somebody else has it, who then loses it; root's alone
   * @throws {BusError} AccessDenied, EBUSY if somebody has it, NotSupported if its login is over
   */
  async take(session: Session, call: CallContext, force: boolean): Promise<void> {
    const { sender } = call;
    const request = { sender, gone: false };
    this.#requests.add(request);
    try {
      const { uid } = await call.caller();
      // What has left by now would never be seen to leave.
      if (request.gone) throw busErrors.accessDenied(`${sender} has left the bus`);
      if (this.manager.sessions.get(session.id) !== session) {
        throw login1Errors.noSuchSession(session.id);
      }
      this.#give(session, sender, uid, force);
    } finally {
      this.#requests.delete(request);
    }
  }

  #give(session: Session, sender: string, uid: number, force: boolean): void {
    if (uid !== 0 && (force || uid !== session.user.uid)) {
      throw busErrors.accessDenied(
        force
          ? "Only root may force control over a session"
          : "Only owner of session may take control",
      );
    }
    if (session.controller === sender) return;
    // It would keep the VT, and never be in the foreground.
    if (this.manager.isOver(session)) {
      throw busErrors.notSupported(`Nobody is logged in to session ${session.id} any more`);
    }
    if (session.controller !== undefined && !force) {
      throw login1Errors.system("EBUSY", `Session ${session.id} is under control already`);
    }
    if (session.controller === undefined) {
      this.#prepareVt(session);
    } else {
      // The VT stays prepared and the type what it is, as with logind; the devices are to be taken anew.
      this.devices.releaseAll(session);
    }
    session.controller = sender;
    this.manager.sessionChanged(session);
  }

  /**
   * Gives control back.
   *
   * @throws {BusError} NotInControl
   */
  release(session: Session, sender: string): void {
    this.require(session, sender, "You are not in control of this session");
    this.#drop(session);
    this.manager.sessionChanged(session, "Type");
  }

  /** @throws {BusError} NotInControl unless `sender` controls the session */
  require(session: Session, sender: string, message: string): void {
    if (session.controller !== sender) throw login1Errors.notInControl(message);
  }

  /** A connection has left the bus: what it controlled is free. */
  nameLost(name: string): void {
    for (const request of this.#requests) request.gone ||= request.sender === name;
    for (const session of [...this.manager.sessions.values()]) {
      if (session.controller !== name) continue;
      try {
        this.#drop(session);
        this.manager.sessionChanged(session, "Type");
      } catch (error) {
        this.log.error(`session ${session.id} lost its controller: ${messageOf(error)}`);
      }
    }
  }

  // What a controller may say of its session

  /** @throws {BusError} InvalidArgs, NotSupported, NotInControl */
  setType(session: Session, sender: string, name: string): void {
    const type = SESSION_TYPES.find((known) => known === name);
    if (!type) throw busErrors.invalidArgs(`Invalid session type '${name}'`);
    if (!session.canTakeDevices) {
      throw busErrors.notSupported("Session class doesn't support changing type.");
    }
    this.require(session, sender, "You must be in control of this session to set type");
    if (session.type === type) return;
    session.type = type;
    this.manager.displayChanged(session, "Type");
  }

  /**
   * Makes a session that was begun as `user-incomplete` a full one. It is for
   * the session's own user to do, in control or not.
   *
   * @throws {BusError} InvalidArgs, AccessDenied
   */
  setClass(session: Session, uid: number, name: string): void {
    const kind = SESSION_CLASSES.find((known) => known === name);
    if (!kind) throw busErrors.invalidArgs(`Invalid session class '${name}'`);
    if (kind !== "user") throw busErrors.invalidArgs("Class may only be set to 'user', refusing.");
    if (session.class === "user") return;
    if (session.class !== "user-incomplete") {
      throw busErrors.invalidArgs(
        "Only sessions with class 'user-incomplete' may change class, refusing.",
      );
    }
    if (uid !== 0 && uid !== session.user.uid) {
      throw busErrors.accessDenied("Only owner of session may change its class");
    }
    session.class = kind;
    this.manager.displayChanged(session, "Class");
  }

  /** @throws {BusError} NotInControl, NotSupported */
  setDisplay(session: Session, sender: string, display: string): void {
    this.require(session, sender, "You must be in control of this session to set display");
    if (!session.graphical) {
      throw busErrors.notSupported("Setting display is only supported for graphical sessions");
    }
    checkText("display", display);
    if (session.display === display) return;
    session.display = display;
    this.manager.displayChanged(session, "Display");
  }

  /**
   * Takes note of the session's terminal, which is the one that `fd` is open on.
   *
   * @throws {BusError} NotInControl, AccessDenied, ENOTTY
   */
  setTty(session: Session, sender: string, fd: Fd): void {
    this.require(session, sender, "You must be in control of this session to set tty");
    if (!isReadWrite(fd)) {
      throw busErrors.accessDenied("The terminal must be open for reading and writing");
    }
    const tty = terminalName(fd);
    if (tty === undefined) throw login1Errors.system("ENOTTY", "Not a terminal");
    if (session.tty === tty) return;
    session.tty = tty;
    this.manager.sessionChanged(session, "TTY");
  }

  // What becomes of the session's VT

  #prepareVt(session: Session): void {
    if (!hasVt(session)) return;
    this.#listen();
    this.#vts.set(session, ControlledVt.prepare(session.vtnr, session.user.uid));
  }

  #resumeVt(session: Session): void {
    this.#listen();
    try {
      this.#vts.set(session, ControlledVt.resume(session.vtnr));
    } catch (error) {
      this.log.error(`the VT of session ${session.id}: ${messageOf(error)}`);
    }
  }

  #listen(): void {
    if (this.#listening) return;
    this.#listening = true;
    process.on(VT_RELEASE_SIGNAL, this.#onRelease);
  }

  /** The kernel asks to leave the VT in the foreground: its session's devices first, then it may. */
  #leaveVt(): void {
    const number = activeVt();
    // A greeter may have taken the VT of a session over that has a controller too.
    const here = [...this.#vts].filter(([session]) => session.vtnr === number);
    try {
      for (const [session] of here) this.devices.pauseAll(session);
      here.at(-1)?.[1].release();
    } catch (error) {
      // EINVAL: the signal came from elsewhere, and nobody waits for an answer.
      if (!hasCode(error, "EINVAL")) this.log.error(`leaving VT ${number}: ${messageOf(error)}`);
      for (const [session] of here) this.#stay(session);
    }
  }

  /** The VT is not left: what its session gave up for that it has again. */
  #stay(session: Session): void {
    try {
      if (session.active && activeVt() === session.vtnr) this.devices.resumeAll(session);
    } catch (error) {
      this.log.error(`staying on VT ${session.vtnr}: ${messageOf(error)}`);
    }
  }

  #drop(session: Session): void {
    session.controller = undefined;
    session.type = session.originalType;
    this.devices.releaseAll(session);
    // One of the last run's may end before `restore` has come to it.
    if (hasVt(session) && !this.#vts.has(session)) this.#resumeVt(session);
    const vt = this.#vts.get(session);
    this.#vts.delete(session);
    try {
      // What another session has taken over is prepared for that one.
      if ([...this.#vts.keys()].some(({ vtnr }) => vtnr === session.vtnr)) vt?.keep();
      else vt?.restore();
    } catch (error) {
      this.log.error(`VT ${session.vtnr} is not restored: ${messageOf(error)}`);
    }
  }

  /**
   * A compositor that nobody is logged in to any more would keep the VT from the next login, with its
   * keyboard off. It loses control, and is asked to end; nothing else in the session is.
   */
  abandoned(session: Session): void {
    const { controller } = session;
    if (controller === undefined) return;
    this.log.info(`session ${session.id} has nobody logged in: ${controller} loses control of it`);
    // First, so that it is told.
    this.devices.releaseAll(session);
    this.#drop(session);
    this.manager.sessionChanged(session, "Type");
    void this.#askToEnd(session, controller).catch((error) =>
      this.log.error(
        `the controller of session ${session.id} is not asked to end: ${messageOf(error)}`,
      ),
    );
  }

  /** Sends SIGTERM to a controller, if it is a process of that very session: another's is not ours to end. */
  async #askToEnd(session: Session, controller: string): Promise<void> {
    if (!(await this.#isThere(controller))) return;
    const caller = await this.callerOf(controller);
    const pidfd = findPidfd(caller.pid);
    if (pidfd === undefined) return;
    try {
      // Its number was looked at again after the descriptor was there, so both are the same process's.
      if (this.manager.sessionOfPid(caller.pid) !== session) return;
      // Xorg takes SIGHUP for a wish to begin anew. A stopped process ends on no signal but these two.
      for (const signal of [SIGTERM, SIGCONT]) killPidfd(pidfd, signal);
    } catch (error) {
      if (!hasCode(error, "ESRCH")) throw error;
    } finally {
      close(pidfd);
    }
  }

  ended(session: Session): void {
    if (session.controller !== undefined) this.#drop(session);
  }
}
