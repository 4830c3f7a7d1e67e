/** Seats that come and go with their devices, switching on them, and giving devices to them. */
import { readdirSync, writeFileSync } from "node:fs";
import { join, normalize } from "node:path";
import { busErrors } from "../../dbus/index.ts";
import { hasCode } from "../../linux/index.ts";
import { deviceAt, isSeatName, seatsOfDevices, udevRecord } from "../hardware/udev.ts";
import { MOST_VTS, switchVt } from "../hardware/vt.ts";
import { announceOutside, removeSeatRules, writeSeatRule } from "../host/privileged.ts";
import type { Seat } from "../model/seat.ts";
import type { Session } from "../model/session.ts";
import type { Manager } from "../sessions/manager.ts";
import { login1Errors } from "../vocabulary/errors.ts";

/** Makes the manager's seats those that udev's database has: seat0 always, others by a master device. */
export class Seats {
  #graphical = new Set<string>();

  constructor(private readonly manager: Manager) {}

  /** Takes note of what there is, without telling anybody. */
  start(): void {
    this.#graphical = seatsOfDevices();
  }

  /** Adds and takes away what has changed in the database since. */
  refresh(): void {
    const { seats } = this.manager;
    const before = this.#graphical;
    const present = seatsOfDevices();
    this.#graphical = present;
    for (const id of present) if (!seats.has(id)) this.manager.addSeat(id);
    for (const seat of [...seats.values()]) {
      if (seat.id !== "seat0" && !present.has(seat.id)) this.manager.removeSeat(seat);
      else if (seat.id === "seat0" && before.has(seat.id) !== present.has(seat.id)) {
        this.manager.graphicalChanged(seat);
      }
    }
  }
}

/** A seat's sessions by their positions: the VT's number, or the place that the seat gave. */
function positions(seat: Seat): Map<number, Session> {
  const found = new Map<number, Session>();
  for (const session of seat.sessions) {
    const position = seat.hasVts ? session.vtnr : session.position;
    // Of two on one VT (a greeter and the login that follows it) the later counts.
    if (position > 0 && !session.stopping) found.set(position, session);
  }
  return found;
}

/**
 * Brings the session at a position to the foreground; with VTs also a VT that
 * has no session yet.
 *
 * @throws {BusError} InvalidArgs if nothing is there
 */
export function switchTo(manager: Manager, seat: Seat, number: number): void {
  if (number === 0) throw busErrors.invalidArgs("Invalid argument: positions are counted from 1");
  const session = positions(seat).get(number);
  if (session) manager.activateSession(session);
  else if (seat.hasVts && number <= MOST_VTS) switchVt(number);
  else throw busErrors.invalidArgs(`Invalid argument: seat ${seat.id} has no position ${number}`);
}

/**
 * Brings the session at the next position (or the previous one, by a step of -1)
 * to the foreground, past the last to the first.
 *
 * @throws {BusError} InvalidArgs if there is no other
 */
export function switchBy(manager: Manager, seat: Seat, step: 1 | -1): void {
  const byPosition = positions(seat);
  const { active } = seat;
  const current = (seat.hasVts ? active?.vtnr : active?.position) || 1;
  const others = [...byPosition.keys()].filter((position) => position !== current);
  others.sort((a, b) => (a - b) * step);
  const next = others.find((position) => (position - current) * step > 0) ?? others[0];
  const session = next === undefined ? undefined : byPosition.get(next);
  if (!session)
    throw busErrors.invalidArgs(`Invalid argument: seat ${seat.id} has no other session`);
  manager.activateSession(session);
}

/**
 * Gives a device to a seat, for good: by a udev rule, which udev then follows.
 *
 * @param path the device's folder in /sys
 * @param seat it need not exist yet: a graphics card brings it into being
 * @throws {BusError} InvalidArgs, or ENODEV for a device that cannot be given away
 */
export function attachDevice(seat: string, path: string): void {
  if (normalize(path) !== path) throw busErrors.invalidArgs(`Path ${path} is not normalized`);
  if (!path.startsWith("/sys/")) throw busErrors.invalidArgs(`Path ${path} is not in /sys`);
  if (!isSeatName(seat)) throw busErrors.invalidArgs(`Seat name ${seat} is not valid`);
  const refuse = (reason: string) => login1Errors.system("ENODEV", reason);
  const device = deviceAt(path);
  if (!device) throw refuse(`Failed to open device '${path}': No such device`);
  const record = udevRecord(device);
  if (!record?.hasSeat) throw refuse(`Device '${path}' lacks 'seat' udev tag.`);
  const { idForSeat } = record;
  if (idForSeat === undefined || !/^[^/"\\\s]+$/.test(idForSeat)) {
    throw refuse(`Device '${path}' lacks 'ID_FOR_SEAT' udev property.`);
  }
  writeSeatRule(seat, idForSeat);
  announce(device.syspath);
}

/** Takes back what `attachDevice` gave, of all devices. */
export function flushDevices(): void {
  removeSeatRules();
  announce("/sys/devices");
}

/**
 * Has the kernel announce a folder's device and all below it anew, which is what
 * udevadm trigger does: udev's rules then run over them.
 */
function announce(syspath: string): void {
  if (!announceOutside(syspath)) triggerBelow(syspath);
}

function triggerBelow(folder: string): void {
  const entries = readFolder(folder);
  if (entries.some((entry) => entry.name === "uevent")) {
    try {
      writeFileSync(join(folder, "uevent"), "change", { flag: "r+" });
    } catch (error) {
      // Some devices take no such request, and some are gone by now; the others are to be told.
      if (!(error instanceof Error && "errno" in error)) throw error;
    }
  }
  for (const entry of entries) if (entry.isDirectory()) triggerBelow(join(folder, entry.name));
}

function readFolder(folder: string) {
  try {
    return readdirSync(folder, { withFileTypes: true });
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENODEV", "EACCES")) return [];
    throw error;
  }
}
