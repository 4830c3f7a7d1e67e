/** For a daemon of ours: what it has open is kept by lainos-notifyd, and its next run gets it back. */
import { basename, dirname } from "node:path";
import type { Logger } from "../../cli/index.ts";
import {
  close,
  connectDatagram,
  type Fd,
  hasCode,
  hasHungUp,
  IN_CREATE,
  IN_Q_OVERFLOW,
  messageOf,
  onReadiness,
  SystemError,
  send,
  socketPair,
  watchPath,
} from "../../linux/index.ts";
import { LastingFailure } from "../failures/lasting-failure.ts";
import { DEFAULT_STORE } from "../fdstore/store-protocol.ts";
import { DEFAULT_SOCKET } from "../protocol/socket.ts";
import { fetchDescriptors } from "./store-client.ts";

/** So long lainos-notifyd is waited for, in milliseconds; one that hangs is not waited for again. */
const PATIENCE = 1000;

/** After so many milliseconds it is told again what its socket had no room for. */
const TRY_AGAIN = 1000;

export interface KeeperOptions {
  /** The notify socket. */
  socket?: string;
  /** The descriptor store's socket. */
  store?: string;
}

/**
 * What is to be in the store, and what of it is. No call waits for lainos-notifyd to read: what its
 * socket has no room for goes later, and one that was started anew, whose store is empty, is told all
 * of it again.
 */
export class DescriptorKeeper {
  readonly #log: Logger;
  readonly #failure: LastingFailure;
  readonly #socket: string;
  readonly #store: string;
  readonly #kept = new Map<string, Fd>();
  /** Names that something is in the store by, as far as is known here. */
  readonly #stored = new Set<string>();
  /** Names that it has to be told of. */
  readonly #untold = new Set<string>();
  /** Ends the barriers that wait for an answer. */
  readonly #barriers = new Set<() => void>();
  #hangs = false;
  #again: Timer | undefined;
  #endWatch: (() => void) | undefined;

  constructor(log: Logger, { socket = DEFAULT_SOCKET, store = DEFAULT_STORE }: KeeperOptions = {}) {
    this.#log = log;
    this.#failure = new LastingFailure(
      log,
      "lainos-notifyd keeps less than it should",
      "lainos-notifyd keeps again what it should",
      "warning",
    );
    this.#socket = socket;
    this.#store = store;
  }

  /**
   * What the last run left; it stays kept. To be called once, before all else. Without
   * lainos-notifyd, or if it does not answer within a second, it is nothing, which the log says.
   *
   * @returns descriptors that are the caller's, by name
   * @throws {SystemError} ENOENT if the folder of the notify socket does not exist
   */
  async fetch(): Promise<Map<string, Fd>> {
    const name = basename(this.#socket);
    this.#endWatch = watchPath(dirname(this.#socket), IN_CREATE, (event) => {
      if (event.name === name || event.mask & IN_Q_OVERFLOW) this.#tellAll();
    });
    try {
      for (const { name, fd } of await fetchDescriptors({}, this.#store, PATIENCE)) {
        // The later is the truth: a run that could not fetch did not know of the earlier.
        const earlier = this.#kept.get(name);
        if (earlier !== undefined) close(earlier);
        this.#kept.set(name, fd);
        this.#stored.add(name);
      }
    } catch (error) {
      this.#log.warning(`no descriptors are back from lainos-notifyd: ${messageOf(error)}`);
    }
    return new Map(this.#kept);
  }

  /**
   * Keeps a descriptor, in the place of what has this name. It stays the caller's, who calls `drop`
   * before closing it.
   *
   * @param name printable ASCII without a colon
   * @returns a promise that never rejects: it is kept, or waiting longer is of no use
   */
  async keep(name: string, fd: Fd): Promise<void> {
    this.#kept.set(name, fd);
    this.#untold.add(name);
    this.#tell();
    if (this.#untold.size === 0 && this.#stored.has(name)) await this.#barrier();
  }

  /** Takes back what has this name, if anything has. */
  drop(name: string): void {
    this.#kept.delete(name);
    this.#untold.add(name);
    this.#tell();
  }

  /** Ends what waits. What is kept stays so, for the next run. */
  stop(): void {
    this.#endWatch?.();
    clearTimeout(this.#again);
    for (const end of [...this.#barriers]) end();
  }

  /** Its store is empty, since it was started anew. */
  #tellAll(): void {
    this.#stored.clear();
    this.#untold.clear();
    for (const name of this.#kept.keys()) this.#untold.add(name);
    this.#tell();
  }

  #tell(): void {
    clearTimeout(this.#again);
    this.#again = undefined;
    let failure: SystemError | undefined;
    for (const name of [...this.#untold]) {
      try {
        if (!this.#tellOf(name)) break;
      } catch (error) {
        if (!(error instanceof SystemError)) throw error;
        if (hasCode(error, "ENOENT", "ECONNREFUSED")) {
          // It does not run. When its socket is made, it is told all of it.
          this.#stored.clear();
          this.#untold.clear();
          return;
        }
        // What is wrong with one is not to keep the others out.
        failure ??= error;
      }
    }
    if (failure) this.#failure.failed(failure);
    else this.#failure.worked();
    if (this.#untold.size > 0) this.#again = setTimeout(() => this.#tell(), TRY_AGAIN);
  }

  /** Tells it of one name; false if its socket has no room now. */
  #tellOf(name: string): boolean {
    const fd = this.#kept.get(name);
    if (fd === undefined || this.#stored.has(name)) {
      if (!this.#send(["FDSTOREREMOVE=1", `FDNAME=${name}`])) return false;
      this.#stored.delete(name);
    }
    if (fd !== undefined) {
      // Devices hang up in their own time: POLLERR says nothing of whether they are still wanted.
      if (!this.#send(["FDSTORE=1", `FDNAME=${name}`, "FDPOLL=0"], [fd])) return false;
      this.#stored.add(name);
    }
    this.#untold.delete(name);
    return true;
  }

  #send(assignments: readonly string[], fds: readonly Fd[] = []): boolean {
    const socket = connectDatagram(this.#socket);
    try {
      return send(socket, Buffer.from(assignments.join("\n")), fds) !== undefined;
    } finally {
      close(socket);
    }
  }

  /**
   * Resolves when all that was said has been read (sd_notify_barrier(3)). A process that ends before
   * that is not known by its pid any more, and what it said is lost.
   */
  async #barrier(): Promise<void> {
    if (this.#hangs) return;
    try {
      const ours = this.#askBarrier();
      if (ours !== undefined) await this.#answerTo(ours);
    } catch (error) {
      this.#log.debug(`no barrier: ${messageOf(error)}`);
    }
  }

  /** Sends it; returns what hangs up with the answer, or undefined if the socket has no room for it. */
  #askBarrier(): Fd | undefined {
    const [ours, theirs] = socketPair();
    let isSent = false;
    try {
      isSent = this.#send(["BARRIER=1"], [theirs]);
    } finally {
      close(theirs);
      if (!isSent) close(ours);
    }
    return isSent ? ours : undefined;
  }

  /** Resolves with the answer or when that has taken too long; `ours` is watched until it comes, and closed then. */
  #answerTo(ours: Fd): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(() => {
      this.#hangs = true;
      this.#log.warning("lainos-notifyd does not answer: it is not waited for until it does");
      resolve();
    }, PATIENCE);
    let endWatch = () => {};
    const end = () => {
      if (!this.#barriers.delete(end)) return;
      endWatch();
      close(ours);
      clearTimeout(timer);
      resolve();
    };
    this.#barriers.add(end);
    try {
      endWatch = onReadiness(ours, () => {
        if (!hasHungUp(ours)) return;
        this.#hangs = false;
        end();
      });
    } catch (error) {
      end();
      throw error;
    }
    return promise;
  }
}
