/**
 * The filter of system calls that a daemon in /usr/libexec/lainos/sandbox sets itself: the last part
 * of its sandbox, since nothing that a shell script can call sets one. See docs/sandbox.md.
 *
 * It is a list of what is refused. A list of what is allowed would have to know all that Bun and its
 * JavaScript engine ever call, and would end a login where it does not.
 */
import type { CallName, Rule } from "../linux/index.ts";

/** What no daemon of ours has to do. */
const NEVER: readonly CallName[] = [
  // The kernel: its code, its keys, its accounts, its log.
  ...(["init_module", "finit_module", "delete_module", "kexec_load", "kexec_file_load"] as const),
  ...(["bpf", "perf_event_open", "add_key", "request_key", "keyctl", "syslog", "acct"] as const),
  ...(["swapon", "swapoff", "quotactl", "quotactl_fd", "reboot", "iopl", "ioperm"] as const),
  ...(["settimeofday", "clock_settime", "adjtimex", "clock_adjtime"] as const),
  ...(["sethostname", "setdomainname"] as const),
  // Other processes.
  ...(["ptrace", "process_vm_readv", "process_vm_writev", "kcmp", "process_madvise"] as const),
  ...(["move_pages"] as const),
  // Ways out of a mount namespace, and the mount API that flags cannot be told from.
  ...(["setns", "unshare", "chroot", "pivot_root", "open_by_handle_at", "fanotify_init"] as const),
  ...(["open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount"] as const),
  ...(["fspick", "mount_setattr"] as const),
  // What exploits of the kernel are made of.
  ...(["userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"] as const),
  ...(["personality", "modify_ldt"] as const),
];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000;
const MS_NOSUID_NODEV = 2 | 4;
const MNT_DETACH_UMOUNT_NOFOLLOW = 2 | 8;
const AF_UNIX = 1;
const AF_NETLINK = 16;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

const COMMON: readonly Rule[] = [
  ...NEVER.map((call): Rule => ({ call, refuse: "EPERM" })),
  { call: "clone", argument: 0, without: NEW_NAMESPACES },
  // Its flags are in memory, where no filter sees them; libc goes on with clone.
  { call: "clone3", refuse: "ENOSYS" },
  { call: "socket", argument: 0, oneOf: [AF_UNIX, AF_NETLINK] },
  // Typing for somebody else.
  { call: "ioctl", argument: 1, noneOf: [TIOCSTI, TIOCLINUX] },
];

const NO_MOUNTS: readonly Rule[] = [
  { call: "mount", refuse: "EPERM" },
  { call: "umount2", refuse: "EPERM" },
  { call: "pidfd_getfd", refuse: "EPERM" },
];

/** By the name that the sandbox has for it. */
const PROFILES: Readonly<Record<string, readonly Rule[]>> = {
  "dbus-bridge": [
    ...COMMON,
    // A new file system, which a runtime directory is: no bind, no move, no other propagation, and
    // nothing that is read-only made writable.
    { call: "mount", argument: 3, oneOf: [MS_NOSUID_NODEV] },
    { call: "umount2", argument: 1, oneOf: [MNT_DETACH_UMOUNT_NOFOLLOW] },
  ],
  notifyd: [...COMMON, ...NO_MOUNTS],
  "ghost-units": [...COMMON, ...NO_MOUNTS],
  "net-init": [...COMMON, ...NO_MOUNTS],
};

/**
 * What is refused in the sandbox of that name.
 *
 * @throws {Error} there is no such profile
 */
export function rulesOf(sandbox: string): readonly Rule[] {
  const rules = Object.hasOwn(PROFILES, sandbox) ? PROFILES[sandbox] : undefined;
  if (!rules) throw new Error(`LAINOS_SANDBOX=${sandbox}: must be ${Object.keys(PROFILES).join()}`);
  return rules;
}

/**
 * Sets the filter for the sandbox that this process was started in; without one it does nothing.
 *
 * @param sandbox LAINOS_SANDBOX, which the sandbox sets
 * @throws {Error} there is no such profile, or the kernel refuses
 */
export async function confine(sandbox = process.env.LAINOS_SANDBOX): Promise<void> {
  if (sandbox === undefined) return;
  const rules = rulesOf(sandbox);
  // Only here, so that commands without a sandbox do not load the C library's functions.
  const { assembleFilter, setFilter } = await import("../linux/index.ts");
  setFilter(assembleFilter(rules));
}
