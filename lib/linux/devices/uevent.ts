/** What the kernel announces of its devices; see netlink(7), NETLINK_KOBJECT_UEVENT. */

import { onReadiness } from "../events/readiness.ts";
import { check, hasCode } from "../ffi/errors.ts";
import { close, readSome } from "../ffi/fd.ts";
import { libc, Memory } from "../ffi/libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC_NONBLOCK = 0o2004003;
const NETLINK_KOBJECT_UEVENT = 15;
/** The multicast group that the kernel itself speaks to. */
const KERNEL_GROUP = 1;

/** The subsystem that a message names; undefined if there is none in it. */
function subsystemOf(message: Uint8Array): string | undefined {
  const fields = Buffer.from(message).toString("utf8").split("\0");
  return fields.find((field) => field.startsWith("SUBSYSTEM="))?.slice("SUBSYSTEM=".length);
}

/**
 * Calls `changed` when the kernel has announced a device of these subsystems, or
 * too much at once to tell of which. It must not throw.
 *
 * @returns a function that ends the watch
 * @throws {SystemError}
 */
export function watchUevents(subsystems: readonly string[], changed: () => void): () => void {
  const fd = check(
    libc.socket(AF_NETLINK, SOCK_RAW_CLOEXEC_NONBLOCK, NETLINK_KOBJECT_UEVENT),
    "socket",
    "uevents",
  );
  const drain = () => {
    let wanted = false;
    for (;;) {
      try {
        const message = readSome(fd);
        if (!message) break;
        wanted ||= subsystems.includes(subsystemOf(message) ?? "");
      } catch (error) {
        if (!hasCode(error, "ENOBUFS")) throw error;
        wanted = true;
      }
    }
    if (wanted) changed();
  };
  try {
    const address = new Memory(12);
    address.view.setUint16(0, AF_NETLINK, true);
    address.view.setUint32(8, KERNEL_GROUP, true);
    check(libc.bind(fd, address.bytes, address.bytes.length), "bind", "uevents");
    const end = onReadiness(fd, drain);
    return () => {
      end();
      close(fd);
    };
  } catch (error) {
    close(fd);
    throw error;
  }
}
