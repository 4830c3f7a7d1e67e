/** Progress that a person can follow: drawn on a terminal, plain lines elsewhere. */
import { taskLog } from "@clack/prompts";

export interface Reporter {
  /** Runs a step and tells how long it took; `detail` is for lines that matter while it runs. */
  step<T>(title: string, run: (detail: (line: string) => void) => Promise<T>): Promise<T>;
}

/** Says nothing: for tests, and for `--json`. */
export const quiet: Reporter = { step: (_title, run) => run(() => {}) };

/** Tells the steps' names and times to a function, in place of or besides showing them. */
export function timing(
  reporter: Reporter,
  onDone: (title: string, milliseconds: number) => void,
): Reporter {
  return {
    async step(title, run) {
      const started = performance.now();
      const result = await reporter.step(title, run);
      onDone(title, performance.now() - started);
      return result;
    },
  };
}

/**
 * For a terminal: the last lines of the step that runs, then one line for it. clack's spinner is
 * not used, since it takes Ctrl-C for itself and ends the process without a clean-up.
 */
export const drawn: Reporter = {
  async step(title, run) {
    const started = performance.now();
    const lines = taskLog({ title, limit: 4, retainLog: false });
    let last = "";
    try {
      const result = await run((detail) => {
        const line = plain(detail);
        if (line !== last && line !== "") lines.message(line);
        last = line;
      });
      lines.success(`${title} ${elapsed(started)}`);
      return result;
    } catch (error) {
      lines.error(`${title} failed ${elapsed(started)}`, { showLog: false });
      throw error;
    }
  },
};

/** For logs: a line as a step begins and one as it ends, with the time since the start. */
export function lines(write: (line: string) => void): Reporter {
  const begun = performance.now();
  const say = (text: string) => write(`[${elapsed(begun).padStart(7)}] ${text}`);
  return {
    async step(title, run) {
      say(`${title} ...`);
      const started = performance.now();
      const result = await run(() => {});
      say(`${title}: done in ${elapsed(started)}`);
      return result;
    },
  };
}

function elapsed(since: number): string {
  return `${((performance.now() - since) / 1000).toFixed(1)} s`;
}

/** Without colours and cursor movements, which would spoil what is drawn around it. */
function plain(line: string): string {
  return Bun.stripANSI(line)
    .replaceAll(/[\r\t]/g, " ")
    .slice(0, 100);
}
