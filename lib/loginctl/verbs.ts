/** loginctl's verbs; see loginctl(1). */

import { NEVER, say } from "../cli/index.ts";
import { BusError } from "../dbus/index.ts";
import { now, userById, userByName } from "../linux/index.ts";
import { NO_UID } from "../sd-login/index.ts";
import { type Login1Client, type Properties, ROOT } from "./client.ts";
import { CommandError, reasonOf, saying } from "./errors.ts";
import type { Options } from "./options.ts";
import { POWER_VERBS } from "./power-verbs.ts";
import { propertyLines } from "./properties.ts";
import { seatStatus, sessionStatus, userStatus } from "./status.ts";
import { type Cell, cell, cellOrUnset, UNSET, yesNo } from "./table.ts";
import { printList } from "./table-output.ts";
import { formatRelative } from "./time.ts";
import { MANY, type Run, type Verb, type VerbContext, verb, withAgent } from "./verb.ts";

const listOptions = ({ options: { legend, json, full } }: VerbContext) => {
  return { legend, json, full, headerWhenEmpty: true };
};

const byText = (a: string, b: string) => (a < b ? -1 : a > b ? 1 : 0);

/** As ListSessionsEx gives a session. */
type ListedSession = [
  id: string,
  uid: number,
  user: string,
  seat: string,
  leader: number,
  kind: string,
  tty: string,
  idle: boolean,
  since: bigint,
];

const hasName = (error: unknown, name: string) =>
  error instanceof BusError && error.errorName === `org.freedesktop.DBus.Error.${name}`;

/** The properties of one entry of a list; undefined, with a warning if need be, without them. */
async function listedProperties(
  client: Login1Client,
  what: string,
  path: string,
): Promise<Properties | undefined> {
  try {
    return await client.properties(path);
  } catch (error) {
    // It may have ended since the list was made.
    if (!hasName(error, "UnknownObject")) {
      say("warning", `Failed to get properties of ${what}, ignoring: ${reasonOf(error)}`);
    }
    return undefined;
  }
}

/** The sessions' rows; a login1 without ListSessionsEx (older systemd, elogind) gives each one's properties. */
async function sessionRows(client: Login1Client): Promise<Cell[][]> {
  try {
    const [all] = await client.manager("ListSessionsEx");
    return (all as ListedSession[]).map((session) => sessionRow(session, cell));
  } catch (error) {
    // The bus does not let a user ask an older login1 for what its own policy has no word of.
    if (!hasName(error, "UnknownMethod") && !hasName(error, "AccessDenied")) throw error;
  }
  const [all] = await client.manager("ListSessions");
  const rows: Cell[][] = [];
  for (const [id, uid, user, seat, path] of all as [string, number, string, string, string][]) {
    const found = await listedProperties(client, `session ${id}`, path);
    if (!found) continue;
    const value = <Value>(name: string, unset: Value) => (found[name]?.value ?? unset) as Value;
    const [leader, kind, tty] = [value("Leader", 0), value("Class", ""), value("TTY", "")];
    const idle = [value("IdleHint", false), value("IdleSinceHintMonotonic", 0n)] as const;
    rows.push(sessionRow([id, uid, user, seat, leader, kind, tty, ...idle], cellOrUnset));
  }
  return rows;
}

/** @param kindCell makes the cell of the class, which ListSessionsEx may leave empty */
function sessionRow(
  [id, uid, user, seat, leader, kind, tty, idle, since]: ListedSession,
  kindCell: (kind: string) => Cell,
): Cell[] {
  const isKnown = idle && since > 0n && since !== NEVER;
  return [
    ...[cell(id), cell(uid), cell(user), cellOrUnset(seat), cellOrUnset(leader), kindCell(kind)],
    ...[cellOrUnset(tty), yesNo(idle)],
    isKnown ? { text: formatRelative(since, now().monotonic), json: Number(since) } : UNSET,
  ];
}

async function listSessions(context: VerbContext): Promise<void> {
  const { client, output } = context;
  const rows = await saying("Failed to list sessions", sessionRows(client));
  rows.sort(([a], [b]) => byText(a?.text ?? "", b?.text ?? ""));
  const columns = ["session", "uid", "user", "seat", "leader", "class", "tty", "idle", "since"];
  printList(output, { columns, numeric: 2, rows }, "sessions", listOptions(context));
}

async function listUsers(context: VerbContext): Promise<void> {
  const { client, output } = context;
  const [all] = await saying("Failed to list users", client.manager("ListUsers"));
  const users: { uid: number; row: Cell[] }[] = [];
  for (const [uid, name, path] of all as [number, string, string][]) {
    const found = await listedProperties(client, `user ${name}`, path);
    if (!found) continue;
    const state = cellOrUnset(String(found.State?.value ?? ""));
    const row = [cell(uid), cell(name), yesNo(found.Linger?.value === true), state];
    users.push({ uid, row });
  }
  const rows = users.sort((a, b) => a.uid - b.uid).map(({ row }) => row);
  const columns = ["uid", "user", "linger", "state"];
  printList(output, { columns, numeric: 1, rows }, "users", listOptions(context));
}

async function listSeats(context: VerbContext): Promise<void> {
  const { client, output } = context;
  const [all] = await saying("Failed to list seats", client.manager("ListSeats"));
  const names = (all as [string, string][]).map(([name]) => name).sort(byText);
  const table = { columns: ["seat"], numeric: 0, rows: names.map((name) => [cell(name)]) };
  printList(output, table, "seats", listOptions(context));
}

/**
 * The uid of a user that is named by name or number, who must be one that the system knows.
 *
 * @throws {CommandError} with the texts for ESRCH and EINVAL, which are what systemd's command says
 */
function uidOf(user: string): number {
  if (user === "") throw new CommandError("Failed to look up user : Invalid argument");
  // A number with zeros in front is a name, and nobody's.
  const found = /^(0|[1-9]\d{0,9})$/.test(user) ? userById(Number(user)) : userByName(user);
  if (!found) throw new CommandError(`Failed to look up user ${user}: No such process`);
  return found.uid;
}

/** The same, and the caller's own uid for an empty word. */
const uidOrOwn = (user: string) => (user === "" ? (process.getuid?.() ?? 0) : uidOf(user));

interface Shown {
  /** Finds the object of an argument. */
  path(client: Login1Client, argument: string): Promise<string>;
  /** The object whose status is meant without an argument. */
  own(client: Login1Client): Promise<string>;
  status: typeof sessionStatus;
}

const pathFrom =
  (kind: string, member: string) =>
  async (client: Login1Client, id: string): Promise<string> => {
    const found = client.manager(member, "s", [id]);
    const [path] = await saying(`Failed to get path for ${kind} '${id}'`, found);
    return String(path);
  };

const sessionPath = pathFrom("session", "GetSession");
const seatPath = pathFrom("seat", "GetSeat");

const SESSION: Shown = {
  path: sessionPath,
  own: (client) => sessionPath(client, "auto"),
  status: sessionStatus,
};
const USER: Shown = {
  path: async (client, user) => {
    const found = client.manager("GetUser", "u", [uidOf(user)]);
    return String((await saying("Failed to get user", found))[0]);
  },
  own: async () => `${ROOT}/user/self`,
  status: userStatus,
};
const SEAT: Shown = {
  path: seatPath,
  own: (client) => seatPath(client, "auto"),
  status: seatStatus,
};

/** Shows each object, an empty line between two. */
async function showEach(
  { client, output }: VerbContext,
  { path }: Shown,
  args: readonly string[],
  show: (path: string) => Promise<void>,
): Promise<void> {
  for (const [at, argument] of args.entries()) {
    const found = await path(client, argument);
    if (at > 0) output.line();
    await show(found);
  }
}

const statusVerb =
  (shown: Shown): Run =>
  async (context, args) => {
    const status = (path: string) => shown.status({ ...context, full: context.options.full }, path);
    if (args.length === 0) return status(await shown.own(context.client));
    await showEach(context, shown, args, status);
  };

const showVerb =
  (shown: Shown): Run =>
  async (context, args) => {
    const { client, output, options } = context;
    const show = async (path: string) => {
      const properties = await saying("Could not get properties", client.properties(path));
      const { properties: names, all: empty, valueOnly } = options;
      for (const line of propertyLines(properties, { names, empty, valueOnly })) output.line(line);
    };
    // Without an argument it is the manager that is shown.
    if (args.length === 0) return show(ROOT);
    await showEach(context, shown, args, show);
  };

/** A verb that calls one method of the manager for each argument. */
const callEach =
  (
    what: string,
    member: string,
    signature: string,
    body: (argument: string, options: Options) => unknown[],
  ): Run =>
  (context, args) =>
    withAgent(context, async () => {
      for (const argument of args) {
        const words = body(argument, context.options);
        await saying(what, context.client.manager(member, signature, words));
      }
    });

/** A verb on sessions that means the caller's own without an argument. */
const sessionVerb =
  (member: string): Run =>
  (context, args) =>
    withAgent(context, async () => {
      const { client } = context;
      const calls =
        args.length === 0
          ? [() => client.on(`${ROOT}/session/auto`, "org.freedesktop.login1.Session", member)]
          : args.map((id) => () => client.manager(`${member}Session`, "s", [id]));
      for (const call of calls) await saying("Failed to issue method call", call());
    });

/** A verb that calls one method without arguments. */
const callOnce =
  (what: string, member: string, signature = "", body: unknown[] = []): Run =>
  (context) =>
    withAgent(context, async () => {
      await saying(what, context.client.manager(member, signature, body));
    });

/** The caller's own uid, as SetUserLinger takes it. */
const MYSELF = NO_UID;

const linger =
  (on: boolean): Run =>
  (context, args) =>
    withAgent(context, async () => {
      const uids = (args.length === 0 ? [""] : args).map((user) =>
        user === "" ? MYSELF : uidOf(user),
      );
      for (const uid of uids) {
        const call = context.client.manager("SetUserLinger", "ubb", [uid, on, true]);
        await saying("Could not enable linger", call);
      }
    });

const attach: Run = (context, [seat = "", ...devices]) =>
  withAgent(context, async () => {
    for (const device of devices) {
      const call = context.client.manager("AttachDevice", "ssb", [seat, device, true]);
      await saying("Could not attach device", call);
    }
  });

/** The verbs of systemd's loginctl, in the order of loginctl(1). */
const SYSTEMDS: Readonly<Record<string, Verb>> = {
  "list-sessions": verb("nothing", 0, 0, listSessions),
  "session-status": verb("session", 0, MANY, statusVerb(SESSION)),
  "show-session": verb("session", 0, MANY, showVerb(SESSION)),
  activate: verb("session", 0, 1, sessionVerb("Activate")),
  "lock-session": verb("session", 0, MANY, sessionVerb("Lock")),
  "unlock-session": verb("session", 0, MANY, sessionVerb("Unlock")),
  "lock-sessions": verb("nothing", 0, 0, callOnce("Could not lock sessions", "LockSessions")),
  "unlock-sessions": verb("nothing", 0, 0, callOnce("Could not lock sessions", "UnlockSessions")),
  "terminate-session": verb("session", 1, MANY, sessionVerb("Terminate")),
  "kill-session": verb(
    "session",
    1,
    MANY,
    callEach("Could not kill session", "KillSession", "ssi", (id, { whom, signal }) => [
      ...[id, whom, signal],
    ]),
  ),
  "list-users": verb("nothing", 0, 0, listUsers),
  "user-status": verb("user", 0, MANY, statusVerb(USER)),
  "show-user": verb("user", 0, MANY, showVerb(USER)),
  "enable-linger": verb("user", 0, MANY, linger(true)),
  "disable-linger": verb("user", 0, MANY, linger(false)),
  "terminate-user": verb(
    "user",
    1,
    MANY,
    callEach("Could not terminate user", "TerminateUser", "u", (user) => [uidOrOwn(user)]),
  ),
  "kill-user": verb(
    "user",
    1,
    MANY,
    callEach("Could not kill user", "KillUser", "ui", (user, { signal }) => [
      uidOrOwn(user),
      signal,
    ]),
  ),
  "list-seats": verb("nothing", 0, 0, listSeats),
  "seat-status": verb("seat", 0, MANY, statusVerb(SEAT)),
  "show-seat": verb("seat", 0, MANY, showVerb(SEAT)),
  attach: verb("seat and devices", 2, MANY, attach),
  "flush-devices": verb(
    "nothing",
    0,
    0,
    callOnce("Could not flush devices", "FlushDevices", "b", [true]),
  ),
  "terminate-seat": verb(
    "seat",
    1,
    MANY,
    callEach("Could not terminate seat", "TerminateSeat", "s", (name) => [name]),
  ),
};

/** Those that elogind's has besides. */
const ELOGINDS: Readonly<Record<string, Verb>> = {
  list: verb("nothing", 0, 0, listSessions),
  "daemon-reload": verb("nothing", 0, 0, callOnce("Reload daemon failed", "Reload")),
  ...POWER_VERBS,
};

export const VERBS: Readonly<Record<string, Verb>> = { ...SYSTEMDS, ...ELOGINDS };

/** All verbs, those that systemd's loginctl has first: of two that come as close, it names the first. */
export const VERB_NAMES = [...Object.keys(SYSTEMDS), "help", ...Object.keys(ELOGINDS)];
