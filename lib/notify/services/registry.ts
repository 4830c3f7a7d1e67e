/** Who said what of itself, and who may: the state of every sender, service by service. */
import type { Logger } from "../../cli/index.ts";
import {
  type Credentials,
  closeAside,
  type Fd,
  hasCode,
  startTimeOf,
  userOwner,
  watchProcess,
} from "../../linux/index.ts";
import { FdStore } from "../fdstore/fd-store.ts";
import type { Notification } from "../protocol/notification.ts";
import { isAlive, newEntry, realtime, record } from "../state/entry.ts";
import { type Entry, readState, StateWriter } from "../state/state-file.ts";
import { namedMain, refusal } from "./main-process.ts";
import { Restarter } from "./restarter.ts";
import {
  type Places,
  type ProcessId,
  type SenderProcess,
  ServiceLookup,
} from "./service-of-process.ts";
import { readSettings, type Settings } from "./settings.ts";
import { UnattributedSenders } from "./unattributed.ts";
import { Watchdogs } from "./watchdog.ts";

/** A service that is stopped and not started again within so many milliseconds loses its descriptors. */
const RESTART_GRACE = 5000;

interface Service {
  entry: Entry;
  settings: Settings;
  endWatch?: (() => void) | undefined;
  stopping?: Timer | undefined;
}

/** What became of a datagram. */
export interface Outcome {
  /** The service that it was credited to. */
  service?: string;
  /** Why it was not credited to the service that its sender is of. */
  refused?: string;
  /** What else is to be said, for the log. */
  notes: string[];
}

export interface RegistryOptions {
  places: Places;
  /** The state file; see DEFAULT_STATE. */
  file: string;
  log: Logger;
}

/** The state of every sender. */
export class Registry {
  readonly lookup: ServiceLookup;
  readonly store: FdStore;
  readonly #options: RegistryOptions;
  readonly #services = new Map<string, Service>();
  readonly #unattributed = new UnattributedSenders();
  readonly #watchdogs = new Watchdogs((service) =>
    this.#missed(service, "was not heard of in time"),
  );
  readonly #restarter: Restarter;
  readonly #writer: StateWriter;

  constructor(options: RegistryOptions) {
    this.#options = options;
    this.lookup = new ServiceLookup(options.places);
    this.#restarter = new Restarter(options.log);
    this.#writer = new StateWriter(options.file, options.log, () => this.entries());
    this.store = new FdStore((service, why) => {
      options.log.info(`${service}: ${why}`);
      this.#writer.changed();
    });
    this.#load();
  }

  /**
   * Takes in what a sender says. The descriptors are closed or kept.
   *
   * @param sender as the kernel vouches for it
   */
  apply(sender: Credentials, said: Notification, fds: readonly Fd[]): Outcome {
    const kept = new Set<Fd>();
    try {
      const origin = this.lookup.find(sender);
      if (!origin) return { notes: [] };
      if (origin.service === undefined) {
        this.#unattributed.apply(origin, sender.uid, said);
        this.#writer.changed();
        return { notes: said.store ? ["no descriptor is kept for what is no service"] : [] };
      }
      return this.#applyToService(origin.service, origin, sender, said, fds, kept);
    } finally {
      const left = fds.filter((fd) => !kept.has(fd));
      closeAside(userOwner(sender.uid), left);
    }
  }

  /** The settings of a service, as they are in its file now. */
  settingsOf(service: string): Settings {
    return readSettings(this.#options.places.settings, service, (text) =>
      this.#options.log.warning(text),
    );
  }

  /** Closes what is kept for a service, or what of it has this name; returns how many. */
  forget(service: string, name?: string): number {
    const count = this.store.remove(service, name);
    if (count > 0) this.#writer.changed();
    return count;
  }

  /** OpenRC has marked the service as stopped: it ends, unless it is restarted at once. */
  stopped(name: string): void {
    const service = this.#services.get(name);
    if (!service) return;
    // Of one that is known the end is seen; this only says that it is about to come.
    if (service.entry.pid === undefined) this.#end(service);
    clearTimeout(service.stopping);
    service.stopping = setTimeout(() => {
      service.stopping = undefined;
      const isIn = (state: string) => this.lookup.isIn(state, name);
      if (isIn("stopping")) return this.stopped(name);
      if (["started", "starting", "inactive"].some(isIn)) return;
      this.#restarter.cancel(name);
      const preserved = this.settingsOf(name).storePreserved;
      const gone = preserved ? 0 : this.store.remove(name);
      if (gone > 0) this.#options.log.info(`${name}: stopped; closed its ${gone} descriptors`);
      if (this.store.list(name).length === 0) this.#services.delete(name);
      this.#writer.changed();
    }, RESTART_GRACE);
  }

  /** All that is known, services first. */
  entries(): Entry[] {
    const services = [...this.#services.values()].map(({ entry }) => ({
      ...entry,
      fds: this.store.list(entry.service ?? "").length,
    }));
    return [...services, ...this.#unattributed.entries()];
  }

  /** Writes down what has changed, if anything has. */
  flush(): void {
    this.#writer.flush();
  }

  /** Ends every watch, and closes what is kept. The state file stays for the next one. */
  stop(): void {
    this.flush();
    this.#watchdogs.endAll();
    this.#restarter.end();
    for (const { endWatch, stopping } of this.#services.values()) {
      endWatch?.();
      clearTimeout(stopping);
    }
    this.store.end();
  }

  #applyToService(
    name: string,
    origin: SenderProcess,
    sender: Credentials,
    said: Notification,
    fds: readonly Fd[],
    kept: Set<Fd>,
  ): Outcome {
    const service = this.#serviceFor(name, origin);
    const access = service.entry.access ?? service.settings.access;
    const refused = refusal(access, service.entry.pid, origin, sender);
    if (refused !== undefined) return { refused: `${name}: ${refused}`, notes: [] };
    const { entry } = service;
    const notes: string[] = [];
    if (said.mainByPidfd || said.mainPid !== undefined) {
      const main = namedMain(this.lookup, name, sender, said, fds[0]);
      if (typeof main === "string") notes.push(`the main process stays, since ${main}`);
      else {
        entry.told = true;
        const isNew = entry.pid !== main.pid || entry.startTime !== String(main.startTime);
        if (isNew) this.#setMain(service, name, main);
      }
    }
    entry.command = origin.command;
    entry.uid = sender.uid;
    record(entry, said);
    if (said.access !== undefined) entry.access = said.access;
    if (said.restartReset) this.#restarter.reset(name);
    this.#applyWatchdog(service, name, said);
    if (said.remove !== undefined) {
      notes.push(`descriptors dropped: ${this.store.remove(name, said.remove)}`);
    }
    if (said.store) {
      const answers = { stored: 0, duplicate: 0, full: 0 };
      for (const fd of fds) {
        kept.add(fd);
        const stored = { fd, name: said.store.name };
        answers[this.store.add(name, stored, said.store.poll, service.settings.storeMost)]++;
      }
      notes.push(`descriptors kept: ${answers.stored}`);
      if (answers.full > 0) {
        notes.push(`closed, since lainos_fdstore_max or the total is reached: ${answers.full}`);
      }
    }
    if (!isPing(said)) this.#writer.changed();
    return { service: name, notes };
  }

  /** The service's record, with the main process that it has now. */
  #serviceFor(name: string, origin: SenderProcess): Service {
    let service = this.#services.get(name);
    if (!service) {
      const entry = newEntry(origin.command, origin.uids[0] ?? 0, name);
      service = { entry, settings: this.settingsOf(name) };
      this.#services.set(name, service);
    }
    const { entry } = service;
    const known = entry.pid;
    // The end of the old one may be noticed after the first words of the new one.
    const isStale =
      known !== undefined && known !== origin.pid && known !== origin.supervised
        ? !isAlive(entry)
        : entry.pid === origin.pid && entry.startTime !== String(origin.startTime);
    const isOther = origin.supervised !== undefined && origin.supervised !== known && !entry.told;
    if (known === undefined || isStale || isOther) {
      const supervised = origin.supervised;
      const startTime = supervised === undefined ? undefined : startTimeOf(supervised);
      const main =
        supervised !== undefined && startTime !== undefined
          ? { pid: supervised, startTime }
          : this.lookup.mainOf(name);
      if (main) this.#begin(service, name, main);
      else if (isStale) this.#end(service);
    }
    return service;
  }

  /** A new run of the service: what the last one said no longer counts. */
  #begin(service: Service, name: string, main: ProcessId): void {
    service.settings = this.settingsOf(name);
    clearTimeout(service.stopping);
    service.stopping = undefined;
    const { command, uid } = service.entry;
    service.entry = newEntry(command, uid, name);
    this.#watchdogs.end(name);
    this.#setMain(service, name, main);
    this.#writer.changed();
  }

  #setMain(service: Service, name: string, { pid, startTime }: ProcessId): void {
    service.endWatch?.();
    service.endWatch = undefined;
    Object.assign(service.entry, { pid, startTime: String(startTime) });
    try {
      service.endWatch = watchProcess(pid, () => {
        if (service.entry.pid === pid) this.#end(service);
      });
    } catch (error) {
      if (!hasCode(error, "ESRCH")) throw error;
      this.#end(service);
    }
    this.#options.log.debug(`${name}: its main process is ${pid}`);
  }

  /** The main process has ended. Its last words stay for people to read. */
  #end(service: Service): void {
    service.endWatch?.();
    service.endWatch = undefined;
    const { entry } = service;
    if (entry.service !== undefined) this.#watchdogs.end(entry.service);
    Object.assign(entry, { pid: undefined, startTime: undefined, access: undefined });
    Object.assign(entry, { told: undefined, extendedUntil: undefined });
    if (entry.state !== "ended") Object.assign(entry, { state: "ended", since: realtime() });
    this.#writer.changed();
  }

  #applyWatchdog({ entry, settings }: Service, name: string, said: Notification): void {
    if (said.watchdogUsec !== undefined) entry.watchdogUsec = Number(said.watchdogUsec);
    entry.watchdogUsec ??= Number(settings.watchdogUsec);
    if (said.watchdog === "trigger") {
      this.#missed(name, "has asked for it by WATCHDOG=trigger");
      return;
    }
    if (said.watchdog === "alive" && entry.watchdogMissed) {
      entry.watchdogMissed = false;
      this.#writer.changed();
    }
    const isRunning = entry.state === "ready" || entry.state === "reloading";
    // A service that never says READY=1 may have a watchdog too.
    const isFirst = said.watchdog === "alive" && !this.#watchdogs.isWatched(name);
    const begins = said.state === "ready" || (isRunning && said.watchdogUsec !== undefined);
    if (entry.state === "stopping") this.#watchdogs.end(name);
    else if (begins || isFirst) {
      this.#watchdogs.set(name, BigInt(entry.watchdogUsec));
    } else if (said.watchdog === "alive") this.#watchdogs.ping(name);
  }

  #missed(name: string, why: string): void {
    const service = this.#services.get(name);
    if (!service) return;
    service.entry.watchdogMissed = true;
    this.#watchdogs.end(name);
    this.#writer.changed();
    const { log } = this.#options;
    if (!this.settingsOf(name).restarts) {
      log.error(`${name}: watchdog: it ${why}; lainos_watchdog=restart would restart it`);
      return;
    }
    const seconds = this.#restarter.restart(name);
    log.error(`${name}: watchdog: it ${why}; it is restarted${seconds ? ` in ${seconds} s` : ""}`);
  }

  /** Takes up what an earlier daemon wrote down. The descriptors that it kept are lost. */
  #load(): void {
    let entries: Entry[];
    try {
      entries = readState(this.#options.file) ?? [];
    } catch (error) {
      this.#options.log.warning(`${(error as Error).message}: starting without it`);
      entries = [];
    }
    for (const entry of entries) {
      if (entry.service === undefined) {
        this.#unattributed.restore(entry);
        continue;
      }
      const name = entry.service;
      if (!this.lookup.isService(name)) continue;
      if (entry.fds > 0) {
        this.#options.log.warning(
          `${name}: ${entry.fds} descriptors were lost with the last daemon`,
        );
      }
      const service: Service = { entry: { ...entry, fds: 0 }, settings: this.settingsOf(name) };
      this.#services.set(name, service);
      if (entry.pid === undefined || entry.startTime === undefined || !isAlive(entry)) {
        this.#end(service);
        continue;
      }
      this.#setMain(service, name, { pid: entry.pid, startTime: BigInt(entry.startTime) });
      const isRunning = entry.state === "ready" || entry.state === "reloading";
      if (isRunning) this.#watchdogs.set(name, BigInt(Math.trunc(entry.watchdogUsec ?? 0)));
    }
    this.#writer.changed();
  }
}

/** Whether it says nothing but WATCHDOG=1, which changes nothing that is written down. */
export const isPing = (said: Notification): boolean =>
  said.watchdog === "alive" && Object.keys(said).length === 2;
