/**
 * When a descriptor has something for us, without a polling timer and without a thread.
 *
 * Two ways, because Bun's event loop takes no foreign descriptor to watch:
 *
 * - `onReadiness`: SIGIO (fcntl(2), F_SETOWN and O_ASYNC) for what the kernel
 *   can signal for: sockets, fifos, inotify. The signal does not say which
 *   descriptor it was; an epoll(7) instance does, asked once a signal, so that a
 *   thousand quiet watches cost nothing. It is edge-triggered as the signal is:
 *   who is told drains until it would block. A signal that arrives while one is
 *   handled is delivered after it: none is lost.
 * - `onceReadable`: Bun.connect on a duplicate, for what has no O_ASYNC, above
 *   all a pidfd. Bun waits in epoll for it, then tries to read it as a socket,
 *   fails, and reports the close: that report is the readiness, once.
 */
import { check } from "./errors.ts";
import { duplicate, type Fd, setAsync } from "./fd.ts";
import { libc, Memory } from "./libc.ts";

type Drain = () => void;

const watchers = new Map<Fd, Drain>();

/** Bun's event loop ends although signal handlers wait; this interval, which never fires, holds it. */
let held: Timer | undefined;
/** The handler stays when the last watch ends: without it, a SIGIO on its way would kill the process. */
let handling = false;
const LONGEST_INTERVAL = 2 ** 31 - 1;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;
const EPOLLOUT = 4;
const EPOLLET = 2 ** 31;

/** How many descriptors one epoll_wait names; more take another. */
const BATCH = 64;
/** struct epoll_event is packed on x86-64: 32 bits of events, 64 of data. */
const EVENT_SIZE = 12;
const events = new Memory(BATCH * EVENT_SIZE);

let epoll: Fd | undefined;

/** Has the epoll instance look at `fd` too, or no more. */
function control(operation: number, fd: Fd): number {
  epoll ??= check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1", "readiness");
  const event = new Memory(EVENT_SIZE);
  event.view.setUint32(0, EPOLLIN | EPOLLOUT | EPOLLET, true);
  event.view.setUint32(4, fd, true);
  return libc.epoll_ctl(epoll, operation, fd, event.bytes);
}

function drainReady(): void {
  let count = BATCH;
  while (epoll !== undefined && count === BATCH) {
    count = libc.epoll_wait(epoll, events.bytes, BATCH, 0);
    for (let index = 0; index < count; index++) {
      // Not there any more if a drain before it ended the watch.
      watchers.get(events.view.getUint32(index * EVENT_SIZE + 4, true))?.();
    }
  }
}

/**
 * Calls `drain` whenever `fd` may have turned readable or writable, and once at
 * the start. `drain` must read (and write) until it would block, and must not throw.
 * The process stays while any watch does.
 *
 * @returns a function that ends the watch; it does not close `fd`
 * @throws {SystemError} if the kernel cannot signal for this kind of file
 */
export function onReadiness(fd: Fd, drain: Drain): () => void {
  if (!handling) {
    process.on("SIGIO", drainReady);
    handling = true;
  }
  if (watchers.size === 0) held = setInterval(() => {}, LONGEST_INTERVAL);
  watchers.set(fd, drain);
  const end = () => {
    if (watchers.get(fd) !== drain) return;
    watchers.delete(fd);
    control(EPOLL_CTL_DEL, fd);
    if (watchers.size === 0) clearInterval(held);
  };
  try {
    check(control(EPOLL_CTL_ADD, fd), "epoll_ctl", `descriptor ${fd}`);
    setAsync(fd);
  } catch (error) {
    end();
    throw error;
  }
  queueMicrotask(() => {
    if (watchers.get(fd) === drain) drain();
  });
  return end;
}

/**
 * Calls `ready` once, when `fd` turns readable or hangs up.
 *
 * @returns a function that ends the watch; neither closes `fd`
 */
export function onceReadable(fd: Fd, ready: () => void): () => void {
  let wanted = true;
  const fire = () => {
    if (!wanted) return;
    wanted = false;
    ready();
  };
  // `fd` is an option that Bun takes and its types leave out.
  const options = {
    fd: duplicate(fd),
    socket: { data: fire, close: fire, error: fire, connectError: fire },
  };
  const connection = Bun.connect(options as unknown as Bun.UnixSocketOptions<undefined>);
  return () => {
    wanted = false;
    void connection.then((socket) => socket.terminate());
  };
}
