/** The levels that a card begins with which alsactl knows nothing of, by amixer(1). */
import { readFileSync } from "node:fs";
import type { Logger } from "../cli/index.ts";
import { hasCode } from "../linux/index.ts";

/** A simple mixer control, as `amixer scontents` has it. */
export interface MixerControl {
  /** `'Master',0`, as amixer takes it. */
  id: string;
  name: string;
  /** `pvolume`, `pswitch`, `cvolume`, `volume`, ...: p is for playback, c for capture. */
  capabilities: string[];
  /** Whether the card says how many dB a step is. */
  hasDecibels: boolean;
}

/** Ids of the cards that alsactl has stored something of. */
export function storedCards(stateFile: string): Set<string> {
  try {
    const text = readFileSync(stateFile, "utf8");
    return new Set(
      [...text.matchAll(/^state\.(['"]?)(.+)\1 \{$/gm)].map((match) => match[2] ?? ""),
    );
  } catch (error) {
    if (hasCode(error, "ENOENT")) return new Set();
    throw error;
  }
}

/** The controls in what `amixer scontents` prints. */
export function parseControls(text: string): MixerControl[] {
  return text
    .split(/^(?=Simple mixer control )/m)
    .map((block) => ({ block, head: /^Simple mixer control ('(.*)',\d+)$/m.exec(block) }))
    .filter(({ head }) => head !== null)
    .map(({ block, head }) => ({
      id: head?.[1] ?? "",
      name: head?.[2] ?? "",
      capabilities: (/^ +Capabilities: (.*)$/m.exec(block)?.[1] ?? "").split(" "),
      hasDecibels: /\[-?[\d.]+dB\]/.test(block),
    }));
}

/** What sound comes out by. What has one of the words below in its name as well is not. */
const OUTPUT =
  /^(?:Master|PCM|Front|Surround|Center|LFE|Side|DAC|HDMI|IEC958|(?:Bass |Desktop )?Speaker|Headphone|Headset|Line[ -]?Out)\b/i;
const MICROPHONE = /\bMic(?:rophone)?\b/i;
const BOOST = /\bBoost\b/i;
const NO_OUTPUT = /\b(?:Mic|Microphone|Boost|Capture|Loopback|Beep|Auto-Mute)\b/i;

/** Loud enough to be heard, and not to hurt. */
const MODERATE = "70%";
const UNCHANGED = "0dB";

/**
 * What to set on a card that nobody has set: outputs on, with the attenuation in
 * one place (Master, where the card has one); no microphone to be heard in the
 * speakers; nothing boosted.
 *
 * @returns the arguments of `amixer sset`
 */
export function initialLevels(controls: readonly MixerControl[]): string[][] {
  const isVolume = ({ capabilities }: MixerControl) =>
    capabilities.some((capability) => /^p?volume$/.test(capability));
  const isSwitch = ({ capabilities }: MixerControl) =>
    capabilities.some((capability) => /^p?switch$/.test(capability));
  const hasMaster = controls.some((control) => control.name === "Master" && isVolume(control));
  return controls.flatMap((control) => {
    const { id, name, hasDecibels } = control;
    const settings: string[] = [];
    if (BOOST.test(name)) {
      if (control.capabilities.some((capability) => capability.endsWith("volume"))) {
        settings.push("0%");
      }
      if (isSwitch(control)) settings.push("mute");
    } else if (MICROPHONE.test(name)) {
      if (isSwitch(control)) settings.push("playback", "mute");
      else if (control.capabilities.includes("pvolume")) settings.push("playback", "0%");
    } else if (OUTPUT.test(name) && !NO_OUTPUT.test(name)) {
      const attenuates = name === "Master" || !hasMaster || !hasDecibels;
      if (isVolume(control)) settings.push("playback", attenuates ? MODERATE : UNCHANGED);
      if (isSwitch(control)) settings.push("unmute");
    }
    return settings.length > 0 ? [[id, ...settings]] : [];
  });
}

/** Whether what `amixer sset` printed of a control is above 0 dB, where an output amplifies. */
export function amplifies(text: string): boolean {
  return [...text.matchAll(/Playback.*\[(-?[\d.]+)dB\]/g)].some((match) => Number(match[1]) > 0);
}

/** Sets `initialLevels` on a card; a control that cannot be set is named, and the others are set. */
export async function setInitialLevels(card: number, log: Logger): Promise<void> {
  const amixer = Bun.which("amixer");
  if (amixer === null) {
    log.warning(`card ${card}: amixer is not installed (package alsa-utils), so it may be mute`);
    return;
  }
  const run = async (...args: string[]) => {
    const child = Bun.spawn([amixer, "-c", String(card), ...args], {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [out, errors, status] = await Promise.all([
      child.stdout.text(),
      child.stderr.text(),
      child.exited,
    ]);
    if (status === 0) return out;
    log.warning(`card ${card}: amixer ${args.join(" ")}: ${errors.trim() || `status ${status}`}`);
    return undefined;
  };
  const controls = parseControls((await run("scontents")) ?? "");
  for (const [id = "", ...settings] of initialLevels(controls)) {
    const now = await run("sset", id, ...settings);
    if (now && settings.includes(MODERATE) && amplifies(now)) {
      await run("sset", id, "playback", UNCHANGED);
    }
  }
}
