/**
 * Registering a login by io.systemd.Login, as pam_systemd does it from systemd 258 on. The message bus
 * is not on this way: one that hangs, or that is started again, keeps nobody from logging in.
 */
import { isSessionId } from "../sd-login/index.ts";
import { callVarlink, VarlinkError } from "../varlink/index.ts";
import type { MadeSession } from "./pam-environment.ts";
import type { SessionRequest } from "./pam-request.ts";

/** Where systemd-logind has it, too. */
export const LOGIN_SOCKET = "/run/systemd/io.systemd.Login";

const INTERFACE = "io.systemd.Login";

/**
 * Registers a session.
 *
 * @param timeout in milliseconds
 * @returns the session, "member" if its leader is in one already; undefined if nobody serves the
 *   socket, or who did was gone before the answer: asking again does no harm
 * @throws {Error} it is refused, or not answered in time
 */
export async function createByVarlink(
  request: SessionRequest,
  timeout: number,
  path = LOGIN_SOCKET,
): Promise<MadeSession | "member" | undefined> {
  const parameters = {
    UID: request.uid,
    PID: { pid: request.leader },
    Service: request.service,
    Type: request.type,
    Class: request.class.replaceAll("-", "_"),
    ...filled({ Desktop: request.desktop, Seat: request.seat, TTY: request.tty }),
    ...filled({ Display: request.display, RemoteUser: request.remoteUser }),
    ...filled({ RemoteHost: request.remoteHost }),
    ...(request.vtnr > 0 && { VTNr: request.vtnr }),
    Remote: request.remote,
  };
  try {
    const reply = await callVarlink(path, `${INTERFACE}.CreateSession`, parameters, timeout);
    return reply && parseReply(reply);
  } catch (error) {
    if (isAnswer(error, "AlreadySessionMember")) return "member";
    throw error;
  }
}

function parseReply(reply: Readonly<Record<string, unknown>>): MadeSession {
  const { Id: id, RuntimePath: runtimePath, Seat: seat = "", VTNr: vtnr = 0 } = reply;
  const isWhole =
    typeof id === "string" && typeof runtimePath === "string" && typeof seat === "string";
  if (!isWhole || typeof vtnr !== "number" || !isSessionId(id)) {
    throw new Error(`${INTERFACE}.CreateSession answered without a session`);
  }
  return { id, runtimePath, seat, vtnr };
}

/**
 * Says that the caller's own session is over.
 *
 * @returns whether it was answered; false and thrown errors as `createByVarlink`
 */
export async function releaseByVarlink(
  id: string,
  timeout: number,
  path = LOGIN_SOCKET,
): Promise<boolean> {
  try {
    const reply = await callVarlink(path, `${INTERFACE}.ReleaseSession`, { Id: id }, timeout);
    return reply !== undefined;
  } catch (error) {
    if (isAnswer(error, "NoSuchSession")) return true;
    throw error;
  }
}

const isAnswer = (error: unknown, name: string) =>
  error instanceof VarlinkError && error.errorName === `${INTERFACE}.${name}`;

/** Those that say something. */
const filled = (texts: Readonly<Record<string, string>>) =>
  Object.fromEntries(Object.entries(texts).filter(([, text]) => text !== ""));
