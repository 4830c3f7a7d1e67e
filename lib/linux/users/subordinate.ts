/**
 * Whose a uid is for counts. A user may have 65,536 subordinate uids (subuid(5)), make processes that
 * run as any of them, and so be as many users.
 */
import { readFileSync, type Stats, statSync } from "node:fs";
import { guarded } from "../events/readiness.ts";
import { hasCode } from "../ffi/errors.ts";

/** For so long what was read counts, in milliseconds. */
const FRESH = 1000;
const ROOT = 0;

interface Range {
  first: number;
  /** The first one behind it. */
  end: number;
  account: number;
}

/** The ranges of one file in the form of subuid(5), which is looked at again when it has changed. */
export class SubordinateUsers {
  readonly #path: string;
  #ranges: readonly Range[] = [];
  #lowest = Number.POSITIVE_INFINITY;
  #checked = Number.NEGATIVE_INFINITY;
  #read: Stats | undefined;
  /** Whether it could not be read the last time. */
  #fails = false;

  constructor(path: string) {
    this.#path = path;
  }

  /**
   * The uid that stands for a user's subordinate ones together, the first of them; any other uid itself.
   * It is not the user's own: to find that one would mean to ask for its name, and those who know may
   * be on the network. A file that cannot be read is reported once (see `reportFailures`), and what was
   * known before counts.
   */
  accountOf(uid: number, now = performance.now()): number {
    if (uid === ROOT) return uid;
    if (now - this.#checked >= FRESH) {
      this.#checked = now;
      guarded(() => this.#refreshReadable());
    }
    if (uid < this.#lowest) return uid;
    return this.#ranges.find(({ first, end }) => uid >= first && uid < end)?.account ?? uid;
  }

  #refreshReadable(): void {
    try {
      this.#refresh();
      this.#fails = false;
    } catch (error) {
      const isNew = !this.#fails;
      this.#fails = true;
      if (isNew) throw error;
    }
  }

  #refresh(): void {
    const stats = statSync(this.#path, { throwIfNoEntry: false });
    const known = this.#read;
    if (
      stats?.ino === known?.ino &&
      stats?.mtimeMs === known?.mtimeMs &&
      stats?.size === known?.size
    ) {
      return;
    }
    this.#ranges = stats ? parseRanges(read(this.#path)) : [];
    this.#lowest = Math.min(...this.#ranges.map(({ first }) => first));
    this.#read = stats;
  }
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    // It went between two looks.
    if (hasCode(error, "ENOENT")) return "";
    throw error;
  }
}

/** Lines of NAME:FIRST:COUNT; what is none is no range, as for newuidmap(1). All ranges of a name are one account. */
function parseRanges(text: string): Range[] {
  const accounts = new Map<string, number>();
  const ranges: Range[] = [];
  for (const [, name = "", first = "", count = ""] of text.matchAll(/^([^:\n]+):(\d+):(\d+)$/gm)) {
    const account = accounts.get(name) ?? Number(first);
    accounts.set(name, account);
    ranges.push({ first: Number(first), end: Number(first) + Number(count), account });
  }
  return ranges;
}

const ofSystem = new SubordinateUsers("/etc/subuid");

/** Whose a uid is for counts, by /etc/subuid: see SubordinateUsers. */
export const accountOf = (uid: number): number => ofSystem.accountOf(uid);
