/** Which kernel settings, and why. */

/** `net` keys belong to a network namespace, `kernel` keys to the whole machine. */
export const SCOPES = ["net", "kernel"] as const;
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
}

/** In the order of writing. See ip-sysctl and sysctl/kernel in the kernel's documentation. */
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
];
