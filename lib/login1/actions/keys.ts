/** What the keys for power do when pressed, for long, or together; see logind.conf(5). */

import type { InhibitWhat } from "../inhibitors/inhibitor.ts";
import type { Config, ConfigKey, Settings } from "../settings/logind-conf.ts";
import type { Act } from "./event.ts";
import type { PowerSwitch } from "./power-switches.ts";

/** logind's: how long is long, in milliseconds. */
const LONG_PRESS = 5000;

interface Key {
  readonly name: string;
  /** linux/input-event-codes.h */
  readonly codes: readonly number[];
  readonly short: Extract<ConfigKey, `Handle${string}Key`>;
  readonly long: Extract<ConfigKey, `Handle${string}LongPress`>;
  readonly ignoreInhibited: Extract<ConfigKey, `${string}KeyIgnoreInhibited`>;
  readonly inhibit: InhibitWhat;
}

/** The kernel's names mislead: KEY_SLEEP suspends, and KEY_SUSPEND hibernates. */
const KEYS: readonly Key[] = [
  {
    name: "power key",
    codes: [116, 0x164], // KEY_POWER, KEY_POWER2
    short: "HandlePowerKey",
    long: "HandlePowerKeyLongPress",
    ignoreInhibited: "PowerKeyIgnoreInhibited",
    inhibit: "handle-power-key",
  },
  {
    name: "reboot key",
    codes: [0x198], // KEY_RESTART
    short: "HandleRebootKey",
    long: "HandleRebootKeyLongPress",
    ignoreInhibited: "RebootKeyIgnoreInhibited",
    inhibit: "handle-reboot-key",
  },
  {
    name: "suspend key",
    codes: [142], // KEY_SLEEP
    short: "HandleSuspendKey",
    long: "HandleSuspendKeyLongPress",
    ignoreInhibited: "SuspendKeyIgnoreInhibited",
    inhibit: "handle-suspend-key",
  },
  {
    name: "hibernate key",
    codes: [205], // KEY_SUSPEND
    short: "HandleHibernateKey",
    long: "HandleHibernateKeyLongPress",
    ignoreInhibited: "HibernateKeyIgnoreInhibited",
    inhibit: "handle-hibernate-key",
  },
];

/** Ctrl, Alt and Shift, left or right. */
const MODIFIERS: readonly (readonly number[])[] = [
  [29, 97],
  [56, 100],
  [42, 54],
];
const ESCAPE = 1;

/** The codes of all keys that mean something by this configuration. */
export function wantedKeys({ HandleSecureAttentionKey }: Config): number[] {
  const attention = HandleSecureAttentionKey === "ignore" ? [] : [...MODIFIERS.flat(), ESCAPE];
  return [...KEYS.flatMap(({ codes }) => codes), ...attention];
}

export class Keys {
  readonly #settings: Settings;
  readonly #act: Act;
  readonly #longPress: number;
  /** Keys that are held, and may become a long press. */
  readonly #pending = new Map<Key, { timer: ReturnType<typeof setTimeout>; device: PowerSwitch }>();
  /** Which keys of Ctrl, Alt and Shift are down, a keyboard each. */
  readonly #down = new Map<PowerSwitch, Set<number>>();

  constructor(settings: Settings, act: Act, longPress = LONG_PRESS) {
    this.#settings = settings;
    this.#act = act;
    this.#longPress = longPress;
  }

  /** A key was pressed (true) or let go. */
  key(device: PowerSwitch, code: number, pressed: boolean): void {
    const key = KEYS.find(({ codes }) => codes.includes(code));
    if (!key) this.#typed(device, code, pressed);
    else if (pressed) this.#press(key, device);
    else this.#release(key);
  }

  /** A device is gone, or its events were lost: whatever was held on it is not. */
  forget(device: PowerSwitch): void {
    this.#down.delete(device);
    for (const [key, pending] of this.#pending) {
      if (pending.device !== device) continue;
      clearTimeout(pending.timer);
      this.#pending.delete(key);
    }
  }

  stop(): void {
    for (const { timer } of this.#pending.values()) clearTimeout(timer);
    this.#pending.clear();
  }

  #press(key: Key, device: PowerSwitch): void {
    if (this.#pending.has(key)) return;
    const { config } = this.#settings;
    // As with logind, nothing is waited for where a long press means nothing else.
    if (config[key.long] === "ignore" || config[key.long] === config[key.short]) {
      this.#set(key, key.short, "was pressed");
      return;
    }
    const timer = setTimeout(() => {
      this.#pending.delete(key);
      this.#set(key, key.long, "was pressed for long");
    }, this.#longPress);
    this.#pending.set(key, { timer, device });
  }

  #release(key: Key): void {
    const pending = this.#pending.get(key);
    if (!pending) return;
    clearTimeout(pending.timer);
    this.#pending.delete(key);
    this.#set(key, key.short, "was pressed");
  }

  #set(key: Key, setting: Key["short"] | Key["long"], how: string): void {
    const { config } = this.#settings;
    this.#act(config[setting], {
      because: `the ${key.name} ${how}`,
      inhibit: key.inhibit,
      ignoreInhibited: config[key.ignoreInhibited],
    });
  }

  #typed(device: PowerSwitch, code: number, pressed: boolean): void {
    const down = this.#down.get(device) ?? new Set();
    this.#down.set(device, down);
    if (code !== ESCAPE) {
      if (pressed) down.add(code);
      else down.delete(code);
      return;
    }
    const together = MODIFIERS.every((either) => either.some((modifier) => down.has(modifier)));
    if (!pressed || !together) return;
    this.#act(this.#settings.config.HandleSecureAttentionKey, {
      because: `Ctrl+Alt+Shift+Esc was pressed on ${device.seat}`,
      // logind's rule: it is there for the case that a program keeps somebody out.
      ignoreInhibited: true,
      seat: device.seat,
    });
  }
}
