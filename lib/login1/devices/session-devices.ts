/**
 * The devices that sessions' controllers have taken (TakeDevice), and what the
 * seat's foreground makes of them: theirs while the session is in it, paused
 * while it is not. See org.freedesktop.login1(5).
 */
import type { Logger } from "../../cli/index.ts";
import { busErrors } from "../../dbus/index.ts";
import { close, closeAside, duplicate, type Fd, hasCode, messageOf } from "../../linux/index.ts";
import type { Seat, Session } from "../model/objects.ts";
import type { SessionObserver } from "../state/pending-changes.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { openFirst, type TakeableDevice } from "./device-kinds.ts";
import { deviceNumber, numberIn, parts, storeName } from "./device-number.ts";
import type {
  DescriptorStore,
  DeviceEvents,
  DeviceHost,
  DeviceLookup,
  TakenDevice,
} from "./parts.ts";

/** How long a controller has to pause its devices before the seat is switched all the same, in milliseconds. */
const PAUSE_LIMIT = 5000;

/** How soon a device is resumed that could not be for want of a descriptor, in milliseconds. */
const RESUME_DELAY = 1000;

export class Devices implements SessionObserver {
  readonly #taken = new Map<Session, Map<string, TakenDevice>>();
  readonly #limits = new Map<Seat, ReturnType<typeof setTimeout>>();
  /** Sessions that are to be resumed again, as they lack something. */
  readonly #resumes = new Map<Session, ReturnType<typeof setTimeout>>();
  /** What the last run left and no session has claimed yet. */
  readonly #left = new Map<string, Fd>();

  constructor(
    private readonly log: Logger,
    private readonly host: DeviceHost,
    private readonly lookup: DeviceLookup,
    private readonly events: DeviceEvents,
    private readonly store: DescriptorStore,
    private readonly pauseLimit = PAUSE_LIMIT,
  ) {}

  /**
   * Opens a device for a session's controller, and resolves when the next run would have it too.
   *
   * @returns a descriptor that is the caller's, and whether it is paused for now
   * @throws {BusError} DeviceIsTaken; ENODEV for what is no DRM card, event or
   *   hidraw node; AccessDenied for another seat's; DeviceNotTaken if it was released meanwhile
   */
  async take(
    session: Session,
    major: number,
    minor: number,
  ): Promise<{ fd: Fd; inactive: boolean }> {
    const number = deviceNumber(major, minor);
    if (this.#of(session).has(number)) {
      throw login1Errors.deviceIsTaken("Device already taken");
    }
    const device = this.#verify(session, number);
    const taken = { ...device, ...openFirst(device, session.active) };
    const { fd } = taken;
    this.#add(session, number, taken);
    session.devices.add(number);
    try {
      this.host.sessionChanged(session);
      await this.store.keep(storeName(session, number), fd);
      // Meanwhile it may have been released, paused or opened anew.
      if (this.#of(session).get(number) !== taken) throw notTaken();
      return { fd: duplicate(taken.fd), inactive: !taken.active };
    } catch (error) {
      // Who gets no descriptor has not taken it, and may try again.
      if (this.#of(session).get(number) === taken) this.#free(session, number);
      throw error;
    }
  }

  #verify(session: Session, number: string): TakeableDevice {
    if (!session.seat) throw busErrors.accessDenied(`Session ${session.id} is not on a seat`);
    const device = this.lookup.find(number);
    const seat = device && this.lookup.seatOf(device);
    if (!device || seat === undefined) {
      throw login1Errors.system("ENODEV", `No such device: ${number} is none that can be taken`);
    }
    if (seat !== session.seat.id) {
      throw busErrors.accessDenied(
        `The device ${number} is on ${seat}, and the session on ${session.seat.id}`,
      );
    }
    return device;
  }

  /**
   * Takes a device back from the controller, who has no more use for it.
   *
   * @throws {BusError} DeviceNotTaken
   */
  release(session: Session, major: number, minor: number): void {
    const number = deviceNumber(major, minor);
    this.#find(session, number);
    this.#free(session, number);
    this.host.sessionChanged(session);
  }

  /** Takes all devices of a session back; its controller is gone or has let go. */
  releaseAll(session: Session): void {
    for (const number of [...this.#of(session).keys()]) this.#free(session, number);
    this.#taken.delete(session);
    session.devices.clear();
  }

  /**
   * The controller has paused a device, as it was asked to.
   *
   * @throws {BusError} DeviceNotTaken
   */
  pauseComplete(session: Session, major: number, minor: number): void {
    const device = this.#find(session, deviceNumber(major, minor));
    const { asked } = device;
    device.asked = undefined;
    if (!device.active) return;
    this.#deactivate(device);
    if (asked === "in vain" && session.active) {
      // The answer was on its way already. Who pauses unasked waits for a switch.
      this.resumeAll(session);
      return;
    }
    this.#settleSwitch(session);
  }

  /** After a restart, before the first `restore`: gets back what the last run left. */
  async fetch(): Promise<void> {
    for (const [name, fd] of await this.store.fetch()) {
      // The keeper is not believed: what is not the device could make each call on it wait.
      if (this.lookup.isOpenOn(fd, numberIn(name))) {
        this.#left.set(name, fd);
        continue;
      }
      this.log.warning(`${name}: what was kept under this name is not the device: it is not used`);
      this.store.drop(name);
      closeAside("the descriptor store", [fd]);
    }
  }

  /**
   * After a restart: takes up a session's devices, with the same open files. Where one is lost, the
   * device is opened anew, and its controller told.
   */
  restore(session: Session): void {
    for (const number of [...session.devices]) {
      const device = this.lookup.find(number);
      const fd = this.#left.get(storeName(session, number));
      if (!device || this.lookup.seatOf(device) !== session.seat?.id) {
        this.log.warning(`session ${session.id}: the device ${number} is gone, or on another seat`);
        this.#forget(session, number);
      } else if (fd !== undefined) {
        this.#left.delete(storeName(session, number));
        this.#add(session, number, { ...device, fd, active: session.wasActive });
      } else {
        this.log.warning(
          `session ${session.id}: what it has open of ${device.node} is lost: it is opened anew`,
        );
        this.#openAnew(session, number, device);
      }
    }
    // The foreground may have changed meanwhile.
    if (session.active) this.resumeAll(session);
    else this.pauseAll(session);
  }

  /** After a restart, after the last `restore`: takes away what belongs to nobody any more. */
  endRestore(): void {
    for (const [name, fd] of this.#left) {
      const number = numberIn(name);
      const device = this.lookup.find(number);
      try {
        device?.kind.deactivate(fd);
      } catch (error) {
        // It was in the background, as far as the kernel knows.
        this.log.debug(`${name}: ${messageOf(error)}`);
      }
      this.store.drop(name);
      close(fd);
    }
    this.#left.clear();
    this.refresh();
  }

  /** For a device whose open file is lost to us, and with that every means to take it away. */
  #openAnew(session: Session, number: string, device: TakeableDevice): void {
    try {
      const { withoutFile } = device.kind;
      if (withoutFile) {
        // Not kept: the next run has no more of it than this one.
        const fd = withoutFile.open(device.node, false);
        this.#add(session, number, { ...device, kind: withoutFile, fd, active: session.wasActive });
        return;
      }
      const { active } = session;
      const fd = device.kind.open(device.node, active);
      this.#add(session, number, { ...device, fd, active });
      void this.store.keep(storeName(session, number), fd);
      if (session.wasActive) this.events.paused(session, ...parts(number), "force");
      if (active) this.events.resumed(session, ...parts(number), duplicate(fd));
    } catch (error) {
      this.log.warning(`${device.node} is not opened anew: ${messageOf(error)}`);
      this.#forget(session, number);
    }
  }

  /** Forgets what is gone or now on another seat, and says so to who had it. */
  refresh(): void {
    for (const [session, devices] of this.#taken) {
      for (const [number, device] of [...devices]) {
        if (this.lookup.seatOf(device) === session.seat?.id && this.lookup.find(number)) continue;
        this.#free(session, number);
        this.host.sessionChanged(session);
      }
    }
  }

  /** Ends what waits. The devices stay open where they were given, and kept. */
  stop(): void {
    this.store.stop();
    for (const timer of this.#limits.values()) clearTimeout(timer);
    this.#limits.clear();
    for (const timer of this.#resumes.values()) clearTimeout(timer);
    this.#resumes.clear();
  }

  // What the seat's foreground does

  leaving(session: Session): boolean {
    const active = [...this.#of(session)].filter(([, device]) => device.active);
    for (const [number, device] of active) {
      device.asked = "for a switch";
      this.events.paused(session, ...parts(number), "pause");
    }
    const { seat } = session;
    if (active.length === 0 || !seat) return true;
    // A controller that hangs must not keep the seat to itself.
    clearTimeout(this.#limits.get(seat));
    this.#limits.set(
      seat,
      setTimeout(() => this.#onLimit(seat, session), this.pauseLimit),
    );
    return false;
  }

  #onLimit(seat: Seat, session: Session): void {
    this.log.warning(
      `session ${session.id} did not pause its devices in time: it is switched away from`,
    );
    try {
      this.#completeSwitch(seat);
    } catch (error) {
      this.log.error(`the switch on ${seat.id}: ${messageOf(error)}`);
    }
  }

  /** Makes the switch that waited for a session's devices, if none of them is left to wait for. */
  #settleSwitch(session: Session): void {
    const { seat, active } = session;
    if (!seat || !active || !this.#limits.has(seat)) return;
    if (![...this.#of(session).values()].some((device) => device.active))
      this.#completeSwitch(seat);
  }

  #endLimit(seat: Seat): void {
    clearTimeout(this.#limits.get(seat));
    this.#limits.delete(seat);
  }

  #completeSwitch(seat: Seat): void {
    this.#endLimit(seat);
    this.host.completeSwitch(seat);
  }

  left(session: Session): void {
    this.pauseAll(session);
  }

  entered(session: Session): void {
    for (const device of this.#of(session).values()) device.asked &&= "in vain";
    // A switch that was called off is not waited for.
    if (session.seat) this.#endLimit(session.seat);
    this.resumeAll(session);
  }

  ended(session: Session): void {
    this.releaseAll(session);
  }

  /** Pauses all devices of a session at once, and tells its controller that it is done. */
  pauseAll(session: Session): void {
    for (const [number, device] of this.#of(session)) {
      if (!device.active) continue;
      this.#deactivate(device);
      this.events.paused(session, ...parts(number), "force");
    }
  }

  /** Gives a session in the foreground all its devices again, and tells its controller. */
  resumeAll(session: Session): void {
    let again = false;
    for (const [number, device] of this.#of(session)) {
      if (device.active) continue;
      try {
        this.#resume(session, number, device);
      } catch (error) {
        // Somebody else is the master of the card still, or it is gone: it stays paused.
        this.log.warning(`${device.node} stays paused: ${messageOf(error)}`);
        again ||= hasCode(error, "EMFILE", "ENFILE");
      }
    }
    if (again) this.#resumeLater(session);
  }

  #resume(session: Session, number: string, device: TakenDevice): void {
    const before = device.fd;
    device.fd = device.kind.activate(before, device.node);
    device.active = true;
    if (device.fd !== before) void this.store.keep(storeName(session, number), device.fd);
    let fd: Fd;
    try {
      fd = duplicate(device.fd);
    } catch (error) {
      this.#deactivate(device);
      throw error;
    }
    this.events.resumed(session, ...parts(number), fd);
  }

  /** Nobody else would: without a descriptor the session has a screen and no keyboard. */
  #resumeLater(session: Session): void {
    if (this.#resumes.has(session)) return;
    const timer = setTimeout(() => {
      this.#resumes.delete(session);
      if (session.active && this.#taken.has(session)) this.resumeAll(session);
    }, RESUME_DELAY);
    this.#resumes.set(session, timer);
  }

  #deactivate(device: TakenDevice): void {
    device.active = false;
    try {
      device.kind.deactivate(device.fd);
    } catch (error) {
      // An unplugged device cannot be revoked any more, and needs not be.
      if (hasCode(error, "ENODEV")) return;
      this.log.error(`${device.node} is not taken away: ${messageOf(error)}`);
    }
  }

  #free(session: Session, number: string): void {
    const device = this.#find(session, number);
    if (device.active) this.#deactivate(device);
    this.#forget(session, number);
    close(device.fd);
    this.#settleSwitch(session);
  }

  /** The session has it no more, and its controller is told so. */
  #forget(session: Session, number: string): void {
    this.events.paused(session, ...parts(number), "gone");
    this.store.drop(storeName(session, number));
    this.#of(session).delete(number);
    session.devices.delete(number);
  }

  #of(session: Session): Map<string, TakenDevice> {
    return this.#taken.get(session) ?? new Map();
  }

  #add(session: Session, number: string, device: TakenDevice): void {
    const devices = this.#of(session).set(number, device);
    this.#taken.set(session, devices);
  }

  #find(session: Session, number: string): TakenDevice {
    const device = this.#taken.get(session)?.get(number);
    if (!device) throw notTaken();
    return device;
  }
}

const notTaken = () => login1Errors.deviceNotTaken("Device not taken");
