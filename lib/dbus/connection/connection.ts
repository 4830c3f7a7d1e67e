/** One connection to a message bus: calls with time limits, signals, and the callers' credentials. */
import { messageOf } from "../../linux/index.ts";
import { closeDescriptors } from "../protocol/descriptors.ts";
import { BusError, busErrors, cutText } from "../protocol/errors.ts";
import type { Passed } from "../protocol/long-message.ts";
import {
  ALLOW_INTERACTIVE_AUTHORIZATION,
  type Incoming,
  LONGEST_CALL,
  MessageType,
  NO_AUTO_START,
  NO_REPLY_EXPECTED,
  type Outgoing,
} from "../protocol/message.ts";
import { checkNames } from "../protocol/names.ts";
import { systemBusAddress } from "./address.ts";
import { type Caller, Callers } from "./callers.ts";
import { CALL_TIMEOUT, PendingCalls, type Request } from "./calls.ts";
import { connect, FIRST_RETRY, LAST_RETRY, type Reconnection } from "./connect.ts";
import { BUS, BUS_PATH, MessageBus } from "./message-bus.ts";
import { type SignalHandler, type SignalMatch, Signals } from "./signals.ts";
import type { Transport } from "./transport.ts";

/** A method call that arrived. */
export type IncomingCall = Incoming;

const TOO_LONG = `The call is longer than the ${LONGEST_CALL} bytes that one may have here`;
const TOO_MANY = "Too many calls wait to be done: send fewer before their replies have come";

export class Connection {
  readonly #addresses: string;
  #transport: Transport;
  #reconnection: Reconnection | undefined;
  #retry: Timer | undefined;
  #isTrying = false;
  /** The names that a connection made again has to have, and the signals. */
  readonly #names: string[] = [];
  readonly #signals = new Signals();
  /** Counts the transports: a call that came by an earlier one has nobody to answer. */
  #run = 1;
  readonly #bus = new MessageBus((request) => this.call(request));
  readonly #callers = new Callers(this.#bus, this.#signals);
  readonly #pending = new PendingCalls();
  #onCall: (call: IncomingCall) => boolean = () => true;
  #serial = 0;
  #name = "";
  #open = true;
  #ended: Error | undefined;
  /** Called once when the connection ends by itself. */
  onClosed: () => void = () => {};
  /** Called with what was wrong with a message that was dropped, and its sender as far as that is known. */
  onBadMessage: (error: Error, sender: string) => void = () => {};

  private constructor(addresses: string) {
    this.#addresses = addresses;
    this.#transport = this.#connect();
  }

  #connect(): Transport {
    return connect(this.#addresses, {
      onMessage: (message) => this.#onMessage(message),
      onRefused: (call) => {
        call.run = this.#run;
        this.fail(call, busErrors.limitsExceeded(TOO_MANY));
      },
      ownerOf: (sender) => this.descriptorsOwner(sender),
      onTooLong: (message) => this.#onTooLong(message),
      onBadMessage: (error, sender) => this.onBadMessage(error, sender),
      onEnd: (error) => this.#onEnd(error),
    });
  }

  /**
   * Connects and says hello.
   *
   * @param addresses a list, of which the first is taken at which somebody listens; see `parseAddresses`
   * @throws {Error} that names it, if nobody answers there within `timeout` milliseconds
   */
  static async open(addresses = systemBusAddress(), timeout = CALL_TIMEOUT): Promise<Connection> {
    try {
      const connection = new Connection(addresses);
      await connection.#hello(timeout);
      return connection;
    } catch (error) {
      const reason = messageOf(error);
      throw new Error(`cannot connect to the message bus at ${addresses}: ${reason}`);
    }
  }

  async #hello(timeout: number): Promise<void> {
    try {
      this.#name = await this.#bus.hello(timeout);
    } catch (error) {
      this.close();
      throw this.#ended ?? error;
    }
  }

  /** Does what an answer need not wait for; see Transport. `task` must not throw. */
  afterwards(task: () => void): void {
    this.#transport.afterwards(task);
  }

  /** Our unique name on the bus, `:1.7`. */
  get uniqueName(): string {
    return this.#name;
  }

  /** Whether nothing is left to be done for the message; see TransportEvents. */
  #onMessage(message: Incoming): boolean {
    switch (message.type) {
      case MessageType.METHOD_CALL:
        message.run = this.#run;
        return this.#onCall(message);
      case MessageType.SIGNAL:
        this.#signals.deliver(message);
        return false;
      case MessageType.METHOD_RETURN:
      case MessageType.ERROR:
        return !this.#pending.settle(message);
      default:
        // The specification: types that are not known are to be ignored.
        return true;
    }
  }

  /** Answers a call of which no more than the header is known. */
  #onTooLong({ type, flags, serial, sender, length }: Passed): void {
    const isCall = type === MessageType.METHOD_CALL;
    const wantsReply = isCall && (flags & NO_REPLY_EXPECTED) === 0 && sender !== "";
    this.onBadMessage(
      new Error(`a message of ${length} bytes, of type ${type}, was too long`),
      sender,
    );
    if (!this.#open || !wantsReply || serial === 0) return;
    this.#sendError(serial, sender, busErrors.limitsExceeded(TOO_LONG));
  }

  #onEnd(error: Error | undefined): void {
    this.#open = false;
    this.#ended = error ?? new Error("the bus closed the connection");
    this.#pending.failAll();
    if (this.#isTrying) return;
    if (!this.#reconnection) {
      this.onClosed();
      return;
    }
    this.#callers.forgetAll();
    this.#reconnection.lost(messageOf(this.#ended));
    this.#retryIn(0, FIRST_RETRY, this.#transport.busId);
  }

  /**
   * Has the connection made again whenever it is lost, with its match rules and names: calls meanwhile
   * fail and signals go to nobody. To be called when it is open.
   */
  async keepConnected(reconnection: Reconnection): Promise<void> {
    this.#reconnection = reconnection;
    const match = { sender: BUS, interface: BUS, member: "NameLost", path: BUS_PATH };
    await this.onSignal(match, ([name]) => {
      if (typeof name === "string" && this.#names.includes(name)) reconnection.replaced(name);
    });
  }

  #retryIn(delay: number, next: number, busId: string): void {
    this.#retry = setTimeout(() => void this.#tryAgain(next, busId), delay);
  }

  /** @param busId the run of the bus that was lost */
  async #tryAgain(next: number, busId: string): Promise<void> {
    this.#isTrying = true;
    let taken: string | undefined;
    try {
      this.#run++;
      this.#transport = this.#connect();
      this.#open = true;
      this.#name = await this.#bus.hello();
      for (const rule of this.#signals.rules) await this.#bus.addMatch(rule);
      for (const own of this.#names) if (!(await this.#bus.takeName(own))) taken = own;
      // It may have been lost again with the last of these answers.
      if (!this.#open) throw busErrors.noReply("the bus closed the connection again");
    } catch (error) {
      if (this.#open) this.#transport.close();
      this.#open = false;
      this.#pending.failAll();
      if (!this.#reconnection) return;
      this.#reconnection.failed(messageOf(this.#ended ?? error));
      this.#retryIn(next, Math.min(2 * next, LAST_RETRY), busId);
      return;
    } finally {
      this.#isTrying = false;
      this.#ended = undefined;
    }
    if (taken === undefined) this.#reconnection?.back(this.#transport.busId === busId);
    else this.#reconnection?.replaced(taken);
  }

  /** Ends the connection; what was sent before is sent. */
  close(): void {
    clearTimeout(this.#retry);
    this.#reconnection = undefined;
    if (!this.#open) return;
    this.#open = false;
    this.#transport.close();
    this.#pending.failAll();
  }

  /**
   * Sends a message; the names in its header are the caller's to check. Descriptors in its body are
   * closed here if it cannot be sent.
   */
  #send(message: Omit<Outgoing, "serial">): number {
    // 0 is none, and the number has 32 bits.
    this.#serial = (this.#serial + 1) >>> 0 || 1;
    try {
      this.#transport.send({ ...message, serial: this.#serial });
    } catch (error) {
      closeDescriptors(message.signature, message.body);
      throw error;
    }
    return this.#serial;
  }

  /** The same with names that somebody else may have given us. */
  #sendChecked(message: Omit<Outgoing, "serial">): number {
    try {
      checkNames(message);
    } catch (error) {
      closeDescriptors(message.signature, message.body);
      throw error;
    }
    return this.#send(message);
  }

  /**
   * Calls a method and waits for its reply. Received descriptors belong to the caller.
   *
   * @returns the reply's body
   * @throws {BusError} with the error's D-Bus name; NoReply when time is up
   * @throws {TypeError} if a name or the body is none that can be sent
   */
  async call(request: Request): Promise<unknown[]> {
    const { destination, path, interface: interfaceName, member } = request;
    const { signature = "", body = [] } = request;
    if (!this.#open) {
      closeDescriptors(signature, body);
      throw busErrors.failed("the connection to the message bus is closed");
    }
    const flags =
      (request.autoStart ? 0 : NO_AUTO_START) |
      (request.interactive ? ALLOW_INTERACTIVE_AUTHORIZATION : 0);
    const type = MessageType.METHOD_CALL;
    const fields = { destination, path, interface: interfaceName, member };
    const serial = this.#sendChecked({ type, flags, ...fields, signature, body });
    return this.#pending.reply(serial, request);
  }

  /**
   * Sends a signal, to all that listen or to one connection. Descriptors in the body belong to the
   * connection from here on.
   *
   * @throws {TypeError} if a name or the body is none that can be sent
   */
  signal(
    path: string,
    interfaceName: string,
    member: string,
    signature = "",
    body: unknown[] = [],
    destination?: string,
  ): void {
    if (!this.#open) {
      closeDescriptors(signature, body);
      return;
    }
    try {
      this.#sendChecked({
        type: MessageType.SIGNAL,
        ...{ path, interface: interfaceName, member, signature, body },
        ...(destination === undefined ? {} : { destination }),
      });
    } catch (error) {
      // Nobody waits for it, and what it tells of has happened.
      if (!(error instanceof BusError)) throw error;
      this.onBadMessage(new Error(`the signal ${member} was not sent: ${error.message}`), "");
    }
  }

  /**
   * Takes a well-known name. From a process that has ended and only waits for a thread that the kernel
   * cannot end (state Z in proc(5)), it is taken over: such a one answers nobody any more.
   *
   * @throws {Error} if somebody else has it, or the bus's policy refuses
   */
  async requestName(name: string): Promise<void> {
    if (!(await this.#bus.takeName(name))) {
      throw new Error(`the bus name ${name} is taken: another program answers for it already`);
    }
    this.#names.push(name);
  }

  /**
   * Has every matching signal delivered to `handle`.
   *
   * @throws {BusError} if the bus refuses; nothing is delivered then
   */
  async onSignal(match: SignalMatch, handle: SignalHandler): Promise<void> {
    const listener = this.#signals.add(match, handle);
    try {
      await this.#bus.addMatch(listener.rule);
    } catch (error) {
      this.#signals.remove(listener);
      throw error;
    }
  }

  /**
   * Hands every method call that arrives to `handle`, which answers it by `reply` or `fail`, and
   * returns true if it has done so already. It takes the descriptors that it keeps out of the call's.
   */
  // biome-ignore lint/suspicious/noConfusingVoidType: nothing returned means "not yet"
  onCall(handle: (call: IncomingCall) => boolean | void): void {
    this.#onCall = (call) => handle(call) === true;
  }

  /**
   * Answers a call. Descriptors in the body belong to the connection from here on.
   *
   * @throws {TypeError} if the body is not what its signature says
   * @throws {BusError} LimitsExceeded if it is longer than the bus takes
   */
  reply(call: IncomingCall, signature = "", body: unknown[] = []): void {
    if (!this.#isAnswerable(call)) {
      closeDescriptors(signature, body);
      return;
    }
    const { serial: replySerial, sender: destination } = call;
    this.#send({ type: MessageType.METHOD_RETURN, replySerial, destination, signature, body });
  }

  /** Not after the connection was lost: the one that there is now has another name, and the caller waits for no reply of it. */
  #isAnswerable(call: IncomingCall): boolean {
    return this.#open && call.wantsReply && call.run === this.#run;
  }

  /** Answers a call with an error. */
  fail(call: IncomingCall, error: BusError): void {
    if (!this.#isAnswerable(call)) return;
    this.#sendError(call.serial, call.sender, error);
  }

  #sendError(replySerial: number, destination: string, { errorName, message }: BusError): void {
    const body = [cutText(message)];
    const type = MessageType.ERROR;
    this.#send({ type, replySerial, destination, errorName, signature: "s", body });
  }

  /** Whose a call counts as: a user's uid as soon as the bus has told, and its connection's name before. */
  callOwner(sender: string): number | string {
    return this.#callers.ownerOfCalls(sender);
  }

  /** Whose a sender's file descriptors are counted as: a user's, however many connections it has. */
  descriptorsOwner(sender: string): string {
    return this.#callers.ownerOfDescriptors(sender);
  }

  /** Whom a unique name is counted and named for in the log: `uid 1000`, or the name while nobody knows. */
  accountOf(sender: string): string {
    return this.#callers.accountOf(sender);
  }

  /**
   * Who is behind a unique name, asked of the bus once and remembered until the name goes. Without
   * a promise once it is known, so that an answer need not wait for its turn.
   *
   * @throws {BusError} if that connection is gone already
   */
  caller(uniqueName: string): Caller | Promise<Caller> {
    return this.#callers.find(uniqueName);
  }

  /**
   * Called with each unique name that leaves the bus. Where the bus refuses to tell, `onBadMessage` is
   * told, and it is asked again with the next caller that is not known, or when it is there again.
   */
  onNameLost(handle: (uniqueName: string) => void): void {
    this.#callers.onLost(handle);
    this.#callers.watchNames().catch((error) => {
      if (!this.#open) return;
      this.onBadMessage(new Error(`the bus does not tell who leaves it: ${messageOf(error)}`), "");
    });
  }
}
