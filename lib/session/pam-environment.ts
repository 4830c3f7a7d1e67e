/** What the programs of a login find in their environment about its session; see pam_systemd(8). */
import { lstatSync, type Stats } from "node:fs";
import { isAbsolute } from "node:path";
import type { Environment } from "./desktop.ts";
import type { SessionRequest } from "./pam-request.ts";

/** A session that login1 has made. */
export interface MadeSession {
  id: string;
  runtimePath: string;
  seat: string;
  vtnr: number;
}

/**
 * The lines that the PAM module puts into PAM's environment: NAME=value, or NAME alone for what is not to
 * be there, as a seat that the login has asked for and is not at.
 *
 * @param items what the request was made of
 */
export function sessionEnvironment(
  request: SessionRequest,
  made: MadeSession,
  items: Environment,
): string[] {
  const { runtimePath } = made;
  const runtime = isOwnFolder(runtimePath, request.uid) ? runtimePath : undefined;
  const bus = `${runtime}/bus`;
  const variables: [name: string, value: string | undefined][] = [
    ["XDG_SESSION_ID", made.id],
    ["XDG_SESSION_TYPE", request.type],
    ["XDG_SESSION_CLASS", request.class],
    ["XDG_SEAT", made.seat],
    ["XDG_VTNR", made.vtnr > 0 ? `${made.vtnr}` : ""],
  ];
  // A name that login1 is not told is the desktop's own affair.
  if (request.desktop !== "" || !items.XDG_SESSION_DESKTOP) {
    variables.push(["XDG_SESSION_DESKTOP", request.desktop]);
  }
  if (runtime !== undefined) variables.push(["XDG_RUNTIME_DIR", runtime]);
  // A bus that is started later is found by the session's shell: /etc/profile.d/lainos-session.sh.
  if (runtime !== undefined && look(bus)) {
    variables.push(["DBUS_SESSION_BUS_ADDRESS", `unix:path=${bus}`]);
  }
  return variables.map(([name, value]) => (value ? `${name}=${value}` : name));
}

/** A folder of somebody else's is none to keep one's sockets in. */
function isOwnFolder(path: string, uid: number): boolean {
  const found = isAbsolute(path) ? look(path) : undefined;
  return found?.isDirectory() === true && found.uid === uid;
}

/**
 * What is at a path of the user's. They may have mounted there what root may not look at (fuse(8)); the
 * session is made by now, and has the rest of its environment.
 */
function look(path: string): Stats | undefined {
  try {
    return lstatSync(path, { throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}
