/** Restarts of services, each later than the one before. */
import { type Logger, type Outcome, outsideFor, visible } from "../../cli/index.ts";

/** The seconds before the second, third restart and so on; the last stands for all after it. */
const BACK_OFF = [0, 5, 10, 30, 60, 300];

/** A service that needed no restart for so many milliseconds starts anew with the first of them. */
const FORGIVEN = 600_000;

interface Restarts {
  count: number;
  last: number;
  timer?: Timer;
  running?: Promise<Outcome>;
}

/** Restarts services by rc-service(8), one run at a time for each, and later each time. */
export class Restarter {
  readonly #restarts = new Map<string, Restarts>();

  /** @param kind what works outside of this daemon's sandbox and takes the order */
  constructor(
    readonly log: Logger,
    readonly kind: "services" | "programs" = "services",
  ) {}

  /** Restarts it, now or when the back-off is over; returns in how many seconds. */
  restart(service: string): number {
    const now = performance.now();
    const state = this.#restarts.get(service) ?? { count: 0, last: now };
    this.#restarts.set(service, state);
    if (state.timer || state.running) return 0;
    if (now - state.last > FORGIVEN) state.count = 0;
    const seconds = BACK_OFF[Math.min(state.count, BACK_OFF.length - 1)] ?? 0;
    state.count++;
    state.last = now + seconds * 1000;
    state.timer = setTimeout(() => void this.#run(service, state), seconds * 1000);
    return seconds;
  }

  /** RESTART_RESET=1: what was is forgotten. */
  reset(service: string): void {
    const state = this.#restarts.get(service);
    if (state) state.count = 0;
  }

  /** Takes back what waits for its back-off, as for a service that somebody stopped meanwhile. */
  cancel(service: string): void {
    const state = this.#restarts.get(service);
    clearTimeout(state?.timer);
    if (state) delete state.timer;
  }

  end(): void {
    for (const service of this.#restarts.keys()) this.cancel(service);
  }

  async #run(service: string, state: Restarts): Promise<void> {
    delete state.timer;
    try {
      state.running = outsideFor(this.kind)?.ask("restart", service) ?? restartHere(service);
      const { status, text } = await state.running;
      if (status === 0) this.log.info(`${service}: restarted`);
      else {
        const why = visible(text.trim().slice(-300));
        this.log.error(`${service}: rc-service restart ended with ${status}: ${why}`);
      }
    } catch (error) {
      this.log.error(`${service}: cannot be restarted: ${(error as Error).message}`);
    } finally {
      delete state.running;
    }
  }
}

/** As `outside` does it for a daemon in its sandbox. */
async function restartHere(service: string): Promise<Outcome> {
  const child = Bun.spawn(["rc-service", service, "restart"], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C.UTF-8" },
  });
  const [said, complained] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, text: `${said}${complained}` };
}
