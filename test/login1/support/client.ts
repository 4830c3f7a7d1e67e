/** A test as a client of login1: what it asks, and what is answered. */

import type { Connection } from "../../../lib/dbus/index.ts";
import type { LoginRequest } from "../../../lib/sd-login/index.ts";

/** The path of login1's manager, below which the other objects are. */
export const MANAGER = "/org/freedesktop/login1";

/** What CreateSession answers, by name. */
export interface Created {
  id: string;
  path: string;
  runtimePath: string;
  fd: number;
  uid: number;
  seat: string;
  vtnr: number;
  existing: boolean;
}

export interface CreateOptions extends LoginRequest {
  leader: number;
}

/** Whether somebody on the bus has a name. */
export async function hasOwner(connection: Connection, name: string): Promise<boolean> {
  const [has] = await connection.call({
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "NameHasOwner",
    signature: "s",
    body: [name],
  });
  return has === true;
}

/** A D-Bus call to an object of login1's: `kind` is Manager, Session, User or Seat. */
export function callObject(
  connection: Connection,
  path: string,
  kind: string,
  member: string,
  signature = "",
  body: unknown[] = [],
): Promise<unknown[]> {
  return connection.call({
    destination: "org.freedesktop.login1",
    path,
    interface: `org.freedesktop.login1.${kind}`,
    member,
    signature,
    body,
  });
}

/** A D-Bus call to login1's manager. */
export function callManager(
  connection: Connection,
  member: string,
  signature = "",
  body: unknown[] = [],
): Promise<unknown[]> {
  return callObject(connection, MANAGER, "Manager", member, signature, body);
}

/** A D-Bus call to a session, by its object's path. */
export function callSession(
  connection: Connection,
  path: string,
  member: string,
  signature = "",
  body: unknown[] = [],
): Promise<unknown[]> {
  return callObject(connection, path, "Session", member, signature, body);
}

/** A D-Bus call to a seat, by its id. */
export function callSeat(
  connection: Connection,
  id: string,
  member: string,
  signature = "",
  body: unknown[] = [],
): Promise<unknown[]> {
  // A byte that no object's path has is written as its number.
  const path = `${MANAGER}/seat/${id.replaceAll("-", "_2d")}`;
  return callObject(connection, path, "Seat", member, signature, body);
}

/** The ids of the sessions that login1 lists. */
export async function sessionIds(connection: Connection): Promise<string[]> {
  const [sessions] = (await callManager(connection, "ListSessions")) as [[string][]];
  return sessions.map(([id]) => id);
}

/** The value of a property of login1's: `kind` is Manager, Session, User or Seat. */
export async function getProperty(
  connection: Connection,
  path: string,
  kind: string,
  name: string,
): Promise<unknown> {
  const [value] = await connection.call({
    destination: "org.freedesktop.login1",
    path,
    interface: "org.freedesktop.DBus.Properties",
    member: "Get",
    signature: "ss",
    body: [`org.freedesktop.login1.${kind}`, name],
  });
  return (value as { value: unknown }).value;
}

const NOTHING = {
  service: "test",
  type: "wayland",
  class: "user",
  desktop: "",
  seat: "",
  vtnr: 0,
  tty: "",
  display: "",
  remote: false,
  remoteUser: "",
  remoteHost: "",
};

const middle = (all: CreateOptions) => [
  all.service,
  all.type,
  all.class,
  all.desktop,
  all.seat,
  all.vtnr,
  all.tty,
  all.display,
  all.remote,
  all.remoteUser,
  all.remoteHost,
];

function toCreated(body: unknown[]): Created {
  const [id, path, runtimePath, fd, uid, seat, vtnr, existing] = body as [
    string,
    string,
    string,
    number,
    number,
    string,
    number,
    boolean,
  ];
  return { id, path, runtimePath, fd, uid, seat, vtnr, existing };
}

/** CreateSession as pam_systemd of systemd 252 calls it. The returned descriptor is the caller's. */
export async function createSession(
  connection: Connection,
  options: Partial<CreateOptions> & Pick<CreateOptions, "uid" | "leader">,
): Promise<Created> {
  const all = { ...NOTHING, ...options };
  const body = [all.uid, all.leader, ...middle(all), []];
  return toCreated(await callManager(connection, "CreateSession", "uusssssussbssa(sv)", body));
}

/** CreateSessionWithPIDFD as of systemd 257; the pidfd belongs to the connection from here on. */
export async function createSessionByPidfd(
  connection: Connection,
  pidfd: number,
  options: Partial<CreateOptions> & Pick<CreateOptions, "uid">,
): Promise<Created> {
  const all = { ...NOTHING, leader: 0, ...options };
  const body = [all.uid, pidfd, ...middle(all), 0n, []];
  return toCreated(
    await callManager(connection, "CreateSessionWithPIDFD", "uhsssssussbssta(sv)", body),
  );
}
