/** The laptop's lid, and whether the laptop is docked; see logind.conf(5), HandleLidSwitch. */
import type { Logger } from "../../cli/index.ts";
import { messageOf, setLongTimeout, watchUevents } from "../../linux/index.ts";
import { hasExternalDisplay, lidClosed, onExternalPower } from "../hardware/power-supply.ts";
import type { Config, HandleAction, Settings } from "../settings/logind-conf.ts";
import type { Act } from "./event.ts";
import { type PowerSwitch, SW_DOCK, SW_LID } from "./power-switches.ts";

/** Where the laptop stands when its lid is closed. */
export interface Place {
  docked: boolean;
  externalPower: boolean;
}

/** What a closed lid sets off there. */
export function lidAction(config: Config, { docked, externalPower }: Place): HandleAction {
  if (docked) return config.HandleLidSwitchDocked;
  const plugged = externalPower ? config.HandleLidSwitchExternalPower : undefined;
  return plugged ?? config.HandleLidSwitch;
}

export class Lid {
  readonly #log: Logger;
  readonly #settings: Settings;
  readonly #act: Act;
  readonly #changed: () => void;
  /** How each device's switches stand. */
  readonly #lids = new Map<PowerSwitch, boolean>();
  readonly #docks = new Map<PowerSwitch, boolean>();
  /** Whether the lid was closed while nothing was to be done about it yet. */
  #news = false;
  #endHoldoff: (() => void) | undefined;
  /** While the lid is closed: displays and power supplies that come and go. */
  #endWatch: (() => void) | undefined;

  /** @param changed called when LidClosed has */
  constructor(log: Logger, settings: Settings, act: Act, changed: () => void) {
    this.#log = log;
    this.#settings = settings;
    this.#act = act;
    this.#changed = changed;
  }

  /** Whether it is closed: by the input devices, or where none has a lid, by the ACPI button driver. */
  get closed(): boolean {
    if (this.#lids.size === 0) return lidClosed();
    return [...this.#lids.values()].includes(true);
  }

  /** In a docking station, or with a display besides the laptop's own. */
  get docked(): boolean {
    return [...this.#docks.values()].includes(true) || hasExternalDisplay();
  }

  /** A switch is on or off; `initial` if it was found so. */
  switched(device: PowerSwitch, code: number, on: boolean, initial: boolean): void {
    if (code === SW_DOCK) {
      this.#docks.set(device, on);
      if (!initial) this.#log.info(on ? "the machine was docked" : "the machine was undocked");
      if (!initial && !on) this.recheck();
    } else if (code === SW_LID) {
      const before = this.closed;
      this.#lids.set(device, on);
      if (!initial) this.#log.info(on ? "the lid was closed" : "the lid was opened");
      this.#news = on && !initial;
      this.#settle(before);
      if (on && !initial) this.#handle();
    }
  }

  /** A device is gone, or its events were lost. */
  forget(device: PowerSwitch): void {
    const before = this.closed;
    this.#lids.delete(device);
    this.#docks.delete(device);
    this.#settle(before);
  }

  /** Something has changed that a closed lid's action depends on. */
  recheck(): void {
    if (this.#lids.size > 0 && this.closed) this.#handle();
  }

  /** For a while after the start and after sleep, displays and docks are still being found (HoldoffTimeoutSec). */
  holdOff(): void {
    this.#endHoldoff?.();
    this.#endHoldoff = undefined;
    const { HoldoffTimeoutSec } = this.#settings.config;
    // Without a pause, a sleep that fails would be tried again at once, for ever.
    if (HoldoffTimeoutSec === 0n) return;
    this.#endHoldoff = setLongTimeout(HoldoffTimeoutSec, () => {
      this.#endHoldoff = undefined;
      this.recheck();
    });
  }

  stop(): void {
    this.#endHoldoff?.();
    this.#endWatch?.();
  }

  #settle(before: boolean): void {
    if (this.closed !== before) this.#changed();
    const watched = this.#lids.size > 0 && this.closed;
    if (!watched) {
      this.#endWatch?.();
      this.#endWatch = undefined;
    } else if (!this.#endWatch) {
      try {
        this.#endWatch = watchUevents(["drm", "power_supply", "typec"], () => this.recheck());
      } catch (error) {
        const reason = messageOf(error);
        this.#log.warning(`a display or charger pulled out does not count at once: ${reason}`);
      }
    }
  }

  #handle(): void {
    if (this.#endHoldoff) {
      this.#log.debug("the lid waits until HoldoffTimeoutSec is over");
      return;
    }
    const { config } = this.#settings;
    let place: Place;
    try {
      place = { docked: this.docked, externalPower: onExternalPower() };
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`the lid is closed, but where the machine is cannot be seen: ${reason}`);
      return;
    }
    const where = [place.docked && "docked", place.externalPower && "on external power"];
    const again = !this.#news;
    this.#news = false;
    this.#act(lidAction(config, place), {
      because: ["the lid is closed", ...where.filter(Boolean)].join(", "),
      inhibit: "handle-lid-switch",
      ignoreInhibited: config.LidSwitchIgnoreInhibited,
      again,
    });
  }
}
