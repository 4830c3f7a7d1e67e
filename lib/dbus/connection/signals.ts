/** Signals that somebody here listens to; see "Match Rules" in the D-Bus specification. */
import type { Incoming } from "../protocol/message.ts";
import { BUS } from "./message-bus.ts";

export type SignalHandler = (body: unknown[], signal: Incoming) => void;

/** Which signals: all that is given must be so. */
export interface SignalMatch {
  sender: string;
  interface: string;
  member: string;
  path?: string;
  arg0?: string;
}

/** One who listens. */
export interface Listener {
  /** The match rule by which the bus sends the signals. */
  readonly rule: string;
  readonly matches: (signal: Incoming) => boolean;
  readonly handle: SignalHandler;
}

export class Signals {
  readonly #listeners: Listener[] = [];

  /** The match rules of all that listen. */
  get rules(): string[] {
    return this.#listeners.map(({ rule }) => rule);
  }

  add(match: SignalMatch, handle: SignalHandler): Listener {
    const { sender, interface: name, member, path, arg0 } = match;
    const listener: Listener = {
      rule:
        `type='signal',sender='${sender}',interface='${name}',member='${member}'` +
        (path === undefined ? "" : `,path='${path}'`) +
        (arg0 === undefined ? "" : `,arg0='${arg0}'`),
      matches: (signal) =>
        // Anybody may send us a signal that looks like the bus's.
        ((sender !== BUS && !sender.startsWith(":")) || signal.sender === sender) &&
        signal.interface === name &&
        signal.member === member &&
        (path === undefined || signal.path === path) &&
        (arg0 === undefined || signal.body[0] === arg0),
      handle,
    };
    this.#listeners.push(listener);
    return listener;
  }

  remove(listener: Listener): void {
    const at = this.#listeners.indexOf(listener);
    if (at >= 0) this.#listeners.splice(at, 1);
  }

  deliver(signal: Incoming): void {
    for (const { matches, handle } of this.#listeners) {
      if (matches(signal)) handle(signal.body, signal);
    }
  }
}
