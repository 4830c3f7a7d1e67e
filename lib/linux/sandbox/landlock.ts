/**
 * Landlock: a process gives up access to files, to TCP and to other processes for itself and for all
 * that it starts. See landlock(7) and the kernel's Documentation/userspace-api/landlock.rst.
 */
import { closeSync, openSync, statSync } from "node:fs";
import { check, errno, hasCode } from "../ffi/errors.ts";
import { lastErrno, libc, Memory } from "../ffi/libc.ts";

const SYS_LANDLOCK_CREATE_RULESET = 444;
const SYS_LANDLOCK_ADD_RULE = 445;
const SYS_LANDLOCK_RESTRICT_SELF = 446;
const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;
/** Version 7: denials are in the audit log also after the next execve(2). */
const RESTRICT_SELF_LOG_NEW_EXEC_ON = 2;
const O_PATH = 0o10000000;
const O_CLOEXEC = 0o2000000;

/** Rights on files (LANDLOCK_ACCESS_FS_*), each with the version that brought it. */
const RIGHTS = {
  execute: [0, 1],
  writeFile: [1, 1],
  readFile: [2, 1],
  readFolder: [3, 1],
  removeFolder: [4, 1],
  removeFile: [5, 1],
  makeCharacterDevice: [6, 1],
  makeFolder: [7, 1],
  makeFile: [8, 1],
  makeSocket: [9, 1],
  makeFifo: [10, 1],
  makeBlockDevice: [11, 1],
  makeSymlink: [12, 1],
  refer: [13, 2],
  truncate: [14, 3],
  ioctlDevice: [15, 5],
} as const satisfies Readonly<Record<string, readonly [bit: number, version: number]>>;

export type FileRight = keyof typeof RIGHTS;

/** What a path that is no folder can have. */
const OF_FILES: readonly FileRight[] = [
  "execute",
  "writeFile",
  "readFile",
  "truncate",
  "ioctlDevice",
];

/** BIND_TCP and CONNECT_TCP, of version 4. */
const TCP = 3;
/** LANDLOCK_SCOPE_ABSTRACT_UNIX_SOCKET and LANDLOCK_SCOPE_SIGNAL, of version 6. */
const SCOPE_ABSTRACT_SOCKETS = 1;
const SCOPE_SIGNALS = 2;

/** What a process keeps. There is no TCP, and no abstract socket of others, in any case. */
export interface LandlockPolicy {
  /** What is allowed at and below a path. Paths that are not there are left out. */
  readonly paths: readonly (readonly [path: string, rights: readonly FileRight[]])[];
  /** Whether it may send signals to processes that it has not started. */
  readonly signals: boolean;
}

/** The version of Landlock's interface; 0 where the kernel lacks it, or has it turned off. */
export function landlockVersion(): number {
  const result = libc.syscall(SYS_LANDLOCK_CREATE_RULESET, 0, 0, CREATE_RULESET_VERSION, 0, 0);
  if (result < 0 && [errno.ENOSYS, errno.EOPNOTSUPP].includes(lastErrno())) return 0;
  return check(result, "landlock_create_ruleset", "its version");
}

/** Bits of those rights that a version has. */
const bitsOf = (rights: readonly FileRight[], version: number): number =>
  rights.reduce((bits, right) => {
    const [bit, since] = RIGHTS[right];
    return version >= since ? bits + 2 ** bit : bits;
  }, 0);

/**
 * Restricts the calling thread, and what it executes. Other threads of the process stay as they are:
 * so this is for a process that becomes another program right afterwards (`execute`).
 *
 * @param version of `landlockVersion`, above 0
 * @throws {SystemError} EPERM without no_new_privs
 */
export function restrictThread(policy: LandlockPolicy, version: number): void {
  const ruleset = createRuleset(policy, version);
  try {
    for (const [path, rights] of policy.paths) addPath(ruleset, path, rights, version);
    const flags = version >= 7 ? RESTRICT_SELF_LOG_NEW_EXEC_ON : 0;
    check(
      libc.syscall(SYS_LANDLOCK_RESTRICT_SELF, ruleset, flags, 0, 0, 0),
      "landlock_restrict_self",
      `version ${version}`,
    );
  } finally {
    closeSync(ruleset);
  }
}

function createRuleset({ signals }: LandlockPolicy, version: number): number {
  // struct landlock_ruleset_attr: handled_access_fs, handled_access_net, scoped. It grew with the
  // versions, and older kernels take the longer ones only if what they do not know is 0.
  const attributes = new Memory(24);
  attributes.setWord(0, bitsOf(Object.keys(RIGHTS) as FileRight[], version));
  if (version >= 4) attributes.setWord(8, TCP);
  if (version >= 6) {
    attributes.setWord(16, SCOPE_ABSTRACT_SOCKETS + (signals ? 0 : SCOPE_SIGNALS));
  }
  return check(
    libc.syscall(SYS_LANDLOCK_CREATE_RULESET, attributes.address, 24, 0, 0, 0),
    "landlock_create_ruleset",
    `version ${version}`,
  );
}

function addPath(
  ruleset: number,
  path: string,
  rights: readonly FileRight[],
  version: number,
): void {
  let fd: number;
  try {
    fd = openSync(path, O_PATH | O_CLOEXEC);
  } catch (error) {
    if (hasCode(error, "ENOENT", "ENOTDIR")) return;
    throw error;
  }
  try {
    const isFolder = statSync(path).isDirectory();
    const possible = isFolder ? rights : rights.filter((right) => OF_FILES.includes(right));
    // struct landlock_path_beneath_attr, which is packed: allowed_access, parent_fd.
    const rule = new Memory(12);
    rule.setWord(0, bitsOf(possible, version));
    rule.view.setInt32(8, fd, true);
    check(
      libc.syscall(SYS_LANDLOCK_ADD_RULE, ruleset, RULE_PATH_BENEATH, rule.address, 0, 0),
      "landlock_add_rule",
      path,
    );
  } finally {
    closeSync(fd);
  }
}
