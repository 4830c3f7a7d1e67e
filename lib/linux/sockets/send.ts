/** Sending, with descriptors; see sendmsg(2) and unix(7). */
import { mustWait, SystemError } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { addressOf, lastErrno, libc, Memory } from "../ffi/libc.ts";
import {
  CMSG_HEADER,
  cmsgSpace,
  IOVEC_SIZE,
  MOST_DESCRIPTORS,
  MSG_DONTWAIT,
  MSG_NOSIGNAL,
  MSGHDR_SIZE,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "./message.ts";

// One set of buffers serves every send: a send is done before the next can start.
const outVector = new Memory(IOVEC_SIZE);
const outHeader = new Memory(MSGHDR_SIZE);
const outControl = new Memory(cmsgSpace(MOST_DESCRIPTORS * 4));
outHeader.setWord(16, outVector.address);
outHeader.setWord(24, 1);

/**
 * sendmsg(2) without waiting, with descriptors if there are any. The caller keeps them.
 *
 * @returns how many bytes went out, or undefined if the socket takes none now
 * @throws {SystemError} EPIPE if the other end is gone (no SIGPIPE is raised)
 */
export function send(fd: Fd, data: Uint8Array, fds: readonly Fd[] = []): number | undefined {
  if (fds.length > MOST_DESCRIPTORS) {
    throw new RangeError(`${fds.length} descriptors in one message: at most ${MOST_DESCRIPTORS}`);
  }
  outVector.setWord(0, data.length > 0 ? addressOf(data) : 0);
  outVector.setWord(8, data.length);
  if (fds.length > 0) {
    outControl.setWord(0, CMSG_HEADER + fds.length * 4);
    outControl.view.setInt32(8, SOL_SOCKET, true);
    outControl.view.setInt32(12, SCM_RIGHTS, true);
    for (const [index, passed] of fds.entries()) {
      outControl.view.setInt32(CMSG_HEADER + index * 4, passed, true);
    }
    outHeader.setWord(32, outControl.address);
    outHeader.setWord(40, cmsgSpace(fds.length * 4));
  } else {
    outHeader.setWord(32, 0);
    outHeader.setWord(40, 0);
  }
  const sent = libc.sendmsg(fd, outHeader.bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) return Number(sent);
  if (mustWait()) return undefined;
  throw new SystemError("sendmsg", lastErrno(), `descriptor ${fd}`);
}
