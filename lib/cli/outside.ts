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

const hasEnded = () => new Error("what works outside of the sandbox has ended");

export class Outside {
  readonly #waiting = new Map<string, (outcome: Outcome | Error) => void>();
  /** Orders that wait for their turn, the oldest first. */
  readonly #queued: { send: () => void; fail: (error: Error) => void }[] = [];
  #lastId = 0;
  #rest = "";
  #endWatch: (() => void) | undefined;

  constructor(
    private readonly asking: Fd,
    private readonly answers: Fd,
  ) {}

  /**
   * Has something done, and waits for it without doing anything else: for what takes no time.
   *
   * @returns what the order was answered with, if it asks for something
   * @throws {Error} it was refused or failed, with what was said
   */
  doNow(...words: readonly (string | number | bigint)[]): string {
    const id = this.#send(words);
    for (;;) {
      // Where `ask` is used as well, reading does not wait.
      waitUntilReadable(this.answers);
      let mine: Outcome | undefined;
      for (const [answered, outcome] of this.#read()) {
        if (answered === id) mine = outcome;
        else this.#settle(answered, outcome);
      }
      if (!mine) continue;
      const { status, text } = mine;
      if (status !== 0) throw new Error(text.trim() || `${words[0]} ended with status ${status}`);
      return text.trim();
    }
  }

  /**
   * Has something done that takes a while; several may be under way.
   *
   * @param words the last may have spaces in it
   * @throws {Error} too many wait already, or nobody is there to do it
   */
  async ask(...words: readonly string[]): Promise<Outcome> {
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
    if (this.#waiting.size >= MOST_UNDER_WAY) this.#queued.push({ send, fail: reject });
    else send();
    // Only while somebody waits: a watch holds the process.
    if (this.#waiting.size > 0) this.#endWatch ??= onReadiness(this.answers, () => this.#drain());
    return promise;
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
    this.#waiting.get(id)?.(outcome);
    if (this.#waiting.delete(id)) this.#queued.shift()?.send();
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
