/** Who is at the other end of a connection. */
import {
  type Credentials,
  close,
  type Fd,
  hasCode,
  openPidfd,
  peerPidfd,
  pidOfPidfd,
} from "../linux/index.ts";

/** The process that made a connection, as the kernel vouches for it. */
export class Peer {
  readonly uid: number;
  readonly #pidfd: Fd | undefined;

  /** @param fd the connection, which stays the caller's @param credentials whose it is */
  constructor(fd: Fd, { uid, pid }: Credentials) {
    this.uid = uid;
    this.#pidfd = pidfdOf(fd, pid);
  }

  /** Its pid; undefined if it has ended or cannot be seen from here. It is never that of a later process. */
  get pid(): number | undefined {
    const pid = this.#pidfd === undefined ? 0 : pidOfPidfd(this.#pidfd);
    return pid > 0 ? pid : undefined;
  }

  /** To be called once, at the end. */
  end(): void {
    if (this.#pidfd !== undefined) close(this.#pidfd);
  }
}

function pidfdOf(fd: Fd, pid: number): Fd | undefined {
  if (pid <= 0) return undefined;
  try {
    return peerPidfd(fd) ?? openPidfd(pid);
  } catch (error) {
    if (hasCode(error, "ESRCH", "EINVAL", "ENODATA")) return undefined;
    throw error;
  }
}
