/** org.freedesktop.login1.Manager: how a login program has a session made. */
import {
  busErrors,
  type CallContext,
  type Members,
  membersOf,
  privileged,
  whenKnown,
} from "../../dbus/index.ts";
import type { Fd } from "../../linux/index.ts";
import type { Login1 } from "../login1.ts";
import { type Leader, leaderOfPid, leaderOfPidfd } from "../sessions/leader.ts";
import type { CreateRequest } from "../sessions/session-request.ts";

const { method } = membersOf<Login1>();

/** What both CreateSession methods answer: `soshusub`. */
type Created = [string, string, string, Fd, number, string, number, boolean];

/** Before anything else of the call is looked at. */
const mayCreate = ({ authorizer }: Login1, call: CallContext) =>
  authorizer.authorize(call, { action: undefined, what: "create sessions" });

function create(
  { manager, afterReply }: Login1,
  request: CreateRequest,
  leader: Leader,
  byDescriptor: boolean,
): Created {
  const { session, fd } = manager.createSession(request, leader, byDescriptor, afterReply);
  return [
    session.id,
    session.objectPath,
    session.user.runtimePath,
    fd,
    session.user.uid,
    session.seat?.id ?? "",
    session.vtnr,
    false,
  ];
}

const CREATE_NAMES = [
  "service",
  "type",
  "class",
  "desktop",
  "seat_id",
  "vtnr",
  "tty",
  "display",
  "remote",
  "remote_user",
  "remote_host",
];
const CREATED_NAMES = [
  "session_id",
  "object_path",
  "runtime_path",
  "fifo_fd",
  "uid",
  "seat_id",
  "vtnr",
  "existing",
];

/** CreateSession in its two forms. */
export const createMembers: Members<Login1> = {
  CreateSession: privileged(
    method(
      "uusssssussbssa(sv)",
      ["uid", "pid", ...CREATE_NAMES, "properties"],
      "soshusub",
      CREATED_NAMES,
      (login1, body, call) =>
        whenKnown(mayCreate(login1, call), () => {
          // The tuple is too long for the compiler to take apart by itself.
          const [uid, pid, ...rest] = body as unknown as [number, number, ...Described, []];
          const properties = rest[11];
          refuseProperties(properties.length);
          return whenKnown(pid === 0 ? call.caller() : { pid }, (leader) =>
            create(login1, toRequest(uid, rest), leaderOfPid(leader.pid), true),
          );
        }),
    ),
  ),
  CreateSessionWithPIDFD: privileged(
    method(
      "uhsssssussbssta(sv)",
      ["uid", "pidfd", ...CREATE_NAMES, "flags", "properties"],
      "soshusub",
      CREATED_NAMES,
      (login1, body, call) =>
        whenKnown(mayCreate(login1, call), () => {
          const [uid, pidfd, ...rest] = body as unknown as [number, Fd, ...Described, bigint, []];
          const [flags, properties] = [rest[11], rest[12]];
          if (flags !== 0n) throw busErrors.invalidArgs("Flags must be zero");
          refuseProperties(properties.length);
          return create(login1, toRequest(uid, rest), leaderOfPidfd(pidfd), false);
        }),
    ),
  ),
};

type Described = [
  string,
  string,
  string,
  string,
  string,
  number,
  string,
  string,
  boolean,
  string,
  string,
];

function toRequest(uid: number, described: [...Described, ...unknown[]]): CreateRequest {
  const [service, type, kind, desktop, seat, vtnr, tty, display, remote, remoteUser, remoteHost] =
    described;
  return {
    uid,
    service,
    type,
    class: kind,
    desktop,
    seat,
    vtnr,
    tty,
    display,
    remote,
    remoteUser,
    remoteHost,
    // The bus has no argument for it.
    extraDeviceAccess: [],
  };
}

/** These are systemd's unit properties (MemoryMax and the like), which no cgroup controller here enforces. */
function refuseProperties(count: number): void {
  if (count > 0) throw busErrors.notSupported("Scope properties are not supported");
}
