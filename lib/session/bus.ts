/** The session bus: the one that answers, or a new one. */
import { spawn } from "node:child_process";
import { createConnection } from "node:net";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { close, lockFile } from "../linux/index.ts";
import { findExecutable } from "./desktop.ts";

/** How long a bus has to answer, and a new one to come up, in milliseconds. */
const ANSWER_LIMIT = 1000;
const START_LIMIT = 5000;

/**
 * True if a message bus answers at a Unix socket and takes us for who we are: it accepts EXTERNAL
 * authentication, the first thing that every client does. A file whose bus is dead is none.
 */
export function busAnswers(socket: string, uid: number, limit = ANSWER_LIMIT): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const connection = createConnection({ path: socket });
  const timer = setTimeout(() => resolve(false), limit);
  let answer = "";
  const uidInHex = Buffer.from(`${uid}`).toString("hex");
  connection.on("connect", () => connection.write(`\0AUTH EXTERNAL ${uidInHex}\r\n`));
  connection.on("data", (bytes) => {
    answer += bytes.toString("latin1");
    if (answer.includes("\n")) resolve(answer.startsWith("OK "));
  });
  connection.on("error", () => resolve(false));
  connection.on("close", () => resolve(false));
  return promise.finally(() => {
    clearTimeout(timer);
    connection.destroy();
  });
}

/** A session bus that can be used. */
export interface SessionBus {
  address: string;
  /** The pid of a bus that was started just now; undefined if it was there before. */
  started: number | undefined;
}

/**
 * Finds the session bus that answers, at the inherited address, else at RUNTIME_FOLDER/bus.
 *
 * @returns undefined if there is none
 */
export async function findSessionBus(
  inherited: string | undefined,
  runtimeFolder: string,
  uid: number,
): Promise<SessionBus | undefined> {
  // D-Bus is loaded here and not above, so that --version and --help do without.
  const { addressOfPath, parseAddresses } = await import("../dbus/index.ts");
  for (const address of parseAddresses(inherited ?? "", runtimeFolder)) {
    if (inherited && "socket" in address && (await busAnswers(address.socket, uid))) {
      return { address: inherited, started: undefined };
    }
  }
  const own = join(runtimeFolder, "bus");
  if (!(await busAnswers(own, uid))) return undefined;
  return { address: addressOfPath(own), started: undefined };
}

/**
 * Finds the session bus, or starts dbus-daemon at RUNTIME_FOLDER/bus, where every client looks by
 * default. What is left there of a dead bus is replaced (by dbus-daemon). The new bus ends with
 * this process, whatever that executes later, by a parent-death signal.
 *
 * Two logins of one user at the same time get one bus: the search and the start are under a lock.
 *
 * @param environment what services that the new bus starts inherit
 * @throws {Error} if none could be started in time; nothing is left running then
 */
export async function ensureSessionBus(
  inherited: string | undefined,
  runtimeFolder: string,
  uid: number,
  environment: Record<string, string>,
): Promise<SessionBus> {
  const lock = await takeLock(join(runtimeFolder, "lainos-init.lock"));
  try {
    const found = await findSessionBus(inherited, runtimeFolder, uid);
    return found ?? (await startSessionBus(runtimeFolder, environment));
  } finally {
    close(lock);
  }
}

async function takeLock(path: string): Promise<number> {
  const deadline = performance.now() + START_LIMIT;
  for (;;) {
    const lock = lockFile(path);
    if (lock !== undefined) return lock;
    if (performance.now() > deadline) {
      throw new Error(`another login of this user holds ${path} and does not come to an end`);
    }
    // The kernel tells nobody that a lock is free, short of a call that blocks; this is the rare
    // case of two logins in the same second.
    await Bun.sleep(20);
  }
}

async function startSessionBus(
  runtimeFolder: string,
  environment: Record<string, string>,
): Promise<SessionBus> {
  const daemon = findExecutable("dbus-daemon", environment.PATH);
  if (daemon === undefined) throw new Error("dbus-daemon is not installed (pacman -S dbus)");
  const { addressOfPath } = await import("../dbus/index.ts");
  const address = addressOfPath(join(runtimeFolder, "bus"));
  // The address comes by a descriptor of its own: what the bus starts inherits its standard
  // output, which must not be a pipe that nobody reads.
  const child = spawnBound(
    [
      daemon,
      "--session",
      "--nofork",
      "--nopidfile",
      "--nosyslog",
      `--address=${address}`,
      "--print-address=3",
    ],
    environment,
    ["ignore", "inherit", "inherit", "pipe"],
  );
  const ready = Promise.withResolvers<void>();
  const timer = setTimeout(
    () => ready.reject(new Error(`dbus-daemon did not come up within ${START_LIMIT / 1000} s`)),
    START_LIMIT,
  );
  const printed = child.stdio[3] as Readable;
  let text = "";
  printed.on("data", (bytes: Buffer) => {
    text += bytes.toString();
    if (text.includes("\n")) ready.resolve();
  });
  printed.on("error", (error) => ready.reject(error));
  child.on("error", (error) => ready.reject(error));
  child.on("exit", (code, signal) =>
    ready.reject(new Error(`dbus-daemon ended with ${signal ?? `status ${code}`}`)),
  );
  try {
    await ready.promise;
    return { address, started: child.pid };
  } catch (error) {
    child.kill();
    throw error;
  } finally {
    clearTimeout(timer);
    printed.destroy();
    child.removeAllListeners();
    child.unref();
  }
}

/**
 * Starts a program that gets SIGTERM when this process ends, whatever it has become by exec. It
 * runs in a session (setsid) of its own, so that Ctrl-C in a terminal does not end it.
 *
 * @throws {Error} if setpriv, of util-linux, is not installed
 */
export function spawnBound(
  argv: readonly string[],
  environment: Record<string, string>,
  stdio: ("ignore" | "inherit" | "pipe")[],
) {
  const setpriv = findExecutable("setpriv", environment.PATH);
  if (setpriv === undefined) throw new Error("setpriv is not installed (pacman -S util-linux)");
  return spawn(setpriv, ["--pdeathsig", "TERM", "--", ...argv], {
    env: environment,
    stdio,
    detached: true,
  });
}
