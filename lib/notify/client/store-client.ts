/** For a service of ours: getting back what it left with lainos-notifyd. */
import {
  close,
  closeAside,
  connectStream,
  type Fd,
  hasCode,
  onReadiness,
  ReceiveBuffer,
  receive,
  send,
} from "../../linux/index.ts";
import { type Answer, DEFAULT_STORE, type Request } from "../fdstore/store-protocol.ts";

/** What came back; the caller closes it. */
export interface Fetched {
  fd: Fd;
  name: string;
}

/** An answer with the longest names, 128 times 255 bytes, and what is around them. */
const BUFFER = 65_536;
/** How soon a full queue is tried again, in milliseconds. */
const CONNECT_AGAIN = 10;

/**
 * Gets duplicates of what is kept; it stays kept.
 *
 * @param which of which service (only root may name another's than its own), and of which name
 * @param timeout how long to wait for all of it, in milliseconds
 * @throws {Error} if lainos-notifyd refuses, does not run, or does not answer in that time
 */
export async function fetchDescriptors(
  which: Omit<Request, "do"> = {},
  path = DEFAULT_STORE,
  timeout = 5000,
): Promise<Fetched[]> {
  const fd = await connect(path, timeout);
  const fetched: Fetched[] = [];
  /** Came, and not named yet. */
  const passed: Fd[] = [];
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  const read = answerReader(fd, fetched, passed, resolve);
  let endWatch = () => {};
  const timer = setTimeout(() => reject(new Error(`${path}: no answer`)), timeout);
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
    closeAside("lainos-notifyd", [...fetched.map((entry) => entry.fd), ...passed]);
    throw error;
  } finally {
    clearTimeout(timer);
    endWatch();
    close(fd);
  }
}

/** Connects; where others fill the queue it is tried again, since they are soon sent away. */
async function connect(path: string, timeout: number): Promise<Fd> {
  const end = performance.now() + timeout;
  for (;;) {
    try {
      return connectStream(path);
    } catch (error) {
      if (!hasCode(error, "EAGAIN") || performance.now() >= end) throw error;
      await Bun.sleep(CONNECT_AGAIN);
    }
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
