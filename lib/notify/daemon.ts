/** All parts of lainos-notifyd, put together. */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "../cli/index.ts";
import { close, type Fd, messageOf } from "../linux/index.ts";
import { SpareDescriptors } from "./failures/spare-descriptors.ts";
import { type KeptDescriptors, openStore, StoreServer } from "./fdstore/store-server.ts";
import { filterSenders, type Sockets } from "./listen.ts";
import { claimSocket } from "./protocol/socket.ts";
import { NotifyServer } from "./server.ts";
import { watchStops } from "./services/openrc.ts";
import { Registry } from "./services/registry.ts";
import { placesBelow } from "./services/service-of-process.ts";

export interface DaemonOptions {
  log: Logger;
  /** The notify socket. */
  socket: string;
  /** The descriptor store's socket. */
  store: string;
  /** The state file. */
  state: string;
  /** Below which OpenRC has its things, "/" but in a test. */
  root: string;
  /** The sockets, where root has opened them for us: see listen.ts. */
  passed?: Sockets | undefined;
}

/**
 * Starts to receive.
 *
 * @returns a function that ends it in good order
 * @throws {Failure} if another one runs
 */
export function startDaemon(options: DaemonOptions): () => void {
  const { log, state, root } = options;
  const ends: (() => void)[] = [];
  const stop = () => {
    for (const end of ends.splice(0).reverse()) {
      try {
        end();
      } catch (error) {
        // Such as a socket that cannot be removed: what is left is ended all the same.
        log.error(`the end: ${messageOf(error)}`);
      }
    }
  };
  try {
    const { notify, senders } = takeNotifySocket(options, ends);
    const places = placesBelow(root);
    const spare = new SpareDescriptors();
    ends.push(() => spare.end());
    const registry = new Registry({ places, file: state, log, spare });
    ends.push(() => registry.stop());
    const storeServer = new StoreServer(takeStoreSocket(options, ends), keptBy(registry), log);
    ends.push(() => storeServer.stop());
    const endWatch = watchStops(
      places,
      (service) => registry.stopped(service),
      () => registry.stoppedUnseen(),
    );
    if (endWatch) {
      ends.push(endWatch);
      // Nobody has told of those that were stopped while no daemon ran.
      registry.stoppedUnseen();
    }
    const server = new NotifyServer(notify, { log, registry, spare, senders });
    ends.push(() => server.stop());
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}

/** What the store's socket hands out of a registry. */
const keptBy = (registry: Registry): KeptDescriptors => ({
  serviceOf: (process) => registry.lookup.find(process)?.service,
  list: (service) => registry.store.list(service),
  remove: (service, name) => registry.forget(service, name),
});

/** What root has opened root removes: this process may not. */
function takeNotifySocket(
  { passed, socket }: DaemonOptions,
  ends: (() => void)[],
): Pick<Sockets, "notify" | "senders"> {
  if (passed) {
    const { notify, lock, senders } = passed;
    ends.push(() => {
      for (const fd of [notify, lock, senders]) if (fd !== undefined) close(fd);
    });
    return passed;
  }
  const claimed = claimSocket(socket);
  ends.push(() => claimed.release());
  const senders = filterSenders(claimed.fd);
  if (senders !== undefined) ends.push(() => close(senders));
  return { notify: claimed.fd, senders };
}

function takeStoreSocket({ passed, store }: DaemonOptions, ends: (() => void)[]): Fd {
  if (passed) {
    ends.push(() => close(passed.store));
    return passed.store;
  }
  mkdirSync(dirname(store), { recursive: true, mode: 0o755 });
  const listener = openStore(store);
  ends.push(() => {
    close(listener);
    rmSync(store, { force: true });
  });
  return listener;
}
