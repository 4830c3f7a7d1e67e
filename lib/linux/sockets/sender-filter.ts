/**
 * Users to whom a datagram socket does not listen, without a word to them: an eBPF program of the
 * socket (SO_ATTACH_BPF in socket(7)), see bpf(2).
 *
 * The kernel runs it in the sender's own system call, and frees there what it drops, with the file
 * descriptors in it. So whoever sends one whose end takes long waits for it, and nobody else.
 */
import { check, hasCode } from "../ffi/errors.ts";
import { close, type Fd } from "../ffi/fd.ts";
import { addressOf, cString, libc, Memory } from "../ffi/libc.ts";
import { attachFilter } from "./options.ts";

const SYS_BPF = 321;
const BPF_MAP_CREATE = 0;
const BPF_MAP_UPDATE_ELEM = 2;
const BPF_MAP_DELETE_ELEM = 3;
const BPF_PROG_LOAD = 5;
const BPF_MAP_TYPE_HASH = 1;
const BPF_PROG_TYPE_SOCKET_FILTER = 1;
/** As much of union bpf_attr as any command here reads, in bytes. */
const ATTRIBUTE_SIZE = 64;

const MOST_USERS = 4096;

/** The helpers' numbers, in enum bpf_func_id. */
const MAP_LOOKUP_ELEM = 1;
const GET_CURRENT_UID_GID = 15;

/** One instruction of eBPF (struct bpf_insn): code, destination register, source register, offset, constant. */
type Instruction = readonly [code: number, to: number, from: number, offset: number, k: number];

const call = (helper: number): Instruction => [0x85, 0, 0, 0, helper];
const moveConstant = (to: number, k: number): Instruction => [0xb7, to, 0, 0, k];
const RETURN: Instruction = [0x95, 0, 0, 0, 0];
const STACK = 10;
/** Where the uid lies below the top of the stack, whose ends the helper wants an address of. */
const AT_UID = -4;
/** A filter's answer is how many bytes of the datagram are kept. */
const ALL_BYTES = -1;

/** Drops what is sent by a process whose real user is in the map. */
const program = (map: Fd): Instruction[] => [
  call(GET_CURRENT_UID_GID),
  // The lower half, the uid.
  [0x63, STACK, 0, AT_UID, 0],
  // A constant of 64 bits, in two; that its source is 1 says that it is the descriptor of a map.
  [0x18, 1, 1, 0, map],
  [0, 0, 0, 0, 0],
  [0xbf, 2, STACK, 0, 0],
  [0x07, 2, 0, 0, AT_UID],
  call(MAP_LOOKUP_ELEM),
  [0x15, 0, 0, 2, 0],
  moveConstant(0, 0),
  RETURN,
  moveConstant(0, ALL_BYTES),
  RETURN,
];

function programBytes(instructions: readonly Instruction[]): Memory {
  const memory = new Memory(instructions.length * 8);
  for (const [index, [code, to, from, offset, k]] of instructions.entries()) {
    const at = index * 8;
    memory.view.setUint8(at, code);
    memory.view.setUint8(at + 1, (from << 4) | to);
    memory.view.setInt16(at + 2, offset, true);
    memory.view.setInt32(at + 4, k, true);
  }
  return memory;
}

function bpf(command: number, attributes: Memory, what: string): number {
  const result = libc.syscall(SYS_BPF, command, addressOf(attributes.bytes), ATTRIBUTE_SIZE, 0, 0);
  return check(result, "bpf", what);
}

/**
 * Gives a datagram socket such a filter, for root.
 *
 * @returns the map of the users, which is the caller's to close; the filter stays with the socket
 * @throws {SystemError} EPERM without CAP_BPF; EINVAL before Linux 6.16, where a filter of sockets
 *   cannot ask who sends; ENOSYS where the kernel has no bpf(2)
 */
export function createSenderFilter(socket: Fd): Fd {
  const attributes = new Memory(ATTRIBUTE_SIZE);
  const { view } = attributes;
  const [type, keySize, valueSize, entries] = [BPF_MAP_TYPE_HASH, 4, 1, MOST_USERS];
  for (const [index, value] of [type, keySize, valueSize, entries].entries()) {
    view.setUint32(index * 4, value, true);
  }
  const map = bpf(BPF_MAP_CREATE, attributes, "a map of users");
  let loaded: Fd | undefined;
  try {
    const instructions = program(map);
    const bytes = programBytes(instructions);
    const license = cString("none");
    attributes.bytes.fill(0);
    view.setUint32(0, BPF_PROG_TYPE_SOCKET_FILTER, true);
    view.setUint32(4, instructions.length, true);
    attributes.setWord(8, addressOf(bytes.bytes));
    attributes.setWord(16, addressOf(license));
    loaded = bpf(BPF_PROG_LOAD, attributes, "a filter of senders");
    attachFilter(socket, loaded);
    return map;
  } catch (error) {
    close(map);
    throw error;
  } finally {
    if (loaded !== undefined) close(loaded);
  }
}

/**
 * Has the socket hear a user no more, or again.
 *
 * @param map what `createSenderFilter` returned, perhaps to another process; it needs no right but this
 * @throws {SystemError} E2BIG if there are more users than the map has room for
 */
export function setHeard(map: Fd, uid: number, heard: boolean): void {
  const key = new Memory(4);
  const value = new Memory(1);
  const attributes = new Memory(ATTRIBUTE_SIZE);
  key.view.setUint32(0, uid, true);
  attributes.view.setUint32(0, map, true);
  attributes.setWord(8, addressOf(key.bytes));
  if (!heard) attributes.setWord(16, addressOf(value.bytes));
  try {
    bpf(heard ? BPF_MAP_DELETE_ELEM : BPF_MAP_UPDATE_ELEM, attributes, `uid ${uid}`);
  } catch (error) {
    if (!(heard && hasCode(error, "ENOENT"))) throw error;
  }
}
