import { describe, expect, test } from "bun:test";
import { rulesOf } from "../../../lib/cli/index.ts";
import { assembleFilter, type Policy } from "../../../lib/linux/index.ts";
import type { Instruction } from "../../../lib/linux/sandbox/seccomp.ts";
import { CALLS, type CallName } from "../../../lib/linux/sandbox/system-calls.ts";

const ALLOW = 0x7fff0000;
const LOG = 0x7ffc0000;
const EPERM = 0x00050001;
const ENOSYS = 0x00050026;
const X86_64 = 0xc000003e;

/** What the kernel would answer to a call: classic BPF on struct seccomp_data. */
function answer(program: Instruction[], call: number, args: number[] = [], arch = X86_64): number {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, call, true);
  data.setUint32(4, arch, true);
  for (const [index, value] of args.entries())
    data.setBigUint64(16 + index * 8, BigInt(value), true);
  let loaded = 0;
  for (let at = 0; ; at++) {
    const [code, jt, jf, k] = program[at] ?? [];
    if (code === undefined || jt === undefined || jf === undefined || k === undefined) {
      throw new Error(`the program ends without an answer, at ${at}`);
    }
    if (jt > 255 || jf > 255) throw new Error(`the jump at ${at} is too long`);
    if (code === 0x06) return k;
    if (code === 0x20) loaded = data.getUint32(k, true);
    else if (code === 0x15) at += loaded === k ? jt : jf;
    else if (code === 0x25) at += loaded > k ? jt : jf;
    else if (code === 0x35) at += loaded >= k ? jt : jf;
    else if (code === 0x45) at += (loaded & k) !== 0 ? jt : jf;
    else throw new Error(`instruction ${code} is unknown`);
  }
}

const POLICY: Policy = {
  allow: ["read", "write", "open", "close", "futex"],
  rules: [
    { call: "ptrace", refuse: "EPERM" },
    { call: "clone3", refuse: "ENOSYS" },
    {
      call: "clone",
      where: [
        [
          { argument: 0, having: 0x10000 },
          { argument: 0, without: 0x7e020000 },
        ],
      ],
    },
    {
      call: "socket",
      where: [
        [{ argument: 0, oneOf: [1] }],
        [
          { argument: 0, oneOf: [16] },
          { argument: 2, oneOf: [15] },
        ],
      ],
    },
    {
      call: "ioctl",
      where: [[{ argument: 1, oneOf: [0x5413, 0x5421, 0x541b] }]],
      otherwiseWhere: [[{ argument: 1, noneOf: [0x5412, 0x541c] }]],
    },
  ],
  otherwise: "EPERM",
};

describe("a filter", () => {
  const program = assembleFilter(POLICY);
  const logging = assembleFilter({ ...POLICY, otherwise: "log" });

  test.each([
    ["a call that is allowed", 0, [], ALLOW, ALLOW],
    ["the last of several in a row", 3, [], ALLOW, ALLOW],
    ["the one behind them", 4, [], EPERM, LOG],
    ["one that stands alone", 202, [], ALLOW, ALLOW],
    ["the one before it", 201, [], EPERM, LOG],
    ["ptrace", 101, [], EPERM, EPERM],
    ["clone3", 435, [], ENOSYS, ENOSYS],
    ["a call that the table does not have yet", 4000, [], ENOSYS, ENOSYS],
    ["clone for a thread", 56, [0x3d0f00], ALLOW, ALLOW],
    ["clone for a process", 56, [0x11], EPERM, EPERM],
    ["clone for a user namespace", 56, [0x10010000], EPERM, EPERM],
    ["a socket of the file system", 41, [1], ALLOW, ALLOW],
    ["uevents", 41, [16, 3, 15], ALLOW, ALLOW],
    ["the firewall's netlink", 41, [16, 3, 12], EPERM, EPERM],
    ["the internet", 41, [2], EPERM, EPERM],
    ["ioctl for a size", 16, [0, 0x5413], ALLOW, ALLOW],
    ["the last ioctl of the list", 16, [0, 0x541b], ALLOW, ALLOW],
    ["an ioctl in no list", 16, [0, 0x5480], EPERM, LOG],
    ["typing for others", 16, [0, 0x5412], EPERM, EPERM],
    [
      "typing for others, with an upper half, which the kernel drops",
      16,
      [0, 0x100005412],
      EPERM,
      EPERM,
    ],
    ["a call of x32", 0x40000000, [], EPERM, EPERM],
  ])("answers %s", (_, call, args, expected, logged) => {
    expect(answer(program, call, args)).toBe(expected);
    expect(answer(logging, call, args)).toBe(logged);
  });

  test("refuses every call of i386", () => {
    expect(answer(program, 0, [], 0x40000003)).toBe(EPERM);
  });
});

describe("the filters of the daemons", () => {
  const PID = 4711;
  const daemons = ["dbus-bridge", "notifyd", "ghost-units", "net-init"];
  const filter = (name: string) => assembleFilter(rulesOf(name, "refuse", PID));
  const ask = (name: string, call: CallName, ...args: number[]) =>
    answer(filter(name), CALLS[call], args);

  /** What each of them refuses, as an attacker would call it. */
  const ATTACKS: [what: string, call: CallName, args: number[]][] = [
    ["a keyboard's table (KDSKBENT)", "ioctl", [3, 0x4b47]],
    ["a function key's text (KDSKBSENT)", "ioctl", [3, 0x4b49]],
    ["accents (KDSKBDIACR)", "ioctl", [3, 0x4b4b]],
    ["accents (KDSKBDIACRUC)", "ioctl", [3, 0x4bfb]],
    ["a key's code (KDSETKEYCODE)", "ioctl", [3, 0x4b4d]],
    ["the console's output (TIOCCONS)", "ioctl", [3, 0x541d]],
    ["typing (TIOCSTI)", "ioctl", [3, 0x5412]],
    ["pasting (TIOCLINUX)", "ioctl", [3, 0x541c]],
    ["a font (PIO_FONT)", "ioctl", [3, 0x4b61]],
    ["a font (PIO_FONTX)", "ioctl", [3, 0x4b6c]],
    ["a font (KDFONTOP)", "ioctl", [3, 0x4b72]],
    ["the card's ports (KDENABIO)", "ioctl", [3, 0x4b36]],
    ["a terminal of another (TIOCSCTTY)", "ioctl", [3, 0x540e]],
    ["a keyboard of one's own (UI_DEV_CREATE)", "ioctl", [3, 0x5501]],
    ["a key's code (EVIOCSKEYCODE)", "ioctl", [3, 0x40084504]],
    ["the limits of another process", "prlimit64", [1, 7]],
    ["routes", "socket", [16, 3, 0]],
    ["the firewall", "socket", [16, 3, 12]],
    ["packets", "socket", [17, 3, 0]],
    ["statmount", "statmount", []],
    ["listmount", "listmount", []],
    ["lsm_set_self_attr", "lsm_set_self_attr", []],
    ["map_shadow_stack", "map_shadow_stack", []],
    ["name_to_handle_at", "name_to_handle_at", []],
    ["vhangup", "vhangup", []],
    ["execveat", "execveat", []],
    ["sched_setattr", "sched_setattr", []],
    ["SCHED_FIFO", "sched_setscheduler", [0, 1]],
    ["SCHED_DEADLINE", "sched_setscheduler", [0, 6]],
    ["set-user-ID by chmod", "chmod", [0, 0o4755]],
    ["set-group-ID by fchmod", "fchmod", [3, 0o2755]],
    ["set-user-ID by fchmodat", "fchmodat", [-100, 0, 0o4755]],
    ["set-user-ID by fchmodat2", "fchmodat2", [-100, 0, 0o4755]],
    ["set-user-ID by a new file", "openat", [-100, 0, 0o101, 0o4755]],
    ["set-user-ID by an unnamed file", "openat", [-100, 0, 0o20200002, 0o4755]],
    ["set-user-ID by creat", "creat", [0, 0o4755]],
    ["set-group-ID by mkdir", "mkdir", [0, 0o2755]],
    ["a disk's node", "mknod", [0, 0o060600, 0x700]],
    ["a device's node", "mknodat", [-100, 0, 0o020600, 0x101]],
  ];
  test.each(daemons)("%s: no attack is allowed", (name) => {
    // Arguments are what a 64-bit register has.
    const unsigned = (args: number[]) => args.map((value) => (value < 0 ? value + 2 ** 32 : value));
    const allowed = ATTACKS.filter(
      ([, call, args]) => ask(name, call, ...unsigned(args)) !== EPERM,
    ).map(([what]) => what);
    expect(allowed).toEqual([]);
    expect(ask(name, "openat2")).toBe(ENOSYS);
    expect(answer(filter(name), 999)).toBe(ENOSYS);
  });

  test.each(daemons.slice(1))("%s starts nothing and signals itself alone", (name) => {
    for (const call of ["execve", "fork", "vfork", "pidfd_send_signal", "tkill"] as const) {
      expect([call, ask(name, call)]).toEqual([call, EPERM]);
    }
    expect(ask(name, "clone", 0x11)).toBe(EPERM);
    for (const call of ["kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"] as const) {
      expect([call, ask(name, call, PID)]).toEqual([call, ALLOW]);
      for (const other of [1, 0, PID - 1, 0xffff_ffff]) {
        expect([call, other, ask(name, call, other)]).toEqual([call, other, EPERM]);
      }
    }
    expect(ask(name, "socket", 16, 3, 15)).toBe(EPERM);
  });

  test.each(daemons)("%s can do what it has to", (name) => {
    expect(ask(name, "socket", 1)).toBe(ALLOW);
    expect(ask(name, "openat", 0xffffff9c, 0, 0, 0xdead)).toBe(ALLOW);
    expect(ask(name, "openat", 0xffffff9c, 0, 0o101, 0o644)).toBe(ALLOW);
    expect(ask(name, "mknod", 0, 0o010600)).toBe(ALLOW);
    expect(ask(name, "mkdir", 0, 0o1775)).toBe(ALLOW);
    expect(ask(name, "clone", 0x3d0f00)).toBe(ALLOW);
    expect(ask(name, "ioctl", 3, 0x5452)).toBe(ALLOW);
    expect(ask(name, "prlimit64", 0, 7)).toBe(ALLOW);
  });

  test("the bridge has what sessions, VTs and devices need, and what it starts", () => {
    for (const request of [
      0x5606, 0x5602, 0x5605, 0x4b3a, 0x4b45, 0x641e, 0x40044591, 0x4004480d,
    ]) {
      expect(ask("dbus-bridge", "ioctl", 3, request)).toBe(ALLOW);
    }
    expect(ask("dbus-bridge", "kill", 1, 15)).toBe(ALLOW);
    expect(ask("dbus-bridge", "execve")).toBe(ALLOW);
    expect(ask("dbus-bridge", "socket", 16, 3, 15)).toBe(ALLOW);
  });

  test("lainos-ghost-units can give a directory to root", () => {
    expect(ask("ghost-units", "lchown")).toBe(ALLOW);
    expect(ask("net-init", "lchown")).toBe(EPERM);
  });

  test("in log mode what is known to be dangerous stays refused", () => {
    const program = assembleFilter(rulesOf("notifyd", "log", PID));
    for (const call of ["mount", "bpf", "io_uring_setup", "setns", "statmount"] as const) {
      expect([call, answer(program, CALLS[call])]).toEqual([call, EPERM]);
    }
    expect(answer(program, CALLS.ioctl, [3, 0x4b49])).toBe(EPERM);
    expect(answer(program, CALLS.ioctl, [3, 0x9999])).toBe(LOG);
    expect(answer(program, CALLS.setpriority)).toBe(LOG);
  });

  test("sound servers may call what is known, but for what no program of ours has to", () => {
    expect(ask("audio-init", "setpriority")).toBe(ALLOW);
    expect(ask("audio-init", "sched_setscheduler", 0, 1)).toBe(ALLOW);
    expect(ask("audio-init", "socket", 2)).toBe(ALLOW);
    expect(ask("audio-init", "bpf")).toBe(EPERM);
    expect(ask("audio-init", "ioctl", 3, 0x4b49)).toBe(EPERM);
    expect(answer(filter("audio-init"), 999)).toBe(ENOSYS);
  });
});
