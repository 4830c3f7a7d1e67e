/** One datagram in somebody's name; see unix(7). */
import { check } from "../ffi/errors.ts";
import { clearNonBlocking, close, type Fd } from "../ffi/fd.ts";
import { addressOf, libc, Memory } from "../ffi/libc.ts";
import {
  CMSG_HEADER,
  type Credentials,
  cmsgSpace,
  IOVEC_SIZE,
  MSG_NOSIGNAL,
  MSGHDR_SIZE,
  SCM_CREDENTIALS,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "./message.ts";
import { connectDatagram } from "./socket.ts";

/**
 * Sends one datagram to the socket at `path` ("@name" for an abstract one), and waits while the
 * receiver's queue is full.
 *
 * @param fds descriptors to pass; they stay the caller's
 * @param credentials whose word it shall be; the kernel lets only root say what is not so, and
 *   fills in our own if this is left out
 * @throws {SystemError} EPERM for credentials that we may not use; ENOENT, ECONNREFUSED, EPROTOTYPE
 *   or EACCES where nobody of that kind listens
 */
export function sendDatagram(
  path: string,
  data: Uint8Array,
  fds: readonly Fd[] = [],
  credentials?: Credentials,
): void {
  const control = new Memory(cmsgSpace(fds.length * 4) + cmsgSpace(12));
  let used = 0;
  const header = (type: number, length: number) => {
    control.setWord(used, CMSG_HEADER + length);
    control.view.setInt32(used + 8, SOL_SOCKET, true);
    control.view.setInt32(used + 12, type, true);
    const at = used + CMSG_HEADER;
    used += cmsgSpace(length);
    return at;
  };
  if (fds.length > 0) {
    const at = header(SCM_RIGHTS, fds.length * 4);
    for (const [index, fd] of fds.entries()) control.view.setInt32(at + index * 4, fd, true);
  }
  if (credentials) {
    const at = header(SCM_CREDENTIALS, 12);
    control.view.setInt32(at, credentials.pid, true);
    control.view.setUint32(at + 4, credentials.uid, true);
    control.view.setUint32(at + 8, credentials.gid, true);
  }
  const vector = new Memory(IOVEC_SIZE);
  vector.setWord(0, data.length > 0 ? addressOf(data) : 0);
  vector.setWord(8, data.length);
  const message = new Memory(MSGHDR_SIZE);
  message.setWord(16, vector.address);
  message.setWord(24, 1);
  message.setWord(32, used > 0 ? control.address : 0);
  message.setWord(40, used);
  const socket = connectDatagram(path);
  try {
    clearNonBlocking(socket);
    check(libc.sendmsg(socket, message.bytes, MSG_NOSIGNAL), "sendmsg", path);
  } finally {
    close(socket);
  }
}
