/** The file and the fifo of an inhibitor below /run/systemd/inhibit, by which a new bridge finds it again. */
import { join } from "node:path";
import { accountOf, now } from "../../linux/index.ts";
import type { Values } from "../../sd-login/index.ts";
import { escapeC, unescapeC } from "../vocabulary/c-escape.ts";
import { INHIBITORS } from "../vocabulary/paths.ts";
import { checkLength } from "../vocabulary/texts.ts";
import {
  checkInhibitMode,
  type Inhibitor,
  parseInhibitMode,
  parseInhibitWhat,
} from "./inhibitor.ts";

export const fileOf = (id: string) => join(INHIBITORS, id);
export const fifoOf = (id: string) => join(INHIBITORS, `${id}.ref`);

const NAME = /^([1-9]\d{0,14})(?:\.ref)?$/;

/** Whether a name in the folder is neither a file's nor a fifo's. */
export const isForeign = (name: string) => !NAME.test(name);

/** The ids that names in the folder are of, whether file or fifo, in the order in which they were made. */
export function idsOf(names: readonly string[]): string[] {
  const ids = names.flatMap((name) => NAME.exec(name)?.[1] ?? []);
  return [...new Set(ids)].sort((a, b) => Number(a) - Number(b));
}

/** What its file says of an inhibitor. */
export function inhibitorValues(inhibitor: Inhibitor): Values {
  return {
    WHAT: inhibitor.what.join(":"),
    MODE: inhibitor.mode,
    UID: inhibitor.uid,
    PID: inhibitor.pid,
    PIDFDID: inhibitor.pidfdId > 0n ? inhibitor.pidfdId : undefined,
    // Escaped twice, here and as a value of such a file, which is how logind has it.
    WHO: escapeC(inhibitor.who),
    WHY: escapeC(inhibitor.why),
    FIFO: fifoOf(inhibitor.id),
  };
}

/**
 * The inhibitor that a file tells of.
 *
 * @throws {Error} that says what of it makes no sense
 */
export function readInhibitor(id: string, values: ReadonlyMap<string, string>): Inhibitor {
  const text = (key: string) => values.get(key) ?? "";
  // The last two uids are nobody's: they stand for "none".
  const uid = wholeNumber("UID", text("UID"), 2 ** 32 - 3);
  const pid = wholeNumber("PID", text("PID"), 2 ** 22);
  if (pid === 0) throw new Error("its PID is 0");
  // Files of older versions have none.
  const pidfdId = BigInt(wholeNumber("PIDFDID", text("PIDFDID") || "0", Number.MAX_SAFE_INTEGER));
  if (text("FIFO") !== fifoOf(id)) throw new Error("its FIFO is not its own");
  const what = parseInhibitWhat(text("WHAT"));
  const mode = parseInhibitMode(text("MODE"));
  checkInhibitMode(what, mode);
  const who = unescapeC(text("WHO"));
  const why = unescapeC(text("WHY"));
  checkLength("name of who inhibits", who, "who");
  checkLength("reason", why, "why");
  // No string of D-Bus has one, and ListInhibitors has all of them.
  if (`${who}${why}`.includes("\0")) throw new Error("its WHO or WHY has a NUL character in it");
  // There is no place for the time in it, as in logind's: an inhibitor begins anew with the bridge.
  return { id, what, mode, who, why, uid, account: accountOf(uid), pid, pidfdId, since: now() };
}

function wholeNumber(key: string, text: string, most: number): number {
  const number = /^(?:0|[1-9]\d{0,15})$/.test(text) ? Number(text) : Number.NaN;
  if (!(number <= most)) throw new Error(`its ${key} is missing or wrong`);
  return number;
}
