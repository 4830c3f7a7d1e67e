/**
 * What a daemon in its sandbox has done outside of it, by /usr/libexec/lainos/outside at the other end
 * of two pipes: mounts, sleep hooks, restarts of services. See docs/sandbox.md.
 */
import { writeSync } from "node:fs";
import {
  closeOnExecFrom,
  DescriptorWatch,
  type Fd,
  onReadiness,
  readSome,
} from "../linux/index.ts";

/** How an order ended: 0, or an exit status and what was written. */
export interface Outcome {
  status: number;
  text: string;
}

export class Outside {
  readonly #waiting = new Map<string, (outcome: Outcome | Error) => void>();
  #lastId = 0;
  #rest = "";
  #endWatch: (() => void) | undefined;

  constructor(
    private readonly asking: Fd,
    private readonly answers: Fd,
  ) {}

  /**
   * Has something done, and waits for it without doing anything else: for what takes no time.
   * Not for one that `ask` is used with.
   *
   * @throws {Error} it was refused or failed, with what was said
   */
  doNow(...words: readonly (string | number | bigint)[]): void {
    const id = this.#send(words);
    for (;;) {
      for (const [answered, { status, text }] of this.#read()) {
        if (answered !== id) continue;
        if (status !== 0) throw new Error(text || `${words[0]} ended with status ${status}`);
        return;
      }
    }
  }

  /**
   * Has something done that takes a while; several may be under way.
   *
   * @param words the last may have spaces in it
   * @throws {Error} nobody is there to do it
   */
  async ask(...words: readonly string[]): Promise<Outcome> {
    const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
    this.#waiting.set(this.#send(words), (outcome) =>
      outcome instanceof Error ? reject(outcome) : resolve(outcome),
    );
    // Only while somebody waits: a watch holds the process.
    this.#endWatch ??= onReadiness(this.answers, () => this.#drain());
    return promise;
  }

  #send(words: readonly (string | number | bigint)[]): string {
    const id = String(++this.#lastId);
    const line = [id, ...words].join(" ");
    if (line.includes("\n")) throw new Error(`${JSON.stringify(line)} has a line break in it`);
    writeSync(this.asking, `${line}\n`);
    return id;
  }

  /** Whole answers that have come, by their ids. */
  #read(): [id: string, Outcome][] {
    const found: [string, Outcome][] = [];
    const bytes = readSome(this.answers);
    if (bytes === undefined) return found;
    if (bytes.length === 0) throw new Error("what works outside of the sandbox has ended");
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
      for (const id of [...this.#waiting.keys()]) this.#settle(id, error as Error);
    }
    if (this.#waiting.size > 0) return;
    this.#endWatch?.();
    this.#endWatch = undefined;
  }

  #settle(id: string, outcome: Outcome | Error): void {
    this.#waiting.get(id)?.(outcome);
    this.#waiting.delete(id);
  }
}

const KINDS = ["system", "programs", "restarts"] as const;
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
