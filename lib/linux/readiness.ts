/**
 * When a descriptor has something for us, without a polling timer and without a thread.
 *
 * Two ways, because Bun's event loop takes no foreign descriptor to watch:
 *
 * - `onReadiness`: SIGIO (fcntl(2), F_SETOWN and O_ASYNC) for what the kernel
 *   can signal for: sockets, fifos, inotify. The signal does not say which
 *   descriptor it was, so every watcher drains until it would block. A signal
 *   that arrives while one is handled is delivered after it: none is lost.
 * - `onceReadable`: Bun.connect on a duplicate, for what has no O_ASYNC, above
 *   all a pidfd. Bun waits in epoll for it, then tries to read it as a socket,
 *   fails, and reports the close: that report is the readiness, once.
 */
import { duplicate, type Fd, setAsync } from "./fd.ts";

type Drain = () => void;

const watchers = new Map<Fd, Drain>();

/** Bun's event loop ends although signal handlers wait; this interval, which never fires, holds it. */
let held: Timer | undefined;
/** The handler stays when the last watch ends: without it, a SIGIO on its way would kill the process. */
let handling = false;
const LONGEST_INTERVAL = 2 ** 31 - 1;

function drainAll(): void {
  for (const [fd, drain] of [...watchers]) {
    if (watchers.get(fd) === drain) drain();
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
    process.on("SIGIO", drainAll);
    handling = true;
  }
  if (watchers.size === 0) held = setInterval(() => {}, LONGEST_INTERVAL);
  watchers.set(fd, drain);
  const end = () => {
    if (watchers.get(fd) !== drain) return;
    watchers.delete(fd);
    if (watchers.size === 0) clearInterval(held);
  };
  try {
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
