/** Becoming another program; see execve(2). */
import { check } from "./errors.ts";
import type { Fd } from "./fd.ts";
import { addressOf, cString, libc, Memory } from "./libc.ts";

/**
 * Becomes another program, which keeps this process's pid: all other threads of the process end.
 * Bun's own process.execve closes all file descriptors but the first three, and this one those with
 * close-on-exec, which Bun sets for all that a process is given.
 *
 * @param keep file descriptors that stay open
 * @throws {SystemError} the program cannot be executed; otherwise this does not come back
 */
export function execute(
  path: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  keep: readonly Fd[],
): never {
  const F_SETFD = 2;
  for (const fd of keep) check(libc.fcntl(fd, F_SETFD, 0), "fcntl F_SETFD", `descriptor ${fd}`);
  const variables = Object.entries(environment).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value}`],
  );
  const words = new StringArray(argv);
  const texts = new StringArray(variables);
  check(libc.execve(cString(path), words.bytes, texts.bytes), "execve", path);
  throw new Error(`execve ${path}: came back`);
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
