/**
 * The parts of dbus-next that we use, with the types that they really have, and
 * the two fields of it that are not public: the stream under a bus (to claim
 * descriptors and see its end) and its table of awaited replies (to drop one).
 */
import dbus, { type MessageLike } from "dbus-next";
// @ts-expect-error: dbus-next declares types for its front page only
import RawMessageBus from "dbus-next/lib/bus.js";
// @ts-expect-error: the same
import createConnection from "dbus-next/lib/connection.js";
import type { USocket } from "usocket";
import { marshal, type Outgoing } from "./marshal.ts";

export const Variant = dbus.Variant;
export type Variant<Value = unknown> = import("dbus-next").Variant<Value>;
export type RawSocket = USocket;

/** A message as it arrived. */
export interface Incoming {
  type: number;
  sender: string;
  path: string;
  interface: string | undefined;
  member: string;
  signature: string;
  body: unknown[];
  flags: number;
  replySerial: number;
  errorName: string | undefined;
}

/** dbus-next's own numbers; its type declarations give others. */
export const MessageType = { METHOD_CALL: 1, METHOD_RETURN: 2, ERROR: 3, SIGNAL: 4 } as const;

export const Message = dbus.Message as unknown as {
  new (message: Omit<MessageLike, "type" | "flags"> & { type?: number; flags?: number }): Outgoing;
  newError(call: Incoming, name: string, text: string): Outgoing;
  newMethodReturn(call: Incoming, signature: string, body: unknown[]): Outgoing;
};

export interface MessageBus {
  /** null until the bus has answered. */
  readonly name: string | null;
  call(message: Outgoing): Promise<Incoming | null>;
  send(message: Outgoing): void;
  newSerial(): number;
  addMethodHandler(handle: (message: Incoming) => boolean): void;
  disconnect(): void;
  on(event: "connect", listener: () => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "message", listener: (message: Incoming) => void): void;
  removeAllListeners(event: string): void;
  /** Every reply that is awaited, by the serial of its call. */
  readonly _methodReturnHandlers: Record<number, unknown>;
}

interface RawBus {
  new (connection: unknown): MessageBus & { emit(event: string, error: Error): void };
}

/**
 * dbus-next's bus, but for one thing: when the bus refuses its Hello (too many
 * connections of one user), dbus-next reports the error and then throws it where
 * nobody can catch it, which ends the process. Here it is reported only.
 */
class Bus extends (RawMessageBus as unknown as RawBus) {
  override call(message: Outgoing): Promise<Incoming | null> {
    const reply = super.call(message);
    if (this.name !== null) return reply;
    return reply.catch((error: Error) => {
      this.emit("error", error);
      return new Promise(() => {});
    });
  }
}

/** A client of the bus at `address` that passes descriptors. */
export function createClientFor(address: string): { bus: MessageBus; socket: RawSocket } {
  const connection = createConnection({ busAddress: address, negotiateUnixFd: true });
  const bus = new Bus(connection);
  // After dbus-next has put its own function there for an open connection.
  connection.once("connect", () => {
    connection.message = (message: Outgoing) => {
      if (!connection.stream.writable) throw new Error("the connection to the bus is closed");
      connection.stream.write(marshal(message));
    };
  });
  return { bus, socket: connection.stream };
}
