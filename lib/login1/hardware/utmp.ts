/** Who is logged in, as login programs write it down: see utmp(5). */
import {
  hasCode,
  IN_ATTRIB,
  IN_DELETE_SELF,
  IN_MODIFY,
  IN_MOVE_SELF,
  watchPath,
} from "../../linux/index.ts";
import { readPlainFile } from "../host/plain-file.ts";
import { isTtyName } from "../vocabulary/texts.ts";

const UTMP = "/run/utmp";

/** One record in bytes: where a long has eight, the architecture decides whether its times have too. */
const RECORD = process.arch === "x64" ? 384 : 400;
const [TYPE, PID, LINE, LINE_LENGTH] = [0, 4, 8, 32];
const USER_PROCESS = 7;

/** A login at a terminal. */
export interface UtmpLogin {
  pid: number;
  /** The terminal's name below /dev. */
  tty: string;
}

/**
 * Reads who is logged in at which terminal. A record that makes no sense is passed over.
 *
 * @returns none where there is no such file
 * @throws {Error} that names what is there in its place
 */
export function readUtmp(): UtmpLogin[] {
  let bytes: Buffer;
  try {
    bytes = readPlainFile(UTMP, "configuration");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
  const logins: UtmpLogin[] = [];
  for (let at = 0; at + RECORD <= bytes.length; at += RECORD) {
    const pid = bytes.readInt32LE(at + PID);
    if (bytes.readInt16LE(at + TYPE) !== USER_PROCESS || pid <= 1) continue;
    const [line = ""] = bytes.toString("latin1", at + LINE, at + LINE + LINE_LENGTH).split("\0", 1);
    const tty = line.replace(/^\/dev\//, "");
    if (isTtyName(tty)) logins.push({ pid, tty });
  }
  return logins;
}

/**
 * Calls `changed` when somebody logs in or out there, or the file goes.
 *
 * @param gone the watch has ended, since the file is another by now or none
 * @returns a function that ends the watch; undefined where there is no such file
 */
export function watchUtmp(changed: () => void, gone: () => void): (() => void) | undefined {
  const isGone = IN_MOVE_SELF | IN_DELETE_SELF | IN_ATTRIB;
  try {
    return watchPath(UTMP, IN_MODIFY | isGone, ({ mask }) => {
      // Its last name is taken away by IN_ATTRIB, while somebody has it open.
      if ((mask & IN_MODIFY) === 0) gone();
      changed();
    });
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}
