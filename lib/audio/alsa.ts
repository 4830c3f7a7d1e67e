/** The mixers of the sound cards, as alsactl(1) stored them. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../cli/index.ts";
import { hasCode } from "../linux/index.ts";
import { setInitialLevels, storedCards } from "./mixer.ts";

/** One line of /proc/asound/cards. */
export interface SoundCard {
  number: number;
  id: string;
}

/** What `restoreCards` works with. */
export interface AlsaOptions {
  log: Logger;
  /** ALSA's folder, /proc/asound. */
  procAsound?: string;
  /** alsactl's path; null if it is not installed. */
  alsactl?: string | null;
  /** Where alsactl stores, /var/lib/alsa/asound.state. */
  stateFile?: string;
}

/** alsactl(1): nothing of the card could be restored nor is it known; it was given a generic setting. */
const GENERIC = 99;

/**
 * The sound cards that there are.
 *
 * @param procAsound ALSA's folder; that it is missing means that there is no card
 */
export function soundCards(procAsound = "/proc/asound"): SoundCard[] {
  let text: string;
  try {
    text = readFileSync(join(procAsound, "cards"), "utf8");
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
  return [...text.matchAll(/^ *(\d+) \[(.*?) *\]:/gm)].map((match) => ({
    number: Number(match[1]),
    id: match[2] ?? "",
  }));
}

/**
 * Restores the mixer of every card, each by itself, so that one that fails does
 * not keep the others from being restored. One that nothing is stored for gets
 * moderate levels. No card is no error, and neither is a system without alsactl,
 * which is named.
 *
 * @returns false if a card could not be restored
 */
export async function restoreCards(options: AlsaOptions): Promise<boolean> {
  const { log, procAsound, alsactl = Bun.which("alsactl") } = options;
  const { stateFile = "/var/lib/alsa/asound.state" } = options;
  const cards = soundCards(procAsound);
  if (cards.length === 0) {
    log.info("no sound card, so nothing to restore");
    return true;
  }
  if (alsactl === null) {
    log.warning("alsactl is not installed (package alsa-utils): the mixers stay as they are");
    return true;
  }
  const stored = storedCards(stateFile);
  let good = true;
  for (const { number, id } of cards) {
    const child = Bun.spawn([alsactl, "restore", String(number)], {
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    });
    const [text, status] = await Promise.all([child.stderr.text(), child.exited]);
    if (status !== 0 && status !== GENERIC) {
      good = false;
      const reason = text.trim().split("\n").at(-1) || "no reason given";
      log.error(`card ${number} (${id}): alsactl restore ended with status ${status}: ${reason}`);
    } else if (stored.has(id) && status === 0) {
      log.info(`card ${number} (${id}): restored`);
    } else {
      log.info(
        `card ${number} (${id}): nothing was stored for it, so it begins at moderate levels`,
      );
      await setInitialLevels(number, log);
    }
  }
  return good;
}
