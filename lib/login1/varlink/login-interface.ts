/**
 * io.systemd.Login, by which pam_systemd registers a login from systemd 258 on.
 * What it does is what CreateSessionWithPIDFD and ReleaseSession do on the bus.
 */

import { BusError } from "../../dbus/index.ts";
import { close } from "../../linux/index.ts";
import { NO_UID, NO_UIDS } from "../../sd-login/index.ts";
import {
  type AfterReply,
  type Interface,
  Parameters,
  type Peer,
  type Reply,
  VarlinkError,
  varlinkErrors,
} from "../../varlink/index.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import { type Leader, leaderOfPid } from "../sessions/leader.ts";
import type { Manager } from "../sessions/manager.ts";
import { CreateError, type CreateRequest } from "../sessions/session-request.ts";
import { listMethods } from "./list-methods.ts";
import {
  fromVarlinkName,
  LOGIN_DESCRIPTION,
  LOGIN_INTERFACE,
  toVarlinkName,
} from "./login-description.ts";
import { namedSession, none, ownSession } from "./names.ts";
import { leaderOf, readProcess } from "./process.ts";

/** Where systemd-logind has it. */
export const LOGIN_SOCKET = "/run/systemd/io.systemd.Login";

const ROOT = 0;
const LAST_INTEGER = Number.MAX_SAFE_INTEGER;

/** The parameters by the names that the rest of login1 has for them. */
const PARAMETERS = {
  uid: "UID",
  leader: "PID",
  service: "Service",
  type: "Type",
  class: "Class",
  desktop: "Desktop",
  seat: "Seat",
  vtnr: "VTNr",
  tty: "TTY",
  display: "Display",
  remote: "Remote",
  remoteUser: "RemoteUser",
  remoteHost: "RemoteHost",
  extraDeviceAccess: "ExtraDeviceAccess",
} as const satisfies Record<keyof CreateRequest | "leader", string>;

const login = (name: string) => new VarlinkError(`${LOGIN_INTERFACE}.${name}`);

/** io.systemd.Login of these sessions and inhibitors. */
export function loginInterface(manager: Manager, inhibitors: Inhibitors): Interface {
  return {
    name: LOGIN_INTERFACE,
    description: LOGIN_DESCRIPTION,
    methods: {
      CreateSession: (given, peer, afterReply) =>
        translated(() => createSession(manager, given, peer, afterReply)),
      ReleaseSession: (given, peer, afterReply) =>
        translated(() => releaseSession(manager, given, peer, afterReply)),
      ...listMethods(manager, inhibitors),
    },
    needMore: ["ListInhibitors"],
  };
}

function createSession(manager: Manager, given: Reply, peer: Peer, afterReply: AfterReply): Reply {
  if (peer.uid !== ROOT) throw varlinkErrors.permissionDenied();
  const parameters = new Parameters(given, Object.values(PARAMETERS));
  const request = readRequest(parameters);
  const leader = readLeader(parameters, peer);
  const { session, fd } = manager.createSession(request, leader, false, afterReply);
  // It stands for nothing: the leader alone decides how long the session is.
  close(fd);
  return {
    Id: session.id,
    RuntimePath: session.user.runtimePath,
    UID: session.user.uid,
    ...(session.seat && { Seat: session.seat.id }),
    ...(session.vtnr > 0 && { VTNr: session.vtnr }),
    Type: toVarlinkName(session.type),
    Class: toVarlinkName(session.class),
  };
}

function readRequest(parameters: Parameters): CreateRequest {
  const text = (name: keyof CreateRequest) => parameters.string(PARAMETERS[name]) ?? "";
  const chosen = (name: "type" | "class") => {
    const value = text(name);
    // "" would be left to be guessed, and varlink's names have no dashes.
    if (value === "" || value.includes("-")) throw parameters.invalid(PARAMETERS[name]);
    return fromVarlinkName(value);
  };
  // Who asks for no seat leaves it out: no seat has that name.
  if (parameters.string("Seat") === "") throw none("Seat");
  const uid = parameters.required("UID", parameters.integer("UID", 0, NO_UID));
  if (NO_UIDS.includes(uid)) throw parameters.invalid("UID");
  const [remoteUser, remoteHost] = [text("remoteUser"), text("remoteHost")];
  return {
    uid,
    service: text("service"),
    type: chosen("type"),
    class: chosen("class"),
    desktop: text("desktop"),
    seat: text("seat"),
    vtnr: parameters.integer("VTNr", 0, LAST_INTEGER) ?? 0,
    tty: text("tty"),
    display: text("display"),
    remote: parameters.boolean("Remote") ?? (remoteUser !== "" || remoteHost !== ""),
    remoteUser,
    remoteHost,
    extraDeviceAccess: parameters.strings(PARAMETERS.extraDeviceAccess) ?? [],
  };
}

/** The process that PID names; if it is left out, the caller. */
function readLeader(parameters: Parameters, peer: Peer): Leader {
  const given = readProcess(parameters);
  if (given) return leaderOf(given, parameters);
  if (peer.pid === undefined) throw login("NoSessionPIDFD");
  return leaderOfPid(peer.pid);
}

function releaseSession(manager: Manager, given: Reply, peer: Peer, afterReply: AfterReply): Reply {
  const parameters = new Parameters(given, ["Id"]);
  const session = namedSession(manager, parameters.string("Id") ?? "auto", parameters, peer);
  const own = ownSession(manager, peer, false);
  if (!own) throw none("Session");
  if (session !== own) throw varlinkErrors.permissionDenied();
  manager.releaseSession(session, afterReply);
  return {};
}

/** Runs a method, whose D-Bus errors leave it as the varlink errors that systemd-logind answers with. */
async function translated(method: () => Reply | Promise<Reply>): Promise<Reply> {
  try {
    return await method();
  } catch (error) {
    throw error instanceof BusError ? toVarlinkError(error) : error;
  }
}

function toVarlinkError(error: BusError): Error {
  if (error instanceof CreateError) {
    const { refusal } = error;
    switch (refusal.why) {
      case "invalid":
        return varlinkErrors.invalidParameter(PARAMETERS[refusal.argument]);
      case "member":
        return login("AlreadySessionMember");
      case "vtTaken":
        return login("VirtualTerminalAlreadyTaken");
      case "tooMany":
        return login("TooManySessions");
      case "noScope":
        return login("UnitAllocationFailed");
    }
  }
  switch (error.errorName) {
    case "org.freedesktop.login1.NoSuchSeat":
      return login("NoSuchSeat");
    case "org.freedesktop.login1.NoSuchSession":
    case "org.freedesktop.login1.NoSessionForPID":
      return login("NoSuchSession");
  }
  return error;
}
