/** What is known of the session that a process is in: from login1, or from what it left behind. */

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupOf, hasCode } from "../linux/index.ts";
import { isSeatName, isSessionId, parseState } from "../sd-login/index.ts";

/** One session, with login1's words for type and class. */
export interface SessionFacts {
  id: string;
  uid: number;
  /** undefined for a session without a seat (ssh, cron). */
  seat: string | undefined;
  /** The virtual terminal; 0 for none. */
  vtnr: number;
  type: string;
  class: string;
}

/** Whoever can say which session a process is in. */
export interface SessionSource {
  /**
   * @returns undefined if the process is in no session
   * @throws {Error} if the source cannot be asked
   */
  lookUp(pid: number): Promise<SessionFacts | undefined>;
}

/** Where session state files are; sd-login(3) reads the same. */
export const SESSION_FILES = "/run/systemd/sessions";

const WORD = /^[a-z][a-z0-9-]{0,30}$/;

/** The number of a virtual terminal; 0 if the text does not name one. */
export function parseVtnr(text: string | undefined): number {
  const number = /^\d{1,2}$/.test(text ?? "") ? Number(text) : 0;
  // MAX_NR_CONSOLES in the kernel's vt.h
  return number <= 63 ? number : 0;
}

/** The session that a cgroup path belongs to: /user.slice/user-UID.slice/session-ID.scope[/...]. */
export function sessionOfCgroup(path: string): { id: string; uid: number } | undefined {
  const pattern = /^\/user\.slice\/user-(\d+)\.slice\/session-([A-Za-z0-9]{1,64})\.scope(?:\/|$)/;
  const [, uid, id] = pattern.exec(path) ?? [];
  return uid === undefined || id === undefined ? undefined : { id, uid: Number(uid) };
}

/** Where to look for what login1 cannot be asked about. */
export interface Traces {
  uid: number;
  environment: Record<string, string | undefined>;
  /** The cgroup path of the process; by default that of this one. */
  cgroup?: string | undefined;
  /** By default /run/systemd/sessions. */
  sessionFiles?: string;
}

/**
 * What the cgroup, the session's state file and the environment say of a session, in this order.
 * A state file of another user is none of ours: a stale XDG_SESSION_ID (after `su`) names one.
 *
 * @returns undefined if nothing names a session
 */
export function factsFromTraces({
  uid,
  environment,
  cgroup = cgroupOf(process.pid),
  sessionFiles = SESSION_FILES,
}: Traces): SessionFacts | undefined {
  const within = sessionOfCgroup(cgroup ?? "");
  const scope = within?.uid === uid ? within : undefined;
  const named = environment.XDG_SESSION_ID ?? "";
  const id = scope?.id ?? (isSessionId(named) ? named : undefined);
  if (id === undefined) return undefined;
  const state = readStateFile(join(sessionFiles, id));
  const ours = state?.get("UID") === `${uid}` ? state : undefined;
  if (state && !ours && !scope) return undefined;

  const read = (key: string, variable: string) =>
    ours ? ours.get(key) || undefined : environment[variable] || undefined;
  const seat = read("SEAT", "XDG_SEAT");
  const word = (text: string | undefined, otherwise: string) =>
    text !== undefined && WORD.test(text) ? text : otherwise;
  const sessionClass = word(read("CLASS", "XDG_SESSION_CLASS"), "user");
  return {
    id,
    uid,
    seat: seat !== undefined && isSeatName(seat) ? seat : undefined,
    vtnr: parseVtnr(read("VTNR", "XDG_VTNR")),
    type: word(read("TYPE", "XDG_SESSION_TYPE"), "unspecified"),
    // What is left of the login screen in the environment is not the user's own session.
    class: !ours && sessionClass === "greeter" ? "user" : sessionClass,
  };
}

/**
 * The session whose scope a process is in, and whether it leads it, by that session's state file.
 * login1 has written it before it answered that it made the session.
 *
 * @returns undefined if it is in none that has such a file
 */
export function sessionAround(
  pid: number,
  cgroup = cgroupOf(pid),
  sessionFiles = SESSION_FILES,
): { id: string; isLed: boolean } | undefined {
  const within = sessionOfCgroup(cgroup ?? "");
  const state = within && readStateFile(join(sessionFiles, within.id));
  return state && within && { id: within.id, isLed: state.get("LEADER") === `${pid}` };
}

function readStateFile(path: string): Map<string, string> | undefined {
  try {
    return parseState(readFileSync(path, "utf8"));
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR", "EACCES")) return undefined;
    throw error;
  }
}
