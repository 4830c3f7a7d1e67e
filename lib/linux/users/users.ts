/** Users and groups through NSS, so that LDAP and the like count too; see getpwnam_r(3), getgrouplist(3). */
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

/** An entry of the group database, without its members. */
export interface Group {
  name: string;
  gid: number;
}

type Lookup = (entry: Memory, text: Memory, result: Memory) => number;

/** Calls one of the *_r look-ups with a buffer that grows until the entry fits. */
function lookUp<Entry>(
  call: string,
  subject: string,
  entrySize: number,
  lookup: Lookup,
  parse: (entry: Memory) => Entry,
): Entry | undefined {
  for (let size = 1024; ; size *= 2) {
    const entry = new Memory(entrySize);
    const text = new Memory(size);
    const result = new Memory(8);
    const error = lookup(entry, text, result);
    if (error === errno.ERANGE && size < 1 << 20) continue;
    // Some NSS modules report "not found" as one of these instead of as success.
    const notFound = [0, errno.ENOENT, errno.ESRCH, errno.EBADF, errno.EPERM];
    if (!notFound.includes(error)) throw new SystemError(call, error, subject);
    return result.getWord(0) === 0 ? undefined : parse(entry);
  }
}

// struct passwd: name, passwd, uid, gid, gecos, dir, shell
const parseUser = (entry: Memory): User => ({
  name: stringAt(entry.getWord(0)),
  uid: entry.view.getUint32(16, true),
  gid: entry.view.getUint32(20, true),
  home: stringAt(entry.getWord(32)),
  shell: stringAt(entry.getWord(40)),
});

// struct group: name, passwd, gid, members
const parseGroup = (entry: Memory): Group => ({
  name: stringAt(entry.getWord(0)),
  gid: entry.view.getUint32(16, true),
});

/** The user with this uid; undefined if there is none. */
export function userById(uid: number): User | undefined {
  const lookup: Lookup = (entry, text, result) =>
    libc.getpwuid_r(uid, entry.bytes, text.bytes, text.bytes.length, result.bytes);
  return lookUp("getpwuid_r", `uid ${uid}`, 48, lookup, parseUser);
}

/** The user of this name; undefined if there is none. */
export function userByName(name: string): User | undefined {
  const lookup: Lookup = (entry, text, result) =>
    libc.getpwnam_r(cString(name), entry.bytes, text.bytes, text.bytes.length, result.bytes);
  return lookUp("getpwnam_r", `user ${name}`, 48, lookup, parseUser);
}

/** The group of this name; undefined if there is none. */
export function groupByName(name: string): Group | undefined {
  const lookup: Lookup = (entry, text, result) =>
    libc.getgrnam_r(cString(name), entry.bytes, text.bytes, text.bytes.length, result.bytes);
  return lookUp("getgrnam_r", `group ${name}`, 32, lookup, parseGroup);
}

/** The gids of all groups that a user is in, the primary one first. */
export function groupsOf(user: User): number[] {
  for (let room = 64; ; room *= 2) {
    const gids = new Memory(room * 4);
    const count = new Memory(4);
    count.view.setInt32(0, room, true);
    const result = libc.getgrouplist(cString(user.name), user.gid, gids.bytes, count.bytes);
    const found = count.view.getInt32(0, true);
    if (result < 0 && room < 1 << 16) continue;
    return Array.from({ length: found }, (_, index) => gids.view.getUint32(index * 4, true));
  }
}
