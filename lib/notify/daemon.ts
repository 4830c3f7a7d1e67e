/** All parts of lainos-notifyd, put together. */
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import type { Logger } from "../cli/index.ts";
import { watchStops } from "./openrc.ts";
import { placesBelow } from "./origin.ts";
import { NotifyServer } from "./receive.ts";
import { Registry } from "./registry.ts";
import { claimSocket } from "./socket.ts";
import { StoreServer } from "./store-server.ts";

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
}

/**
 * Starts to receive.
 *
 * @returns a function that ends it in good order
 * @throws {Failure} if another one runs
 */
export function startDaemon({ log, socket, store, state, root }: DaemonOptions): () => void {
  const claimed = claimSocket(socket);
  const ends = [() => claimed.release()];
  const stop = () => {
    for (const end of ends.splice(0).reverse()) end();
  };
  try {
    const places = placesBelow(root);
    const registry = new Registry({ places, file: state, log });
    ends.push(() => registry.stop());
    mkdirSync(dirname(store), { recursive: true, mode: 0o755 });
    const storeServer = new StoreServer(store, registry, log);
    ends.push(() => storeServer.stop());
    const endWatch = watchStops(places, (service) => registry.stopped(service));
    if (endWatch) ends.push(endWatch);
    const server = new NotifyServer(claimed.fd, { log, registry });
    ends.push(() => server.stop());
  } catch (error) {
    stop();
    throw error;
  }
  return stop;
}
