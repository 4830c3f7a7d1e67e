/** Becoming another program; see execve(2). Bun's own process.execve closes all file descriptors but three. */
import { check } from "../ffi/errors.ts";
import type { Fd } from "../ffi/fd.ts";
import { addressOf, cString, libc, Memory } from "../ffi/libc.ts";

const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;
/** Above what any program has open at its start. */
const ASIDE = 64;

/** What the program gets besides standard input, output and error. */
export interface PassedOn {
  /** Numbers at which this process was handed something. */
  kept?: readonly Fd[];
  /**
   * File descriptors of this process, for the numbers from `first` on. The program that starts this one
   * has something open at these numbers, so that nothing of Bun's is there.
   */
  placed?: { first: number; fds: readonly Fd[] };
}

/**
 * Becomes another program, which keeps this process's pid: all other threads of the process end.
 *
 * @throws {SystemError} the program cannot be executed. If something was placed, this process is of no
 *   more use then; otherwise this does not come back
 */
export function execute(
  path: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  { kept = [], placed = { first: 0, fds: [] } }: PassedOn = {},
): never {
  const variables = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  const program = cString(path);
  const words = new StringArray(argv);
  const texts = new StringArray(variables);
  // None of them may be overwritten by one before it.
  const aside = placed.fds.map((fd) =>
    check(libc.fcntl(fd, F_DUPFD_CLOEXEC, ASIDE), "fcntl F_DUPFD_CLOEXEC", `descriptor ${fd}`),
  );
  for (const [index, fd] of aside.entries()) {
    check(libc.dup2(fd, placed.first + index), "dup2", `descriptor ${fd}`);
  }
  // Bun has all that it was started with end with the next exec.
  for (const fd of kept) check(libc.fcntl(fd, F_SETFD, 0), "fcntl F_SETFD", `descriptor ${fd}`);
  check(libc.execve(program, words.bytes, texts.bytes), "execve", path);
  throw new Error(`execve ${path}: came back`);
}

/** Has a descriptor that was handed to us end with the next exec. */
export function setCloseOnExec(fd: Fd): void {
  check(libc.fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl F_SETFD", `descriptor ${fd}`);
}

/** An array of C's strings, with a null pointer at its end. */
class StringArray {
  /** Held, so that they are not collected before the call. */
  readonly #strings: readonly Uint8Array[];
  readonly #table: Memory;

  constructor(texts: readonly string[]) {
    this.#strings = texts.map(cString);
    this.#table = new Memory((texts.length + 1) * 8);
    for (const [index, string] of this.#strings.entries()) {
      this.#table.setWord(index * 8, addressOf(string));
    }
  }

  get bytes(): Uint8Array {
    return this.#table.bytes;
  }
}
