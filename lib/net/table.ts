/** Which kernel settings, and why. */

/**
 * `net` keys belong to a network namespace, all others to the whole machine: `fs` to file systems and
 * core dumps, `vm` to memory, `dev` to devices.
 */
export const SCOPES = ["net", "kernel", "fs", "vm", "dev"] as const;
export type Scope = (typeof SCOPES)[number];

/** One setting. */
export interface Hardening {
  /**
   * The key as a path below /proc/sys. A `*` stands for `all`, `default` (which
   * interfaces made later begin with) and every interface that there is: how
   * `all` and an interface's own value go together differs from key to key, so
   * only the same value everywhere means the same for all keys.
   */
  readonly key: string;
  readonly value: string;
  readonly reason: string;
  /** Values that ask for more of the same: an administrator's, which stay. */
  readonly stronger?: readonly string[];
  /** Where it is not the key's first part. */
  readonly scope?: Scope;
  /**
   * The kernel never takes the value back. Such a key is not in the file of sysctl.d(5): sysctl(8)
   * writes every file in turn, so a later file could not win.
   */
  readonly final?: boolean;
  /** The init script sets it, before the sandbox closes. In the sandbox another value stays, which an administrator's file of sysctl.d(5) may have set. */
  readonly beforehand?: boolean;
}

/** The scope of a row. */
export function scopeOf({ key, scope }: Hardening): Scope {
  const found = scope ?? SCOPES.find((name) => key.startsWith(`${name}/`));
  if (found === undefined) throw new Error(`${key} is in no scope: name one in its row`);
  return found;
}

/**
 * In the order of writing. See ip-sysctl, sysctl/kernel, sysctl/fs, sysctl/net and sysctl/vm in the
 * kernel's documentation. systemd sets the `fs.protected_*` keys and `kernel.pid_max` by files of its
 * own (sysctl.d/50-default.conf, 50-pid-max.conf).
 *
 * Three keys of the kernel are set before the sandbox closes, by the init script, and cannot be written
 * in it. Who can write `kernel.core_pattern` names a program that the kernel runs as root;
 * `kernel.yama.ptrace_scope` takes CAP_SYS_PTRACE, with which `/proc/1/root` leads out; and
 * `kernel.pid_max` belongs to a pid namespace since Linux 6.14, of which the sandbox has its own.
 */
export const HARDENING: readonly Hardening[] = [
  {
    key: "net/ipv6/conf/*/disable_ipv6",
    value: "1",
    reason: "no IPv6: traffic must not leave beside an IPv4-only VPN",
  },
  {
    key: "net/ipv6/conf/*/accept_redirects",
    value: "0",
    reason: "nobody on the link may reroute us, should IPv6 be turned on again",
  },
  {
    key: "net/ipv6/conf/*/accept_source_route",
    value: "0",
    reason: "a sender may not choose the way, should IPv6 be turned on again",
  },
  {
    key: "net/ipv4/tcp_syncookies",
    value: "1",
    reason: "a SYN flood does not lock others out (RFC 4987)",
  },
  {
    key: "net/ipv4/tcp_rfc1337",
    value: "1",
    reason: "a RST cannot end a socket in TIME-WAIT early (RFC 1337)",
  },
  {
    key: "net/ipv4/icmp_echo_ignore_broadcasts",
    value: "1",
    reason: "no part in a smurf attack: pings to a broadcast address stay unanswered",
  },
  {
    key: "net/ipv4/icmp_ignore_bogus_error_responses",
    value: "1",
    reason: "routers that answer broadcasts against RFC 1122 do not fill the log",
  },
  {
    key: "net/ipv4/conf/*/rp_filter",
    value: "1",
    reason: "a packet with a forged source address is dropped (RFC 3704, strict)",
  },
  {
    key: "net/ipv4/conf/*/accept_redirects",
    value: "0",
    reason: "nobody on the link may reroute us",
  },
  {
    key: "net/ipv4/conf/*/secure_redirects",
    value: "0",
    reason: "not even a gateway, whose address is easily forged",
  },
  {
    key: "net/ipv4/conf/*/send_redirects",
    value: "0",
    reason: "we are no router and reroute nobody",
  },
  {
    key: "net/ipv4/conf/*/accept_source_route",
    value: "0",
    reason: "a sender may not choose the way, and so get round filters",
  },
  {
    key: "net/ipv4/conf/*/log_martians",
    value: "1",
    reason: "packets with impossible addresses are seen in the log",
  },
  {
    key: "kernel/kptr_restrict",
    value: "2",
    reason: "no kernel addresses in /proc, not for root either: exploits need them",
  },
  {
    key: "kernel/dmesg_restrict",
    value: "1",
    reason: "the kernel's log, which has addresses and hardware in it, is root's alone",
  },
  {
    key: "kernel/sysrq",
    value: "0",
    reason: "whoever sits at the keyboard cannot kill a screen lock or reboot",
  },
  {
    key: "net/core/bpf_jit_harden",
    value: "1",
    stronger: ["2"],
    reason: "users' filters cannot place their constants in the kernel's executable memory",
    // Only the first network namespace has it.
    scope: "kernel",
  },
  {
    key: "kernel/unprivileged_bpf_disabled",
    value: "2",
    stronger: ["1"],
    reason:
      "users load no BPF programs, whose verifier has had many holes; root may allow it again",
  },
  {
    key: "kernel/perf_event_paranoid",
    value: "3",
    reason: "users measure no kernel, and nothing at all where the kernel knows 3 (mainline: 2)",
  },
  {
    key: "kernel/kexec_load_disabled",
    value: "1",
    reason: "root cannot replace the kernel by another one while it runs",
    final: true,
  },
  {
    key: "kernel/yama/ptrace_scope",
    value: "1",
    stronger: ["2", "3"],
    beforehand: true,
    reason: "a program that is taken over cannot read the user's other programs",
  },
  {
    key: "kernel/pid_max",
    value: "4194304",
    beforehand: true,
    reason: "a process id is not used again within seconds",
  },
  {
    key: "kernel/core_pattern",
    value: "|/bin/false",
    beforehand: true,
    reason: "no program's memory, which may hold passwords, is written to a disk",
  },
  {
    key: "fs/suid_dumpable",
    value: "0",
    reason: "a program with more rights than its user leaves no core dump",
  },
  {
    key: "fs/protected_symlinks",
    value: "1",
    reason: "a link of someone else's in /tmp is not followed",
  },
  {
    key: "fs/protected_hardlinks",
    value: "1",
    reason: "users make no hard links to files that they cannot write",
  },
  {
    key: "fs/protected_regular",
    value: "2",
    reason: "a file of someone else's in /tmp is not opened by a program that means to create it",
  },
  {
    key: "fs/protected_fifos",
    value: "1",
    stronger: ["2"],
    reason: "the same for fifos",
  },
  {
    key: "vm/unprivileged_userfaultfd",
    value: "0",
    reason: "users cannot stop the kernel in the middle of a copy, which exploits build on",
  },
  {
    key: "dev/tty/ldisc_autoload",
    value: "0",
    reason: "users do not load old line disciplines, which have had many holes",
  },
];
