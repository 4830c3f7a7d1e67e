/** The attributes of a file that chattr(1) sets; see ioctl_iflags(2). */
import { check } from "../ffi/errors.ts";
import { close, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, open } from "../ffi/fd.ts";
import { libc, Memory } from "../ffi/libc.ts";

const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IMMUTABLE_FL = 0x10;

/**
 * Sets whether a file can be changed and removed, by root too.
 *
 * @returns what it was before
 * @throws {SystemError} ENOENT; ENOTTY where the file system has no such attributes
 */
export function setImmutable(path: string, immutable: boolean): boolean {
  const fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const flags = new Memory(8);
    check(libc.ioctl(fd, FS_IOC_GETFLAGS, flags.address), "ioctl FS_IOC_GETFLAGS", path);
    const before = flags.view.getUint32(0, true);
    const after = immutable ? before | FS_IMMUTABLE_FL : before & ~FS_IMMUTABLE_FL;
    if (after !== before) {
      flags.view.setUint32(0, after, true);
      check(libc.ioctl(fd, FS_IOC_SETFLAGS, flags.address), "ioctl FS_IOC_SETFLAGS", path);
    }
    return (before & FS_IMMUTABLE_FL) !== 0;
  } finally {
    close(fd);
  }
}
