/** Keys of QEMU's keyboard (QKeyCode in the QEMU QMP Reference Manual). */
import { setTimeout as sleep } from "node:timers/promises";
import type { Qmp } from "./qmp.ts";

/** Keys of the American layout that are no letter or digit. */
const NAMES: Readonly<Record<string, string>> = {
  " ": "spc",
  "\n": "ret",
  "\t": "tab",
  "-": "minus",
  "=": "equal",
  ".": "dot",
  ",": "comma",
  "/": "slash",
  ";": "semicolon",
  "'": "apostrophe",
  "\\": "backslash",
};

/** What they give with Shift. */
const SHIFTED: Readonly<Record<string, string>> = {
  _: "-",
  "+": "=",
  ">": ".",
  ":": ";",
  '"': "'",
};

/**
 * Presses keys together and lets them go: `press(qmp, "ctrl", "alt", "f2")`. Both come at once: on a
 * busy host, a key that is held for a moment would repeat.
 */
export async function press(qmp: Qmp, ...keys: string[]): Promise<void> {
  const events = [
    ...keys.map((key) => keyEvent(key, true)),
    ...keys.toReversed().map((key) => keyEvent(key, false)),
  ];
  await qmp.execute("input-send-event", { events });
}

/** Types a text. @throws Error for a character that is on no key of the American layout. */
export async function type(qmp: Qmp, text: string): Promise<void> {
  for (const character of text) {
    const plain = SHIFTED[character] ?? character.toLowerCase();
    const key = NAMES[plain] ?? plain;
    if (!/^([a-z0-9]|[a-z]{2,})$/.test(key)) throw new Error(`no key for ${character}`);
    await press(qmp, ...(plain === character ? [] : ["shift"]), key);
    // The keyboard drops what the machine has not taken from it by then.
    await sleep(120);
  }
}

function keyEvent(key: string, down: boolean) {
  return { type: "key", data: { down, key: { type: "qcode", data: key } } };
}
