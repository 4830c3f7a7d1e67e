/** The methods of io.systemd.Login that only look: one thing by what names it, or all of a kind. */
import { isSeatName, NO_UID } from "../../sd-login/index.ts";
import { type Interface, Parameters, type Peer, Replies, type Reply } from "../../varlink/index.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import type { Seat } from "../model/objects.ts";
import type { Manager } from "../sessions/manager.ts";
import { isOwn, namedSession, none, ownSession } from "./names.ts";
import { type ProcessName, readProcess, runs } from "./process.ts";
import { inhibitorReply, seatReply, sessionReply, userReply } from "./replies.ts";

/** A reply for each of the things that are there when its turn comes. */
function* each<Key, Thing>(
  keys: readonly Key[],
  find: (key: Key) => Thing | undefined,
  reply: (thing: Thing) => Reply,
): Generator<Reply, void> {
  for (const key of keys) {
    const thing = find(key);
    if (thing !== undefined) yield reply(thing);
  }
}

function listSessions(manager: Manager, given: Reply, peer: Peer): Reply | Replies {
  const parameters = new Parameters(given, ["Id", "PID"]);
  const id = parameters.string("Id");
  const process = readProcess(parameters);
  if (id === undefined && process === undefined) {
    const ids = [...manager.sessions.keys()];
    return new Replies(each(ids, (key) => manager.sessions.get(key), sessionReply));
  }
  const named = id === undefined ? undefined : namedSession(manager, id, parameters, peer);
  const holding = process && sessionOf(manager, process);
  if (process && !holding) throw none("Session");
  const found = named ?? holding;
  if (!found || (holding && holding !== found)) throw none("Session");
  return sessionReply(found);
}

const sessionOf = (manager: Manager, process: ProcessName) =>
  runs(process) ? manager.sessionOfPid(process.pid) : undefined;

function listUsers(manager: Manager, given: Reply): Reply | Replies {
  const parameters = new Parameters(given, ["UID", "PID"]);
  const uid = parameters.integer("UID", 0, NO_UID - 1);
  const process = readProcess(parameters);
  if (uid === undefined && process === undefined) {
    const uids = [...manager.users.keys()];
    return new Replies(each(uids, (key) => manager.users.get(key), userReply));
  }
  const named = uid === undefined ? undefined : manager.users.get(uid);
  const owning = process && runs(process) ? manager.userOfPid(process.pid) : undefined;
  const found = named ?? owning;
  const isMissing = (uid !== undefined && !named) || (process !== undefined && !owning);
  if (!found || isMissing || (owning && owning !== found)) throw none("User");
  return userReply(found);
}

function listSeats(manager: Manager, given: Reply, peer: Peer): Reply | Replies {
  const parameters = new Parameters(given, ["Id"]);
  const id = parameters.string("Id");
  if (id === undefined) {
    const ids = [...manager.seats.keys()];
    return new Replies(each(ids, (key) => manager.seats.get(key), seatReply));
  }
  if (!isOwn(id) && !isSeatName(id)) throw parameters.invalid("Id");
  const found: Seat | undefined = isOwn(id)
    ? ownSession(manager, peer, id === "auto")?.seat
    : manager.seats.get(id);
  if (!found) throw none("Seat");
  return seatReply(found);
}

function listInhibitors(inhibitors: Inhibitors, given: Reply): Replies {
  new Parameters(given, []);
  const all = inhibitors.list();
  const reply = inhibitorReply;
  return new Replies(each(all, (one) => (inhibitors.has(one) ? one : undefined), reply));
}

/** ListSessions and the others, which anybody may call, as on the bus. */
export const listMethods = (manager: Manager, inhibitors: Inhibitors): Interface["methods"] => ({
  ListSessions: (given, peer) => listSessions(manager, given, peer),
  ListUsers: (given) => listUsers(manager, given),
  ListSeats: (given, peer) => listSeats(manager, given, peer),
  ListInhibitors: (given) => listInhibitors(inhibitors, given),
});
