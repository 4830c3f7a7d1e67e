/** A program in a world that answers each line with a line. */
import type { World } from "./world.ts";

export class CoProcess {
  #rest = "";
  readonly #child: Bun.Subprocess<"pipe", "pipe", "inherit">;
  readonly #output: AsyncIterator<Uint8Array>;

  constructor(
    world: World,
    private readonly program: string,
  ) {
    this.#child = Bun.spawn(world.inside([program]), {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    this.#output = this.#child.stdout[Symbol.asyncIterator]();
  }

  /** @throws {Error} if it ends instead of answering */
  async ask(line: string): Promise<string> {
    this.#child.stdin.write(`${line}\n`);
    this.#child.stdin.flush();
    for (;;) {
      const end = this.#rest.indexOf("\n");
      if (end >= 0) {
        const answer = this.#rest.slice(0, end);
        this.#rest = this.#rest.slice(end + 1);
        return answer;
      }
      const { value, done } = await this.#output.next();
      if (done) throw new Error(`${this.program} ended at: ${line}`);
      this.#rest += Buffer.from(value).toString();
    }
  }

  /** Ends it, by the end of its input. */
  async end(): Promise<void> {
    this.#child.stdin.end();
    await this.#child.exited;
  }
}
