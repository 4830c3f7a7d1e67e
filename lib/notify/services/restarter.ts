/** Restarts of services, each later than the one before. */
import { type Logger, type Outcome, outsideFor, visible } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";

/** The seconds before the second, third restart and so on; the last stands for all after it. */
const BACK_OFF = [0, 5, 10, 30, 60, 300];

/** A service that needed no restart for so many milliseconds starts anew with the first of them. */
const FORGIVEN = 600_000;

/** So long a restart may take, in milliseconds; then it is ended. The one outside has the same limit. */
const LIMIT = 600_000;

/** So much later a restart is waited for no more, ended or not, in milliseconds. */
const GRACE = 30_000;

/** What becomes of an order to restart a service. */
export type RestartPlan =
  /** It is restarted in so many seconds, or now. */
  | { kind: "planned"; seconds: number }
  /** It was to be restarted in so many seconds already. */
  | { kind: "waiting"; seconds: number }
  /** It is being restarted already. */
  | { kind: "running" };

/** The plan in words that follow those of why. */
export function describePlan(plan: RestartPlan): string {
  switch (plan.kind) {
    case "planned":
      return `it is restarted${plan.seconds > 0 ? ` in ${plan.seconds} s` : ""}`;
    case "waiting":
      return `its restart is due in ${plan.seconds} s already`;
    case "running":
      return "its restart is under way already";
  }
}

interface Restarts {
  count: number;
  /** When the last one was, or is due. */
  last: number;
  timer?: Timer;
  isRunning: boolean;
}

export interface RestarterOptions {
  /** What works outside of this daemon's sandbox and takes the order. */
  kind?: "services" | "programs";
  /** How long a restart may take, and how much longer it is waited for, in milliseconds. */
  limit?: number;
  grace?: number;
}

/** Restarts services by rc-service(8), one run at a time for each, and later each time. */
export class Restarter {
  readonly #log: Logger;
  readonly #kind: "services" | "programs";
  readonly #limit: number;
  readonly #grace: number;
  readonly #restarts = new Map<string, Restarts>();

  constructor(log: Logger, options: RestarterOptions = {}) {
    this.#log = log;
    this.#kind = options.kind ?? "services";
    this.#limit = options.limit ?? LIMIT;
    this.#grace = options.grace ?? GRACE;
  }

  /** Restarts it, now or when the back-off is over, unless that is about to be done already. */
  restart(service: string): RestartPlan {
    const now = performance.now();
    const state = this.#restarts.get(service) ?? { count: 0, last: now, isRunning: false };
    this.#restarts.set(service, state);
    if (state.isRunning) return { kind: "running" };
    if (state.timer) {
      return { kind: "waiting", seconds: Math.max(0, Math.ceil((state.last - now) / 1000)) };
    }
    if (now - state.last > FORGIVEN) state.count = 0;
    const seconds = BACK_OFF[Math.min(state.count, BACK_OFF.length - 1)] ?? 0;
    state.count++;
    state.last = now + seconds * 1000;
    state.timer = setTimeout(() => void this.#run(service, state), seconds * 1000);
    return { kind: "planned", seconds };
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

  /** Never rejects. */
  async #run(service: string, state: Restarts): Promise<void> {
    delete state.timer;
    state.isRunning = true;
    try {
      const { status, text } = await this.#order(service);
      if (status === 0) this.#log.info(`${service}: restarted`);
      else {
        const why = visible(text.trim().slice(-300));
        this.#log.error(`${service}: rc-service restart ended with ${status}: ${why}`);
      }
    } catch (error) {
      this.#log.error(`${service}: cannot be restarted: ${messageOf(error)}`);
    } finally {
      state.isRunning = false;
    }
  }

  /** Has it restarted; what never ends must not keep the next restart of that service from being tried. */
  #order(service: string): Promise<Outcome> {
    const wait = this.#limit + this.#grace;
    const outside = outsideFor(this.#kind);
    return outside
      ? outside.askWithin(wait, "restart", service)
      : within(wait, restartHere(service, this.#limit / 1000));
  }
}

/** What a promise gives, if it does so in so many milliseconds. */
async function within<Value>(milliseconds: number, awaited: Promise<Value>): Promise<Value> {
  const { promise: tooLong, reject } = Promise.withResolvers<never>();
  const late = () => reject(new Error(`it has not ended in ${milliseconds / 1000} s`));
  const timer = setTimeout(late, milliseconds);
  try {
    return await Promise.race([awaited, tooLong]);
  } finally {
    clearTimeout(timer);
  }
}

/** As `outside` does it for a daemon in its sandbox; what rc-service has started ends with it. */
async function restartHere(service: string, seconds: number): Promise<Outcome> {
  const limited = ["timeout", "--kill-after=10", `${seconds}`, "rc-service", service, "restart"];
  const child = Bun.spawn(limited, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    env: { PATH: process.env.PATH ?? "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C.UTF-8" },
  });
  const [said, complained] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { status: await child.exited, text: `${said}${complained}` };
}
