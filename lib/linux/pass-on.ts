/** Handing open files to the program that this process becomes: process.execve closes all but three. */
import { check } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { addressOf, cString, libc, Memory } from "./libc.ts";

const F_SETFD = 2;
const F_DUPFD_CLOEXEC = 1030;
const FD_CLOEXEC = 1;
/** Above what any program has open at its start. */
const ASIDE = 64;

/**
 * Executes a program in place of this process, by execve(2).
 *
 * @param fds for the program, at the numbers from `first` on. Whoever starts this process has something
 *   open at these numbers, so that nothing of Bun's is there
 * @param kept numbers at which this process was handed something that the program gets too
 * @throws {SystemError} the descriptors are in place then, and this process is of no more use
 */
export function executeWith(
  { first, fds, kept }: { first: number; fds: readonly Fd[]; kept: readonly Fd[] },
  path: string,
  words: readonly string[],
  environment: Readonly<Record<string, string>>,
): never {
  // None of them may be overwritten by one before it.
  const aside = fds.map((fd) =>
    check(libc.fcntl(fd, F_DUPFD_CLOEXEC, ASIDE), "fcntl F_DUPFD_CLOEXEC", `descriptor ${fd}`),
  );
  const argv = new StringArray(words);
  const env = new StringArray(Object.entries(environment).map((entry) => entry.join("=")));
  for (const [index, fd] of aside.entries()) {
    check(libc.dup2(fd, first + index), "dup2", `descriptor ${fd}`);
  }
  // Bun has all that it was started with end with the next exec.
  for (const fd of kept) check(libc.fcntl(fd, F_SETFD, 0), "fcntl F_SETFD", `descriptor ${fd}`);
  check(libc.execve(cString(path), argv.bytes, env.bytes), "execve", path);
  throw new Error("execve has come back");
}

/** A `char *const []` of C, with its strings. */
class StringArray {
  readonly bytes: Uint8Array;
  /** Kept, since C has but their addresses. */
  readonly #texts: Uint8Array[];

  constructor(texts: readonly string[]) {
    this.#texts = texts.map(cString);
    const pointers = new Memory(8 * (texts.length + 1));
    for (const [index, text] of this.#texts.entries()) pointers.setWord(8 * index, addressOf(text));
    this.bytes = pointers.bytes;
  }
}

/** Has a descriptor that was handed to us end with the next exec. */
export function setCloseOnExec(fd: Fd): void {
  check(libc.fcntl(fd, F_SETFD, FD_CLOEXEC), "fcntl F_SETFD", `descriptor ${fd}`);
}
