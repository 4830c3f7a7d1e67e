/** Who listens at a Unix socket; see SO_PEERCRED in unix(7). */
import { close } from "../ffi/fd.ts";
import type { Credentials } from "./message.ts";
import { peerCredentials } from "./options.ts";
import { connectStream } from "./socket.ts";

/**
 * The process that listens at a stream socket, as it was when it began to. Says nothing to it, and does
 * not wait for it.
 *
 * @param path "@name" for an abstract one
 * @throws {SystemError} ENOENT or ECONNREFUSED if nobody listens there, EAGAIN if too many wait for that
 */
export function listenerAt(path: string): Credentials {
  const socket = connectStream(path);
  try {
    return peerCredentials(socket);
  } finally {
    close(socket);
  }
}
