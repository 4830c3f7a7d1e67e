/** Unix sockets with what Bun's lack: datagrams, descriptors and credentials; see unix(7). */
import { check, errno, mustWait, SystemError } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { addressOf, lastErrno, libc, Memory } from "../ffi/libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_PASSCRED = 16;
const SO_PEERCRED = 17;
const SO_PEERPIDFD = 77;
const SO_ATTACH_BPF = 50;
const SO_PASSRIGHTS = 83;
const SO_RCVBUFFORCE = 33;
const SO_RCVBUF = 8;
const SCM_RIGHTS = 1;
const SCM_CREDENTIALS = 2;
const MSG_PEEK = 0x2;
const MSG_CTRUNC = 0x8;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** The kernel's SCM_MAX_FD: more descriptors than this never come with one message. */
const MOST_DESCRIPTORS = 253;
const CMSG_HEADER = 16;
const cmsgSpace = (length: number) => CMSG_HEADER + ((length + 7) & ~7);
const CONTROL_SIZE = cmsgSpace(MOST_DESCRIPTORS * 4) + cmsgSpace(12) + 64;
const MSGHDR_SIZE = 56;
const IOVEC_SIZE = 16;

/** Who sent a message, as the kernel vouches for it. */
export interface Credentials {
  pid: number;
  uid: number;
  gid: number;
}

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

/** A sockaddr_un: the path `path`, or an abstract name if it starts with "\0" or "@". */
function socketAddress(path: string): { memory: Memory; length: number } {
  const name = Buffer.from(path.startsWith("@") ? `\0${path.slice(1)}` : path, "utf8");
  // sun_path holds 108 bytes, a path's closing NUL among them.
  const abstract = name[0] === 0;
  if (name.length === 0 || name.length > (abstract ? 108 : 107)) {
    throw new RangeError(`socket path ${path}: must be 1 to 107 bytes long`);
  }
  const memory = new Memory(110);
  memory.view.setUint16(0, AF_UNIX, true);
  memory.bytes.set(name, 2);
  return { memory, length: 2 + name.length + (abstract ? 0 : 1) };
}

function newSocket(type: number, subject: string): Fd {
  return check(libc.socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), "socket", subject);
}

function closingOnFailure<Result>(fd: Fd, work: () => Result): Result {
  try {
    return work();
  } catch (error) {
    close(fd);
    throw error;
  }
}

/**
 * A non-blocking datagram socket bound to `path`, which must not exist yet.
 *
 * @param prepare sets what has to hold for the first message already
 * @throws {SystemError} EADDRINUSE if something is at that path
 */
export function bindDatagram(path: string, prepare: (fd: Fd) => void = () => {}): Fd {
  const { memory, length } = socketAddress(path);
  const fd = newSocket(SOCK_DGRAM, path);
  closingOnFailure(fd, () => {
    prepare(fd);
    check(libc.bind(fd, memory.bytes, length), "bind", path);
  });
  return fd;
}

/**
 * Binds what everybody may connect to, 0666 from its first moment on. chmod(2) by its path would follow
 * a link that somebody has put in its place.
 *
 * @param bind makes the socket
 */
export function openToAll<Result>(bind: () => Result): Result {
  const before = process.umask(0o111);
  try {
    return bind();
  } finally {
    process.umask(before);
  }
}

/** A non-blocking datagram socket connected to the one at `path`. */
export function connectDatagram(path: string): Fd {
  return connectTo(SOCK_DGRAM, path);
}

/**
 * A non-blocking stream socket connected to the one listening at `path` ("@name" for an abstract one).
 *
 * @throws {SystemError} ENOENT or ECONNREFUSED if nobody listens there
 */
export function connectStream(path: string): Fd {
  return connectTo(SOCK_STREAM, path);
}

function connectTo(type: number, path: string): Fd {
  const { memory, length } = socketAddress(path);
  const fd = newSocket(type, path);
  closingOnFailure(fd, () => check(libc.connect(fd, memory.bytes, length), "connect", path));
  return fd;
}

/** A non-blocking stream socket listening at `path`, which must not exist yet. */
export function listenStream(path: string, backlog = 16): Fd {
  const { memory, length } = socketAddress(path);
  const fd = newSocket(SOCK_STREAM, path);
  closingOnFailure(fd, () => {
    check(libc.bind(fd, memory.bytes, length), "bind", path);
    check(libc.listen(fd, backlog), "listen", path);
  });
  return fd;
}

/** The next waiting connection of a listening socket, non-blocking; undefined if there is none. */
export function accept(fd: Fd): Fd | undefined {
  const connection = libc.accept4(fd, null, null, SOCK_CLOEXEC | SOCK_NONBLOCK);
  if (connection >= 0) return connection;
  const error = new SystemError("accept4", lastErrno(), `descriptor ${fd}`);
  if (error.code === "EAGAIN" || error.code === "EINTR" || error.code === "ECONNABORTED") {
    return undefined;
  }
  throw error;
}

/** Two connected stream sockets. */
export function socketPair(): [Fd, Fd] {
  const pair = new Memory(8);
  const type = SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK;
  check(libc.socketpair(AF_UNIX, type, 0, pair.bytes), "socketpair", "AF_UNIX");
  return [pair.view.getInt32(0, true), pair.view.getInt32(4, true)];
}

function setOption(fd: Fd, option: number, value: number, name: string): void {
  const memory = new Memory(4);
  memory.view.setInt32(0, value, true);
  const result = libc.setsockopt(fd, SOL_SOCKET, option, memory.bytes, 4);
  check(result, `setsockopt ${name}`, `descriptor ${fd}`);
}

/** What an option of a socket is, `size` bytes; undefined if the kernel does not have that option. */
function getOption(fd: Fd, option: number, size: number, name: string): DataView | undefined {
  const memory = new Memory(size);
  const length = new Memory(4);
  length.view.setUint32(0, size, true);
  const result = libc.getsockopt(fd, SOL_SOCKET, option, memory.bytes, length.bytes);
  if (result < 0 && lastErrno() === errno.ENOPROTOOPT) return undefined;
  check(result, `getsockopt ${name}`, `descriptor ${fd}`);
  return memory.view;
}

/** Asks for the sender's credentials with every message; see SO_PASSCRED in unix(7). */
export function passCredentials(fd: Fd): void {
  setOption(fd, SO_PASSCRED, 1, "SO_PASSCRED");
}

/**
 * Has the kernel refuse every message with file descriptors that is sent to this socket (EPERM for the
 * sender), and to the connections that it accepts: what does not come cannot be waited for.
 *
 * @param refused false has it take them again
 * @returns false if the kernel cannot (before 6.16)
 */
export function refuseDescriptors(fd: Fd, refused = true): boolean {
  try {
    setOption(fd, SO_PASSRIGHTS, refused ? 0 : 1, "SO_PASSRIGHTS");
    return true;
  } catch (error) {
    if (error instanceof SystemError && error.code === "ENOPROTOOPT") return false;
    throw error;
  }
}

/**
 * Whether no file descriptor can have been sent to this socket, since it refuses them from the first
 * (a connection takes that over from its listener): to close it waits for nobody.
 *
 * @throws {SystemError}
 */
export function hasRefusedDescriptors(fd: Fd): boolean {
  return getOption(fd, SO_PASSRIGHTS, 4, "SO_PASSRIGHTS")?.getUint32(0, true) === 0;
}

/**
 * Has a program of eBPF look at all that is sent to a socket. The socket keeps it.
 *
 * @param program what BPF_PROG_LOAD of bpf(2) gave
 * @throws {SystemError}
 */
export function attachFilter(fd: Fd, program: Fd): void {
  setOption(fd, SO_ATTACH_BPF, program, "SO_ATTACH_BPF");
}

/** Sets the receive buffer to `bytes`, past the system's limit if we may. */
export function setReceiveBuffer(fd: Fd, bytes: number): void {
  try {
    setOption(fd, SO_RCVBUFFORCE, bytes, "SO_RCVBUFFORCE");
  } catch (error) {
    if (!(error instanceof SystemError) || error.code !== "EPERM") throw error;
    setOption(fd, SO_RCVBUF, bytes, "SO_RCVBUF");
  }
}

/** The credentials of the process that connected a stream socket, as they were then. */
export function peerCredentials(fd: Fd): Credentials {
  const memory = new Memory(12);
  const length = new Memory(4);
  length.view.setUint32(0, 12, true);
  const result = libc.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, memory.bytes, length.bytes);
  check(result, "getsockopt SO_PEERCRED", `descriptor ${fd}`);
  return readCredentials(memory.view, 0);
}

/**
 * A pidfd of the process that connected a stream socket, which is the caller's to close.
 *
 * @returns undefined if the kernel does not have it (before 6.5)
 * @throws {SystemError} ESRCH, EINVAL or ENODATA if that process is gone
 */
export function peerPidfd(fd: Fd): Fd | undefined {
  return getOption(fd, SO_PEERPIDFD, 4, "SO_PEERPIDFD")?.getInt32(0, true);
}

function readCredentials(view: DataView, at: number): Credentials {
  return {
    pid: view.getInt32(at, true),
    uid: view.getUint32(at + 4, true),
    gid: view.getUint32(at + 8, true),
  };
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
