/**
 * The devices that sessions' controllers have taken (TakeDevice), and what the
 * seat's foreground makes of them: theirs while the session is in it, paused
 * while it is not. See org.freedesktop.login1(5).
 */
import { readdirSync, statSync } from "node:fs";
import type { Logger } from "../cli/index.ts";
import { busErrors } from "../dbus/index.ts";
import {
  close,
  descriptorOf,
  duplicate,
  type Fd,
  hasCode,
  majorMinor,
  messageOf,
  SystemError,
} from "../linux/index.ts";
import type { SessionFollower } from "./changes.ts";
import type { TakeableDevice } from "./device-kinds.ts";
import { login1Errors } from "./errors.ts";
import type { Seat } from "./seat.ts";
import type { Session } from "./session.ts";

/** How long a controller has to pause its devices before the seat is switched all the same, in milliseconds. */
const PAUSE_LIMIT = 5000;
/** The kernel's own: 12 bits of major and 20 of minor. */
const MOST_MAJOR = 0xfff;
const MOST_MINOR = 0xfffff;

/** What `PauseDevice` says: asked for, done already, or the device is no more. */
export type Pause = "pause" | "force" | "gone";

/** Tells a session's controller, and nobody else. */
export interface DeviceEvents {
  paused(session: Session, major: number, minor: number, how: Pause): void;
  /** The descriptor belongs to the receiver. */
  resumed(session: Session, major: number, minor: number, fd: Fd): void;
}

/** What the devices need of the rest of login1. */
export interface DeviceHost {
  completeSwitch(seat: Seat): void;
  sessionChanged(session: Session): void;
}

/** Looks a device up by its number. */
export interface DeviceLookup {
  /** @returns undefined if there is none, or none that can be taken */
  find(number: string): TakeableDevice | undefined;
  /** The seat that a device is on; undefined if udev has given it to none. */
  seatOf(device: TakeableDevice): string | undefined;
}

interface TakenDevice extends TakeableDevice {
  fd: Fd;
  active: boolean;
}

export class Devices implements SessionFollower {
  readonly #taken = new Map<Session, Map<string, TakenDevice>>();
  readonly #limits = new Map<Seat, ReturnType<typeof setTimeout>>();

  constructor(
    private readonly log: Logger,
    private readonly host: DeviceHost,
    private readonly lookup: DeviceLookup,
    private readonly events: DeviceEvents,
    private readonly pauseLimit = PAUSE_LIMIT,
  ) {}

  /**
   * Opens a device for a session's controller.
   *
   * @returns a descriptor that is the caller's, and whether it is paused for now
   * @throws {BusError} DeviceIsTaken; ENODEV for what is no DRM card, event or
   *   hidraw node; AccessDenied for another seat's
   */
  take(session: Session, major: number, minor: number): { fd: Fd; inactive: boolean } {
    const number = deviceNumber(major, minor);
    if (this.#of(session).has(number)) {
      throw login1Errors.deviceIsTaken("Device already taken");
    }
    const device = this.#verify(session, number);
    let { active } = session;
    let fd: Fd;
    try {
      try {
        fd = device.kind.open(device.node, active);
      } catch (error) {
        // EINVAL can mean that somebody else is the card's master: the session gets it paused.
        if (!active || !hasCode(error, "EINVAL")) throw error;
        active = false;
        fd = device.kind.open(device.node, active);
      }
    } catch (error) {
      if (error instanceof SystemError) throw login1Errors.system(error.code, error.message);
      throw error;
    }
    this.#add(session, number, { ...device, fd, active });
    session.devices.add(number);
    this.host.sessionChanged(session);
    return { fd: duplicate(fd), inactive: !active };
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
    if (!device.active) return;
    this.#deactivate(device);
    if ([...this.#of(session).values()].some(({ active }) => active)) return;
    if (session.seat) this.#completeSwitch(session.seat);
  }

  /**
   * After a restart: finds the open files of a session's devices again, where
   * they were given: in its controller's process. What that has closed is no
   * longer taken.
   */
  restore(session: Session, controllerPid: number): void {
    for (const number of [...session.devices]) {
      const device = this.lookup.find(number);
      const fd = device && findOpen(controllerPid, number);
      if (!device || fd === undefined) {
        this.log.warning(`session ${session.id}: the device ${number} is not found again`);
        session.devices.delete(number);
        continue;
      }
      this.#add(session, number, { ...device, fd, active: session.wasActive });
    }
    // The foreground may have changed meanwhile.
    if (session.active) this.#resumeAll(session);
    else this.pauseAll(session);
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

  /** Ends what waits. The devices stay open where they were given. */
  stop(): void {
    for (const timer of this.#limits.values()) clearTimeout(timer);
    this.#limits.clear();
  }

  // What the seat's foreground does

  leaving(session: Session): boolean {
    const active = [...this.#of(session)].filter(([, device]) => device.active);
    for (const [number] of active) this.events.paused(session, ...parts(number), "pause");
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

  #completeSwitch(seat: Seat): void {
    clearTimeout(this.#limits.get(seat));
    this.#limits.delete(seat);
    this.host.completeSwitch(seat);
  }

  foreground(before: Session | undefined, after: Session | undefined): void {
    if (before) this.pauseAll(before);
    if (after?.active) this.#resumeAll(after);
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

  #resumeAll(session: Session): void {
    for (const [number, device] of this.#of(session)) {
      if (device.active) continue;
      try {
        device.fd = device.kind.activate(device.fd, device.node);
      } catch (error) {
        // Somebody else is the master of the card still, or it is gone: it stays paused.
        this.log.warning(`${device.node} stays paused: ${messageOf(error)}`);
        continue;
      }
      device.active = true;
      this.events.resumed(session, ...parts(number), duplicate(device.fd));
    }
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
    this.events.paused(session, ...parts(number), "gone");
    close(device.fd);
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
    if (!device) throw login1Errors.deviceNotTaken("Device not taken");
    return device;
  }
}

/** @throws {BusError} InvalidArgs for what the kernel has no such numbers for */
export function checkDeviceNumber(major: number, minor: number): void {
  if (major > MOST_MAJOR || minor > MOST_MINOR) {
    throw busErrors.invalidArgs("Device major/minor is not valid.");
  }
}

function deviceNumber(major: number, minor: number): string {
  checkDeviceNumber(major, minor);
  return `${major}:${minor}`;
}

function parts(number: string): [number, number] {
  const [major = 0, minor = 0] = number.split(":").map(Number);
  return [major, minor];
}

/** A duplicate of the descriptor by which a process has a character device open. */
function findOpen(pid: number, number: string): Fd | undefined {
  const folder = `/proc/${pid}/fd`;
  try {
    for (const name of readdirSync(folder)) {
      const path = `${folder}/${name}`;
      const status = statSync(path, { throwIfNoEntry: false });
      if (!status?.isCharacterDevice()) continue;
      if (majorMinor(status.rdev) === number) return descriptorOf(pid, Number(name));
    }
  } catch (error) {
    if (!hasCode(error, "ENOENT", "ESRCH", "EBADF")) throw error;
  }
  return undefined;
}
