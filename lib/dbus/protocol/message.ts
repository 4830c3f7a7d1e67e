/** Messages; see "Message Protocol" in the D-Bus specification. */
import type { Fd } from "../../linux/index.ts";

export const MessageType = { METHOD_CALL: 1, METHOD_RETURN: 2, ERROR: 3, SIGNAL: 4 } as const;

export const NO_REPLY_EXPECTED = 1;
export const NO_AUTO_START = 2;
export const ALLOW_INTERACTIVE_AUTHORIZATION = 4;

export const LITTLE_ENDIAN = 0x6c;
export const BIG_ENDIAN = 0x42;
export const PROTOCOL_VERSION = 1;
/** The fixed part of a header, with the length of the fields that follow. */
export const FIXED_HEADER = 16;
/** The most bytes that a message may have. */
export const LONGEST_MESSAGE = 2 ** 27;
/**
 * The most bytes of a call, a signal, and anything else that comes unasked: no method here takes a
 * hundredth of it. What we have asked for may be longer.
 */
export const LONGEST_CALL = 2 ** 16;
/** The most bytes of a message of ours; the system bus takes 32 MiB, and ends who sends more. */
export const LONGEST_SENT = 2 ** 24;

/** The header fields' codes. */
export const Field = {
  PATH: 1,
  INTERFACE: 2,
  MEMBER: 3,
  ERROR_NAME: 4,
  REPLY_SERIAL: 5,
  DESTINATION: 6,
  SENDER: 7,
  SIGNATURE: 8,
  UNIX_FDS: 9,
} as const;

/** A message to send. */
export interface Outgoing {
  type: number;
  flags?: number;
  serial: number;
  path?: string;
  interface?: string;
  member?: string;
  errorName?: string;
  replySerial?: number;
  destination?: string;
  signature: string;
  body: unknown[];
}

/** What the fields of a header say. */
export interface Fields {
  path: string;
  /** undefined if the caller left it out, as the D-Bus specification lets it. */
  interface: string | undefined;
  member: string;
  errorName: string | undefined;
  replySerial: number;
  sender: string;
  signature: string;
  descriptors: number;
}

/** A message that arrived. */
export class Incoming {
  /** Which run of a connection brought it; see Connection. */
  run = 0;
  #body: unknown[] | undefined;
  /** What is wrong with the body, once it was decoded. */
  #fault: Error | undefined;
  #decode: (() => unknown[]) | undefined;

  /**
   * @param length of the whole message, in bytes
   * @param fds what came along: a handler takes those that it keeps out of here, and the rest is closed
   * @param decode reads the body out of the bytes that have come
   */
  constructor(
    readonly type: number,
    readonly flags: number,
    readonly serial: number,
    private readonly fields: Fields,
    readonly length: number,
    readonly fds: Fd[],
    decode: () => unknown[],
  ) {
    this.#decode = decode;
  }

  /**
   * The body, which is decoded when it is first asked for: what nobody wants costs nothing. That has to
   * be before the handler waits for anything, since the next message takes the place of this one.
   *
   * @throws {TypeError} if it makes no sense
   */
  get body(): unknown[] {
    if (!this.#body) this.keepBody();
    if (this.#fault) throw this.#fault;
    if (!this.#body) throw new Error("the body of a message was not decoded in time");
    return this.#body;
  }

  /** Decodes the body for later, where it can be. If it makes no sense, who asks for it is told. */
  keepBody(): void {
    if (this.#body || this.#fault) return;
    try {
      this.#body = this.#decode?.();
    } catch (error) {
      this.#fault = error as Error;
    }
  }

  /** The bytes of the message are no longer there. */
  release(): void {
    this.#decode = undefined;
  }

  get path(): string {
    return this.fields.path;
  }
  /** undefined if the caller left it out, as the D-Bus specification lets it. */
  get interface(): string | undefined {
    return this.fields.interface;
  }
  get member(): string {
    return this.fields.member;
  }
  get errorName(): string | undefined {
    return this.fields.errorName;
  }
  get replySerial(): number {
    return this.fields.replySerial;
  }
  get sender(): string {
    return this.fields.sender;
  }
  get signature(): string {
    return this.fields.signature;
  }
  get wantsReply(): boolean {
    return (this.flags & NO_REPLY_EXPECTED) === 0;
  }
  /** The caller is ready to answer a password prompt (polkit's interactive flag). */
  get interactive(): boolean {
    return (this.flags & ALLOW_INTERACTIVE_AUTHORIZATION) !== 0;
  }
}
