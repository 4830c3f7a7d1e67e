/** Programs that the bridge runs as root. */

/** Where they are looked for. The bridge's own PATH is that of whoever started it. */
const SEARCH_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Where a program is; undefined if it is not installed. */
export function findCommand(name: string): string | undefined {
  return Bun.which(name, { PATH: SEARCH_PATH }) ?? undefined;
}

/**
 * Runs a program to its end, in an environment made for it. What it writes goes to the log.
 *
 * @param timeout in milliseconds; then it is killed
 * @throws {Error} it could not be started, failed or took too long, with its path and how it ended
 */
export async function runCommand(
  command: [string, ...string[]],
  timeout: number,
  environment: Readonly<Record<string, string>> = {},
): Promise<void> {
  const child = Bun.spawn(command, {
    cwd: "/",
    env: { PATH: SEARCH_PATH, ...environment },
    stdin: "ignore",
    stdout: Bun.stderr,
    stderr: "inherit",
    timeout,
    killSignal: "SIGKILL",
  });
  const code = await child.exited;
  if (child.signalCode) throw new Error(`${command[0]} was ended by ${child.signalCode}`);
  if (code !== 0) throw new Error(`${command[0]} failed with exit status ${code}`);
}
