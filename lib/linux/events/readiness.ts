/**
 * When a descriptor has something for us, without a polling timer and without a thread.
 *
 * Two ways, because Bun's event loop takes no foreign descriptor to watch:
 *
 * - `onReadiness`: SIGIO (fcntl(2), F_SETOWN and O_ASYNC) for what the kernel
 *   can signal for: sockets, fifos, inotify. The signal does not say which
 *   descriptor it was; an epoll(7) instance does, so that a thousand quiet watches
 *   cost nothing. It is edge-triggered as the signal is: who is told drains until
 *   it would block. A descriptor of much traffic may send no signals meanwhile, as
 *   they cost more than what they tell of; what comes then is seen by asking again.
 * - `onceReadable`: Bun.connect on a duplicate, for what has no O_ASYNC, above
 *   all a pidfd. Bun waits in epoll for it, then tries to read it as a socket,
 *   fails, and reports the close: that report is the readiness, once.
 */

import { close, duplicate, type Fd, setAsync, signalAsync } from "../ffi/fd.ts";
import { LONGEST_TIMEOUT } from "../time/long-timeout.ts";
import {
  addToEpoll,
  createEpoll,
  EPOLLET,
  EPOLLIN,
  EPOLLOUT,
  Ready,
  removeFromEpoll,
} from "./epoll.ts";

/**
 * Reads (and writes) until it would block. It should not throw: what it throws is reported, and it is
 * called again when there is more.
 *
 * @returns true if there is more, and the event loop is to have a turn before it
 */
// biome-ignore lint/suspicious/noConfusingVoidType: nothing returned means that all is done
type Drain = () => boolean | void;

interface Watch {
  drain: Drain;
  quiet: boolean;
  /** It goes on after a turn of the event loop, whatever is told meanwhile. */
  goesOn: boolean;
}

const watchers = new Map<Fd, Watch>();

/** Told of what a callback here threw: it is a fault of ours, which must not stop the others. */
let onFailure = (error: unknown): void => {
  process.stderr.write(
    `${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
  );
};

/**
 * Has the failures of callbacks told to `report`, which must not throw, instead of written to standard
 * error. A daemon puts them into its log.
 */
export function reportFailures(report: (error: unknown) => void): void {
  onFailure = report;
}

/** Calls `task`; whatever it throws is reported, and the event loop goes on. */
export function guarded<Value>(task: () => Value): Value | undefined {
  try {
    return task();
  } catch (error) {
    onFailure(error);
    return undefined;
  }
}

/** Bun's event loop ends although signal handlers wait; this interval, which never fires, holds it. */
let held: Timer | undefined;
/** The handler stays when the last watch ends: without it, a SIGIO on its way would kill the process. */
let handling = false;

/** How many descriptors one epoll_wait names; more take another. */
const BATCH = 64;
/** How often it is asked before the event loop has a turn. */
const MOST_ASKED = 3;
const found = new Ready(BATCH);

let epoll: Fd | undefined;

/** Asks who is ready until nobody is, but lets the event loop have its turn if that goes on. */
function drainReady(): void {
  for (let times = 0; epoll !== undefined; times++) {
    if (times === MOST_ASKED) return void setImmediate(drainReady);
    const count = found.ask(epoll);
    if (count === 0) return;
    for (let index = 0; index < count; index++) guarded(() => drainOne(found.at(index)));
  }
}

function drainOne(fd: Fd): void {
  const watch = watchers.get(fd);
  // Not there any more if a drain before it ended the watch.
  if (!watch || watch.goesOn) return;
  if (watch.quiet) signalAsync(fd, false);
  const more = guarded(watch.drain) === true;
  // Whoever ended the watch may have closed the descriptor.
  if (watchers.get(fd) !== watch) return;
  if (!more) {
    // After a failure too: without signals nobody would look at it again.
    if (watch.quiet) signalAsync(fd, true);
    return;
  }
  watch.goesOn = true;
  setImmediate(() => {
    watch.goesOn = false;
    if (watchers.get(fd) !== watch) return;
    guarded(() => drainOne(fd));
    drainReady();
  });
}

/**
 * Calls `drain` whenever `fd` may have turned readable or writable, and once at
 * the start. The process stays while any watch does.
 *
 * @param quiet has `fd` send no signals while `drain` is at work. What a send in it could not
 *   take is then not told of (the kernel notes only for who has signals on that space is wanted),
 *   so `drain` tries the last one again after `signalAsync(fd, true)`.
 * @returns a function that ends the watch; it does not close `fd`
 * @throws {SystemError} if the kernel cannot signal for this kind of file
 */
export function onReadiness(fd: Fd, drain: Drain, quiet = false): () => void {
  if (!handling) {
    process.on("SIGIO", drainReady);
    handling = true;
  }
  if (watchers.size === 0) held = setInterval(() => {}, LONGEST_TIMEOUT);
  const watch: Watch = { drain, quiet, goesOn: false };
  watchers.set(fd, watch);
  const end = () => {
    if (watchers.get(fd) !== watch) return;
    watchers.delete(fd);
    if (epoll !== undefined) removeFromEpoll(epoll, fd);
    if (watchers.size === 0) clearInterval(held);
  };
  try {
    epoll ??= createEpoll("readiness");
    addToEpoll(epoll, fd, EPOLLIN | EPOLLOUT | EPOLLET);
    setAsync(fd);
  } catch (error) {
    end();
    throw error;
  }
  queueMicrotask(() => {
    if (watchers.get(fd) !== watch) return;
    guarded(() => drainOne(fd));
    drainReady();
  });
  return end;
}

/** What Bun waits for at the moment on behalf of `onceReadable`; and an epoll instance of it, once somebody needs that. */
const awaited = new Set<Fd>();
let awaitedEpoll: Fd | undefined;

/**
 * All that as one descriptor, readable when any of it is: for who waits in poll(2), and would keep
 * the event loop from it. It stays ours.
 *
 * @throws {SystemError}
 */
export function awaitedByLoop(): Fd {
  if (awaitedEpoll === undefined) {
    awaitedEpoll = createEpoll("what the event loop awaits");
    for (const fd of awaited) addToEpoll(awaitedEpoll, fd, EPOLLIN);
  }
  return awaitedEpoll;
}

/**
 * Calls `ready` once, when `fd` turns readable or hangs up. One watch at a time.
 *
 * @returns a function that ends the watch, to be called before `fd` is closed; neither closes it
 * @throws {SystemError}
 */
export function onceReadable(fd: Fd, ready: () => void): () => void {
  const copy = duplicate(fd);
  try {
    if (awaitedEpoll !== undefined) addToEpoll(awaitedEpoll, fd, EPOLLIN);
  } catch (error) {
    close(copy);
    throw error;
  }
  awaited.add(fd);
  let wanted = true;
  const end = () => {
    if (!wanted) return false;
    wanted = false;
    awaited.delete(fd);
    if (awaitedEpoll !== undefined) removeFromEpoll(awaitedEpoll, fd);
    return true;
  };
  const fire = () => {
    if (end()) guarded(ready);
  };
  // `fd` is an option that Bun takes and its types leave out.
  const options = {
    fd: copy,
    socket: { data: fire, close: fire, error: fire, connectError: fire },
  };
  const connection = Bun.connect(options as unknown as Bun.UnixSocketOptions<undefined>);
  return () => {
    end();
    void connection.then((socket) => socket.terminate());
  };
}
