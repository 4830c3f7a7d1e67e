/** The sending end of sd_notify(3). */
import {
  type Credentials,
  close,
  errno,
  type Fd,
  hasCode,
  SystemError,
  sendDatagram,
  socketPair,
  waitForHangUp,
} from "../../linux/index.ts";

/** How long a barrier is waited for, in milliseconds; systemd-notify's own 5 s. */
const BARRIER_TIMEOUT = 5000;

/** Not among the errno values that Bun knows. */
const ESOCKTNOSUPPORT = 94;

/**
 * Where to send to: $NOTIFY_SOCKET, a path or the name of an abstract socket after an @.
 *
 * @returns undefined if it is not set
 * @throws {SystemError} if it is neither; AF_VSOCK is for virtual machines, and not supported
 */
export function notifySocket(): string | undefined {
  const socket = process.env.NOTIFY_SOCKET;
  if (socket === undefined) return undefined;
  const fail = (code: number) => new SystemError("connect", code, socket);
  if (socket.startsWith("vsock")) throw fail(ESOCKTNOSUPPORT);
  if (!/^[/@]/.test(socket)) throw fail(errno.EPROTO);
  if (socket.length === 1) throw fail(errno.EINVAL);
  return socket;
}

/**
 * Sends one message. A sender that the kernel does not let us stand for is left out, and it goes
 * in our own name, as sd_pid_notify(3) does.
 *
 * @param assignments `NAME=VALUE` each
 * @param sender whose word it is
 * @throws {SystemError}
 */
export function sendNotification(
  socket: string,
  assignments: readonly string[],
  fds: readonly Fd[],
  sender: Credentials,
): void {
  const data = Buffer.from(assignments.join("\n"));
  try {
    sendDatagram(socket, data, fds, sender);
  } catch (error) {
    if (!hasCode(error, "EPERM", "ESRCH")) throw error;
    sendDatagram(socket, data, fds);
  }
}

/**
 * Waits until all that was sent before is handled; see sd_notify_barrier(3).
 *
 * @returns false if that took too long
 * @throws {SystemError}
 */
export function waitForBarrier(socket: string, sender: Credentials): boolean {
  const [ours, theirs] = socketPair();
  try {
    try {
      sendNotification(socket, ["BARRIER=1"], [theirs], sender);
    } finally {
      close(theirs);
    }
    return waitForHangUp(ours, BARRIER_TIMEOUT);
  } finally {
    close(ours);
  }
}
