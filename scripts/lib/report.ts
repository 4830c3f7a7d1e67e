/** How a failed command tells a person what went wrong. */
import { UserError } from "../user-error.ts";
import { Interrupted } from "./interrupt.ts";

/**
 * Runs a command's work. What a person can mend is printed as it is, logs of a failed boot with it,
 * and makes the exit status 1; an interruption is 128 and the signal's number; anything else is a
 * mistake in our code and goes on.
 * @param command its own name, which the line begins with.
 */
export async function reported(command: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Interrupted) {
      console.error(`${command}: ${error.message}`);
      process.exitCode = error.status;
    } else if (error instanceof UserError) {
      console.error(`${command}: ${error.message}`);
      process.exitCode = 1;
    } else {
      throw error;
    }
  }
}
