/** inotify(7), read on SIGIO. */
import { check } from "./errors.ts";
import { close, readSome } from "./fd.ts";
import { cString, libc } from "./libc.ts";
import { onReadiness } from "./readiness.ts";

export const IN_MODIFY = 0x2;
export const IN_MOVED_TO = 0x80;
export const IN_CREATE = 0x100;
export const IN_DELETE = 0x200;
/** The watched path itself is gone, and the watch with it. */
export const IN_IGNORED = 0x8000;

/** One event: what happened (IN_*), and to which name in a watched folder. */
export interface InotifyEvent {
  mask: number;
  name: string;
}

/**
 * Watches one path.
 *
 * @param mask IN_* bits, or-ed
 * @returns a function that ends the watch
 * @throws {SystemError} ENOENT if the path does not exist
 */
export function watchPath(
  path: string,
  mask: number,
  onEvent: (event: InotifyEvent) => void,
): () => void {
  const IN_CLOEXEC_NONBLOCK = 0o2004000;
  const fd = check(libc.inotify_init1(IN_CLOEXEC_NONBLOCK), "inotify_init1", path);
  try {
    check(libc.inotify_add_watch(fd, cString(path), mask), "inotify_add_watch", path);
  } catch (error) {
    close(fd);
    throw error;
  }
  let open = true;
  const endWatch = onReadiness(fd, () => {
    for (;;) {
      const bytes = open ? readSome(fd) : undefined;
      if (!bytes) return;
      for (const event of parseEvents(bytes)) if (open) onEvent(event);
    }
  });
  return () => {
    if (!open) return;
    open = false;
    endWatch();
    close(fd);
  };
}

function* parseEvents(bytes: Uint8Array): Generator<InotifyEvent> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0; at + 16 <= bytes.length; ) {
    const length = view.getUint32(at + 12, true);
    const name = Buffer.from(bytes.subarray(at + 16, at + 16 + length)).toString("utf8");
    yield { mask: view.getUint32(at + 4, true), name: name.replace(/\0+$/, "") };
    at += 16 + length;
  }
}
