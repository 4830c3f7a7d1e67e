/**
 * Putting the machine to sleep. Hooks run first, in order, and are waited for;
 * those of /etc/lainos/sleep.d can call it off, and then nobody was told of it.
 */
import { readdirSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, NEVER } from "../../cli/index.ts";
import { busErrors } from "../../dbus/index.ts";
import { atWakeup, canWakeUp, hasCode, messageOf } from "../../linux/index.ts";
import { runHook } from "../host/privileged.ts";
import type { Settings } from "../settings/logind-conf.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { isShutdown, type PowerVerb, type Sleep } from "../vocabulary/power-verbs.ts";
import type { Operations } from "./operations.ts";
import { kernelSupport, POWER, type Support, sleepSupport } from "./sleep-support.ts";

/** In the order in which they run. What those of others say by their exit status never counted. */
const HOOKS = [
  { folder: "/usr/lib/systemd/system-sleep", decides: false },
  { folder: "/usr/lib/elogind/system-sleep", decides: false },
  { folder: "/etc/lainos/sleep.d", decides: true },
] as const;

type Moment = "pre" | "post";

type Possible = Support & { possible: true };

/** logind's order, whatever the order in the file. */
const PREFERENCE: readonly Sleep[] = [
  "suspend-then-hibernate",
  "hybrid-sleep",
  "suspend",
  "hibernate",
];

export class Sleeper {
  readonly #log: Logger;
  readonly #settings: Settings;

  constructor(log: Logger, operations: Operations, settings: Settings) {
    this.#log = log;
    this.#settings = settings;
    operations.performBy("sleep", {
      before: (way) => this.#before(toSleep(way)),
      perform: async (way) => {
        await this.#sleep(toSleep(way));
        return false;
      },
      after: (way) => this.#runHooks("post", toSleep(way)),
    });
  }

  /** Whether and how the machine can sleep in this way now. */
  support(way: Sleep): Support {
    const support = sleepSupport(way, this.#settings.sleep);
    if (way === "suspend-then-hibernate" && support.possible && !canWakeUp()) {
      const reason = "no clock can wake this machine up to hibernate";
      return { possible: false, reason, forbidden: false };
    }
    return support;
  }

  /** What the method Sleep tries, in this order; logind.conf's SleepOperation says which, not when. */
  get operations(): readonly Sleep[] {
    return PREFERENCE.filter((way) => this.#settings.config.SleepOperation.includes(way));
  }

  /** The first of the ways that Sleep tries that the machine has. */
  select(): Sleep | undefined {
    return this.operations.find((way) => this.support(way).possible);
  }

  /**
   * Refuses a way that the machine does not have.
   *
   * @throws {BusError} SleepVerbNotSupported, with the reason
   */
  check(way: Sleep): void {
    const support = this.support(way);
    if (support.possible) return;
    throw login1Errors.sleepNotSupported(`Sleep verb '${way}' is not supported: ${support.reason}`);
  }

  async #before(way: Sleep): Promise<void> {
    try {
      await this.#runHooks("pre", way);
    } catch (error) {
      // Those that ran before it have prepared for a sleep that does not come.
      await this.#runHooks("post", way);
      throw error;
    }
  }

  async #sleep(way: Sleep): Promise<void> {
    const support = possible(this.support(way));
    if (way !== "suspend-then-hibernate") return this.#enter(support);
    // Both are possible before the first begins: nobody is there to ask after it.
    const { sleep } = this.#settings;
    const suspend = possible(kernelSupport("suspend", sleep));
    if (sleep.HibernateDelaySec === NEVER) return this.#enter(suspend);
    const alarm = atWakeup(sleep.HibernateDelaySec);
    try {
      await this.#enter(suspend);
      if (!alarm.hasFired()) return;
    } finally {
      alarm.end();
    }
    this.#log.info("the machine has been suspended for long enough: it hibernates");
    await this.#enter(support);
  }

  /** Comes back when the machine has woken up. */
  async #enter({ states, modes, memoryModes, resume }: Possible): Promise<void> {
    if (resume) {
      // The offset first: to write the device has the kernel look for an image there.
      if (resume.offset !== "0") await writeFile(join(POWER, "resume_offset"), resume.offset);
      await writeFile(join(POWER, "resume"), resume.device);
    }
    if (memoryModes.length > 0) await writeFirst(join(POWER, "mem_sleep"), memoryModes);
    if (modes.length > 0) await writeFirst(join(POWER, "disk"), modes);
    await writeFirst(join(POWER, "state"), states);
  }

  /**
   * Runs the hooks of all folders one after the other.
   *
   * @throws {BusError} Failed, for `pre` only, with the hook that called it off
   */
  async #runHooks(moment: Moment, way: Sleep): Promise<void> {
    for (const { folder, decides } of HOOKS) {
      for (const path of this.#executables(folder)) {
        try {
          await runHook(path, moment, way);
        } catch (error) {
          const reason = messageOf(error);
          this.#log.warning(reason);
          if (decides && moment === "pre")
            throw busErrors.failed(`${way} was called off: ${reason}`);
        }
      }
    }
  }

  /** By name, as they are to run. What cannot be looked at is named in the log, and keeps none of the others from it. */
  #executables(folder: string): string[] {
    try {
      return readdirSync(folder)
        .filter((name) => !name.startsWith("."))
        .sort()
        .map((name) => join(folder, name))
        .filter((path) => this.#isExecutable(path));
    } catch (error) {
      if (!hasCode(error, "ENOENT")) {
        this.#log.warning(`no hook of ${folder} runs: ${messageOf(error)}`);
      }
      return [];
    }
  }

  #isExecutable(path: string): boolean {
    try {
      const status = statSync(path, { throwIfNoEntry: false });
      return status?.isFile() === true && (status.mode & 0o111) !== 0;
    } catch (error) {
      this.#log.warning(`the hook ${path} does not run: ${messageOf(error)}`);
      return false;
    }
  }
}

function toSleep(way: PowerVerb): Sleep {
  if (isShutdown(way)) throw new Error(`${way} is no sleep`);
  return way;
}

function possible(support: Support): Possible {
  if (!support.possible) throw new Error(support.reason);
  return support;
}

/** Writes the first value that the kernel takes. */
async function writeFirst(path: string, values: readonly string[]): Promise<void> {
  let refusal: unknown;
  for (const value of values) {
    try {
      await writeFile(path, value);
      return;
    } catch (error) {
      refusal = error;
    }
  }
  throw refusal;
}
