/** Who said what of itself, and who may: the state of every sender, service by service. */
import type { Logger } from "../../cli/index.ts";
import {
  type Credentials,
  closeAside,
  type Fd,
  openFilesLimit,
  startTimeOf,
  userOwner,
} from "../../linux/index.ts";
import { LastingFailure } from "../failures/lasting-failure.ts";
import type { SpareDescriptors } from "../failures/spare-descriptors.ts";
import { FdStore } from "../fdstore/fd-store.ts";
import { isPing, type Notification } from "../protocol/notification.ts";
import { isAlive, newEntry, realtime, record } from "../state/entry.ts";
import type { Entry } from "../state/state-file.ts";
import { StateWriter } from "../state/state-writer.ts";
import { namedMain, refusal } from "./main-process.ts";
import { MainWatches, type WatchedMain } from "./main-watches.ts";
import { readPlainFile } from "./read-note.ts";
import { describePlan, Restarter } from "./restarter.ts";
import { restoreEntries } from "./restore.ts";
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

/** So many descriptors are kept of all services together, but never more than half of those that this process may have. */
const MOST_KEPT = 4096;

interface Service extends WatchedMain {
  settings: Settings;
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
  spare: SpareDescriptors;
}

/**
 * The state of every sender. What is said changes memory first, then what is kept and watched, and is
 * written down last: of these steps none throws, and what fails is tried again.
 */
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
  readonly #mains: MainWatches<Service>;

  constructor(options: RegistryOptions) {
    const { places, file, log, spare } = options;
    this.#options = options;
    this.lookup = new ServiceLookup(places, log, spare);
    this.#restarter = new Restarter(log);
    this.#writer = new StateWriter(file, log, spare, () => this.entries());
    this.#mains = new MainWatches(log, spare, (service) => this.#end(service));
    this.store = new FdStore({
      most: Math.min(MOST_KEPT, Math.floor((openFilesLimit(process.pid)?.soft ?? Infinity) / 2)),
      changed: (service, why) => {
        log.info(`${service}: ${why}`);
        this.#writer.changed();
      },
      failure: new LastingFailure(
        log,
        "it is not seen whether kept descriptors hang up",
        "it is seen again whether kept descriptors hang up",
      ),
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
      const service = this.#serviceFor(origin.service, origin);
      try {
        return this.#applyTo(service, origin.service, { origin, sender, said, fds, kept });
      } finally {
        this.#mains.watch(service);
      }
    } finally {
      const left = fds.filter((fd) => !kept.has(fd));
      closeAside(userOwner(sender.uid), left);
    }
  }

  /** The settings of a service, as they are in its file now. */
  settingsOf(service: string): Settings {
    const { places, log, spare } = this.#options;
    return readSettings(
      places.settings,
      service,
      (text) => log.warning(text),
      this.#services.get(service)?.settings,
      (path, most) => spare.use(() => readPlainFile(path, most)),
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
      if (this.lookup.isIn("stopping", name)) return this.stopped(name);
      if (this.#isMarkedAsStarted(name)) return;
      this.#restarter.cancel(name);
      const preserved = this.settingsOf(name).storePreserved;
      const gone = preserved ? 0 : this.store.remove(name);
      if (gone > 0) this.#options.log.info(`${name}: stopped; closed its ${gone} descriptors`);
      if (this.store.list(name).length === 0) this.#remove(service, name);
      this.#writer.changed();
    }, RESTART_GRACE);
  }

  /** Services may have been stopped without a word: each that OpenRC has not marked as started is looked at. */
  stoppedUnseen(): void {
    for (const name of this.#services.keys()) {
      if (!this.#isMarkedAsStarted(name)) this.stopped(name);
    }
  }

  /** All that is known, services first. */
  entries(): Entry[] {
    const services = [...this.#services.values()].map(({ entry }) => ({
      ...entry,
      fds: this.store.list(entry.service ?? "").length,
    }));
    return [...services, ...this.#unattributed.entries()];
  }

  /** Writes down what has changed, if anything has. It does not throw. */
  flush(): void {
    this.#writer.flush();
  }

  /** Ends every watch, and closes what is kept. The state file stays for the next one. */
  stop(): void {
    this.#writer.end();
    this.#watchdogs.endAll();
    this.#restarter.end();
    for (const service of this.#services.values()) {
      this.#mains.end(service);
      clearTimeout(service.stopping);
    }
    this.store.end();
  }

  #isMarkedAsStarted(name: string): boolean {
    return ["started", "starting", "inactive"].some((state) => this.lookup.isIn(state, name));
  }

  #applyTo(service: Service, name: string, { origin, sender, said, fds, kept }: Said): Outcome {
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
        this.#setMain(service, name, main);
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
    if (said.store) notes.push(...this.#keep(service, name, said.store, fds, kept));
    if (!isPing(said)) this.#writer.changed();
    return { service: name, notes };
  }

  /** Has the store keep descriptors, or close them; returns what to log. */
  #keep(
    { settings }: Service,
    service: string,
    { name, poll }: NonNullable<Notification["store"]>,
    fds: readonly Fd[],
    kept: Set<Fd>,
  ): string[] {
    const answers = { stored: 0, duplicate: 0, full: 0 };
    for (const fd of fds) {
      kept.add(fd);
      answers[this.store.add(service, { fd, name }, poll, settings.storeMost)]++;
    }
    const notes = [`descriptors kept: ${answers.stored}`];
    if (answers.full > 0) {
      notes.push(`closed, since lainos_fdstore_max or the total is reached: ${answers.full}`);
    }
    return notes;
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
    const { spare } = this.#options;
    // The end of the old one may be noticed after the first words of the new one.
    const isStale =
      known !== undefined && known !== origin.pid && known !== origin.supervised
        ? !spare.use(() => isAlive(entry))
        : entry.pid === origin.pid && entry.startTime !== String(origin.startTime);
    const isOther = origin.supervised !== undefined && origin.supervised !== known && !entry.told;
    if (known === undefined || isStale || isOther) {
      const supervised = origin.supervised;
      const startTime =
        supervised === undefined ? undefined : spare.use(() => startTimeOf(supervised));
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

  /** Another main process, which is to be watched when all else is done. */
  #setMain(service: Service, name: string, { pid, startTime }: ProcessId): void {
    const { entry } = service;
    if (entry.pid === pid && entry.startTime === String(startTime)) return;
    this.#mains.end(service);
    Object.assign(entry, { pid, startTime: String(startTime) });
    this.#options.log.debug(`${name}: its main process is ${pid}`);
  }

  /** The main process has ended. Its last words stay for people to read. */
  #end(service: Service): void {
    this.#mains.end(service);
    const { entry } = service;
    if (entry.service !== undefined) this.#watchdogs.end(entry.service);
    Object.assign(entry, { pid: undefined, startTime: undefined, access: undefined });
    Object.assign(entry, { told: undefined, extendedUntil: undefined });
    if (entry.state !== "ended") Object.assign(entry, { state: "ended", since: realtime() });
    this.#writer.changed();
  }

  /** Nothing is known of it any more. */
  #remove(service: Service, name: string): void {
    this.#mains.end(service);
    this.#watchdogs.end(name);
    this.#services.delete(name);
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
    log.error(`${name}: watchdog: it ${why}; ${describePlan(this.#restarter.restart(name))}`);
  }

  /** Takes up what an earlier daemon wrote down. The descriptors that it kept are lost. */
  #load(): void {
    const { file, log } = this.#options;
    for (const entry of restoreEntries(file, this.lookup, log)) {
      const name = entry.service;
      if (name === undefined) {
        this.#unattributed.restore(entry);
        continue;
      }
      if (entry.fds > 0) {
        log.warning(`${name}: ${entry.fds} descriptors were lost with the last daemon`);
      }
      const service: Service = { entry: { ...entry, fds: 0 }, settings: this.settingsOf(name) };
      this.#services.set(name, service);
      if (entry.pid === undefined) this.#end(service);
      else this.#goOn(service, name);
    }
    this.#writer.changed();
  }

  /** Takes up a service whose main process is there still. */
  #goOn(service: Service, name: string): void {
    this.#mains.watch(service);
    const { pid, state, watchdogUsec = 0, watchdogMissed } = service.entry;
    if (pid === undefined) return;
    const isRunning = state === "ready" || state === "reloading";
    if (isRunning && watchdogUsec > 0) this.#watchdogs.set(name, BigInt(watchdogUsec));
    // Nothing else would have it restarted, if that was still to come.
    else if (watchdogMissed && service.settings.restarts) {
      this.#missed(name, "was to be restarted by the last daemon");
    }
  }
}

/** One datagram of a service. */
interface Said {
  origin: SenderProcess;
  sender: Credentials;
  said: Notification;
  fds: readonly Fd[];
  /** Those of `fds` that are the store's from now on, closed or kept. */
  kept: Set<Fd>;
}
