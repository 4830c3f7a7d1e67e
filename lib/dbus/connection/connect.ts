/** Making a connection, and making it again whenever it is lost. */
import { messageOf } from "../../linux/index.ts";
import { parseAddresses } from "./address.ts";
import { Transport, type TransportEvents } from "./transport.ts";

/** The first wait before the bus is tried again, and the longest, in milliseconds. */
export const FIRST_RETRY = 50;
export const LAST_RETRY = 2000;

/** Told what becomes of a connection that is made again whenever it is lost. */
export interface Reconnection {
  /** It is lost; it is tried again until it is there. */
  lost(reason: string): void;
  /** It could not be made this time. */
  failed(reason: string): void;
  /**
   * It is there again, with the same match rules and names.
   *
   * @param sameBus whether it is the same run of the bus, where unique names mean what they did
   */
  back(sameBus: boolean): void;
  /** Another program has taken one of our names. */
  replaced(name: string): void;
}

/**
 * Connects to the first bus of a list of addresses at which somebody listens.
 *
 * @throws {Error} that says of each entry why it is none
 */
export function connect(addresses: string, events: TransportEvents): Transport {
  const reasons: string[] = [];
  for (const address of parseAddresses(addresses, process.env.XDG_RUNTIME_DIR)) {
    try {
      if ("socket" in address) return new Transport(address.socket, events);
      reasons.push(`${address.entry}: ${address.problem}`);
    } catch (error) {
      reasons.push(messageOf(error));
    }
  }
  throw new Error(reasons.length === 0 ? "the address is empty" : reasons.join("; "));
}
