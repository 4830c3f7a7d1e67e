/** All parts of lainos-notifyd, put together. */
import { mkdirSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "../cli/index.ts";
import { close, type Fd } from "../linux/index.ts";
import { openStore, StoreServer } from "./fdstore/store-server.ts";
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
    for (const end of ends.splice(0).reverse()) end();
  };
  try {
    const { notify, senders } = takeNotifySocket(options, ends);
    const places = placesBelow(root);
    const registry = new Registry({ places, file: state, log });
    ends.push(() => registry.stop());
    const storeServer = new StoreServer(takeStoreSocket(options, ends), registry, log);
    ends.push(() => storeServer.stop());
    const endWatch = watchStops(places, (service) => registry.stopped(service));
    if (endWatch) ends.push(endWatch);
    const server = new NotifyServer(notify, { log, registry, senders });
    ends.push(() => server.stop());
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}

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
