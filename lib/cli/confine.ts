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
  ...(["ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"] as const),
  ...(["move_pages", "pidfd_getfd"] as const),
  // Mounts, and ways out of a mount namespace. A new proc would have writable keys of the kernel.
  ...(["mount", "umount2"] as const),
  ...(["setns", "unshare", "chroot", "pivot_root", "open_by_handle_at", "fanotify_init"] as const),
  ...(["open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig", "fsmount"] as const),
  ...(["fspick", "mount_setattr"] as const),
  // What exploits of the kernel are made of.
  ...(["userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"] as const),
  ...(["personality", "modify_ldt"] as const),
];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000;
const AF_UNIX = 1;
const AF_NETLINK = 16;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

/** What holds also for what others bring: the sound servers may be in the network. */
const ANY_PROGRAM: readonly Rule[] = [
  ...NEVER.map((call): Rule => ({ call, refuse: "EPERM" })),
  { call: "clone", argument: 0, without: NEW_NAMESPACES },
  // Its flags are in memory, where no filter sees them; libc goes on with clone.
  { call: "clone3", refuse: "ENOSYS" },
  // Typing for somebody else.
  { call: "ioctl", argument: 1, noneOf: [TIOCSTI, TIOCLINUX] },
];

const DAEMON: readonly Rule[] = [
  ...ANY_PROGRAM,
  { call: "socket", argument: 0, oneOf: [AF_UNIX, AF_NETLINK] },
];

const NO_KCMP: Rule = { call: "kcmp", refuse: "EPERM" };

/** By the name that the sandbox has for it. */
const PROFILES = {
  "dbus-bridge": [...DAEMON, NO_KCMP],
  // It asks by kcmp whether a descriptor is one that it has already.
  notifyd: DAEMON,
  "ghost-units": [...DAEMON, NO_KCMP],
  "net-init": [...DAEMON, NO_KCMP],
  // The filter alone, which it sets by itself, as root at boot and as the user in a session.
  "audio-init": [...ANY_PROGRAM, NO_KCMP],
} as const satisfies Readonly<Record<string, readonly Rule[]>>;

/** What there is a filter for. */
export type Profile = keyof typeof PROFILES;

/**
 * What is refused in the sandbox of that name.
 *
 * @throws {Error} there is no such profile
 */
export function rulesOf(sandbox: string): readonly Rule[] {
  if (Object.hasOwn(PROFILES, sandbox)) return PROFILES[sandbox as Profile];
  throw new Error(`LAINOS_SANDBOX=${sandbox}: must be ${Object.keys(PROFILES).join()}`);
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
