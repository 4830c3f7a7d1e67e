/** XDG_RUNTIME_DIR: that it is what the XDG base directory specification wants it to be. */
import { lstatSync, type Stats } from "node:fs";
import { isAbsolute } from "node:path";
import { Failure } from "../cli/index.ts";

/**
 * The user's runtime folder: XDG_RUNTIME_DIR, else /run/user/UID.
 *
 * @throws {Failure} if it is not a folder, not the user's, or open to others: programs put sockets
 *   there that whoever can reach them is obeyed by
 */
export function checkRuntimeFolder(inherited: string | undefined, uid: number): string {
  const path = inherited || `/run/user/${uid}`;
  const mend = "is lainos-dbus-bridge running? rc-service lainos-dbus-bridge status";
  const refuse = (what: string) => new Failure(`the runtime folder ${path} ${what} (${mend})`);
  if (!isAbsolute(path)) throw refuse("is not an absolute path");
  let status: Stats;
  try {
    status = lstatSync(path);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw refuse(code === "ENOENT" ? "does not exist" : `cannot be read: ${code}`);
  }
  if (!status.isDirectory()) throw refuse("is not a folder");
  if (status.uid !== uid) throw refuse(`belongs to uid ${status.uid}, not to ${uid}`);
  const mode = status.mode & 0o7777;
  if (mode !== 0o700) throw refuse(`has mode ${mode.toString(8).padStart(4, "0")}, not 0700`);
  return path;
}
