/** Waiting for a sound server to be usable, without asking again and again. */
import { dirname } from "node:path";
import {
  close,
  connectStream,
  hasCode,
  IN_CREATE,
  IN_MOVED_TO,
  watchPath,
} from "../linux/index.ts";

/** True if somebody listens at a stream socket. */
export function answers(socket: string): boolean {
  try {
    close(connectStream(socket));
    return true;
  } catch (error) {
    if (hasCode(error, "ENOENT", "ECONNREFUSED")) return false;
    // A listener with a full backlog is one that listens.
    if (hasCode(error, "EAGAIN")) return true;
    throw error;
  }
}

/** Nothing tells that listen(2) followed bind(2), which it does at once: so often it is looked for, */
const LOOKS = 50;
/** and so many milliseconds apart. */
const LOOK_AGAIN = 10;

/**
 * Resolves when somebody listens at `socket`, whose folder must exist.
 *
 * @throws the signal's reason if it fires first
 */
export function untilAnswers(socket: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let timer: Timer | undefined;
  const look = (left: number) => {
    try {
      if (answers(socket)) resolve();
      else if (left > 0) timer = setTimeout(() => look(left - 1), LOOK_AGAIN);
    } catch (error) {
      reject(error);
    }
  };
  const endWatch = watchPath(dirname(socket), IN_CREATE | IN_MOVED_TO, () => {
    clearTimeout(timer);
    look(LOOKS);
  });
  const abort = () => reject(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  if (signal.aborted) abort();
  else look(0);
  return promise.finally(() => {
    clearTimeout(timer);
    endWatch();
    signal.removeEventListener("abort", abort);
  });
}

/** The metadata object that a session manager makes once it manages the graph, as both tools print it. */
const MANAGED = /\bmetadata\.name = "default"/;

/** What shows whether PipeWire has a session manager, which has no socket of its own. */
export interface PipeWireTools {
  environment: Record<string, string | undefined>;
  /** pw-cli(1) lists the objects and ends. */
  pwCli: string;
  /** pw-mon(1) lists them and then what comes. pw-dump(1) will not do: it leaves out empty metadata. */
  pwMon: string;
}

/** The tools, which come in one package with pipewire; undefined if they are not installed. */
export function findTools(environment: PipeWireTools["environment"]): PipeWireTools | undefined {
  const PATH = environment.PATH ?? "";
  const pwCli = Bun.which("pw-cli", { PATH });
  const pwMon = Bun.which("pw-mon", { PATH });
  return pwCli === null || pwMon === null ? undefined : { environment, pwCli, pwMon };
}

/**
 * Whether PipeWire has a session manager now, WirePlumber or another.
 *
 * @throws the signal's reason if it fires first
 */
export function hasSessionManager(tools: PipeWireTools, signal: AbortSignal): Promise<boolean> {
  return prints(tools, [tools.pwCli, "ls", "PipeWire:Interface:Metadata"], MANAGED, signal);
}

/**
 * Resolves when PipeWire has a session manager.
 *
 * @throws the signal's reason if it fires first; an Error if PipeWire ended
 */
export async function untilSessionManager(
  tools: PipeWireTools,
  signal: AbortSignal,
): Promise<void> {
  if (!(await prints(tools, [tools.pwMon], MANAGED, signal)))
    throw new Error("pw-mon ended before that");
}

/**
 * Runs a command until it has printed a line that matches, or has ended.
 *
 * @returns whether a line matched
 * @throws the signal's reason if it fires first
 */
async function prints(
  { environment }: PipeWireTools,
  command: string[],
  what: RegExp,
  signal: AbortSignal,
): Promise<boolean> {
  signal.throwIfAborted();
  const child = Bun.spawn(command, {
    env: environment,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "ignore",
  });
  const abort = () => child.kill();
  signal.addEventListener("abort", abort, { once: true });
  try {
    const decoder = new TextDecoder();
    let line = "";
    for await (const chunk of child.stdout) {
      const text = line + decoder.decode(chunk, { stream: true });
      if (what.test(text)) return true;
      line = text.slice(text.lastIndexOf("\n") + 1);
    }
    signal.throwIfAborted();
    return false;
  } finally {
    signal.removeEventListener("abort", abort);
    child.kill();
    await child.exited;
  }
}
