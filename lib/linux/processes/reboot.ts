/** The machine's end without anybody being asked; see reboot(2). */
import { check } from "../ffi/errors.ts";
import { libc } from "../ffi/libc.ts";

const COMMANDS = {
  halt: 0xcdef0123,
  poweroff: 0x4321fedc,
  reboot: 0x01234567,
  kexec: 0x45584543,
} as const;

/**
 * Has the kernel write out what it holds, and end: no program is told, and no file system unmounted.
 * In a pid namespace it is the namespace's first process that ends.
 *
 * @throws {SystemError} EPERM without CAP_SYS_BOOT
 */
export function rebootNow(way: keyof typeof COMMANDS): void {
  libc.sync();
  check(libc.reboot(COMMANDS[way] | 0), "reboot", way);
}
