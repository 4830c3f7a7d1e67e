/**
 * The sockets of lainos-notifyd, opened by root for a daemon that is not root: where they are only root
 * may make anything, and only root gets room in them above the system's limit. They are passed on as
 * sd_listen_fds(3) has it.
 */
import { accessSync, constants } from "node:fs";
import { Failure } from "../cli/index.ts";
import {
  createSenderFilter,
  execute,
  type Fd,
  messageOf,
  resetSignal,
  setCloseOnExec,
} from "../linux/index.ts";
import { openStore } from "./fdstore/store-server.ts";
import { claimSocket } from "./protocol/socket.ts";

/** What is passed on. */
export interface Sockets {
  /** The notify socket. */
  notify: Fd;
  /** The descriptor store's socket, which listens. */
  store: Fd;
  /** Says that no other one of us runs; see `claimSocket`. */
  lock: Fd;
  /** The map of the notify socket's filter of senders, where the kernel has one. */
  senders?: Fd | undefined;
}

/** Their names in LISTEN_FDNAMES, in the order of their numbers. */
const NAMES = ["notify", "store", "lock", "senders"] as const satisfies readonly (keyof Sockets)[];
/** Those that there are always. */
const NEEDED = NAMES.length - 1;

/** SD_LISTEN_FDS_START. */
const FIRST = 3;

/**
 * Opens the sockets, and executes a command with them in place of this process.
 *
 * @param kept descriptors that this process was handed for the command
 * @throws {Failure} a daemon runs already, or the command cannot be executed
 */
export function listenAndExecute(
  { socket, store, kept }: { socket: string; store: string; kept: readonly Fd[] },
  command: readonly string[],
): never {
  const [program] = command;
  if (program === undefined) throw new Failure("no command to pass the sockets on to");
  // Once the descriptors are in place nothing can be said any more.
  try {
    accessSync(program, constants.X_OK);
  } catch (error) {
    throw new Failure(`${program} cannot be executed: ${messageOf(error)}`);
  }
  const claimed = claimSocket(socket);
  const sockets: Sockets = {
    notify: claimed.fd,
    store: openStore(store),
    lock: claimed.lock,
    senders: filterSenders(claimed.fd),
  };
  const fds = NAMES.map((name) => sockets[name]).filter((fd) => fd !== undefined);
  const environment: Record<string, string> = {
    ...(process.env as Record<string, string>),
    LISTEN_PID: String(process.pid),
    LISTEN_FDS: String(fds.length),
    LISTEN_FDNAMES: NAMES.slice(0, fds.length).join(":"),
  };
  // Bun leaves these two ignored, and an ignored signal stays so through exec.
  resetSignal("SIGPIPE");
  resetSignal("SIGXFSZ");
  execute(program, command, environment, { kept, placed: { first: FIRST, fds } });
}

/**
 * Gives the notify socket a filter of senders.
 *
 * @returns its map; undefined, with a line on standard error, where the kernel refuses
 */
export function filterSenders(notify: Fd): Fd | undefined {
  try {
    return createSenderFilter(notify);
  } catch (error) {
    // Before Linux 6.16, and for who is not root.
    process.stderr.write(`lainos-notifyd: no filter of senders: ${messageOf(error)}\n`);
    return undefined;
  }
}

/**
 * The sockets that were passed to this process.
 *
 * @returns undefined if none were
 * @throws {Failure} if they are not the ones that `listenAndExecute` passes
 */
export function passedSockets(): Sockets | undefined {
  const { LISTEN_PID, LISTEN_FDS, LISTEN_FDNAMES } = process.env;
  if (LISTEN_PID !== String(process.pid)) return undefined;
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"]) delete process.env[name];
  const count = Number(LISTEN_FDS);
  if (count < NEEDED || LISTEN_FDNAMES !== NAMES.slice(0, count).join(":")) {
    throw new Failure(`LISTEN_FDNAMES=${LISTEN_FDNAMES}: must be ${NAMES.join(":")}`);
  }
  const [notify, store, lock] = [FIRST, FIRST + 1, FIRST + 2];
  const senders = count > NEEDED ? FIRST + NEEDED : undefined;
  for (let fd = FIRST; fd < FIRST + count; fd++) setCloseOnExec(fd);
  return { notify, store, lock, senders };
}
