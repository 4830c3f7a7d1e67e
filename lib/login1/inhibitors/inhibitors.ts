/**
 * Inhibitors: programs that ask for time before, or keep the system from, going
 * down or to sleep. Each lasts until nobody holds its descriptor any more; see
 * systemd's "Inhibitor Locks" and org.freedesktop.login1(5).
 */
import { mkdirSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../../cli/index.ts";
import { busErrors, type Caller } from "../../dbus/index.ts";
import { accountOf, close, type Fd, hasCode, makeFifo, messageOf, now } from "../../linux/index.ts";
import { FifoWatch } from "../host/fifo-watch.ts";
import { removeAny, unspeakableIn } from "../host/plain-file.ts";
import type { Settings } from "../settings/logind-conf.ts";
import type { StateFiles } from "../state/state-files.ts";
import { IDLE_PROPERTIES } from "../vocabulary/idle.ts";
import { INHIBITORS } from "../vocabulary/paths.ts";
import { checkLength } from "../vocabulary/texts.ts";
import { INHIBIT_WHATS, type InhibitMode, type Inhibitor, type InhibitWhat } from "./inhibitor.ts";
import {
  fifoOf,
  fileOf,
  idsOf,
  inhibitorValues,
  isForeign,
  readInhibitor,
} from "./inhibitor-file.ts";

/** The Manager's property that tells of the inhibitors of a mode. */
const PROPERTIES: Readonly<Record<InhibitMode, string>> = {
  block: "BlockInhibited",
  "block-weak": "BlockWeakInhibited",
  delay: "DelayInhibited",
};

export class Inhibitors {
  readonly #all = new Map<string, Inhibitor>();
  /** How many there are of each mode and thing, so that a thousand of them cost no more than one. */
  readonly #held = new Map<string, number>();
  /** How many each account has, and how many bytes of text. */
  readonly #perUser = new Map<number, { count: number; bytes: number }>();
  readonly #watches = new Map<string, FifoWatch>();
  readonly #onEnded: (() => void)[] = [];
  readonly #log: Logger;
  readonly #settings: Settings;
  readonly #files: StateFiles;
  readonly #changed: (properties: string[]) => void;
  #counter = 0;
  /** Whether the last one has a fifo, by which a new bridge finds it. */
  #hasFifos = true;

  /** @param changed told which of the Manager's properties have changed */
  constructor(
    log: Logger,
    settings: Settings,
    files: StateFiles,
    changed: (properties: string[]) => void,
  ) {
    this.#settings = settings;
    this.#log = log;
    this.#files = files;
    this.#changed = changed;
  }

  /** Has `ended` called when an inhibitor has ended, after the properties say so. It must not throw. */
  onEnded(ended: () => void): void {
    this.#onEnded.push(ended);
  }

  /** logind.conf's InhibitorsMax. */
  get max(): bigint {
    return this.#settings.config.InhibitorsMax;
  }

  /**
   * How many of them one uid other than root's may have: an eighth of all, but
   * not less than 64, so that nobody can take them all from the others.
   */
  get maxPerUser(): bigint {
    const eighth = this.max / 8n;
    const share = eighth > 64n ? eighth : 64n;
    return share < this.max ? share : this.max;
  }

  /** logind.conf's InhibitDelayMaxSec, in microseconds. */
  get delayMax(): bigint {
    return this.#settings.config.InhibitDelayMaxSec;
  }

  /**
   * Takes up those of the last run. Those whose holders have gone meanwhile end at once, and what makes
   * no sense is named in the log and removed.
   */
  start(): void {
    const names = this.#names();
    for (const name of names.filter(isForeign)) {
      this.#log.warning(`${join(INHIBITORS, name)} is no inhibitor's file: it is removed`);
      this.#files.remove(join(INHIBITORS, name));
    }
    for (const id of idsOf(names)) {
      this.#counter = Math.max(this.#counter, Number(id));
      try {
        this.#restore(id);
      } catch (error) {
        this.#log.warning(`the inhibitor in ${fileOf(id)} is not used: ${messageOf(error)}`);
        this.#removeFiles(id);
      }
    }
  }

  #names(): string[] {
    try {
      mkdirSync(INHIBITORS, { recursive: true, mode: 0o755 });
      for (const path of unspeakableIn(INHIBITORS)) {
        this.#log.warning(`${path} is no inhibitor's file: it is removed`);
        this.#files.change(`${path}`, () => removeAny(path));
      }
      return readdirSync(INHIBITORS);
    } catch (error) {
      this.#log.error(`no inhibitor of the last run is found again: ${messageOf(error)}`);
      return [];
    }
  }

  #restore(id: string): void {
    const values = this.#files.load(fileOf(id));
    if (!values) {
      // A fifo whose file was never written, or is removed already.
      this.#removeFiles(id);
      return;
    }
    const inhibitor = readInhibitor(id, values);
    close(this.#watch(inhibitor));
    this.#enter(inhibitor);
    if (this.#watches.get(id)?.closed) this.#end(inhibitor);
  }

  /** Ends the watches. The inhibitors stay, for the next run. */
  stop(): void {
    for (const watches of this.#watches.values()) watches.end();
    this.#watches.clear();
  }

  /** Whether it is still held. */
  has({ id }: Inhibitor): boolean {
    return this.#all.has(id);
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

  /** Whether something is blocked by anybody. */
  isBlocking(what: InhibitWhat): boolean {
    return this.#countBlocking(what) > 0;
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
      pidfdId: caller.process?.pidfdId ?? 0n,
      since: now(),
    };
    this.#checkShare(inhibitor);
    this.#counter++;
    const fd = this.#begin(inhibitor);
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

  /** Watches the fifo of one; returns its write end, which is the caller's to close. */
  #watch(inhibitor: Inhibitor): Fd {
    const { id } = inhibitor;
    const { watch, writer } = FifoWatch.open(fifoOf(id), () => this.#end(inhibitor));
    this.#watches.set(id, watch);
    return writer;
  }

  /**
   * Makes the fifo of a new one and watches it. Where none can be made (a full /run) a pipe does the
   * same, but no new bridge finds it again.
   *
   * @returns the write end, the caller's to close
   */
  #begin(inhibitor: Inhibitor): Fd {
    const { id } = inhibitor;
    try {
      mkdirSync(INHIBITORS, { recursive: true, mode: 0o755 });
      makeFifo(fifoOf(id), 0o600);
      const fd = this.#watch(inhibitor);
      this.#files.save(fileOf(id), () => inhibitorValues(inhibitor));
      this.#hasFifos = true;
      return fd;
    } catch (error) {
      this.#removeFiles(id);
      if (!hasCode(error, "ENOSPC", "EROFS", "EDQUOT", "EEXIST", "ENOTDIR")) throw error;
      // Once, since anybody may ask for one.
      if (this.#hasFifos) {
        const reason = messageOf(error);
        this.#log.warning(`inhibitors from ${id} on do not outlive the bridge: ${reason}`);
      }
      this.#hasFifos = false;
      const { watch, writer } = FifoWatch.pipe(() => this.#end(inhibitor));
      this.#watches.set(id, watch);
      return writer;
    }
  }

  #end(inhibitor: Inhibitor): void {
    const { id } = inhibitor;
    this.#watches.get(id)?.end();
    this.#watches.delete(id);
    this.#removeFiles(id);
    if (!this.#all.delete(id)) return;
    this.#count(inhibitor, -1);
    this.#changed(this.#propertiesOf(inhibitor, 0));
    this.#log.debug(`inhibitor ${id} of ${inhibitor.who} ended`);
    for (const ended of this.#onEnded) ended();
  }

  #removeFiles(id: string): void {
    this.#files.remove(fileOf(id));
    this.#files.remove(fifoOf(id));
  }
}

/** How many bytes of text all inhibitors of one user may have. */
const MOST_TEXT = 2 ** 18;

const textOf = (who: string, why: string) => Buffer.byteLength(who) + Buffer.byteLength(why);
