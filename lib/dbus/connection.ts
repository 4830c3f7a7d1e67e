/** One connection to a message bus: calls with time limits, signals, and the callers' credentials. */
import { close, type Fd, messageOf } from "../linux/index.ts";
import { BusError, busErrors } from "./errors.ts";
import {
  ALLOW_INTERACTIVE_AUTHORIZATION,
  type Incoming,
  MessageType,
  NO_AUTO_START,
  type Outgoing,
} from "./message.ts";
import { splitSignature } from "./signature.ts";
import { Transport } from "./transport.ts";
import { checkName } from "./variant.ts";

const BUS = "org.freedesktop.DBus";
const BUS_PATH = "/org/freedesktop/DBus";
const NAME_DO_NOT_QUEUE = 4;
const NAME_PRIMARY_OWNER = 1;

/** How long a call may take, in milliseconds; the D-Bus libraries' usual 25 s. */
const CALL_TIMEOUT = 25_000;

/** Who is behind a connection to the bus, as the bus daemon saw it connect. */
export interface Caller {
  uid: number;
  pid: number;
}

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
}

/** A method call that arrived. */
export type IncomingCall = Incoming;

const TOO_MANY = "Too many calls wait to be done: send fewer before their replies have come";

/** The address of the system bus, as the D-Bus specification finds it. */
export function systemBusAddress(): string {
  return process.env.DBUS_SYSTEM_BUS_ADDRESS ?? "unix:path=/run/dbus/system_bus_socket";
}

/** A call of ours that has no reply yet. */
interface Pending {
  resolve(body: unknown[]): void;
  reject(error: Error): void;
}

/**
 * The socket that an address is about.
 *
 * @throws {Error} if it is none of the kinds that we know
 */
function socketOf(address: string): string {
  for (const one of address.split(";")) {
    const [, kind, value] = /^unix:(?:.*,)?(path|abstract)=([^,]*)/.exec(one) ?? [];
    if (kind === undefined || value === undefined) continue;
    const path = decodeURIComponent(value);
    return kind === "abstract" ? `\0${path}` : path;
  }
  throw new Error("it is neither unix:path= nor unix:abstract=");
}

export class Connection {
  readonly #transport: Transport;
  readonly #callers = new Map<string, Caller | Promise<Caller>>();
  readonly #signalHandlers: { matches: (signal: Incoming) => boolean; handle: SignalHandler }[] =
    [];
  readonly #pending = new Map<number, Pending>();
  #onCall: (call: IncomingCall) => boolean = () => true;
  #serial = 0;
  #name = "";
  #open = true;
  #ended: Error | undefined;
  /** Called once when the connection ends by itself. */
  onClosed: () => void = () => {};
  /** Called with what was wrong with a message that was dropped, or thrown by who handles signals. */
  onBadMessage: (error: Error) => void = () => {};

  private constructor(address: string) {
    this.#transport = new Transport(socketOf(address), {
      onMessage: (message) => this.#onMessage(message),
      onRefused: (call) => this.fail(call, busErrors.limitsExceeded(TOO_MANY)),
      onBadMessage: (error) => this.onBadMessage(error),
      onEnd: (error) => this.#onEnd(error),
    });
  }

  /**
   * Connects and says hello.
   *
   * @param address one of `unix:path=` or `unix:abstract=`
   * @throws {Error} that names the address, if nobody answers there within `timeout` milliseconds
   */
  static async open(address = systemBusAddress(), timeout = CALL_TIMEOUT): Promise<Connection> {
    try {
      const connection = new Connection(address);
      await connection.#hello(timeout);
      return connection;
    } catch (error) {
      const reason = messageOf(error);
      throw new Error(`cannot connect to the message bus at ${address}: ${reason}`);
    }
  }

  async #hello(timeout: number): Promise<void> {
    try {
      const [name] = await this.#callBus("Hello", "", [], timeout);
      this.#name = String(name);
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
        return this.#onCall(message);
      case MessageType.SIGNAL:
        for (const { matches, handle } of this.#signalHandlers) {
          if (matches(message)) handle(message.body, message);
        }
        return false;
      case MessageType.METHOD_RETURN: {
        const pending = this.#pending.get(message.replySerial);
        if (!pending) return true;
        // From here on its descriptors are the caller's.
        message.fds.length = 0;
        pending.resolve(message.body);
        return false;
      }
      case MessageType.ERROR: {
        const { errorName = "", body } = message;
        const text = typeof body[0] === "string" ? body[0] : errorName;
        this.#pending.get(message.replySerial)?.reject(new BusError(errorName, text));
        return false;
      }
      default:
        // The specification: types that are not known are to be ignored.
        return true;
    }
  }

  #onEnd(error: Error | undefined): void {
    this.#open = false;
    this.#ended = error;
    this.#failPending();
    this.onClosed();
  }

  #failPending(): void {
    for (const { reject } of this.#pending.values()) {
      reject(busErrors.noReply("the connection to the message bus ended"));
    }
  }

  /** Ends the connection; what was sent before is sent. */
  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#transport.close();
    this.#failPending();
  }

  /** Sends a message. Descriptors in its body are closed here if it cannot be sent. */
  #send(message: Omit<Outgoing, "serial">): number {
    // 0 is none, and the number has 32 bits.
    this.#serial = (this.#serial + 1) >>> 0 || 1;
    try {
      this.#transport.send({ ...message, serial: this.#serial });
    } catch (error) {
      for (const fd of descriptorsOf(message.signature, message.body)) close(fd);
      throw error;
    }
    return this.#serial;
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
    const { signature = "", body = [], timeout = CALL_TIMEOUT } = request;
    if (!this.#open) {
      for (const fd of descriptorsOf(signature, body)) close(fd);
      throw busErrors.failed("the connection to the message bus is closed");
    }
    checkName("destination", destination);
    checkName("path", path);
    checkName("interface", interfaceName);
    const flags =
      (request.autoStart ? 0 : NO_AUTO_START) |
      (request.interactive ? ALLOW_INTERACTIVE_AUTHORIZATION : 0);
    const { promise, resolve, reject } = Promise.withResolvers<unknown[]>();
    const type = MessageType.METHOD_CALL;
    const fields = { destination, path, interface: interfaceName, member };
    const serial = this.#send({ type, flags, ...fields, signature, body });
    this.#pending.set(serial, { resolve, reject });
    const timer = setTimeout(
      () => reject(busErrors.noReply(`${destination} did not answer ${member} in time`)),
      timeout,
    );
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#pending.delete(serial);
    }
  }

  /** Sends a signal, to all that listen or to one connection. */
  signal(
    path: string,
    interfaceName: string,
    member: string,
    signature = "",
    body: unknown[] = [],
    destination?: string,
  ): void {
    if (!this.#open) return;
    checkName("path", path);
    checkName("destination", destination);
    this.#send({
      type: MessageType.SIGNAL,
      ...{ path, interface: interfaceName, member, signature, body },
      ...(destination === undefined ? {} : { destination }),
    });
  }

  /**
   * Takes a well-known name.
   *
   * @throws {Error} if somebody else has it, or the bus's policy refuses
   */
  async requestName(name: string): Promise<void> {
    const body = [name, NAME_DO_NOT_QUEUE];
    const [result] = await this.#callBus("RequestName", "su", body);
    if (result !== NAME_PRIMARY_OWNER) {
      throw new Error(`the bus name ${name} is taken: another program answers for it already`);
    }
  }

  /** Has every matching signal delivered to `handle`. */
  async onSignal(
    match: { sender: string; interface: string; member: string; path?: string; arg0?: string },
    handle: SignalHandler,
  ): Promise<void> {
    const { sender, interface: interfaceName, member, path, arg0 } = match;
    this.#signalHandlers.push({
      matches: (signal) =>
        // Anybody may send us a signal that looks like the bus's.
        ((sender !== BUS && !sender.startsWith(":")) || signal.sender === sender) &&
        signal.interface === interfaceName &&
        signal.member === member &&
        (path === undefined || signal.path === path) &&
        (arg0 === undefined || signal.body[0] === arg0),
      handle,
    });
    const rule =
      `type='signal',sender='${sender}',interface='${interfaceName}',member='${member}'` +
      (path === undefined ? "" : `,path='${path}'`) +
      (arg0 === undefined ? "" : `,arg0='${arg0}'`);
    await this.#callBus("AddMatch", "s", [rule]);
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
   */
  reply(call: IncomingCall, signature = "", body: unknown[] = []): void {
    if (!this.#open || !call.wantsReply) {
      for (const fd of descriptorsOf(signature, body)) close(fd);
      return;
    }
    const { serial: replySerial, sender: destination } = call;
    this.#send({ type: MessageType.METHOD_RETURN, replySerial, destination, signature, body });
  }

  /** Answers a call with an error. */
  fail(call: IncomingCall, error: BusError): void {
    if (!this.#open || !call.wantsReply) return;
    const { serial: replySerial, sender: destination } = call;
    const { errorName, message } = error;
    this.#send({
      type: MessageType.ERROR,
      ...{ replySerial, destination, errorName, signature: "s", body: [message] },
    });
  }

  /**
   * Who is behind a unique name, asked of the bus once and remembered until the name goes. Without
   * a promise once it is known, so that an answer need not wait for its turn.
   *
   * @throws {BusError} if that connection is gone already
   */
  caller(uniqueName: string): Caller | Promise<Caller> {
    const known = this.#callers.get(uniqueName);
    if (known) return known;
    const asked = this.#askCaller(uniqueName);
    this.#callers.set(uniqueName, asked);
    // Not if the name has gone meanwhile, which took it out.
    const waits = () => this.#callers.get(uniqueName) === asked;
    asked.then(
      (caller) => waits() && this.#callers.set(uniqueName, caller),
      () => waits() && this.#callers.delete(uniqueName),
    );
    return asked;
  }

  async #askCaller(uniqueName: string): Promise<Caller> {
    // First, or the name might go unseen.
    await this.#watchNames();
    const [credentials] = await this.#callBus("GetConnectionCredentials", "s", [uniqueName]);
    const { UnixUserID: uid, ProcessID: pid } = credentials as Record<string, { value: number }>;
    if (!uid || !pid) throw busErrors.accessDenied(`the bus does not know who ${uniqueName} is`);
    return { uid: uid.value, pid: pid.value };
  }

  /** Called with each unique name that leaves the bus. */
  onNameLost(handle: (uniqueName: string) => void): void {
    this.#nameLostHandlers.push(handle);
    void this.#watchNames();
  }

  readonly #nameLostHandlers: ((name: string) => void)[] = [];
  #namesWatched: Promise<void> | undefined;

  #watchNames(): Promise<void> {
    const match = { sender: BUS, interface: BUS, member: "NameOwnerChanged", path: BUS_PATH };
    this.#namesWatched ??= this.onSignal(match, ([name, , newOwner]) => {
      if (newOwner !== "" || typeof name !== "string") return;
      this.#callers.delete(name);
      for (const handle of this.#nameLostHandlers) handle(name);
    });
    return this.#namesWatched;
  }

  #callBus(
    member: string,
    signature: string,
    body: unknown[],
    timeout = CALL_TIMEOUT,
  ): Promise<unknown[]> {
    const bus = { destination: BUS, path: BUS_PATH, interface: BUS };
    return this.call({ ...bus, member, signature, body, timeout });
  }
}

/** The descriptors at the top level of a body, which is where our own messages have them. */
function descriptorsOf(signature: string, body: unknown[]): Fd[] {
  if (!signature.includes("h")) return [];
  return splitSignature(signature).flatMap((type, index) =>
    type === "h" && typeof body[index] === "number" ? [body[index]] : [],
  );
}

export type SignalHandler = (body: unknown[], signal: Incoming) => void;
