/** The access control list of a device node, as acl(5) describes it and xattr(7) stores it. */
import { fstatSync } from "node:fs";
import { check, errno, SystemError } from "../ffi/errors.ts";
import { close, O_NOFOLLOW, open } from "../ffi/fd.ts";
import { addressOf, cString, lastErrno, libc, Memory } from "../ffi/libc.ts";
import { majorMinor } from "./device-number.ts";

const O_PATH = 0x200000;
const NAME = cString("system.posix_acl_access");
/** The kernel's posix_acl_xattr_header and _entry: a version, then a tag, permissions and an id each. */
const VERSION = 2;
const HEADER = 4;
const ENTRY = 8;
const NO_ID = 0xffffffff;
const TAG = { owner: 0x01, user: 0x02, group: 0x04, namedGroup: 0x08, mask: 0x10, other: 0x20 };
const READ_AND_WRITE = 6;
/** XATTR_SIZE_MAX of limits.h. */
const MOST_BYTES = 65_536;

interface Entry {
  tag: number;
  permissions: number;
  id: number;
}

/**
 * Lets these users, and no others that are named, read and write a device node,
 * besides those whom its mode lets. Named groups stay.
 *
 * @param number what the node has to be, as `major:minor`; another may have taken its place
 * @returns whether the list was changed
 * @throws {SystemError} ENOENT; ENODEV if the node is not that device; ENOTSUP where the file
 *   system has no access control lists
 */
export function setUserAccess(path: string, number: string, uids: ReadonlySet<number>): boolean {
  // Opening a device can do something to it; a descriptor of its path cannot.
  const fd = open(path, O_PATH | O_NOFOLLOW);
  try {
    const { mode, rdev } = fstatSync(fd);
    if (majorMinor(rdev) !== number) throw new SystemError("open", errno.ENODEV, path);
    const node = cString(`/proc/self/fd/${fd}`);
    const before = readList(node, path) ?? ofMode(mode);
    const after = withUsers(before, uids);
    if (Buffer.compare(encode(before), encode(after)) === 0) return false;
    const bytes = encode(after);
    check(libc.setxattr(node, NAME, addressOf(bytes), bytes.length, 0), "setxattr", path);
    return true;
  } finally {
    close(fd);
  }
}

function readList(node: Uint8Array, path: string): Entry[] | undefined {
  const buffer = new Memory(MOST_BYTES);
  const size = Number(libc.getxattr(node, NAME, buffer.address, MOST_BYTES));
  if (size < 0 && lastErrno() === errno.ENODATA) return undefined;
  check(size, "getxattr", path);
  const entries: Entry[] = [];
  for (let at = HEADER; at + ENTRY <= size; at += ENTRY) {
    entries.push({
      tag: buffer.view.getUint16(at, true),
      permissions: buffer.view.getUint16(at + 2, true),
      id: buffer.view.getUint32(at + 4, true),
    });
  }
  return entries;
}

function ofMode(mode: number): Entry[] {
  return [
    { tag: TAG.owner, permissions: (mode >> 6) & 7, id: NO_ID },
    { tag: TAG.group, permissions: (mode >> 3) & 7, id: NO_ID },
    { tag: TAG.other, permissions: mode & 7, id: NO_ID },
  ];
}

/** The list with just these named users; the mask lets all through that a named entry or the group has. */
function withUsers(entries: Entry[], uids: ReadonlySet<number>): Entry[] {
  const kept = entries.filter(({ tag }) => tag !== TAG.user && tag !== TAG.mask);
  for (const id of uids) kept.push({ tag: TAG.user, permissions: READ_AND_WRITE, id });
  const named = kept.filter(({ tag }) => tag === TAG.user || tag === TAG.namedGroup);
  if (named.length > 0) {
    const group = kept.filter(({ tag }) => tag === TAG.group);
    const permissions = [...named, ...group].reduce((all, entry) => all | entry.permissions, 0);
    kept.push({ tag: TAG.mask, permissions, id: NO_ID });
  }
  return kept.sort((a, b) => a.tag - b.tag || a.id - b.id);
}

function encode(entries: Entry[]): Uint8Array {
  const bytes = new Uint8Array(HEADER + ENTRY * entries.length);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, VERSION, true);
  for (const [index, { tag, permissions, id }] of entries.entries()) {
    const at = HEADER + ENTRY * index;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, id, true);
  }
  return bytes;
}
