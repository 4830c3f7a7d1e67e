/** What sets off an action by itself: keys, the lid, idleness. Wired here, each with its rules in its own file. */

import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import type { Login1 } from "../login1.ts";
import type { HandleAction } from "../settings/logind-conf.ts";
import { Handler } from "./action-handler.ts";
import { IdleActions } from "./idle-action.ts";
import { Keys, wantedKeys } from "./keys.ts";
import { Lid } from "./lid.ts";
import { PowerSwitches } from "./power-switches.ts";

/** Tells the bus. */
export interface TriggerEvents {
  /** The secure attention key was pressed on a seat. */
  secureAttentionKey(seat: string): void;
  lidChanged(): void;
}

export class Triggers {
  readonly lid: Lid;
  readonly #keys: Keys;
  readonly #idle: IdleActions;
  readonly #switches: PowerSwitches;
  readonly #log: Logger;

  constructor(log: Logger, login1: Omit<Login1, "lid">, events: TriggerEvents) {
    const { settings, manager, inhibitors } = login1;
    const handler = new Handler(log, login1, (seat) => events.secureAttentionKey(seat));
    const act = (action: HandleAction, trigger: Parameters<Handler["act"]>[1]) =>
      handler.act(action, trigger);
    this.#log = log;
    this.lid = new Lid(log, settings, act, () => events.lidChanged());
    this.#keys = new Keys(settings, act);
    this.#idle = new IdleActions(log, settings, manager, inhibitors, act);
    this.#switches = new PowerSwitches(
      log,
      {
        key: (device, code, pressed) => this.#keys.key(device, code, pressed),
        switched: (device, code, on, initial) => this.lid.switched(device, code, on, initial),
        forgotten: (device) => {
          this.#keys.forget(device);
          this.lid.forget(device);
        },
      },
      () => wantedKeys(settings.config),
    );
    settings.followers.push(() => {
      this.devicesChanged();
      this.#switches.keysChanged();
      this.settle();
    });
  }

  /** Begins to act. The bus name must be ours already. */
  start(): void {
    this.lid.holdOff();
    this.devicesChanged();
    this.settle();
  }

  stop(): void {
    this.#switches.stop();
    this.#keys.stop();
    this.lid.stop();
    this.#idle.stop();
  }

  /** udev has written about devices. */
  devicesChanged(): void {
    try {
      this.#switches.refresh();
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`looking for keys and switches: ${reason}`);
    }
  }

  /** A session or an inhibitor has come, changed or gone. */
  settle(): void {
    this.#idle.settle();
    this.lid.recheck();
  }

  /** The machine has slept, or a shutdown was called off. */
  awoke(): void {
    this.lid.holdOff();
    this.#idle.awoke();
  }
}
