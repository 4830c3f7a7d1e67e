/**
 * What a daemon in its sandbox has done outside of it, by /usr/libexec/lainos/outside at the other end
 * of two pipes: mounts, sleep hooks, restarts of services. See docs/sandbox.md.
 *
 * At most `MOST_UNDER_WAY` orders are in the pipe, each shorter than PIPE_BUF: a write never waits.
 */
import { writeSync } from "node:fs";
import {
  closeOnExecFrom,
  DescriptorWatch,
  type Fd,
  hasCode,
  onReadiness,
  readSome,
  waitUntilReadable,
} from "../linux/index.ts";

/** How an order ended: 0, or an exit status and what was written. */
export interface Outcome {
  status: number;
  text: string;
}

/** So many are done at once, as outside has it; others wait for their turn. */
const MOST_UNDER_WAY = 8;

/** So many wait for their turn. */
const MOST_QUEUED = 128;

/** The longest order in bytes, which is PIPE_BUF: a pipe takes it as a whole. */
const LONGEST = 4096;

/** How long an answer is waited for that takes no time, in milliseconds: nothing else is done meanwhile. */
const PATIENCE = 10_000;

/** An order that was not done, or is not known to be. `code` is an errno's name where one says why. */
export class OutsideError extends Error {
  override name = "OutsideError";

  constructor(
    message: string,
    readonly code: string | undefined,
  ) {
    super(message);
  }
}

const hasEnded = () => new OutsideError("what works outside of the sandbox has ended", "EPIPE");
const isLate = (word: string) =>
  new OutsideError(`${word}: what works outside of the sandbox does not answer`, "ETIMEDOUT");

/** How the programs that work outside say which error it was. */
const CODES: readonly [RegExp, string][] = [
  [/permission denied/i, "EACCES"],
  [/operation not permitted/i, "EPERM"],
  [/no space left on device/i, "ENOSPC"],
  [/read-only file system/i, "EROFS"],
];

const refused = (word: string, { status, text }: Outcome) =>
  new OutsideError(
    text.trim() || `${word} ended with status ${status}`,
    CODES.find(([pattern]) => pattern.test(text))?.[1],
  );

export class Outside {
  readonly #waiting = new Map<string, (outcome: Outcome | Error) => void>();
  /** Orders that wait for their turn, the oldest first. */
  readonly #queued: { send: () => void; fail: (error: Error) => void }[] = [];
  /** Orders that `doNow` has given up waiting for, with their words: none is given after them until they are answered. */
  readonly #late = new Map<string, string>();
  #lastId = 0;
  #rest = "";
  #endWatch: (() => void) | undefined;

  constructor(
    private readonly asking: Fd,
    private readonly answers: Fd,
    private readonly patience = PATIENCE,
  ) {}

  /**
   * Has something done, and waits for it without doing anything else: for what takes no time.
   *
   * @param words the first says what; the last may have spaces in it
   * @returns what the order was answered with, if it asks for something
   * @throws {OutsideError} it was refused or failed, with what was said; or ETIMEDOUT, when it may still
   *   be done later. Then others fail at once, until the late one is answered
   */
  doNow(...words: readonly [string, ...(string | number | bigint)[]]): string {
    this.#take();
    const [late] = this.#late.values();
    if (late !== undefined) throw isLate(late);
    const id = this.#send(words);
    const deadline = performance.now() + this.patience;
    for (;;) {
      // Where `ask` is used as well, reading does not wait.
      if (!waitUntilReadable(this.answers, deadline - performance.now())) {
        this.#late.set(id, words[0]);
        throw isLate(words[0]);
      }
      const mine = this.#take(id);
      if (!mine) continue;
      if (mine.status !== 0) throw refused(words[0], mine);
      return mine.text.trim();
    }
  }

  /** Takes the answers that have come, without waiting; returns that to one order. */
  #take(id?: string): Outcome | undefined {
    let mine: Outcome | undefined;
    while (waitUntilReadable(this.answers, 0)) {
      for (const [answered, outcome] of this.#read()) {
        if (answered === id) mine = outcome;
        else this.#settle(answered, outcome);
      }
      if (mine) break;
    }
    return mine;
  }

  /**
   * Has something done that takes a while; several may be under way.
   *
   * @param words the last may have spaces in it
   * @throws {Error} too many wait already, or nobody is there to do it
   */
  async ask(...words: readonly [string, ...string[]]): Promise<Outcome> {
    return this.askWithin(Number.POSITIVE_INFINITY, ...words);
  }

  /**
   * The same with a limit: an order that waits for its turn by then is not given any more.
   *
   * @param limit in milliseconds
   * @throws {OutsideError} ETIMEDOUT; an order that was given may still be done
   */
  async askWithin(limit: number, ...words: readonly [string, ...string[]]): Promise<Outcome> {
    if (this.#queued.length >= MOST_QUEUED) {
      throw new Error(`${words[0]}: ${MOST_QUEUED} orders wait to be done outside of the sandbox`);
    }
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    const settle = (outcome: Outcome | Error) =>
      outcome instanceof Error ? reject(outcome) : resolve(outcome);
    const send = () => {
      try {
        this.#waiting.set(this.#send(words), settle);
      } catch (error) {
        reject(error);
      }
    };
    const queued = { send, fail: reject };
    if (this.#waiting.size >= MOST_UNDER_WAY) this.#queued.push(queued);
    else send();
    // Only while somebody waits: a watch holds the process.
    if (this.#waiting.size > 0) this.#endWatch ??= onReadiness(this.answers, () => this.#drain());
    if (limit === Number.POSITIVE_INFINITY) return promise;
    const timer = setTimeout(() => {
      const at = this.#queued.indexOf(queued);
      if (at >= 0) this.#queued.splice(at, 1);
      reject(isLate(words[0]));
    }, limit);
    return promise.finally(() => clearTimeout(timer));
  }

  #send(words: readonly (string | number | bigint)[]): string {
    const id = String(++this.#lastId);
    const line = Buffer.from(`${[id, ...words].join(" ")}\n`);
    if (line.indexOf("\n") !== line.length - 1 || line.length > LONGEST) {
      throw new Error(`the order ${words[0]} has a line break in it or is too long`);
    }
    try {
      writeSync(this.asking, line);
    } catch (error) {
      throw hasCode(error, "EPIPE") ? hasEnded() : error;
    }
    return id;
  }

  /** Whole answers that have come, by their ids. */
  #read(): [id: string, Outcome][] {
    const found: [string, Outcome][] = [];
    const bytes = readSome(this.answers);
    if (bytes === undefined) return found;
    if (bytes.length === 0) throw hasEnded();
    const lines = (this.#rest + Buffer.from(bytes).toString("utf8")).split("\n");
    this.#rest = lines.pop() ?? "";
    for (const line of lines) {
      const [, id = "", status, text = ""] = /^(\d+) (\d+) (.*)$/.exec(line) ?? [];
      found.push([id, { status: Number(status), text }]);
    }
    return found;
  }

  #drain(): void {
    try {
      for (let found = this.#read(); found.length > 0; found = this.#read()) {
        for (const [id, outcome] of found) this.#settle(id, outcome);
      }
    } catch (error) {
      for (const { fail } of this.#queued.splice(0)) fail(error as Error);
      for (const id of [...this.#waiting.keys()]) this.#settle(id, error as Error);
    }
    if (this.#waiting.size > 0) return;
    this.#endWatch?.();
    this.#endWatch = undefined;
  }

  #settle(id: string, outcome: Outcome | Error): void {
    this.#late.delete(id);
    this.#waiting.get(id)?.(outcome);
    if (!this.#waiting.delete(id)) return;
    // One that cannot be given leaves its turn to the next: nobody else would tell that one.
    while (this.#waiting.size < MOST_UNDER_WAY && this.#queued.length > 0) {
      this.#queued.shift()?.send();
    }
  }
}

const KINDS = ["system", "programs", "services"] as const;
type Kind = (typeof KINDS)[number];

/** The descriptors of one kind, by LAINOS_OUTSIDE. */
function pipesOf(kind: Kind): { asking: Fd; answers: Fd } | undefined {
  const text = process.env.LAINOS_OUTSIDE ?? "";
  const [, asking, answers] = new RegExp(`\\b${kind}:(\\d+):(\\d+)`).exec(text) ?? [];
  return asking === undefined ? undefined : { asking: Number(asking), answers: Number(answers) };
}

/**
 * Calls `ended` if what works outside ends before us, such as by SIGKILL: nothing that is asked of it
 * would be done any more, and only a new start of the daemon brings it back.
 *
 * @returns a function that ends the watch, which holds the process
 */
export function onOutsideEnded(ended: () => void): () => void {
  const watch = new DescriptorWatch("hang-ups");
  for (const kind of KINDS) {
    const pipes = pipesOf(kind);
    if (pipes) watch.add(pipes.asking, ended);
  }
  return () => watch.end();
}

const known = new Map<string, Outside>();

/**
 * What does things of one kind outside, by LAINOS_OUTSIDE, which the sandbox sets.
 *
 * @returns undefined without a sandbox: then this process does it by itself
 * @throws {Error} the variable names no descriptors of that kind
 */
export function outsideFor(kind: Kind): Outside | undefined {
  const text = process.env.LAINOS_OUTSIDE;
  if (text === undefined) return undefined;
  let outside = known.get(kind);
  if (!outside) {
    const pipes = pipesOf(kind);
    if (!pipes) throw new Error(`LAINOS_OUTSIDE=${text}: has no ${kind}`);
    // What this process starts must not hold the pipes open.
    closeOnExecFrom(Math.min(pipes.asking, pipes.answers));
    outside = new Outside(pipes.asking, pipes.answers);
    known.set(kind, outside);
  }
  return outside;
}
