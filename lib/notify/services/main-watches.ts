/** The ends of services' main processes. */
import type { Logger } from "../../cli/index.ts";
import { hasCode, watchProcess } from "../../linux/index.ts";
import { LastingFailure } from "../failures/lasting-failure.ts";
import type { SpareDescriptors } from "../failures/spare-descriptors.ts";
import { isAlive } from "../state/entry.ts";
import type { Entry } from "../state/state-file.ts";

/** How soon one that could not be watched is tried again, in milliseconds. */
const TRY_AGAIN = 1000;

/** A service, whose entry names its main process. */
export interface WatchedMain {
  entry: Entry;
  /** Ends the watch; undefined while there is none. */
  endWatch?: (() => void) | undefined;
  /** Runs while it is to be watched and cannot be. */
  watchAgain?: Timer | undefined;
}

/** Watches them, each as soon as that is possible. */
export class MainWatches<Service extends WatchedMain> {
  readonly #spare: SpareDescriptors;
  readonly #failure: LastingFailure;
  readonly #ended: (service: Service) => void;

  /** @param ended called when the main process has ended; it is watched no more then */
  constructor(log: Logger, spare: SpareDescriptors, ended: (service: Service) => void) {
    this.#spare = spare;
    this.#ended = ended;
    this.#failure = new LastingFailure(
      log,
      "the end of a main process is not seen",
      "the ends of main processes are seen again",
    );
  }

  /** Watches the process that the entry names, if it names one and that is not watched yet. It does not throw. */
  watch(service: Service): void {
    const { pid } = service.entry;
    if (pid === undefined || service.endWatch || service.watchAgain) return;
    try {
      service.endWatch = watchProcess(pid, () => {
        if (service.entry.pid === pid) this.#ended(service);
      });
      // It may have ended since it was looked at, and its pid be another's.
      if (!this.#spare.use(() => isAlive(service.entry))) this.#ended(service);
      this.#failure.worked();
    } catch (error) {
      this.end(service);
      if (hasCode(error, "ESRCH")) {
        this.#ended(service);
        return;
      }
      this.#failure.failed(error);
      service.watchAgain = setTimeout(() => {
        service.watchAgain = undefined;
        this.watch(service);
      }, TRY_AGAIN);
    }
  }

  /** Watches it no more. */
  end(service: Service): void {
    service.endWatch?.();
    service.endWatch = undefined;
    clearTimeout(service.watchAgain);
    service.watchAgain = undefined;
  }
}
