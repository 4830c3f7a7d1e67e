/** What sets off an action by itself: keys, the lid, idleness. Wired here, each with its rules in its own file. */

import type { Logger } from "../../cli/index.ts";
import { messageOf } from "../../linux/index.ts";
import type { Settings } from "../settings/logind-conf.ts";
import type { SessionObserver } from "../state/pending-changes.ts";
import { ActionHandler, type ActionParts } from "./action-handler.ts";
import type { Act } from "./event.ts";
import { IdleActions } from "./idle-action.ts";
import { Keys, wantedKeys } from "./keys.ts";
import { Lid } from "./lid.ts";
import { PowerSwitches } from "./power-switches.ts";

/** Tells the bus. */
export interface ActionSourceEvents {
  /** The secure attention key was pressed on a seat. */
  secureAttentionKey(seat: string): void;
  lidChanged(): void;
}

export class ActionSources implements SessionObserver {
  readonly lid: Lid;
  readonly #keys: Keys;
  readonly #idle: IdleActions;
  readonly #switches: PowerSwitches;
  readonly #log: Logger;
  #started = false;

  constructor(
    log: Logger,
    parts: ActionParts & { readonly settings: Settings },
    events: ActionSourceEvents,
  ) {
    const { settings, manager, inhibitors } = parts;
    const handler = new ActionHandler(log, parts, (seat) => events.secureAttentionKey(seat));
    const act: Act = (action, event) => handler.act(action, event);
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
    settings.observers.push(() => {
      this.devicesChanged();
      this.#switches.keysChanged();
      this.changed();
    });
  }

  /** Begins to act. The bus name must be ours already. */
  start(): void {
    this.#started = true;
    this.lid.holdOff();
    this.devicesChanged();
    this.changed();
  }

  stop(): void {
    this.#switches.stop();
    this.#keys.stop();
    this.lid.stop();
    this.#idle.stop();
  }

  /** udev has written about devices. @returns false if what it has written could not be read */
  devicesChanged(): boolean {
    if (!this.#started) return true;
    try {
      this.#switches.refresh();
      return true;
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`looking for keys and switches: ${reason}`);
      return false;
    }
  }

  /** A session, an inhibitor or the configuration has come, changed or gone. */
  changed(): void {
    if (!this.#started) return;
    this.#idle.settle();
    this.lid.recheck();
  }

  /** The machine has slept, or a shutdown was called off. */
  awoke(): void {
    if (!this.#started) return;
    this.lid.holdOff();
    this.#idle.awoke();
  }
}
