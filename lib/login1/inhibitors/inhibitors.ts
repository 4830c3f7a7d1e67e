/**
 * Inhibitors: programs that ask for time before, or keep the system from, going
 * down or to sleep. Each lasts until nobody holds its descriptor any more; see
 * systemd's "Inhibitor Locks" and org.freedesktop.login1(5).
 */
import { existsSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../cli/index.ts";
import { busErrors, type Caller } from "../../dbus/index.ts";
import {
  accountOf,
  close,
  type Fd,
  makeFifo,
  messageOf,
  now,
  type Timestamp,
} from "../../linux/index.ts";
import { SessionWatches } from "../sessions/session-watches.ts";
import type { Settings } from "../settings/logind-conf.ts";
import { loadState, removeState, saveState } from "../state/env-file.ts";
import { escapeC, unescapeC } from "../vocabulary/c-escape.ts";
import { IDLE_PROPERTIES } from "../vocabulary/idle.ts";
import { INHIBITORS } from "../vocabulary/paths.ts";
import { checkLength } from "../vocabulary/texts.ts";

/** What can be inhibited, in the order in which logind lists them. */
export const INHIBIT_WHATS = [
  "shutdown",
  "sleep",
  "idle",
  "handle-power-key",
  "handle-suspend-key",
  "handle-hibernate-key",
  "handle-lid-switch",
  "handle-reboot-key",
] as const;
/** The strongest first. */
export const INHIBIT_MODES = ["block", "block-weak", "delay"] as const;

export type InhibitWhat = (typeof INHIBIT_WHATS)[number];
export type InhibitMode = (typeof INHIBIT_MODES)[number];

export interface Inhibitor {
  readonly id: string;
  readonly what: readonly InhibitWhat[];
  readonly mode: InhibitMode;
  readonly who: string;
  readonly why: string;
  readonly uid: number;
  /** Whose it counts as: see accountOf. */
  readonly account: number;
  readonly pid: number;
  /** When it was made, or taken up again by a new bridge. */
  readonly since: Timestamp;
}

/** The Manager's property that tells of the inhibitors of a mode. */
const PROPERTIES: Readonly<Record<InhibitMode, string>> = {
  block: "BlockInhibited",
  "block-weak": "BlockWeakInhibited",
  delay: "DelayInhibited",
};

/**
 * What is to be inhibited, from its colon-separated form, each once and in logind's order.
 *
 * @throws {BusError} InvalidArgs
 */
export function parseInhibitWhat(text: string): InhibitWhat[] {
  const words = text.split(":");
  if (!words.every((word) => (INHIBIT_WHATS as readonly string[]).includes(word))) {
    throw busErrors.invalidArgs(`Invalid what specification ${text.slice(0, 200)}`);
  }
  return INHIBIT_WHATS.filter((what) => words.includes(what));
}

/** @throws {BusError} InvalidArgs */
export function parseInhibitMode(text: string): InhibitMode {
  const mode = INHIBIT_MODES.find((known) => known === text);
  if (!mode) throw busErrors.invalidArgs(`Invalid mode specification ${text}`);
  return mode;
}

export class Inhibitors {
  /** Called when an inhibitor has ended, after the files and properties say so. Must not throw. */
  onEnded: () => void = () => {};
  readonly #all = new Map<string, Inhibitor>();
  /** How many there are of each mode and thing, so that a thousand of them cost no more than one. */
  readonly #held = new Map<string, number>();
  /** How many each account has, and how many bytes of text. */
  readonly #perUser = new Map<number, { count: number; bytes: number }>();
  readonly #watches = new Map<string, SessionWatches>();
  readonly #log: Logger;
  readonly #settings: Settings;
  readonly #changed: (properties: string[]) => void;
  #counter = 0;

  /** @param changed told which of the Manager's properties have changed */
  constructor(log: Logger, settings: Settings, changed: (properties: string[]) => void) {
    this.#settings = settings;
    this.#log = log;
    this.#changed = changed;
  }

  /** logind.conf's InhibitorsMax. */
  get max(): number {
    return Number(this.#settings.config.InhibitorsMax);
  }

  /**
   * How many of them one uid other than root's may have: an eighth of all, but
   * not less than 64, so that nobody can take them all from the others.
   */
  get maxPerUser(): number {
    return Math.min(this.max, Math.max(64, Math.floor(this.max / 8)));
  }

  /** logind.conf's InhibitDelayMaxSec, in milliseconds. */
  get delayMax(): number {
    return Number(this.#settings.config.InhibitDelayMaxSec / 1000n);
  }

  /** Takes up those of the last run. Those whose holders have gone meanwhile end at once. */
  start(): void {
    mkdirSync(INHIBITORS, { recursive: true, mode: 0o755 });
    const names = readdirSync(INHIBITORS);
    const ids = names.filter((name) => /^\d+$/.test(name));
    // A fifo whose file was never written: its descriptor never got to anybody.
    const left = names.filter((name) => /^\d+\.ref$/.test(name)).map((name) => name.slice(0, -4));
    for (const id of new Set(left).difference(new Set(ids))) this.#removeFiles(id);
    for (const id of ids.sort((a, b) => Number(a) - Number(b))) {
      this.#counter = Math.max(this.#counter, Number(id));
      try {
        const inhibitor = load(id);
        close(this.#watch(inhibitor));
        this.#enter(inhibitor);
        if (this.#watches.get(id)?.fifoClosed) this.#end(inhibitor);
      } catch (error) {
        const reason = messageOf(error);
        this.#log.warning(`the inhibitor in ${join(INHIBITORS, id)} is not used: ${reason}`);
        this.#endWatch(id);
        this.#removeFiles(id);
      }
    }
  }

  /** Ends the watches. The inhibitors stay, for the next run. */
  stop(): void {
    for (const watches of this.#watches.values()) watches.end();
    this.#watches.clear();
  }

  /** All of them, in the order in which they came. */
  list(): Inhibitor[] {
    return [...this.#all.values()];
  }

  get count(): number {
    return this.#all.size;
  }

  /** What the inhibitors of a mode inhibit, as the properties have it: `shutdown:sleep`. */
  inhibited(mode: InhibitMode): string {
    return INHIBIT_WHATS.filter((what) => (this.#held.get(`${mode} ${what}`) ?? 0) > 0).join(":");
  }

  /**
   * The strongest inhibitor that blocks something.
   *
   * @param uid who asks: whose own weak inhibitors do not count
   * @param counts whether one counts that would
   */
  blocking(
    what: InhibitWhat,
    uid?: number,
    counts: (inhibitor: Inhibitor) => boolean = () => true,
  ): Inhibitor | undefined {
    const blocking = this.list().filter(
      (inhibitor) =>
        inhibitor.what.includes(what) &&
        counts(inhibitor) &&
        (inhibitor.mode === "block" ||
          (inhibitor.mode === "block-weak" && (uid === undefined || inhibitor.uid !== uid))),
    );
    return blocking.find(({ mode }) => mode === "block") ?? blocking[0];
  }

  /** Since when something is blocked by anybody; undefined if it is not. */
  blockedSince(what: InhibitWhat): Timestamp | undefined {
    if (this.#countBlocking(what) === 0) return undefined;
    for (const { what: whats, mode, since } of this.#all.values()) {
      if (mode !== "delay" && whats.includes(what)) return since;
    }
    return undefined;
  }

  /** An inhibitor that something has to wait for. */
  delaying(what: InhibitWhat): Inhibitor | undefined {
    return this.list().find(({ mode, what: whats }) => mode === "delay" && whats.includes(what));
  }

  /**
   * Makes an inhibitor.
   *
   * @returns its descriptor, the caller's to close: when nobody holds it any more, the inhibitor ends
   * @throws {BusError} LimitsExceeded, InvalidArgs for a text that is too long, or AccessDenied for a
   *   caller whose process has ended
   */
  add(what: InhibitWhat[], mode: InhibitMode, who: string, why: string, caller: Caller): Fd {
    if (this.#all.size >= this.max) {
      throw busErrors.limitsExceeded(
        `Maximum number of inhibitors (${this.max}) reached, refusing further inhibitors.`,
      );
    }
    const { uid, pid } = caller;
    // As with logind, which cannot say then whose it would be.
    if (pid === 0) throw busErrors.accessDenied("The process that connected to the bus has ended");
    const id = String(this.#counter + 1);
    const inhibitor: Inhibitor = {
      id,
      what,
      mode,
      who,
      why,
      uid,
      account: accountOf(uid),
      pid,
      since: now(),
    };
    this.#checkShare(inhibitor);
    this.#counter++;
    let fd: Fd | undefined;
    try {
      mkdirSync(INHIBITORS, { recursive: true, mode: 0o755 });
      makeFifo(fifoOf(id), 0o600);
      fd = this.#watch(inhibitor);
      save(inhibitor);
    } catch (error) {
      if (fd !== undefined) close(fd);
      this.#endWatch(id);
      this.#removeFiles(id);
      throw error;
    }
    this.#enter(inhibitor);
    this.#changed(this.#propertiesOf(inhibitor, 1));
    this.#log.debug(`inhibitor ${id} of ${who} (pid ${pid}): ${mode} ${what.join(":")}`);
    return fd;
  }

  /** What one user other than root may have, in number and in text: everybody reads all of it. */
  #checkShare({ uid, account, who, why }: Inhibitor): void {
    checkLength("name of who inhibits", who, "who");
    checkLength("reason", why, "why");
    const own = this.#perUser.get(account) ?? { count: 0, bytes: 0 };
    if (uid === 0) return;
    const full =
      own.count >= this.maxPerUser
        ? `number of inhibitors of user ${uid} (${this.maxPerUser})`
        : own.bytes + textOf(who, why) > MOST_TEXT
          ? `size of user ${uid}'s texts (${MOST_TEXT} bytes)`
          : undefined;
    if (full === undefined) return;
    throw busErrors.limitsExceeded(`Maximum ${full} reached, refusing further inhibitors.`);
  }

  /**
   * The Manager's properties that change with an inhibitor.
   *
   * @param edge how many inhibitors of idleness there are when it is the first of them, or was the last
   */
  #propertiesOf({ mode, what }: Inhibitor, edge: 0 | 1): string[] {
    const idle = what.includes("idle") && this.#countBlocking("idle") === edge;
    return [PROPERTIES[mode], "NCurrentInhibitors", ...(idle ? IDLE_PROPERTIES : [])];
  }

  #countBlocking(what: InhibitWhat): number {
    const count = (mode: InhibitMode) => this.#held.get(`${mode} ${what}`) ?? 0;
    return count("block") + count("block-weak");
  }

  #enter(inhibitor: Inhibitor): void {
    this.#all.set(inhibitor.id, inhibitor);
    this.#count(inhibitor, 1);
  }

  #count({ mode, what, account, who, why }: Inhibitor, change: 1 | -1): void {
    const own = this.#perUser.get(account) ?? { count: 0, bytes: 0 };
    const count = own.count + change;
    const bytes = own.bytes + change * textOf(who, why);
    if (count > 0) this.#perUser.set(account, { count, bytes });
    else this.#perUser.delete(account);
    for (const one of what) {
      const key = `${mode} ${one}`;
      this.#held.set(key, (this.#held.get(key) ?? 0) + change);
    }
  }

  /** The fifo's write end, which is the caller's to close. */
  #watch(inhibitor: Inhibitor): Fd {
    const watches = new SessionWatches();
    this.#watches.set(inhibitor.id, watches);
    return watches.watchFifo(fifoOf(inhibitor.id), () => this.#end(inhibitor));
  }

  #end(inhibitor: Inhibitor): void {
    const { id } = inhibitor;
    this.#endWatch(id);
    this.#removeFiles(id);
    if (!this.#all.delete(id)) return;
    this.#count(inhibitor, -1);
    this.#changed(this.#propertiesOf(inhibitor, 0));
    this.#log.debug(`inhibitor ${id} of ${inhibitor.who} ended`);
    this.onEnded();
  }

  #endWatch(id: string): void {
    this.#watches.get(id)?.end();
    this.#watches.delete(id);
  }

  #removeFiles(id: string): void {
    try {
      removeState(fileOf(id));
      rmSync(fifoOf(id), { force: true });
    } catch (error) {
      const reason = messageOf(error);
      this.#log.error(`the files of inhibitor ${id} stay: ${reason}`);
    }
  }
}

/** How many bytes of text all inhibitors of one user may have. */
const MOST_TEXT = 2 ** 18;

const textOf = (who: string, why: string) => Buffer.byteLength(who) + Buffer.byteLength(why);

const fileOf = (id: string) => join(INHIBITORS, id);
const fifoOf = (id: string) => join(INHIBITORS, `${id}.ref`);

function save(inhibitor: Inhibitor): void {
  saveState(fileOf(inhibitor.id), {
    WHAT: inhibitor.what.join(":"),
    MODE: inhibitor.mode,
    UID: inhibitor.uid,
    PID: inhibitor.pid,
    // Escaped twice, here and as a value of such a file, which is how logind has it.
    WHO: escapeC(inhibitor.who),
    WHY: escapeC(inhibitor.why),
    FIFO: fifoOf(inhibitor.id),
  });
}

function load(id: string): Inhibitor {
  const values = loadState(fileOf(id));
  const text = (key: string) => values?.get(key) ?? "";
  const uid = Number(text("UID"));
  const pid = Number(text("PID"));
  if (text("UID") === "" || !Number.isInteger(uid) || !(pid > 0)) {
    throw new Error("its UID or PID is missing or wrong");
  }
  if (text("FIFO") !== fifoOf(id) || !existsSync(fifoOf(id))) {
    throw new Error("its fifo is not there");
  }
  return {
    id,
    what: parseInhibitWhat(text("WHAT")),
    mode: parseInhibitMode(text("MODE")),
    who: unescapeC(text("WHO")),
    why: unescapeC(text("WHY")),
    uid,
    account: accountOf(uid),
    pid,
    // logind's form has no place for it, so that an inhibitor begins anew with the bridge.
    since: now(),
  };
}
