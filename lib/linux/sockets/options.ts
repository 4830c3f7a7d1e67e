/** What a socket is told and asked; see socket(7) and unix(7). */
import { check, errno, hasCode } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { lastErrno, libc, Memory } from "../ffi/libc.ts";
import { type Credentials, readCredentials, SOL_SOCKET } from "./message.ts";

const SO_PASSCRED = 16;
const SO_PEERCRED = 17;
const SO_PEERPIDFD = 77;
const SO_ATTACH_BPF = 50;
const SO_PASSRIGHTS = 83;
const SO_RCVBUFFORCE = 33;
const SO_RCVBUF = 8;

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
    if (hasCode(error, "ENOPROTOOPT")) return false;
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
    if (!hasCode(error, "EPERM")) throw error;
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
