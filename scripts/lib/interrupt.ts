/** Ctrl-C, SIGTERM and a closed terminal: stop what runs, let the clean-up follow, then end. */
import { readdir, readFile } from "node:fs/promises";
import { constants } from "node:os";
import { RemovalError } from "./overlay.ts";
import { missing } from "./state.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export class Interrupted extends Error {
  override name = "Interrupted";
  /** 128 and the signal's number, as a shell has it. */
  readonly status: number;
  constructor(signal: (typeof SIGNALS)[number]) {
    super(`ended by ${signal}`);
    this.status = 128 + constants.signals[signal];
  }
}

/**
 * Runs work that stops where the signal it is given aborts. Programs that the work waits for are
 * ended, so that it fails at once and cleans up after itself.
 * @throws Interrupted where a signal came, whatever the work threw for it but a RemovalError.
 */
export async function onInterrupt<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const handlers = SIGNALS.map((name) => {
    const handler = () => {
      controller.abort(new Interrupted(name));
      endChildren().catch((error: Error) => console.error(error.message));
    };
    process.on(name, handler);
    return [name, handler] as const;
  });
  try {
    return await work(controller.signal);
  } catch (error) {
    // The steps failed because they were stopped; a clean-up must not fail, whatever the cause.
    if (error instanceof RemovalError) throw error;
    controller.signal.throwIfAborted();
    throw error;
  } finally {
    for (const [name, handler] of handlers) process.off(name, handler);
  }
}

/**
 * Programs run by zx are leaders of their own process groups, so Ctrl-C does not reach them; others
 * a signal to this process alone does not reach.
 */
async function endChildren(): Promise<void> {
  for (const task of await readdir("/proc/self/task")) {
    const text = (await readFile(`/proc/self/task/${task}/children`, "utf8").catch(missing)) ?? "";
    for (const child of text.split(" ").filter(Boolean).map(Number)) {
      const target = (await isOwnGroup(child)) ? -child : child;
      try {
        process.kill(target, "SIGTERM");
      } catch (error) {
        missing(error as NodeJS.ErrnoException);
      }
    }
  }
}

async function isOwnGroup(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(missing);
  return stat?.slice(stat.lastIndexOf(")") + 2).split(" ")[2] === String(pid);
}
