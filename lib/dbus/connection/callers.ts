/** Who is behind the connections to the bus, by their unique names. */
import {
  accountOf,
  close,
  hasItsNumber,
  identityOfPid,
  identityOfPidfd,
  type ProcessIdentity,
  userOwner,
} from "../../linux/index.ts";
import { busErrors } from "../protocol/errors.ts";
import { BUS, BUS_PATH, type BusCredentials, type MessageBus } from "./message-bus.ts";
import type { Listener, Signals } from "./signals.ts";

/** Who is behind a connection to the bus, as the bus daemon saw it connect. */
export interface Caller {
  readonly uid: number;
  /** 0 once the process has ended, or where it cannot be seen from here: never that of a later one. */
  readonly pid: number;
  /** What tells the process from a later one of its number, as far as that is known. */
  readonly process?: ProcessIdentity | undefined;
}

/** A caller whose process is looked at again each time that its pid is asked for. */
class Connected implements Caller {
  constructor(
    readonly uid: number,
    readonly process: ProcessIdentity | undefined,
  ) {}

  get pid(): number {
    return this.process && hasItsNumber(this.process) ? this.process.pid : 0;
  }
}

/** Each is asked of the bus once, and remembered until the name leaves it. */
export class Callers {
  readonly #bus: MessageBus;
  readonly #signals: Signals;
  readonly #known = new Map<string, Caller | Promise<Caller>>();
  readonly #lostHandlers: ((name: string) => void)[] = [];
  #listener: Listener | undefined;
  #watched: Promise<void> | undefined;

  constructor(bus: MessageBus, signals: Signals) {
    this.#bus = bus;
    this.#signals = signals;
  }

  /**
   * Without a promise once it is known, so that an answer need not wait for its turn.
   *
   * @throws {BusError} if that connection is gone already
   */
  find(uniqueName: string): Caller | Promise<Caller> {
    const known = this.#known.get(uniqueName);
    if (known) return known;
    const asked = this.#ask(uniqueName);
    this.#known.set(uniqueName, asked);
    // Not if the name has gone meanwhile, which took it out.
    const waits = () => this.#known.get(uniqueName) === asked;
    asked.then(
      (caller) => waits() && this.#known.set(uniqueName, caller),
      () => waits() && this.#known.delete(uniqueName),
    );
    return asked;
  }

  async #ask(uniqueName: string): Promise<Caller> {
    // First, or the name might go unseen.
    await this.watchNames();
    return callerFrom(await this.#bus.credentialsOf(uniqueName), uniqueName);
  }

  /** Has each unique name that leaves the bus told to `handle`, once `watchNames` has begun that. */
  onLost(handle: (uniqueName: string) => void): void {
    this.#lostHandlers.push(handle);
  }

  /**
   * Has the bus tell of names that leave it. Where that fails, the next call tries it again.
   *
   * @throws {BusError}
   */
  watchNames(): Promise<void> {
    this.#watched ??= this.#beginToWatch();
    return this.#watched;
  }

  async #beginToWatch(): Promise<void> {
    const match = { sender: BUS, interface: BUS, member: "NameOwnerChanged", path: BUS_PATH };
    // It stays where the bus refuses: a connection that is made again asks for all that listens.
    this.#listener ??= this.#signals.add(match, ([name, , newOwner]) => {
      if (newOwner === "" && typeof name === "string") this.#onLost(name);
    });
    try {
      await this.#bus.addMatch(this.#listener.rule);
    } catch (error) {
      this.#watched = undefined;
      throw error;
    }
  }

  #onLost(name: string): void {
    this.#known.delete(name);
    for (const handle of this.#lostHandlers) handle(name);
  }

  /** Forgets all: names that leave the bus from now on are not seen to leave. */
  forgetAll(): void {
    this.#known.clear();
  }

  #knownUid(sender: string): number | undefined {
    const known = this.#known.get(sender);
    return known === undefined || known instanceof Promise ? undefined : known.uid;
  }

  /** Whose a call counts as: the user's, as soon as the bus has told. */
  ownerOfCalls(sender: string): number | string {
    const uid = this.#knownUid(sender);
    return uid === undefined ? sender : accountOf(uid);
  }

  /** Whose a sender's file descriptors are counted as: a user's, however many connections it has. */
  ownerOfDescriptors(sender: string): string {
    return userOwner(this.#knownUid(sender) ?? "unknown");
  }

  /** Whom a unique name is counted and named for in the log: `uid 1000`, or the name while nobody knows. */
  accountOf(sender: string): string {
    const uid = this.#knownUid(sender);
    return uid === undefined ? sender : userOwner(uid);
  }
}

/** Reads what GetConnectionCredentials answers; see the D-Bus specification. */
function callerFrom(credentials: BusCredentials, uniqueName: string): Caller {
  const { UnixUserID: uid, ProcessID: pid, ProcessFD: pidfd } = credentials;
  try {
    if (!uid) throw busErrors.accessDenied(`the bus does not know who ${uniqueName} is`);
    if (pidfd) return new Connected(uid.value, identityOfPidfd(pidfd.value));
    // A process outside of the bus's pid namespace has no number there.
    return new Connected(uid.value, pid && identityOfPid(pid.value, uid.value));
  } finally {
    if (pidfd) close(pidfd.value);
  }
}
