/** Senders that are of no service: what they say is shown, and has no effect. */
import { accountOf } from "../../linux/index.ts";
import type { Notification } from "../protocol/notification.ts";
import { isAlive, newEntry, record } from "../state/entry.ts";
import type { Entry } from "../state/state-file.ts";
import type { SenderProcess } from "./service-of-process.ts";

/** So many of one user (and of its subordinate ones together) are remembered, and its oldest is forgotten for a new one. */
const MOST_OF_USER = 64;

/** So many of all users together. */
const MOST = 1024;

/** What is remembered of them, each user's apart: one that floods pushes out only its own. */
export class UnattributedSenders {
  /** By `accountOf`. */
  readonly #byUser = new Map<number, Map<number, Entry>>();
  #count = 0;

  /** @param uid as whom it spoke */
  apply(origin: SenderProcess, uid: number, said: Notification): void {
    const { pid, command } = origin;
    const startTime = String(origin.startTime);
    const known = this.#byUser.get(accountOf(uid))?.get(pid);
    if (known?.startTime === startTime) {
      known.command = command;
      record(known, said);
      return;
    }
    const entry: Entry = { ...newEntry(command, uid), pid, startTime };
    record(entry, said);
    this.#add(entry, pid);
  }

  /** Takes up an entry that was written down, if its process is still there. */
  restore(entry: Entry): void {
    if (entry.pid !== undefined && isAlive(entry)) this.#add(entry, entry.pid);
  }

  /** Those that are still there, the oldest of a user first. */
  entries(): Entry[] {
    for (const [account, entries] of this.#byUser) {
      for (const [pid, entry] of entries) if (!isAlive(entry)) this.#remove(account, pid);
    }
    return [...this.#byUser.values()].flatMap((entries) => [...entries.values()]);
  }

  #add(entry: Entry, pid: number): void {
    const account = accountOf(entry.uid);
    this.#remove(account, pid);
    const own = this.#byUser.get(account) ?? new Map<number, Entry>();
    if (own.size >= MOST_OF_USER) this.#removeOldest(account, own);
    else if (this.#count >= MOST) {
      const [other, most] = [...this.#byUser].reduce((a, b) => (b[1].size > a[1].size ? b : a));
      this.#removeOldest(other, most);
    }
    own.set(pid, entry);
    this.#byUser.set(account, own);
    this.#count++;
  }

  #removeOldest(account: number, entries: Map<number, Entry>): void {
    const [oldest] = entries.keys();
    if (oldest !== undefined) this.#remove(account, oldest);
  }

  #remove(account: number, pid: number): void {
    const entries = this.#byUser.get(account);
    if (!entries?.delete(pid)) return;
    this.#count--;
    if (entries.size === 0) this.#byUser.delete(account);
  }
}
