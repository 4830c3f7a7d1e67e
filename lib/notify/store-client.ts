/** For a service of ours: leaving descriptors with lainos-notifyd, and getting them back after a restart. */
import {
  close,
  connectStream,
  type Fd,
  onReadiness,
  ReceiveBuffer,
  receive,
  send,
} from "../linux/index.ts";
import { sendNotification, waitForBarrier } from "./send.ts";
import { DEFAULT_SOCKET } from "./socket.ts";
import { type Answer, DEFAULT_STORE, type Request } from "./store-protocol.ts";

/** What came back; the caller closes it. */
export interface Fetched {
  fd: Fd;
  name: string;
}

/** An answer is waited for so long, in milliseconds. */
const TIMEOUT = 5000;

/** An answer with the longest names, 128 times 255 bytes, and what is around them. */
const BUFFER = 65_536;

const own = () => ({
  pid: process.pid,
  uid: process.geteuid?.() ?? 0,
  gid: process.getegid?.() ?? 0,
});

/**
 * Leaves descriptors, which stay the caller's too. Nothing says whether they are kept: the service's
 * lainos_fdstore_max may be reached. It waits, and the whole process with it, until they were looked at.
 *
 * @param name what they are to be kept as: printable ASCII without a colon
 * @param poll whether they go by themselves when they hang up
 * @returns false if nobody answered in time
 * @throws {SystemError} ENOENT or ECONNREFUSED if lainos-notifyd does not run
 */
export function storeDescriptors(
  fds: readonly Fd[],
  name: string,
  poll = true,
  socket = DEFAULT_SOCKET,
): boolean {
  const assignments = ["FDSTORE=1", `FDNAME=${name}`, ...(poll ? [] : ["FDPOLL=0"])];
  sendNotification(socket, assignments, fds, own());
  return waitForBarrier(socket, own());
}

/**
 * Takes back what is kept under a name, for good.
 *
 * @throws {SystemError} as storeDescriptors
 */
export function dropDescriptors(name: string, socket = DEFAULT_SOCKET): void {
  sendNotification(socket, ["FDSTOREREMOVE=1", `FDNAME=${name}`], [], own());
}

/**
 * Gets duplicates of what is kept; it stays kept.
 *
 * @param which of which service (only root may name another's than its own), and of which name
 * @throws {Error} if lainos-notifyd refuses, does not run, or does not answer in five seconds
 */
export async function fetchDescriptors(
  which: Omit<Request, "do"> = {},
  path = DEFAULT_STORE,
): Promise<Fetched[]> {
  const fd = connectStream(path);
  const fetched: Fetched[] = [];
  /** Came, and not named yet. */
  const passed: Fd[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const read = answerReader(fd, fetched, passed, resolve);
  let endWatch = () => {};
  const timer = setTimeout(() => reject(new Error(`${path}: no answer`)), TIMEOUT);
  try {
    const request: Request = { do: "fetch", ...which };
    // The socket's buffer is empty, so it takes a line as a whole.
    send(fd, Buffer.from(`${JSON.stringify(request)}\n`));
    endWatch = onReadiness(fd, () => {
      try {
        read();
      } catch (error) {
        reject(error);
      }
    });
    await promise;
    return fetched;
  } catch (error) {
    for (const one of [...fetched.map((entry) => entry.fd), ...passed]) close(one);
    throw error;
  } finally {
    clearTimeout(timer);
    endWatch();
    close(fd);
  }
}

/** Reads answers until the last has come; what came before an error is in `fetched`. */
function answerReader(fd: Fd, fetched: Fetched[], passed: Fd[], done: () => void): () => void {
  const buffer = new ReceiveBuffer(BUFFER);
  let text = "";
  let isOver = false;
  const take = (line: string) => {
    const answer = JSON.parse(line) as Answer;
    if ("error" in answer) throw new Error(answer.error);
    for (const name of answer.names) {
      const next = passed.shift();
      if (next === undefined) throw new Error(`the descriptor ${name} did not come along`);
      fetched.push({ fd: next, name });
    }
    if (!answer.more) isOver = true;
  };
  return () => {
    for (let next = receive(fd, buffer); next && !isOver; next = receive(fd, buffer)) {
      passed.push(...next.fds);
      text += Buffer.from(next.data).toString("latin1");
      for (let end = text.indexOf("\n"); end >= 0 && !isOver; end = text.indexOf("\n")) {
        const line = text.slice(0, end);
        text = text.slice(end + 1);
        take(line);
      }
      if (next.data.length === 0 && !isOver) throw new Error("the connection was closed");
    }
    if (isOver) done();
  };
}
