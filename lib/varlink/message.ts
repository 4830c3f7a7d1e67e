/** Messages: JSON objects in UTF-8, each ended by a NUL; see https://varlink.org/Method-Call. */
import { messageOf } from "../linux/index.ts";
import { VarlinkError } from "./errors.ts";

/** The longest message that is read, in bytes. What is called here needs a hundredth of it. */
export const LONGEST_MESSAGE = 64 * 1024;

/** What is no varlink: whoever sends it is not spoken to any longer. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

/** One method call, as it came. */
export interface Call {
  /** The interface's name, a dot, and the method's. */
  method: string;
  parameters: Readonly<Record<string, unknown>>;
  /** The caller takes several replies. */
  more: boolean;
  /** The caller takes no reply at all, not even an error. */
  oneway: boolean;
  /** The caller wants to speak another protocol after the reply. */
  upgrade: boolean;
}

/** Cuts a stream of bytes into messages. */
export class Splitter {
  #rest: Uint8Array = new Uint8Array(0);

  /**
   * Takes what was read, and gives the messages that are whole with it, without their NULs.
   *
   * @throws {ProtocolError} if a message is longer than LONGEST_MESSAGE
   */
  take(bytes: Uint8Array): Uint8Array[] {
    const all = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    const messages: Uint8Array[] = [];
    let start = 0;
    for (let end = all.indexOf(0); end >= 0; end = all.indexOf(0, start)) {
      messages.push(all.subarray(start, end));
      start = end + 1;
    }
    this.#rest = all.subarray(start);
    if ([...messages, this.#rest].some(({ length }) => length > LONGEST_MESSAGE)) {
      throw new ProtocolError(`a message of more than ${LONGEST_MESSAGE} bytes`);
    }
    return messages;
  }
}

const decoder = new TextDecoder("utf-8", { fatal: true });

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/**
 * Reads one method call.
 *
 * @throws {ProtocolError} if it is none
 */
export function parseCall(message: Uint8Array): Call {
  let call: unknown;
  try {
    call = JSON.parse(decoder.decode(message));
  } catch (error) {
    throw new ProtocolError(`no JSON: ${messageOf(error)}`);
  }
  if (!isObject(call)) throw new ProtocolError("a message that is no object");
  const { method } = call;
  const parameters = call.parameters ?? {};
  if (typeof method !== "string") throw new ProtocolError("a call without a method");
  if (!isObject(parameters)) throw new ProtocolError("parameters that are no object");
  const flag = (name: "more" | "oneway" | "upgrade") => {
    const value = call[name] ?? false;
    if (typeof value !== "boolean") throw new ProtocolError(`a ${name} that is no boolean`);
    return value;
  };
  const [more, oneway, upgrade] = [flag("more"), flag("oneway"), flag("upgrade")];
  if (Number(more) + Number(oneway) + Number(upgrade) > 1) {
    throw new ProtocolError("more than one of more, oneway and upgrade");
  }
  return { method, parameters, more, oneway, upgrade };
}

/**
 * A reply, or an error in its place, ready to be sent.
 *
 * @param continues whether another reply to the same call follows
 */
export function formatReply(
  reply: Readonly<Record<string, unknown>> | VarlinkError,
  continues = false,
): Uint8Array {
  const message =
    reply instanceof VarlinkError
      ? {
          error: reply.errorName,
          // As systemd's services have it: varlinkctl prints whatever is there.
          ...(Object.keys(reply.parameters).length > 0 && { parameters: reply.parameters }),
        }
      : { parameters: reply, ...(continues && { continues }) };
  return Buffer.from(`${JSON.stringify(message)}\0`, "utf8");
}
