/** Method calls of ours, until they have their replies. */
import { messageOf } from "../../linux/index.ts";
import { BusError, busErrors } from "../protocol/errors.ts";
import { type Incoming, MessageType } from "../protocol/message.ts";

/** How long a call may take, in milliseconds; the D-Bus libraries' usual 25 s. */
export const CALL_TIMEOUT = 25_000;

/** A method call to make. */
export interface Request {
  destination: string;
  path: string;
  interface: string;
  member: string;
  signature?: string;
  /** Descriptors (`h`) in it belong to the connection from here on, which closes them. */
  body?: unknown[];
  /** In milliseconds. */
  timeout?: number;
  /** Lets the receiver ask the user for a password before it answers. */
  interactive?: boolean;
  /** Whether the bus may start the service, where it knows how; it may not by default. */
  autoStart?: boolean;
  /** What the reply has to be of; another one is an error, and so are the descriptors in it nobody's. */
  replySignature?: string | undefined;
}

interface Pending {
  /** What the reply has to be of, and whose it is, for the error. */
  expected: string | undefined;
  call: string;
  resolve(body: unknown[]): void;
  reject(error: Error): void;
}

/** The calls that have no reply yet, by their serials. */
export class PendingCalls {
  readonly #pending = new Map<number, Pending>();

  /**
   * Waits for the reply to the call of that serial.
   *
   * @returns the reply's body
   * @throws {BusError} with the error's D-Bus name; NoReply when time is up
   */
  async reply(serial: number, request: Request): Promise<unknown[]> {
    const { destination, member, timeout, replySignature: expected } = request;
    const { promise, resolve, reject } = Promise.withResolvers<unknown[]>();
    const call = `${destination}'s ${member}`;
    this.#pending.set(serial, { expected, call, resolve, reject });
    const timer = setTimeout(
      () => reject(busErrors.noReply(`${destination} did not answer ${member} in time`)),
      timeout ?? CALL_TIMEOUT,
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(serial);
    }
  }

  /** Takes a reply or an error. @returns false if no call waits for it */
  settle(message: Incoming): boolean {
    const pending = this.#pending.get(message.replySerial);
    if (!pending) return false;
    if (message.type === MessageType.ERROR) {
      pending.reject(errorOf(message));
      return true;
    }
    const { expected, call } = pending;
    if (expected !== undefined && message.signature !== expected) {
      const text = `${call} answers '${message.signature}' where it is '${expected}'`;
      pending.reject(busErrors.failed(text));
      return true;
    }
    try {
      const { body } = message;
      // From here on its descriptors are the caller's.
      message.fds.length = 0;
      pending.resolve(body);
    } catch (error) {
      pending.reject(busErrors.failed(`the reply makes no sense: ${messageOf(error)}`));
    }
    return true;
  }

  /** Fails all of them: no reply comes any more. */
  failAll(): void {
    for (const { reject } of this.#pending.values()) {
      reject(busErrors.noReply("the connection to the message bus ended"));
    }
  }
}

/** An error reply as an error; its text is what its body has, if that makes sense. */
function errorOf(message: Incoming): BusError {
  const { errorName = "" } = message;
  let text: unknown;
  try {
    [text] = message.body;
  } catch (error) {
    text = `${errorName}, whose text makes no sense: ${messageOf(error)}`;
  }
  return new BusError(errorName, typeof text === "string" ? text : errorName);
}
