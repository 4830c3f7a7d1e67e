/** Taking the place of the notify socket, and only if it is free. */
import { ftruncateSync, lstatSync, readFileSync, rmSync, type Stats, writeSync } from "node:fs";
import { dirname } from "node:path";
import { Failure } from "../../cli/index.ts";
import {
  bindDatagram,
  close,
  connectDatagram,
  type Fd,
  hasCode,
  lockFile,
  messageOf,
  openToAll,
  passCredentials,
  processStatus,
  setReceiveBuffer,
} from "../../linux/index.ts";

/** Where systemd has it, and where clients that ignore $NOTIFY_SOCKET look. */
export const DEFAULT_SOCKET = "/run/systemd/notify";

/** As much as systemd asks for (NOTIFY_RCVBUF_SIZE), in bytes. */
const RECEIVE_BUFFER = 8 * 1024 * 1024;

/** A bound socket, and the lock that says whose it is. */
export interface ClaimedSocket {
  fd: Fd;
  lock: Fd;
  /** Removes the socket from the file system if it is still this one, closes it and lets go of the lock. */
  release(): void;
}

function look(path: string): Stats | undefined {
  try {
    return lstatSync(path);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * Whether the process that a lock file names has ended and only waits for a thread that the kernel
 * cannot end (state Z in proc(5)): its lock and its socket stay open, and nobody is behind them.
 */
function hasEnded(lockPath: string): boolean {
  const pid = Number(readFileSync(lockPath, "utf8"));
  return pid > 0 && processStatus(pid)?.state === "Z";
}

/**
 * Binds a datagram socket that any user may write to (0666) and that says who
 * wrote (SO_PASSCRED).
 *
 * Two guards: a lock on `PATH.lock`, held until the end, against a second one of
 * us that starts at the same time; and a try to connect, against anybody else.
 * A socket that a killed predecessor left answers ECONNREFUSED, and is replaced.
 *
 * @throws {Failure} if one is running, or something else is in the way
 */
export function claimSocket(path: string): ClaimedSocket {
  const { lock, isInherited } = takeLock(path);
  try {
    clearPlace(path, isInherited);
    // Who waits for the socket to be there writes at once, and shall be known by it.
    const fd = openToAll(() =>
      bindDatagram(path, (unbound) => {
        passCredentials(unbound);
        setReceiveBuffer(unbound, RECEIVE_BUFFER);
      }),
    );
    try {
      const bound = lstatSync(path);
      return {
        fd,
        lock,
        release() {
          try {
            const now = look(path);
            if (now?.ino === bound.ino && now.dev === bound.dev) rmSync(path);
          } finally {
            close(fd);
            close(lock);
          }
        },
      };
    } catch (error) {
      close(fd);
      rmSync(path, { force: true });
      throw error;
    }
  } catch (error) {
    close(lock);
    throw error;
  }
}

/** The lock, and whether it was that of one that has ended and cannot let go of it. */
function takeLock(path: string): { lock: Fd; isInherited: boolean } {
  const folder = dirname(path);
  if (!look(folder)) throw new Failure(`${folder} is missing: run lainos-ghost-units first`);
  const name = `${path}.lock`;
  let lock = lockFile(name);
  const isInherited = lock === undefined && hasEnded(name);
  if (isInherited) {
    // What it holds is the file, and not its name.
    rmSync(name);
    lock = lockFile(name);
  }
  if (lock === undefined) throw new Failure(`already running: another one holds ${name}`);
  noteOwner(lock);
  return { lock, isInherited };
}

/** Writes down who holds the lock. It is held without that too, where there is no room to write. */
function noteOwner(lock: Fd): void {
  try {
    ftruncateSync(lock);
    writeSync(lock, `${process.pid}\n`, 0);
  } catch (error) {
    if (!hasCode(error, "ENOSPC", "EDQUOT")) throw error;
    process.stderr.write(
      `lainos-notifyd: the lock does not name its holder: ${messageOf(error)}\n`,
    );
  }
}

/**
 * Removes a socket that nobody reads from; refuses to touch anything else.
 *
 * @param isInherited whether it is known that its process has ended
 */
function clearPlace(path: string, isInherited: boolean): void {
  const stats = look(path);
  if (!stats) return;
  if (!stats.isSocket()) {
    throw new Failure(`${path} is in the way and is no socket: remove it and start this again`);
  }
  if (isInherited) {
    rmSync(path);
    return;
  }
  try {
    close(connectDatagram(path));
  } catch (error) {
    if (hasCode(error, "ECONNREFUSED")) {
      rmSync(path);
      return;
    }
    if (!hasCode(error, "EPROTOTYPE")) throw error;
    throw new Failure(`${path} is a socket of another kind: remove it and start this again`);
  }
  throw new Failure(`already running: somebody else reads from ${path}; end that first`);
}
