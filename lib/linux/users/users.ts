/** Users through NSS, so that LDAP and the like count too; see getpwnam_r(3). */
import { errno, SystemError } from "../ffi/errors.ts";
import { cString, libc, Memory, stringAt } from "../ffi/libc.ts";

/** An entry of the user database. */
export interface User {
  name: string;
  uid: number;
  gid: number;
  home: string;
  shell: string;
}

type Lookup = (entry: Memory, text: Memory, result: Memory) => number;

/** Calls one of the *_r look-ups with a buffer that grows until the entry fits. */
function lookUp(call: string, subject: string, lookup: Lookup): User | undefined {
  for (let size = 1024; ; size *= 2) {
    const entry = new Memory(PASSWD_SIZE);
    const text = new Memory(size);
    const result = new Memory(8);
    const error = lookup(entry, text, result);
    if (error === errno.ERANGE && size < 1 << 20) continue;
    // Some NSS modules report "not found" as one of these instead of as success.
    const notFound = [0, errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EPERM];
    if (!notFound.includes(error)) throw new SystemError(call, error, subject);
    return result.getWord(0) === 0 ? undefined : parseUser(entry);
  }
}

/** struct passwd: name, passwd, uid, gid, gecos, dir, shell. */
const PASSWD_SIZE = 48;
const parseUser = (entry: Memory): User => ({
  name: stringAt(entry.getWord(0)),
  uid: entry.view.getUint32(16, true),
  gid: entry.view.getUint32(20, true),
  home: stringAt(entry.getWord(32)),
  shell: stringAt(entry.getWord(40)),
});

/** The user with this uid; undefined if there is none. */
export function userById(uid: number): User | undefined {
  const lookup: Lookup = (entry, text, result) =>
    libc.getpwuid_r(uid, entry.bytes, text.bytes, text.bytes.length, result.bytes);
  return lookUp("getpwuid_r", `uid ${uid}`, lookup);
}

/** The user of this name; undefined if there is none. */
export function userByName(name: string): User | undefined {
  const lookup: Lookup = (entry, text, result) =>
    libc.getpwnam_r(cString(name), entry.bytes, text.bytes, text.bytes.length, result.bytes);
  return lookUp("getpwnam_r", `user ${name}`, lookup);
}
