/** The objects on the bus: the manager, and a folder each of sessions, users, seats and units. */

import { BusError, type CallContext, type Interface, type ObjectTree } from "../../dbus/index.ts";
import { NO_UID } from "../../sd-login/index.ts";
import type { Login1 } from "../login1.ts";
import { type Seat, type Session, type User, userLabels } from "../model/objects.ts";
import { findSeat, findSession, findUser } from "../sessions/lookup.ts";
import type { Manager } from "../sessions/manager.ts";
import {
  MANAGER_PATH,
  SEAT_FOLDER,
  SESSION_FOLDER,
  UNIT_FOLDER,
  UNIT_MANAGER_PATH,
  USER_FOLDER,
} from "../vocabulary/paths.ts";
import { desktopInterface } from "./lainos-session.ts";
import { managerInterface } from "./manager.ts";
import { seatInterface } from "./seat.ts";
import { sessionInterface } from "./session.ts";
import { findUnit, unitInterfaces, unitManagerInterface } from "./systemd1.ts";
import { userInterface } from "./user.ts";

/** The interfaces of the objects that come and go. */
export interface ObjectInterfaces {
  readonly session: Interface<Session>;
  readonly user: Interface<User>;
  readonly seat: Interface<Seat>;
}

/** Puts login1 on the bus, where it answers once the connection has a name. */
export function addObjects(tree: ObjectTree, login1: Login1): ObjectInterfaces {
  const { manager } = login1;
  const interfaces = {
    session: sessionInterface(login1),
    user: userInterface(login1),
    seat: seatInterface(login1),
  };
  tree.addObject(MANAGER_PATH, [managerInterface], login1);
  tree.addFolder(SESSION_FOLDER, {
    interfaces: [interfaces.session, desktopInterface(manager)],
    // Without a promise where there need be none: the answer goes out in the same turn.
    find: (name, call) =>
      manager.sessions.get(name) ?? orNothing(() => findSession(manager, name, call)),
    names: () => [...manager.sessions.keys()],
  });
  tree.addFolder(USER_FOLDER, {
    interfaces: [interfaces.user],
    find: (name, call) =>
      manager.users.get(Number(name)) ?? orNothing(() => findUserByName(manager, name, call)),
    names: () => [...manager.users.keys()].map(String),
    labels: userLabels,
  });
  tree.addFolder(SEAT_FOLDER, {
    interfaces: [interfaces.seat],
    find: (name, call) => manager.seats.get(name) ?? orNothing(() => findSeat(manager, name, call)),
    names: () => [...manager.seats.keys()],
  });
  tree.addObject(UNIT_MANAGER_PATH, [unitManagerInterface], manager);
  tree.addFolder(UNIT_FOLDER, {
    interfaces: unitInterfaces,
    find: (name) => findUnit(manager, name),
    names: () => [
      ...[...manager.users.values()].map((known) => known.slice),
      ...[...manager.sessions.values()].flatMap(({ hasScope, scope }) => (hasScope ? [scope] : [])),
    ],
  });
  return interfaces;
}

/** A user's object is named by the uid, or `self` for the caller's own. */
function findUserByName(manager: Manager, name: string, call: CallContext) {
  return findUser(manager, name === "self" ? NO_UID : Number(name), call);
}

/** An object that does not exist is no error while looking for it: the tree says UnknownObject. */
async function orNothing<Found>(find: () => Found | Promise<Found>): Promise<Found | undefined> {
  try {
    return await find();
  } catch (error) {
    if (error instanceof BusError) return undefined;
    throw error;
  }
}
