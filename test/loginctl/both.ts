/** Our commands beside systemd's own, Debian's unmodified binaries. */
import { join } from "node:path";

const COMMANDS = join(import.meta.dir, "../../cmd");

export type CommandName = "loginctl" | "systemd-inhibit" | "systemd-notify";

/** The words that start our command, from the sources. */
export const ours = (name: CommandName) => [process.execPath, join(COMMANDS, `${name}.ts`)];

/** The words that start systemd's. */
export const theirs = (name: CommandName) => [name];

export interface Outcome {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The outcome without what differs from run to run: how long ago something was, and the caller's pid. */
export function steady({ code, stdout, stderr }: Outcome): Outcome {
  return {
    code,
    stdout: stdout.replaceAll(/; (\d+min )?\d+m?s ago/g, "; SOME TIME ago"),
    stderr: stderr.replaceAll(/PID \d+/g, "PID N"),
  };
}

/** Runs a command to its end, with nothing to read and no terminal. */
export async function runToEnd(
  command: string[],
  environment: Record<string, string> = {},
): Promise<Outcome & { pid: number }> {
  const child = Bun.spawn(command, {
    env: { ...process.env, LC_ALL: "C.UTF-8", ...environment },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [stdout, stderr, code] = await Promise.all([
    child.stdout.text(),
    child.stderr.text(),
    child.exited,
  ]);
  return { code, stdout, stderr, pid: child.pid };
}
