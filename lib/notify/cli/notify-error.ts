/** What ends systemd-notify early. */
import { describeErrno, errno, SystemError } from "../../linux/index.ts";

/** One line for standard error, and the errno that a service manager is told. */
export class NotifyError extends Error {
  override name = "NotifyError";

  constructor(
    message: string,
    readonly errno: number,
  ) {
    super(message);
  }

  /** `WHAT: reason`, in libc's words, as systemd's command has it. */
  static of(what: string, number: number): NotifyError {
    return new NotifyError(`${what}: ${describeErrno(number)}`, number);
  }

  /** The same of a failed system call; everything else is a fault of ours and stays what it is. */
  static from(what: string, error: unknown): unknown {
    return error instanceof SystemError ? NotifyError.of(what, error.errno) : error;
  }
}

/** A command line that makes no sense. */
export const refusal = (message: string): NotifyError => new NotifyError(message, errno.EINVAL);
