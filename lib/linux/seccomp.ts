/**
 * A filter of system calls, assembled here and set for all threads of the process: see seccomp(2)
 * and the kernel's Documentation/userspace-api/seccomp_filter.rst. For x86-64.
 */
import { check, errno } from "./errors.ts";
import { addressOf, libc, Memory } from "./libc.ts";
import { CALLS, type CallName } from "./system-calls.ts";

const PR_SET_NO_NEW_PRIVS = 38;
const SYS_SECCOMP = 317;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const ARCH_X86_64 = 0xc000_003e;
/** Calls of x32 have this bit in their number. */
const X32_BIT = 0x4000_0000;
const ALLOW = 0x7fff_0000;
const refuse = (number: number) => (0x0005_0000 | number) >>> 0;

// struct seccomp_data: nr, arch, instruction_pointer, args[6], each argument of 8 bytes.
const AT_NUMBER = 0;
const AT_ARCH = 4;
const atArgument = (index: number) => 16 + index * 8;

/** One instruction of classic BPF: code, jump if true, jump if false, constant. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const ret = (action: number): Instruction => [0x06, 0, 0, action];
/** Skips `jf` instructions unless the loaded word is `k`. */
const unlessEqual = (k: number, jf: number): Instruction => [0x15, 0, jf, k];
const unlessBits = (k: number, jf: number): Instruction => [0x45, 0, jf, k];
const unlessAtLeast = (k: number, jf: number): Instruction => [0x35, 0, jf, k];

/** What becomes of one call: refused, or refused by its arguments. */
export type Rule =
  | { call: CallName; refuse: "EPERM" | "ENOSYS" }
  /** Refused where the argument's lower half is none of these. */
  | { call: CallName; argument: number; oneOf: readonly number[] }
  /** Refused where the argument's lower half is one of these. */
  | { call: CallName; argument: number; noneOf: readonly number[] }
  /** Refused where the argument has one of these bits. */
  | { call: CallName; argument: number; without: number };

/**
 * The program for some rules, of which each call has at most one. Calls without a rule are allowed,
 * and calls of other architectures (i386, x32) fail with EPERM.
 */
export function assembleFilter(rules: readonly Rule[]): Instruction[] {
  const denied = ret(refuse(errno.EPERM));
  const program: Instruction[] = [
    load(AT_ARCH),
    [0x15, 1, 0, ARCH_X86_64],
    denied,
    load(AT_NUMBER),
    unlessAtLeast(X32_BIT, 1),
    denied,
  ];
  for (const rule of rules) {
    const body = ruleBody(rule, denied);
    program.push(unlessEqual(CALLS[rule.call], body.length), ...body);
  }
  return [...program, ret(ALLOW)];
}

/** What follows the number's comparison: it always returns. */
function ruleBody(rule: Rule, denied: Instruction): Instruction[] {
  if ("refuse" in rule) return [ret(refuse(errno[rule.refuse]))];
  const body = [load(atArgument(rule.argument))];
  if ("without" in rule) return [...body, unlessBits(rule.without, 1), denied, ret(ALLOW)];
  const [values, then, otherwise] =
    "oneOf" in rule ? [rule.oneOf, ret(ALLOW), denied] : [rule.noneOf, denied, ret(ALLOW)];
  for (const value of values) body.push(unlessEqual(value >>> 0, 1), then);
  return [...body, otherwise];
}

/** The program as the kernel reads it: an array of struct sock_filter. */
export function programBytes(program: readonly Instruction[]): Uint8Array {
  const { bytes, view } = new Memory(program.length * 8);
  for (const [index, [code, jt, jf, k]] of program.entries()) {
    const at = index * 8;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  }
  return bytes;
}

/**
 * Sets a filter, and no_new_privs, for all threads of this process and all that it starts, for good.
 *
 * @throws {SystemError} EINVAL where the kernel has no filters
 */
export function setFilter(program: readonly Instruction[]): void {
  // The kernel gives it to the other threads along with the filter.
  check(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl", "PR_SET_NO_NEW_PRIVS");
  const bytes = programBytes(program);
  const header = new Memory(16);
  header.view.setUint16(0, program.length, true);
  header.setWord(8, addressOf(bytes));
  const result = check(
    libc.syscall(
      SYS_SECCOMP,
      SECCOMP_SET_MODE_FILTER,
      SECCOMP_FILTER_FLAG_TSYNC,
      addressOf(header.bytes),
      0,
      0,
    ),
    "seccomp",
    `a filter of ${program.length} instructions`,
  );
  if (result !== 0) throw new Error(`the filter of system calls does not reach thread ${result}`);
}
