/** How messages lie in memory, with what comes along; see recvmsg(2), cmsg(3) and unix(7). */

export const SOL_SOCKET = 1;
export const SCM_RIGHTS = 1;
export const SCM_CREDENTIALS = 2;
export const MSG_DONTWAIT = 0x40;
export const MSG_NOSIGNAL = 0x4000;

/** The kernel's SCM_MAX_FD: more descriptors than this never come with one message. */
export const MOST_DESCRIPTORS = 253;
export const MSGHDR_SIZE = 56;
export const IOVEC_SIZE = 16;
export const CMSG_HEADER = 16;
/** CMSG_SPACE of cmsg(3): a control message of that length, and its padding. */
export const cmsgSpace = (length: number) => CMSG_HEADER + ((length + 7) & ~7);

/** Who sent a message, as the kernel vouches for it. */
export interface Credentials {
  pid: number;
  uid: number;
  gid: number;
}

/** struct ucred. */
export function readCredentials(view: DataView, at: number): Credentials {
  return {
    pid: view.getInt32(at, true),
    uid: view.getUint32(at + 4, true),
    gid: view.getUint32(at + 8, true),
  };
}
