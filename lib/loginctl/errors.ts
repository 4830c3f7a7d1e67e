/** What ends one of these commands early; all of them exit with 1, as systemd's do. */

import { BusError } from "../dbus/index.ts";
import { messageOf } from "../linux/index.ts";

/** What went wrong, in one line for standard error. */
export class CommandError extends Error {
  override name = "CommandError";
}

const ACCESS_DENIED = "org.freedesktop.DBus.Error.AccessDenied";

/** What an error says to a person: for a refusal always the same words, as libsystemd has it. */
export function reasonOf(error: unknown): string {
  if (error instanceof BusError && error.errorName === ACCESS_DENIED) return "Access denied";
  return messageOf(error);
}

/** Does something, and says what it was if it fails: `WHAT: reason`. */
export async function saying<Result>(what: string, work: Promise<Result>): Promise<Result> {
  try {
    return await work;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new CommandError(`${what}: ${reasonOf(error)}`);
  }
}
