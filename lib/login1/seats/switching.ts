/** Switching on a seat by position: the numbers of VTs, or of its sessions where there are none. */
import { busErrors } from "../../dbus/index.ts";
import { MOST_VTS, switchVt } from "../hardware/vt.ts";
import type { Seat, Session } from "../model/objects.ts";
import type { Foreground } from "./foreground.ts";

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
 * Whether there can be a position of that number: logind says so before it asks who may.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkPosition(number: number): void {
  if (number === 0) throw busErrors.invalidArgs("Invalid argument: positions are counted from 1");
}

/**
 * Brings the session at a position to the foreground; with VTs also a VT that
 * has no session yet.
 *
 * @throws {BusError} InvalidArgs if nothing is there
 */
export function switchTo(foreground: Foreground, seat: Seat, number: number): void {
  checkPosition(number);
  const session = positions(seat).get(number);
  if (session) foreground.activate(session);
  else if (seat.hasVts && number <= MOST_VTS) switchVt(number);
  else throw busErrors.invalidArgs(`Invalid argument: seat ${seat.id} has no position ${number}`);
}

/**
 * Brings the session at the next position (or the previous one, by a step of -1)
 * to the foreground, past the last to the first.
 *
 * @throws {BusError} InvalidArgs if there is no other
 */
export function switchBy(foreground: Foreground, seat: Seat, step: 1 | -1): void {
  const byPosition = positions(seat);
  const { active } = seat;
  const current = (seat.hasVts ? active?.vtnr : active?.position) || 1;
  const others = [...byPosition.keys()].filter((position) => position !== current);
  others.sort((a, b) => (a - b) * step);
  const next = others.find((position) => (position - current) * step > 0) ?? others[0];
  const session = next === undefined ? undefined : byPosition.get(next);
  if (!session)
    throw busErrors.invalidArgs(`Invalid argument: seat ${seat.id} has no other session`);
  foreground.activate(session);
}
