/** Does what logind.conf(5) says about a key, the lid or idleness, unless an inhibitor holds it back. */

import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import type { Inhibitor } from "../inhibitors/inhibitor.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import type { Operations } from "../power/operations.ts";
import type { Power } from "../power/shutdown.ts";
import type { Sleeper } from "../power/sleep.ts";
import type { Manager } from "../sessions/manager.ts";
import type { HandleAction } from "../settings/logind-conf.ts";
import { isShutdown, POWER_VERBS, type PowerVerb, type Sleep } from "../vocabulary/power-verbs.ts";
import type { ActionEvent } from "./event.ts";

/** What the machine can do, as far as a decision depends on it. */
export interface Ability {
  /** Why a way to go down or to sleep is impossible; undefined if it is possible. */
  impossible(way: PowerVerb): string | undefined;
  /** What SleepOperation comes to. */
  sleep: Sleep | undefined;
}

export type Decision =
  | { does: "nothing" }
  | { does: "lock" }
  | { does: "secure-attention-key" }
  | { does: "refuse"; why: string }
  | { does: "go"; way: PowerVerb; instead?: string };

/** What an action comes to on a machine; hibernation that is impossible becomes suspension, as with logind. */
export function decide(action: HandleAction, { impossible, sleep }: Ability): Decision {
  switch (action) {
    case "ignore":
      return { does: "nothing" };
    case "lock":
      return { does: "lock" };
    case "secure-attention-key":
      return { does: "secure-attention-key" };
    case "soft-reboot":
      return {
        does: "refuse",
        why: "OpenRC cannot start user space anew under the running kernel",
      };
    case "factory-reset":
      return { does: "refuse", why: "there is nothing here that resets a system" };
    case "sleep":
      if (sleep) return { does: "go", way: sleep };
      return { does: "refuse", why: "no way of SleepOperation is possible" };
    default: {
      const why = impossible(action);
      if (why === undefined) return { does: "go", way: action };
      const suspends = !isShutdown(action) && impossible("suspend") === undefined;
      return suspends ? { does: "go", way: "suspend", instead: why } : { does: "refuse", why };
    }
  }
}

/** The parts of login1 that do it. */
export interface ActionParts {
  readonly manager: Manager;
  readonly inhibitors: Inhibitors;
  readonly operations: Operations;
  readonly power: Power;
  readonly sleeper: Sleeper;
}

export class ActionHandler {
  readonly #log: Logger;
  readonly #parts: ActionParts;
  readonly #attention: (seat: string) => void;

  /** @param attention tells the bus of the secure attention key on a seat */
  constructor(log: Logger, parts: ActionParts, attention: (seat: string) => void) {
    this.#log = log;
    this.#parts = parts;
    this.#attention = attention;
  }

  /** Does it, or says in the log why not. Never throws: nobody is there to be told. */
  act(action: HandleAction, event: ActionEvent): void {
    try {
      this.#act(action, event);
    } catch (error) {
      this.#failed(action, event, error);
    }
  }

  #act(action: HandleAction, event: ActionEvent): void {
    const { because, inhibit, ignoreInhibited, again = false, seat = "seat0" } = event;
    const { inhibitors, operations, manager } = this.#parts;
    // What is no news is not written to the log each time.
    const say = again ? this.#log.debug : this.#log.info;
    const taken = inhibit && inhibitors.blocking(inhibit, undefined, (one) => this.#counts(one));
    if (taken) {
      say(`${because}: left to ${described(taken)}, who holds ${inhibit}`);
      return;
    }
    const decision = decide(action, this.#ability());
    switch (decision.does) {
      case "nothing":
        say(`${because}: ignore`);
        return;
      case "refuse":
        this.#refuse(action, event, decision.why);
        return;
      case "lock":
        if (again) return;
        this.#log.info(`${because}: lock`);
        manager.hints.lockAll(true);
        return;
      case "secure-attention-key":
        if (again) return;
        this.#log.info(`${because}: secure-attention-key`);
        this.#attention(seat);
        return;
      case "go": {
        const { way, instead } = decision;
        const { inhibitedBy } = POWER_VERBS[way];
        const blocking = ignoreInhibited ? undefined : inhibitors.blocking(inhibitedBy);
        if (operations.underWay) {
          this.#refuse(action, event, `${operations.underWay} is under way`);
        } else if (blocking) {
          this.#refuse(action, event, `${inhibitedBy} is inhibited by ${described(blocking)}`);
        } else {
          const note = instead === undefined ? "" : `, since ${action} is impossible: ${instead}`;
          this.#log.info(`${because}: ${way}${note}`);
          void this.#go(way, event);
        }
      }
    }
  }

  async #go(way: PowerVerb, event: ActionEvent): Promise<void> {
    const { operations, power } = this.#parts;
    try {
      await (isShutdown(way) ? power.shutDown(way) : operations.begin(way));
    } catch (error) {
      this.#failed(way, event, error);
    }
  }

  /** logind's rule: an inhibitor counts for keys while its holder's session is in the foreground, or if there is none. */
  #counts({ pid }: Inhibitor): boolean {
    return this.#parts.manager.sessionOfPid(pid)?.active ?? true;
  }

  #ability(): Ability {
    const { power, sleeper } = this.#parts;
    return {
      impossible(way) {
        if (!isShutdown(way)) {
          const support = sleeper.support(way);
          return support.possible ? undefined : support.reason;
        }
        if (!power.available) return "openrc-shutdown is not installed";
        if (way === "kexec" && !power.kexecLoaded) return "no kernel is loaded for kexec";
        return undefined;
      },
      get sleep() {
        return sleeper.select();
      },
    };
  }

  #refuse(action: string, { because, again = false }: ActionEvent, why: string): void {
    const line = `${because}: ${action} is refused: ${why}`;
    if (again) this.#log.debug(line);
    else this.#log.warning(line);
  }

  #failed(action: string, { because }: ActionEvent, error: unknown): void {
    const reason = messageOf(error);
    this.#log.error(`${because}: ${action} failed: ${reason}`);
  }
}

const described = ({ who, uid, pid }: Inhibitor) => `${who} (uid ${uid}, pid ${pid})`;
