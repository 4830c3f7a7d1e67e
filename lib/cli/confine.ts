/**
 * The filter of system calls that a daemon in /usr/libexec/lainos/sandbox sets itself: the last part
 * of its sandbox, since nothing that a shell script can call sets one. See docs/sandbox.md.
 *
 * It is a list of what is allowed. The lists were learned from the compiled daemons under all tests
 * and in a booted system, and then widened by families: a call is in them with its siblings that a
 * newer C library or JavaScript engine uses in its place.
 */
import type { CallName, Condition, Policy, Rule } from "../linux/index.ts";
import { restrictFiles } from "./landlock.ts";

/** Files, as any program uses them. */
const FILES: readonly CallName[] = [
  ...(["read", "write", "pread64", "pwrite64", "readv", "writev", "preadv", "pwritev"] as const),
  ...(["preadv2", "pwritev2", "lseek", "close", "close_range", "dup", "dup2", "dup3"] as const),
  ...(["fcntl", "flock", "fsync", "fdatasync", "sync", "syncfs", "sync_file_range"] as const),
  ...(["stat", "fstat", "lstat", "newfstatat", "statx", "statfs", "fstatfs"] as const),
  ...(["access", "faccessat", "faccessat2", "getdents", "getdents64", "getcwd"] as const),
  ...(["chdir", "fchdir", "readlink", "readlinkat", "rename", "renameat", "renameat2"] as const),
  ...(["rmdir", "unlink", "unlinkat", "link", "linkat", "symlink", "symlinkat"] as const),
  ...(["truncate", "ftruncate", "fallocate", "fadvise64", "readahead", "umask"] as const),
  ...(["utime", "utimes", "futimesat", "utimensat", "sendfile", "copy_file_range"] as const),
  ...(["splice", "tee", "vmsplice", "cachestat", "memfd_create"] as const),
  ...(["inotify_init", "inotify_init1", "inotify_add_watch", "inotify_rm_watch"] as const),
];

/** Memory, threads and locks, as the C library and JavaScriptCore use them. */
const MEMORY: readonly CallName[] = [
  ...(["mmap", "munmap", "mremap", "mprotect", "madvise", "msync", "mincore", "brk"] as const),
  ...(["mlock", "mlock2", "munlock", "mseal", "membarrier", "pkey_alloc", "pkey_free"] as const),
  ...(["pkey_mprotect", "get_mempolicy", "futex", "futex_wake", "futex_wait"] as const),
  ...(["futex_requeue", "futex_waitv", "set_robust_list", "get_robust_list"] as const),
  ...(["set_tid_address", "rseq", "arch_prctl", "prctl", "sched_yield", "getcpu"] as const),
  ...(["sched_getaffinity", "sched_getparam", "sched_getscheduler"] as const),
  ...(["sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval"] as const),
];

/** Signals, time, waiting, and what a process asks of itself. */
const PROCESS: readonly CallName[] = [
  ...(["rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigpending"] as const),
  ...(["rt_sigtimedwait", "rt_sigsuspend", "sigaltstack", "signalfd", "signalfd4"] as const),
  ...(["pause", "alarm", "getitimer", "setitimer", "nanosleep", "clock_nanosleep"] as const),
  ...(["clock_gettime", "clock_getres", "gettimeofday", "time", "times"] as const),
  ...(["timer_create", "timer_settime", "timer_gettime", "timer_getoverrun"] as const),
  ...(["timer_delete", "timerfd_create", "timerfd_settime", "timerfd_gettime"] as const),
  ...(["poll", "ppoll", "select", "pselect6", "epoll_create", "epoll_create1"] as const),
  ...(["epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "eventfd"] as const),
  ...(["eventfd2", "pipe", "pipe2", "restart_syscall", "exit", "exit_group"] as const),
  ...(["getpid", "gettid", "getppid", "getpgrp", "getpgid", "getsid", "getpriority"] as const),
  ...(["getuid", "geteuid", "getresuid", "getgid", "getegid", "getresgid"] as const),
  ...(["getgroups", "capget", "getrlimit", "getrusage", "sysinfo", "uname"] as const),
  ...(["getrandom", "pidfd_open", "wait4", "waitid"] as const),
];

/** Sockets, once there is one. */
const SOCKETS: readonly CallName[] = [
  ...(["socketpair", "connect", "bind", "listen", "accept", "accept4", "shutdown"] as const),
  ...(["sendto", "sendmsg", "sendmmsg", "recvfrom", "recvmsg", "recvmmsg"] as const),
  ...(["getsockname", "getpeername", "getsockopt", "setsockopt"] as const),
];

const COMMON = [...FILES, ...MEMORY, ...PROCESS, ...SOCKETS];

const OWNERS = ["chown", "lchown", "fchown", "fchownat"] as const;

/** What the bridge does besides, and what it starts: wall(1), find(1), and the shells of scripts. */
const BRIDGE: readonly CallName[] = [
  ...COMMON,
  ...(["execve", "fork", "vfork", "setpgid", "setsid", "setrlimit"] as const),
  ...OWNERS,
  ...(["getxattr", "lgetxattr", "fgetxattr", "listxattr", "llistxattr", "flistxattr"] as const),
  ...(["setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr"] as const),
  ...(["fremovexattr", "setxattrat", "getxattrat", "listxattrat", "removexattrat"] as const),
  // System V IPC and message queues that a user leaves (RemoveIPC).
  ...(["semctl", "shmctl", "msgctl", "mq_unlink"] as const),
  // The processes of a session.
  ...(["kill", "tgkill", "pidfd_send_signal", "rt_sigqueueinfo", "rt_tgsigqueueinfo"] as const),
  // A program that is no longer set-group-ID gives its group back all the same: wall(1). They change
  // nothing without CAP_SETUID and CAP_SETGID.
  ...(["setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid"] as const),
];

/**
 * What no program of ours has to do. These are refused also where the filter only logs, and to the
 * sound servers, which may call all else that system-calls.ts knows.
 */
const NEVER: readonly CallName[] = [
  // The kernel: its code, its keys, its accounts, its log.
  ...(["init_module", "create_module", "finit_module", "delete_module", "kexec_load"] as const),
  ...(["kexec_file_load", "bpf", "perf_event_open", "add_key", "request_key"] as const),
  ...(["keyctl", "syslog", "acct", "swapon", "swapoff", "quotactl", "quotactl_fd"] as const),
  ...(["reboot", "iopl", "ioperm", "nfsservctl", "_sysctl", "vhangup"] as const),
  ...(["settimeofday", "clock_settime", "adjtimex", "clock_adjtime"] as const),
  ...(["sethostname", "setdomainname", "lookup_dcookie", "uselib", "ustat", "sysfs"] as const),
  // Other processes.
  ...(["ptrace", "process_vm_readv", "process_vm_writev", "process_madvise"] as const),
  ...(["process_mrelease", "move_pages", "migrate_pages", "pidfd_getfd"] as const),
  // Mounts, and ways out of a mount namespace. A new proc would have writable keys of the kernel.
  ...(["mount", "umount2", "setns", "unshare", "chroot", "pivot_root"] as const),
  ...(["open_by_handle_at", "name_to_handle_at", "fanotify_init", "fanotify_mark"] as const),
  ...(["open_tree", "open_tree_attr", "move_mount", "fsopen", "fsconfig"] as const),
  ...(["fsmount", "fspick", "mount_setattr", "statmount", "listmount", "listns"] as const),
  // Security modules, and the shadow stack, whose pages others may not write.
  ...(["lsm_set_self_attr", "map_shadow_stack"] as const),
  // What exploits of the kernel are made of.
  ...(["userfaultfd", "io_uring_setup", "io_uring_enter", "io_uring_register"] as const),
  ...(["personality", "modify_ldt", "remap_file_pages", "vserver", "uretprobe", "uprobe"] as const),
];

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET. */
const NEW_NAMESPACES = 0x7e02_0000;
const CLONE_THREAD = 0x1_0000;
const AF_UNIX = 1;
const AF_NETLINK = 16;
const NETLINK_KOBJECT_UEVENT = 15;
const O_CREAT = 0x40;
/** Of O_TMPFILE, the bit that is not O_DIRECTORY's. */
const TMPFILE = 0x40_0000;
/** Commands of bpf(2) on a map, by whoever has its descriptor. */
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_MAP_DELETE_ELEM = 3;
const SET_ID_BITS = 0o6000;
/** The bit that block and character devices have of all that mknod(2) makes. */
const S_IFCHR = 0o020000;
/** SCHED_OTHER, SCHED_BATCH, SCHED_IDLE: no deadlines and no real time. */
const ORDINARY_SCHEDULERS = [0, 3, 5];

/** Requests of ioctl(2) that type, remap or take over for another: console, terminals, input. */
const HOSTILE_REQUESTS = [
  // TIOCSTI, TIOCLINUX, TIOCCONS, TIOCSCTTY, TIOCSSERIAL, TIOCSETD, TIOCVHANGUP.
  ...[0x5412, 0x541c, 0x541d, 0x540e, 0x541f, 0x5423, 0x5437],
  // KDADDIO, KDDELIO, KDENABIO, KDDISABIO, KDMAPDISP, KDUNMAPDISP: ports and memory of the card.
  ...[0x4b34, 0x4b35, 0x4b36, 0x4b37, 0x4b3c, 0x4b3d],
  // KDSKBENT, KDSKBSENT, KDSKBDIACR, KDSKBDIACRUC, KDSETKEYCODE, KDSKBMETA, KDKBDREP, KDSIGACCEPT:
  // what the keys of the next user mean.
  ...[0x4b47, 0x4b49, 0x4b4b, 0x4bfb, 0x4b4d, 0x4b63, 0x4b52, 0x4b4e],
  // PIO_FONT, PIO_FONTX, PIO_FONTRESET, PIO_CMAP, PIO_SCRNMAP, PIO_UNISCRNMAP, PIO_UNIMAP,
  // PIO_UNIMAPCLR, KDFONTOP: what the screen seems to say.
  ...[0x4b61, 0x4b6c, 0x4b6d, 0x4b71, 0x4b41, 0x4b6a, 0x4b67, 0x4b68, 0x4b72],
  // VT_LOCKSWITCH, VT_RESIZEX, VT_DISALLOCATE.
  ...[0x560b, 0x560a, 0x5608],
  // UI_DEV_CREATE, UI_DEV_SETUP: a keyboard of one's own. EVIOCSKEYCODE and its second form; EVIOCGRAB.
  ...[0x5501, 0x405c_5503, 0x4008_4504, 0x4028_4504, 0x4004_4590],
];

/** FIOASYNC, FIONBIO, FIONREAD, FIOCLEX, FIONCLEX; TCGETS and TCGETS2 (isatty); TIOCGWINSZ. */
const COMMON_REQUESTS = [0x5452, 0x5421, 0x541b, 0x5451, 0x5450, 0x5401, 0x802c_542a, 0x5413];

const BRIDGE_REQUESTS = [
  ...COMMON_REQUESTS,
  // VT_ACTIVATE, VT_WAITACTIVE, VT_GETSTATE, VT_GETMODE, VT_SETMODE, VT_RELDISP.
  ...[0x5606, 0x5607, 0x5603, 0x5601, 0x5602, 0x5605],
  // KDSETMODE, KDGETMODE, KDSKBMODE, KDGKBMODE.
  ...[0x4b3a, 0x4b3b, 0x4b45, 0x4b44],
  // DRM_IOCTL_SET_MASTER, DRM_IOCTL_DROP_MASTER; EVIOCREVOKE, EVIOCSMASK, EVIOCGSW of 8 bytes;
  // HIDIOCREVOKE.
  ...[0x641e, 0x641f, 0x4004_4591, 0x4010_4593, 0x8008_451b, 0x4004_480d],
  // FS_IOC_GETFLAGS, FS_IOC_SETFLAGS: firmware variables are immutable.
  ...[0x8008_6601, 0x4008_6602],
  // TIOCGPGRP: a shell's first question.
  0x540f,
];

const is = (argument: number, ...values: number[]): Condition => ({ argument, oneOf: values });
const without = (argument: number, bits: number): Condition => ({ argument, without: bits });

/** Unprivileged programs set no set-ID bits, so that none of what they make runs as another user. */
const noSetId = (call: CallName, mode: number): Rule => ({
  call,
  where: [[without(mode, SET_ID_BITS)]],
});

/** open(2) looks at the mode only where it makes a file. */
const opening = (call: CallName, flags: number, mode: number): Rule => ({
  call,
  where: [[without(flags, O_CREAT | TMPFILE)], [without(mode, SET_ID_BITS)]],
});

const requests = (allowed: readonly number[]): Rule => ({
  call: "ioctl",
  where: [[is(1, ...allowed)]],
  otherwiseWhere: [[{ argument: 1, noneOf: HOSTILE_REQUESTS }]],
});

/** Their arguments are in memory, where no filter sees them; libc goes on with clone and openat. */
const HIDDEN: readonly Rule[] = [
  { call: "clone3", refuse: "ENOSYS" },
  { call: "openat2", refuse: "ENOSYS" },
];

/** Like RestrictSUIDSGID and RestrictRealtime of systemd.exec(5), and nothing of other processes. */
const DAEMON_RULES: readonly Rule[] = [
  ...HIDDEN,
  ...[noSetId("chmod", 1), noSetId("fchmod", 1), noSetId("fchmodat", 2), noSetId("fchmodat2", 2)],
  ...[noSetId("mkdir", 1), noSetId("mkdirat", 2), noSetId("creat", 1)],
  ...[opening("open", 1, 2), opening("openat", 2, 3)],
  { call: "mknod", where: [[without(1, SET_ID_BITS | S_IFCHR)]] },
  { call: "mknodat", where: [[without(2, SET_ID_BITS | S_IFCHR)]] },
  { call: "sched_setscheduler", where: [[is(1, ...ORDINARY_SCHEDULERS)]] },
];

const own = (call: CallName, pid: number): Rule => ({ call, where: [[is(0, pid)]] });

const ownLimits = (pid: number): Rule => ({ call: "prlimit64", where: [[is(0, 0, pid)]] });

/** For daemons that start nothing and signal nobody. Threads are no processes. */
const alone = (pid: number): readonly Rule[] => [
  ...DAEMON_RULES,
  ownLimits(pid),
  // JavaScriptCore stops its threads by a signal.
  ...[own("kill", pid), own("tgkill", pid)],
  ...[own("rt_sigqueueinfo", pid), own("rt_tgsigqueueinfo", pid)],
  { call: "clone", where: [[{ argument: 0, having: CLONE_THREAD }, without(0, NEW_NAMESPACES)]] },
  { call: "socket", where: [[is(0, AF_UNIX)]] },
  requests(COMMON_REQUESTS),
];

/** By the daemon's pid, as it sees it itself. */
type Profiles = Readonly<Record<string, (pid: number) => Pick<Policy, "allow" | "rules">>>;

/** By the name that the sandbox has for it. */
const PROFILES = {
  "dbus-bridge": (pid) => ({
    allow: BRIDGE,
    rules: [
      ...DAEMON_RULES,
      ownLimits(pid),
      { call: "clone", where: [[without(0, NEW_NAMESPACES)]] },
      // Uevents of the kernel's own; neither routes nor the firewall.
      {
        call: "socket",
        where: [[is(0, AF_UNIX)], [is(0, AF_NETLINK), is(2, NETLINK_KOBJECT_UEVENT)]],
      },
      requests(BRIDGE_REQUESTS),
    ],
  }),
  // It asks by kcmp whether a file descriptor is one that it has already.
  // Its filter of senders was loaded before; it says whom that drops.
  notifyd: (pid) => ({
    allow: [...COMMON, "kcmp"],
    rules: [
      ...alone(pid),
      { call: "bpf", where: [[is(0, BPF_MAP_UPDATE_ELEM, BPF_MAP_DELETE_ELEM)]] },
    ],
  }),
  // It gives directories that belong to another to root.
  "ghost-units": (pid) => ({ allow: [...COMMON, ...OWNERS], rules: alone(pid) }),
  "net-init": (pid) => ({ allow: COMMON, rules: alone(pid) }),
  // The filter alone, which it sets by itself, as root at boot and as the user in a session. What it
  // starts are other people's programs, which may be in the network and have threads in real time.
  "audio-init": () => {
    const rules: Rule[] = [
      ...HIDDEN,
      { call: "kcmp", refuse: "EPERM" },
      { call: "clone", where: [[without(0, NEW_NAMESPACES)]] },
      { call: "ioctl", where: [[{ argument: 1, noneOf: HOSTILE_REQUESTS }]] },
    ];
    return { allow: { allBut: NEVER }, rules };
  },
} as const satisfies Profiles;

/** What there is a filter for. */
export type Profile = keyof typeof PROFILES;

/** What becomes of a call that is in no list: it fails with EPERM, or the kernel's log has it. */
export const MODES = ["refuse", "log"] as const;
export type Mode = (typeof MODES)[number];

/**
 * What is allowed in the sandbox of that name.
 *
 * @param pid of the daemon, as it sees it itself
 * @throws {Error} there is no such profile
 */
export function rulesOf(sandbox: string, mode: Mode = "refuse", pid = process.pid): Policy {
  if (!Object.hasOwn(PROFILES, sandbox)) {
    throw new Error(`LAINOS_SANDBOX=${sandbox}: must be ${Object.keys(PROFILES).join()}`);
  }
  const { allow, rules } = PROFILES[sandbox as Profile](pid);
  if (mode === "refuse") return { allow, rules, otherwise: "EPERM" };
  const ruled = rules.map(({ call }): string => call);
  const never = NEVER.filter((call) => !ruled.includes(call)).map(
    (call): Rule => ({ call, refuse: "EPERM" }),
  );
  return { allow, rules: [...rules, ...never], otherwise: "log" };
}

/**
 * The same as two filters: one for what libc tries and does without each time, which is not to be in
 * the kernel's log, and one for the rest.
 */
function split({ allow, rules, otherwise }: Policy): { quiet: Policy; reported: Policy } {
  const isHidden = ({ call }: Rule) => HIDDEN.some((rule) => rule.call === call);
  const hidden = rules.filter(isHidden);
  return {
    quiet: { allow: { allBut: [] }, rules: hidden, otherwise: "EPERM" },
    reported: {
      allow: "allBut" in allow ? allow : [...allow, ...hidden.map(({ call }) => call)],
      rules: rules.filter((rule) => !isHidden(rule)),
      otherwise,
    },
  };
}

/**
 * Sets the filter for the sandbox that this process was started in, after Landlock's restrictions;
 * without one it does nothing. The kernel's log has each call that the filter refuses.
 *
 * @param sandbox LAINOS_SANDBOX, which the sandbox sets
 * @param mode LAINOS_CALLS, by lainos_calls of the service's conf.d file
 * @throws {Error} there is no such profile or mode, or the kernel refuses
 */
export async function confine(
  sandbox = process.env.LAINOS_SANDBOX,
  mode = process.env.LAINOS_CALLS ?? "refuse",
): Promise<void> {
  if (sandbox === undefined) return;
  if (!isMode(mode)) throw new Error(`LAINOS_CALLS=${mode}: must be ${MODES.join(" or ")}`);
  const { quiet, reported } = split(rulesOf(sandbox, mode));
  await restrictFiles(sandbox);
  // Only here, so that commands without a sandbox do not load the C library's functions.
  const { assembleFilter, setFilter } = await import("../linux/index.ts");
  setFilter(assembleFilter(quiet), false);
  setFilter(assembleFilter(reported), true);
}

const isMode = (text: string): text is Mode => (MODES as readonly string[]).includes(text);
