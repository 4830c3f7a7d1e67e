import { describe, expect, test } from "bun:test";
import { assembleFilter, type Instruction, type Rule } from "../../lib/linux/index.ts";

const ALLOW = 0x7fff0000;
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
    if (code === 0x06) return k;
    if (code === 0x20) loaded = data.getUint32(k, true);
    else if (code === 0x15) at += loaded === k ? jt : jf;
    else if (code === 0x35) at += loaded >= k ? jt : jf;
    else if (code === 0x45) at += (loaded & k) !== 0 ? jt : jf;
    else throw new Error(`instruction ${code} is unknown`);
  }
}

const RULES: Rule[] = [
  { call: "ptrace", refuse: "EPERM" },
  { call: "clone3", refuse: "ENOSYS" },
  { call: "clone", argument: 0, without: 0x7e020000 },
  { call: "socket", argument: 0, oneOf: [1, 16] },
  { call: "ioctl", argument: 1, noneOf: [0x5412, 0x541c] },
];

describe("a filter", () => {
  const program = assembleFilter(RULES);

  test.each([
    ["a call without a rule", 0, [], ALLOW],
    ["ptrace", 101, [], EPERM],
    ["clone3", 435, [], ENOSYS],
    ["clone for a thread", 56, [0x3d0f00], ALLOW],
    ["clone for a user namespace", 56, [0x10000011], EPERM],
    ["a socket of the file system", 41, [1], ALLOW],
    ["netlink", 41, [16], ALLOW],
    ["the internet", 41, [2], EPERM],
    ["ioctl for a size", 16, [0, 0x5413], ALLOW],
    ["typing for others", 16, [0, 0x5412], EPERM],
    [
      "typing for others, with the upper half set, which the kernel drops",
      16,
      [0, 0x100005412],
      EPERM,
    ],
    ["a call of x32", 0x40000000, [], EPERM],
  ])("answers %s", (_, call, args, expected) => {
    expect(answer(program, call, args)).toBe(expected);
  });

  test("refuses every call of i386", () => {
    expect(answer(program, 0, [], 0x40000003)).toBe(EPERM);
  });
});
