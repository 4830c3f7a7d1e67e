/**
 * A filter of system calls, assembled here and set for all threads of the process: see seccomp(2)
 * and the kernel's Documentation/userspace-api/seccomp_filter.rst. For x86-64.
 */
import { check, errno } from "../ffi/errors.ts";
import { addressOf, libc, Memory } from "../ffi/libc.ts";
import { CALLS, type CallName } from "./system-calls.ts";

const PR_SET_NO_NEW_PRIVS = 38;
const SYS_SECCOMP = 317;
const SECCOMP_SET_MODE_FILTER = 1;
const SECCOMP_FILTER_FLAG_TSYNC = 1;
const SECCOMP_FILTER_FLAG_LOG = 2;
const ARCH_X86_64 = 0xc000_003e;
/** Calls of x32 have this bit in their number. */
const X32_BIT = 0x4000_0000;
const ALLOW = 0x7fff_0000;
const LOG = 0x7ffc_0000;
const refuse = (number: number) => (0x0005_0000 | number) >>> 0;

// struct seccomp_data: nr, arch, instruction_pointer, args[6], each argument of 8 bytes.
const AT_NUMBER = 0;
const AT_ARCH = 4;
const atArgument = (index: number) => 16 + index * 8;

/** One instruction of classic BPF: code, jump if true, jump if false, constant. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const JUMP_EQUAL = 0x15;
const JUMP_ABOVE = 0x25;
const JUMP_AT_LEAST = 0x35;
const JUMP_BITS = 0x45;
const load = (offset: number): Instruction => [0x20, 0, 0, offset];
const ret = (action: number): Instruction => [0x06, 0, 0, action];

/** What a filter answers to a call: an errno, or that the kernel does it and says so in its log. */
export type Refusal = "EPERM" | "ENOSYS" | "log";

/** A condition on the lower half of one argument, which is all that these calls look at. */
export type Condition =
  | { argument: number; oneOf: readonly number[] }
  | { argument: number; noneOf: readonly number[] }
  /** None of these bits. */
  | { argument: number; without: number }
  /** At least one of these bits. */
  | { argument: number; having: number };

/** What becomes of one call: refused, or allowed where all conditions of one alternative hold. */
export type Rule =
  | { call: CallName; refuse: Refusal }
  | {
      call: CallName;
      where: readonly (readonly Condition[])[];
      /** Where none of `where` holds but one of these does, the call gets the policy's `otherwise`. */
      otherwiseWhere?: readonly (readonly Condition[])[];
    };

/** What a program may call. */
export interface Policy {
  /** Calls with any arguments; `allBut` stands for all of system-calls.ts but those. */
  readonly allow: readonly CallName[] | { readonly allBut: readonly CallName[] };
  /** At most one for each call. They come before `allow`. */
  readonly rules: readonly Rule[];
  /** What becomes of the calls of system-calls.ts that are in neither. */
  readonly otherwise: Refusal;
}

/** The highest number that system-calls.ts knows. */
const LAST_CALL = Math.max(...Object.values(CALLS));

/**
 * The program for a policy. Calls of other architectures (i386, x32) fail with EPERM. Calls that are
 * newer than system-calls.ts fail with ENOSYS, as in a kernel without them, so that libraries use what
 * they used before.
 *
 * Calls with conditions come first. The kernel runs no program at all for a call that is allowed
 * whatever its arguments are (since Linux 5.11), so the order of those does not matter.
 */
export function assembleFilter({ allow, rules, otherwise }: Policy): Instruction[] {
  const program: Instruction[] = [
    load(AT_ARCH),
    [JUMP_EQUAL, 1, 0, ARCH_X86_64],
    ret(refuse(errno.EPERM)),
    load(AT_NUMBER),
    [JUMP_AT_LEAST, 0, 1, X32_BIT],
    ret(refuse(errno.EPERM)),
  ];
  const fallback = ret(action(otherwise));
  for (const rule of rules) {
    const body = ruleBody(rule, fallback);
    program.push([JUMP_EQUAL, 0, body.length, CALLS[rule.call]], ...body);
  }
  for (const [first, last] of ranges(numbersOf(allow))) {
    if (first === last) program.push([JUMP_EQUAL, 0, 1, first]);
    else program.push([JUMP_AT_LEAST, 0, 2, first], [JUMP_ABOVE, 1, 0, last]);
    program.push(ret(ALLOW));
  }
  return [...program, [JUMP_ABOVE, 1, 0, LAST_CALL], fallback, ret(refuse(errno.ENOSYS))];
}

const action = (refusal: Refusal) => (refusal === "log" ? LOG : refuse(errno[refusal]));

function numbersOf(allow: Policy["allow"]): number[] {
  if (!("allBut" in allow)) return allow.map((call) => CALLS[call]);
  const but: readonly string[] = allow.allBut;
  return Object.entries(CALLS).flatMap(([call, number]) => (but.includes(call) ? [] : [number]));
}

/** Numbers as ranges without gaps. */
function ranges(numbers: readonly number[]): [first: number, last: number][] {
  const found: [number, number][] = [];
  for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
    const last = found.at(-1);
    if (last && last[1] === number - 1) last[1] = number;
    else found.push([number, number]);
  }
  return found;
}

/** What follows the number's comparison: it always returns. */
function ruleBody(rule: Rule, fallback: Instruction): Instruction[] {
  if ("refuse" in rule) return [ret(action(rule.refuse))];
  return [
    ...rule.where.flatMap((conditions) => alternative(conditions, ret(ALLOW))),
    ...(rule.otherwiseWhere ?? []).flatMap((conditions) => alternative(conditions, fallback)),
    ret(refuse(errno.EPERM)),
  ];
}

/** Returns by `then` where all conditions hold, and goes on behind itself where one does not. */
function alternative(conditions: readonly Condition[], then: Instruction): Instruction[] {
  let body = [then];
  // From the last to the first, since each jumps over all that follows it.
  for (const condition of conditions.toReversed()) {
    body = [load(atArgument(condition.argument)), ...test(condition, body.length), ...body];
  }
  return body;
}

/** Goes on where the condition holds, and else skips what follows. @param skipped how much that is */
function test(condition: Condition, skipped: number): Instruction[] {
  if ("without" in condition) return [[JUMP_BITS, skipped, 0, condition.without >>> 0]];
  if ("having" in condition) return [[JUMP_BITS, 0, skipped, condition.having >>> 0]];
  const isAmong = "oneOf" in condition;
  const values = isAmong ? condition.oneOf : condition.noneOf;
  return values.map((value, index) => {
    const rest = values.length - 1 - index;
    if (!isAmong) return [JUMP_EQUAL, rest + skipped, 0, value >>> 0];
    return [JUMP_EQUAL, rest, rest === 0 ? skipped : 0, value >>> 0];
  });
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
 * @param report whether the kernel's log has each call that the filter refuses (audit, type 1326)
 * @throws {SystemError} EINVAL where the kernel has no filters
 */
export function setFilter(program: readonly Instruction[], report: boolean): void {
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
      SECCOMP_FILTER_FLAG_TSYNC | (report ? SECCOMP_FILTER_FLAG_LOG : 0),
      addressOf(header.bytes),
      0,
      0,
    ),
    "seccomp",
    `a filter of ${program.length} instructions`,
  );
  if (result !== 0) throw new Error(`the filter of system calls does not reach thread ${result}`);
}
