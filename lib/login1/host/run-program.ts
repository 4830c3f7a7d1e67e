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
    ...settings(environment),
    stdio: ["ignore", Bun.stderr, "inherit"],
    timeout,
  });
  await child.exited;
  checkEnd(command, child);
}

/**
 * Runs a tool of the system's by its name, as `runCommand` does.
 *
 * @throws {Error} as that does; or it is not installed
 */
export async function runTool(
  name: string,
  words: readonly string[],
  timeout: number,
): Promise<void> {
  const path = findCommand(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  await runCommand([path, ...words], timeout);
}

/** `runCommand` without doing anything else meanwhile: for what takes no time. */
export function runCommandNow(command: [string, ...string[]], timeout: number): void {
  const ended = Bun.spawnSync(command, {
    ...settings({}),
    stdio: ["ignore", "inherit", "inherit"],
    timeout,
  });
  checkEnd(command, ended);
}

const settings = (environment: Readonly<Record<string, string>>) => ({
  cwd: "/",
  env: { PATH: SEARCH_PATH, ...environment },
  killSignal: "SIGKILL" as const,
});

function checkEnd(
  [program]: [string, ...string[]],
  {
    exitCode,
    signalCode,
  }: { exitCode: number | null; signalCode?: string | number | null | undefined },
): void {
  if (signalCode) throw new Error(`${program} was ended by ${signalCode}`);
  if (exitCode !== 0) throw new Error(`${program} failed with exit status ${exitCode}`);
}
