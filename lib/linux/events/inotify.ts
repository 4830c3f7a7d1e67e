/**
 * inotify(7), read on SIGIO. All watches share one instance: the kernel gives a
 * user few of those (fs.inotify.max_user_instances, often 128) and many watches.
 */
import { check, hasCode } from "../ffi/errors.ts";
import { close, type Fd, readSome } from "../ffi/fd.ts";
import { cString, libc } from "../ffi/libc.ts";
import { guarded, onReadiness } from "./readiness.ts";

export const IN_MODIFY = 0x2;
/** Also when a name of it is taken away. */
export const IN_ATTRIB = 0x4;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
export const IN_DELETE_SELF = 0x400;
export const IN_MOVE_SELF = 0x800;
/** The watched path itself is gone, and the watch with it. */
export const IN_IGNORED = 0x8000;
/** Events were lost: look at what is watched as if all had happened. It has no name. */
export const IN_Q_OVERFLOW = 0x4000;
const IN_MASK_ADD = 0x20000000;
const IN_CLOEXEC_NONBLOCK = 0o2004000;

/** One event: what happened (IN_*), and to which name in a watched folder. */
export interface InotifyEvent {
  mask: number;
  name: string;
}

interface Listener {
  mask: number;
  onEvent: (event: InotifyEvent) => void;
}

/** The one instance, there while anything is watched. */
interface Instance {
  fd: Fd;
  endWatch: () => void;
  /** By watch descriptor: one inode has one, however many watch it. */
  listeners: Map<number, Set<Listener>>;
}

let instance: Instance | undefined;

function openInstance(): Instance {
  const fd = check(libc.inotify_init1(IN_CLOEXEC_NONBLOCK), "inotify_init1", "instance");
  const opened: Instance = { fd, endWatch: () => {}, listeners: new Map() };
  try {
    opened.endWatch = onReadiness(fd, () => drain(opened));
    return opened;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function drain({ fd, listeners }: Instance): void {
  while (instance?.fd === fd) {
    const bytes = readSome(fd);
    if (!bytes) return;
    for (const { watch, event } of parseEvents(bytes)) {
      const lost = (event.mask & IN_Q_OVERFLOW) !== 0;
      const told = lost ? [...listeners.values()] : [listeners.get(watch) ?? new Set()];
      // The kernel has taken the watch away; its number may come again.
      if (event.mask & IN_IGNORED) listeners.delete(watch);
      for (const set of told) {
        for (const listener of [...set]) {
          const wanted = event.mask & (listener.mask | IN_IGNORED | IN_Q_OVERFLOW);
          if (wanted && set.has(listener)) guarded(() => listener.onEvent(event));
        }
      }
    }
  }
}

/**
 * Watches one path.
 *
 * @param mask IN_* bits, or-ed; IN_IGNORED and IN_Q_OVERFLOW come unasked
 * @param onEvent what it throws is reported (`reportFailures`), and the others are told
 * @returns a function that ends the watch
 * @throws {SystemError} ENOENT if the path does not exist
 */
export function watchPath(
  path: string,
  mask: number,
  onEvent: (event: InotifyEvent) => void,
): () => void {
  instance ??= openInstance();
  const { fd, listeners } = instance;
  let watch: number;
  try {
    const result = libc.inotify_add_watch(fd, cString(path), mask | IN_MASK_ADD);
    watch = check(result, "inotify_add_watch", path);
  } catch (error) {
    closeIfUnused();
    throw error;
  }
  const set = listeners.get(watch) ?? new Set<Listener>();
  const listener = { mask, onEvent };
  set.add(listener);
  listeners.set(watch, set);
  return () => {
    if (!set.delete(listener) || set.size > 0) return;
    if (listeners.get(watch) === set) {
      listeners.delete(watch);
      removeWatch(fd, watch, path);
    }
    closeIfUnused();
  };
}

function removeWatch(fd: Fd, watch: number, path: string): void {
  try {
    check(libc.inotify_rm_watch(fd, watch), "inotify_rm_watch", path);
  } catch (error) {
    // The path has gone meanwhile, and its IN_IGNORED is still to be read.
    if (!hasCode(error, "EINVAL")) throw error;
  }
}

function closeIfUnused(): void {
  if (!instance || instance.listeners.size > 0) return;
  const { fd, endWatch } = instance;
  instance = undefined;
  endWatch();
  close(fd);
}

function* parseEvents(bytes: Uint8Array): Generator<{ watch: number; event: InotifyEvent }> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at + 12, true);
    const name = Buffer.from(bytes.subarray(at + 16, at + 16 + length)).toString("utf8");
    const event = { mask: view.getUint32(at + 4, true), name: name.replace(/\0+$/, "") };
    yield { watch: view.getInt32(at, true), event };
    at += 16 + length;
  }
}
