/** Registering a login with login1, run by the PAM module as it opens and closes a session. */
import { Failure } from "../cli/index.ts";
import { processStatus, userByName } from "../linux/index.ts";
import type { Environment } from "./desktop.ts";
import { sessionAround } from "./facts.ts";
import type { Login1Client } from "./login1-client.ts";
import { createByVarlink, releaseByVarlink } from "./login1-varlink.ts";
import { sessionEnvironment } from "./pam-environment.ts";
import { type LineArguments, lineArguments } from "./pam-line.ts";
import { sessionRequest } from "./pam-request.ts";

/** How long each way may take, in milliseconds: somebody is waiting at the login prompt. */
const LIMIT = 5000;

/**
 * Does what PAM_TYPE says: registers a session whose leader is our parent, the PAM application, or
 * ends the one that it leads.
 *
 * A leader that is in a session already (`su` in a terminal) gets no second one, and ends none.
 *
 * @param words the arguments of the line in the PAM file: `class=greeter`
 * @param warn is told of arguments that are wrong
 * @returns the lines of `sessionEnvironment`; none where no session was made
 * @throws {Failure} in one line, if it cannot: the PAM line is optional, so the login goes on
 */
export async function pamSession(
  items: Environment,
  words: readonly string[],
  warn: (message: string) => void,
): Promise<string[]> {
  if (process.getuid?.() !== 0) {
    throw new Failure("pam is run by pam_systemd.so, as root: see docs/registration.md");
  }
  const { PAM_TYPE: type, PAM_USER: name } = items;
  if (type !== "open_session" && type !== "close_session") {
    throw new Failure(
      `PAM_TYPE is ${type ? JSON.stringify(type) : "not set"}: pam belongs in a session line of ` +
        "/etc/pam.d, by pam_systemd.so",
    );
  }
  const leader = processStatus(process.pid)?.parent ?? 0;
  // 0: the parent is in another pid namespace; 1: it is gone already, or it is init itself. Another than
  // the module says: it is gone, and our parent is who collects orphans, which may be anybody's.
  if (leader <= 1 || (items.PAM_LEADER && items.PAM_LEADER !== `${leader}`)) {
    throw new Failure(`the PAM application is gone (our parent is ${leader}): nothing to register`);
  }

  try {
    if (type === "open_session") return await open(items, leader, lineArguments(words, warn));
    await closeSession(leader);
    return [];
  } catch (error) {
    if (error instanceof Failure) throw error;
    const what = type === "open_session" ? "registered" : "ended";
    throw new Failure(
      `the session of ${name ?? "nobody"} is not ${what}: ${(error as Error).message} ` +
        "(is lainos-dbus-bridge running? rc-service lainos-dbus-bridge status)",
    );
  }
}

async function open(items: Environment, leader: number, line: LineArguments): Promise<string[]> {
  const { PAM_USER: name } = items;
  const user = name ? userByName(name) : undefined;
  if (!user) {
    throw new Failure(
      name
        ? `the user database has no ${JSON.stringify(name)} (PAM_USER): see getent passwd`
        : "PAM_USER is not set: pam belongs in a session line of /etc/pam.d, by pam_systemd.so",
    );
  }
  const request = sessionRequest(items, user.uid, leader, line);
  if (!request) return [];
  const made =
    (await createByVarlink(request, LIMIT)) ?? (await byBus((client) => client.create(request)));
  return made === undefined || made === "member" ? [] : sessionEnvironment(request, made, items);
}

async function closeSession(leader: number): Promise<void> {
  const around = sessionAround(leader);
  // What runs in somebody's session, as su does, has none to end.
  if (around && (!around.isLed || (await releaseByVarlink(around.id, LIMIT)))) return;
  await byBus(async (client) => {
    const session = await client.lookUp(leader);
    if (session?.leader === leader) await client.release(session.id);
  });
}

/** By the bus, where login1 has no varlink: it is being started again, or another program's. */
async function byBus<Result>(work: (client: Login1Client) => Promise<Result>): Promise<Result> {
  const { Login1Client } = await import("./login1-client.ts");
  const client = new Login1Client(LIMIT);
  try {
    return await work(client);
  } finally {
    client.close();
  }
}
