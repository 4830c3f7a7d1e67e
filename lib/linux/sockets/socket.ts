/** Unix sockets: binding, connecting and accepting; see unix(7). */
import { check, SystemError } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { lastErrno, libc, Memory } from "../ffi/libc.ts";

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;

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
