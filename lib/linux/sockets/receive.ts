/** Receiving, with the descriptors and credentials that come along; see recvmsg(2) and unix(7). */
import { mustWait, SystemError } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { lastErrno, libc, Memory } from "../ffi/libc.ts";
import {
  CMSG_HEADER,
  type Credentials,
  cmsgSpace,
  IOVEC_SIZE,
  MOST_DESCRIPTORS,
  MSG_DONTWAIT,
  MSGHDR_SIZE,
  readCredentials,
  SCM_CREDENTIALS,
  SCM_RIGHTS,
  SOL_SOCKET,
} from "./message.ts";

const MSG_PEEK = 0x2;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_CMSG_CLOEXEC = 0x40000000;
const CONTROL_SIZE = cmsgSpace(MOST_DESCRIPTORS * 4) + cmsgSpace(12) + 64;

/** One received message (datagram) or run of bytes (stream). */
export interface Received {
  data: Uint8Array;
  /** Descriptors that came along. The receiver owns them and closes each. */
  fds: Fd[];
  /** Present on a socket with SO_PASSCRED. */
  credentials?: Credentials;
  /** The datagram was longer than the buffer, and its rest is lost. */
  truncated: boolean;
  /** Descriptors were lost, because this process may open no more. */
  controlTruncated: boolean;
}

/** The buffers of one receiver; reuse one for many calls. */
export class ReceiveBuffer {
  data: Memory;
  readonly control = new Memory(CONTROL_SIZE);
  readonly header = new Memory(MSGHDR_SIZE);
  readonly #vector = new Memory(IOVEC_SIZE);

  /** @param size the longest message, in bytes */
  constructor(size: number) {
    this.data = new Memory(size);
    this.header.setWord(16, this.#vector.address);
    this.header.setWord(24, 1);
    this.header.setWord(32, this.control.address);
  }

  /** Has room for `size` bytes from now on; what fits of what is there stays. */
  resize(size: number): void {
    const other = new Memory(size);
    other.bytes.set(this.data.bytes.subarray(0, size));
    this.data = other;
  }

  /** Has the next recvmsg write from `at` on, with so many bytes of control messages. */
  prepare(at: number, controlSize: number): void {
    this.#vector.setWord(0, this.data.address + at);
    this.#vector.setWord(8, this.data.bytes.length - at);
    this.header.setWord(40, controlSize);
    this.header.view.setInt32(48, 0, true);
  }
}

/** recvmsg(2) into `buffer` from `at` on: the length, or undefined if nothing is there. */
function receiveMessage(
  fd: Fd,
  buffer: ReceiveBuffer,
  at: number,
  flags = 0,
  controlSize = CONTROL_SIZE,
): number | undefined {
  buffer.prepare(at, controlSize);
  const length = libc.recvmsg(fd, buffer.header.bytes, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags);
  if (length >= 0) return Number(length);
  if (mustWait()) return undefined;
  throw new SystemError("recvmsg", lastErrno(), `descriptor ${fd}`);
}

/** Hands over the control messages that came with what `buffer` has received. */
function readControl(
  { control, header }: ReceiveBuffer,
  onDescriptor: (fd: Fd) => void,
  onCredentials?: (credentials: Credentials) => void,
): void {
  const controlLength = header.getWord(40);
  for (let at = 0; at + CMSG_HEADER <= controlLength; ) {
    const size = control.getWord(at);
    if (size < CMSG_HEADER) break;
    const level = control.view.getInt32(at + 8, true);
    const type = control.view.getInt32(at + 12, true);
    if (level === SOL_SOCKET && type === SCM_RIGHTS) {
      for (let from = at + CMSG_HEADER; from + 4 <= at + size; from += 4) {
        onDescriptor(control.view.getInt32(from, true));
      }
    } else if (level === SOL_SOCKET && type === SCM_CREDENTIALS) {
      onCredentials?.(readCredentials(control.view, at + CMSG_HEADER));
    }
    at += (size + 7) & ~7;
  }
}

/**
 * recvmsg(2) without waiting. Received descriptors are close-on-exec.
 *
 * @returns undefined if nothing waits; `data` is empty at a stream's end. `data`
 *   is a copy, so it outlives the next call.
 * @throws {SystemError}
 */
export function receive(fd: Fd, buffer: ReceiveBuffer): Received | undefined {
  const length = receiveMessage(fd, buffer, 0);
  if (length === undefined) return undefined;
  const flags = buffer.header.view.getInt32(48, true);
  const received: Received = {
    data: buffer.data.bytes.slice(0, length),
    fds: [],
    truncated: (flags & MSG_TRUNC) !== 0,
    controlTruncated: (flags & MSG_CTRUNC) !== 0,
  };
  const onCredentials = (credentials: Credentials) => {
    received.credentials = credentials;
  };
  readControl(buffer, (passed) => received.fds.push(passed), onCredentials);
  return received;
}

/** What waits at the head of a datagram socket's queue. */
export interface Peeked {
  /** In the buffer, until its next use. */
  data: Uint8Array;
  credentials?: Credentials;
  truncated: boolean;
  /** Whether file descriptors came along, which are left where they are. */
  hasDescriptors: boolean;
}

/** Room for the sender's credentials and no more. */
const CREDENTIALS_SIZE = cmsgSpace(12);

/**
 * Looks at the next datagram of a socket with SO_PASSCRED, which stays in the queue. Its file
 * descriptors do not get into our table: the kernel puts credentials first, and there is no room for
 * more.
 *
 * @returns undefined if none waits
 * @throws {SystemError}
 */
export function peekDatagram(fd: Fd, buffer: ReceiveBuffer): Peeked | undefined {
  const length = receiveMessage(fd, buffer, 0, MSG_PEEK, CREDENTIALS_SIZE);
  if (length === undefined) return undefined;
  const flags = buffer.header.view.getInt32(48, true);
  const peeked: Peeked = {
    data: buffer.data.bytes.subarray(0, length),
    truncated: (flags & MSG_TRUNC) !== 0,
    hasDescriptors: (flags & MSG_CTRUNC) !== 0,
  };
  readControl(
    buffer,
    () => {},
    (credentials) => {
      peeked.credentials = credentials;
    },
  );
  return peeked;
}

/**
 * Takes a datagram without file descriptors out of the queue, after `peekDatagram`, whose data stay
 * where they are.
 *
 * @throws {SystemError}
 */
export function dropDatagram(fd: Fd): void {
  const result = libc.recv(fd, null, 0, MSG_DONTWAIT);
  if (result < 0 && !mustWait()) throw new SystemError("recv", lastErrno(), `descriptor ${fd}`);
}

/**
 * The same for a stream, without a copy: the bytes are in `buffer` from `at` on.
 *
 * @param fds where the descriptors that came along are added
 * @returns how many bytes came, 0 at the stream's end; undefined if none did
 * @throws {SystemError}
 */
export function receiveStream(
  fd: Fd,
  buffer: ReceiveBuffer,
  at: number,
  fds: Fd[],
): number | undefined {
  const length = receiveMessage(fd, buffer, at);
  if (length !== undefined && buffer.header.getWord(40) > 0) {
    readControl(buffer, (passed) => fds.push(passed));
  }
  return length;
}
