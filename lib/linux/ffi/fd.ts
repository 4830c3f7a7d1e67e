/** Plain operations on file descriptors. */
import { check, mustWait } from "./errors.ts";
import { cString, libc, Memory } from "./libc.ts";

/** A number that the kernel gave us for an open file. Whoever holds it closes it, once. */
export type Fd = number;

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_NONBLOCK = 0o4000;
export const O_ASYNC = 0o20000;
export const O_CLOEXEC = 0o2000000;
export const O_NOFOLLOW = 0o400000;
export const O_NOCTTY = 0o400;

const F_GETFL = 3;
const F_SETFL = 4;
const F_SETOWN_EX = 15;
const F_OWNER_TID = 0;
const F_DUPFD_CLOEXEC = 1030;
const FIOASYNC = 0x5452;
const CLOSE_RANGE_CLOEXEC = 4;

/**
 * open(2), close-on-exec.
 *
 * @throws {SystemError}
 */
export function open(path: string, flags: number, mode = 0): Fd {
  return check(libc.open(cString(path), flags | O_CLOEXEC, mode), "open", path);
}

/**
 * close(2). A second close of one number may hit somebody else's file, so EBADF is an error here.
 *
 * @throws {SystemError}
 */
export function close(fd: Fd): void {
  check(libc.close(fd), "close", `descriptor ${fd}`);
}

/** A second number for the same open file, close-on-exec. */
export function duplicate(fd: Fd): Fd {
  return check(libc.fcntl(fd, F_DUPFD_CLOEXEC, 3), "fcntl F_DUPFD_CLOEXEC", `descriptor ${fd}`);
}

// The main thread has the process's number. Sent to the process as a whole, the
// signal would wake Bun's other threads too, only to be passed on.
const mainThread = new Memory(8);
mainThread.view.setInt32(0, F_OWNER_TID, true);
mainThread.view.setInt32(4, process.pid, true);

/** Asks the kernel to send our main thread SIGIO whenever `fd` turns readable or writable; see fcntl(2). */
export function setAsync(fd: Fd): void {
  const subject = `descriptor ${fd}`;
  check(libc.fcntl(fd, F_SETOWN_EX, mainThread.address), "fcntl F_SETOWN_EX", subject);
  const flags = check(libc.fcntl(fd, F_GETFL, 0), "fcntl F_GETFL", subject);
  check(libc.fcntl(fd, F_SETFL, flags | O_ASYNC | O_NONBLOCK), "fcntl F_SETFL", subject);
}

/** Has calls on `fd` wait that would have to, unless they say otherwise. */
export function clearNonBlocking(fd: Fd): void {
  const flags = check(libc.fcntl(fd, F_GETFL, 0), "fcntl F_GETFL", `descriptor ${fd}`);
  check(libc.fcntl(fd, F_SETFL, flags & ~O_NONBLOCK), "fcntl F_SETFL", `descriptor ${fd}`);
}

const asynchronous = new Memory(4);

/** Has the kernel send no SIGIO for `fd` for a while, or send it again (FIOASYNC in ioctl(2)), after `setAsync`. */
export function signalAsync(fd: Fd, on: boolean): void {
  asynchronous.view.setInt32(0, on ? 1 : 0, true);
  check(libc.ioctl(fd, FIOASYNC, asynchronous.address), "ioctl FIOASYNC", `descriptor ${fd}`);
}

/** An eventfd(2) that nobody signals: a descriptor that stands for something by being open. */
export function createPlaceholder(): Fd {
  return check(libc.eventfd(0, O_CLOEXEC), "eventfd", "placeholder");
}

/** A pipe of pipe2(2), neither end of which waits. */
export function createPipe(): { reader: Fd; writer: Fd } {
  const ends = new Memory(8);
  check(libc.pipe2(ends.bytes, O_CLOEXEC | O_NONBLOCK), "pipe2", "pipe");
  return { reader: ends.view.getInt32(0, true), writer: ends.view.getInt32(4, true) };
}

/** mkfifo(3). */
export function makeFifo(path: string, mode: number): void {
  check(libc.mkfifo(cString(path), mode), "mkfifo", path);
}

/** chown(2) that does not follow a symbolic link. */
export function changeOwner(path: string, uid: number, gid: number): void {
  check(libc.lchown(cString(path), uid, gid), "lchown", path);
}

/** fchown(2); -1 leaves a uid or gid as it is. */
export function changeOwnerOf(fd: Fd, uid: number, gid: number): void {
  check(libc.fchown(fd, uid >>> 0, gid >>> 0), "fchown", `descriptor ${fd}`);
}

/** Marks every descriptor from `first` on to be closed by the next exec; see close_range(2). */
export function closeOnExecFrom(first: number): void {
  check(
    libc.close_range(first, 0xffffffff, CLOSE_RANGE_CLOEXEC),
    "close_range",
    `descriptors from ${first}`,
  );
}

const scratch = new Memory(65536);

/**
 * read(2) of up to 64 KiB. An empty result is the end of the file.
 *
 * @returns undefined if a non-blocking read has nothing yet
 * @throws {SystemError}
 */
export function readSome(fd: Fd): Uint8Array | undefined {
  const result = libc.read(fd, scratch.bytes, scratch.bytes.length);
  if (result < 0 && mustWait()) return undefined;
  const length = check(result, "read", `descriptor ${fd}`);
  return scratch.bytes.slice(0, length);
}

/** ioctl(2) whose argument points to a structure, which `bytes` holds and gets back. */
export function ioctlBytes(fd: Fd, request: number, bytes: Uint8Array, name: string): void {
  const memory = new Memory(bytes.length);
  memory.bytes.set(bytes);
  check(libc.ioctl(fd, request, memory.address), `ioctl ${name}`, `descriptor ${fd}`);
  bytes.set(memory.bytes);
}

/** ioctl(2) whose argument is a number. */
export function ioctl(fd: Fd, request: number, argument: number, name: string): number {
  return check(libc.ioctl(fd, request, argument), `ioctl ${name}`, `descriptor ${fd}`);
}
