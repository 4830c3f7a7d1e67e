/** One connection to a message bus: dbus-next with descriptors, time limits and the callers' credentials. */
import {
  createClientFor,
  type Incoming,
  Message,
  type MessageBus,
  MessageType,
  type RawSocket,
} from "./dbus-next.ts";
import { BusError, busErrors } from "./errors.ts";

const BUS = "org.freedesktop.DBus";
const BUS_PATH = "/org/freedesktop/DBus";
const NO_REPLY_EXPECTED = 1;
const NO_AUTO_START = 2;
const ALLOW_INTERACTIVE_AUTHORIZATION = 4;
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
export interface IncomingCall {
  readonly message: Incoming;
  readonly sender: string;
  readonly path: string;
  /** undefined if the caller left it out, as the D-Bus specification lets it. */
  readonly interface: string | undefined;
  readonly member: string;
  readonly signature: string;
  readonly body: unknown[];
  readonly wantsReply: boolean;
  /** The caller is ready to answer a password prompt (polkit's interactive flag). */
  readonly interactive: boolean;
}

/** The address of the system bus, as the D-Bus specification finds it. */
export function systemBusAddress(): string {
  return process.env.DBUS_SYSTEM_BUS_ADDRESS ?? "unix:path=/run/dbus/system_bus_socket";
}

export class Connection {
  readonly #bus: MessageBus;
  readonly #socket: RawSocket;
  readonly #callers = new Map<string, Promise<Caller>>();
  readonly #signalHandlers: { matches: (signal: Incoming) => boolean; handle: SignalHandler }[] =
    [];
  /** Serials of our calls whose replies may bring descriptors. */
  readonly #pending = new Set<number>();
  #open = true;
  /** Called once when the connection ends by itself. */
  onClosed: () => void = () => {};
  /** Called with a message that could not be parsed and was dropped. */
  onBadMessage: (error: Error) => void = () => {};

  private constructor(bus: MessageBus, socket: RawSocket) {
    this.#bus = bus;
    this.#socket = socket;
  }

  /**
   * Connects and says hello.
   *
   * @param address one of `unix:path=` or `unix:abstract=`
   * @throws {Error} that names the address, if nobody answers there within `timeout` milliseconds
   */
  static async open(address = systemBusAddress(), timeout = CALL_TIMEOUT): Promise<Connection> {
    const { bus, socket } = createClientFor(address);
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const timer = setTimeout(() => reject(new Error("no answer in time")), timeout);
    bus.on("connect", resolve);
    bus.on("error", reject);
    socket.on("end", () => reject(new Error("it closed the connection")));
    try {
      await promise;
    } catch (error) {
      socket.end();
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`cannot connect to the message bus at ${address}: ${reason}`);
    } finally {
      clearTimeout(timer);
    }
    const connection = new Connection(bus, socket);
    connection.#attach();
    return connection;
  }

  /** Our unique name on the bus, `:1.7`. */
  get uniqueName(): string {
    return this.#bus.name ?? "";
  }

  #attach(): void {
    this.#bus.on("message", (message: Incoming) => this.#onMessage(message));
    this.#bus.removeAllListeners("error");
    this.#bus.on("error", (error: Error) => this.onBadMessage(error));
    this.#socket.on("bad-message", (error: Error) => this.onBadMessage(error));
    this.#socket.on("end", () => {
      const wasOpen = this.#open;
      this.#open = false;
      if (wasOpen) this.onClosed();
    });
  }

  #onMessage(message: Incoming): void {
    if (message.type === MessageType.SIGNAL) {
      for (const { matches, handle } of this.#signalHandlers) {
        if (matches(message)) handle(message.body, message);
      }
    } else if (this.#pending.has(message.replySerial)) {
      // The reply is handed over in a later turn, when the socket would have closed them.
      this.#socket.claimAll();
    }
  }

  /** Ends the connection; what was sent before is sent. */
  close(): void {
    this.#open = false;
    this.#bus.disconnect();
  }

  /**
   * Calls a method and waits for its reply. Received descriptors belong to the caller.
   *
   * @returns the reply's body
   * @throws {BusError} with the error's D-Bus name; NoReply when time is up
   */
  async call(request: Request): Promise<unknown[]> {
    if (!this.#open) throw busErrors.failed("the connection to the message bus is closed");
    const message = new Message({
      destination: request.destination,
      path: request.path,
      interface: request.interface,
      member: request.member,
      signature: request.signature ?? "",
      body: request.body ?? [],
      flags:
        (request.autoStart ? 0 : NO_AUTO_START) |
        (request.interactive ? ALLOW_INTERACTIVE_AUTHORIZATION : 0),
    });
    const serial = this.#bus.newSerial();
    message.serial = serial;
    this.#pending.add(serial);
    const { promise: late, reject } = Promise.withResolvers<never>();
    const timer = setTimeout(
      () =>
        reject(
          busErrors.noReply(`${request.destination} did not answer ${request.member} in time`),
        ),
      request.timeout ?? CALL_TIMEOUT,
    );
    const fail = () => reject(busErrors.noReply("the connection to the message bus ended"));
    this.#socket.on("end", fail);
    try {
      const reply = await Promise.race([this.#bus.call(message), late]);
      return reply?.body ?? [];
    } catch (error) {
      const { type, text } = error as { type?: string; text?: string };
      if (type) throw new BusError(type, text ?? type);
      throw error;
    } finally {
      clearTimeout(timer);
      this.#socket.off("end", fail);
      this.#pending.delete(serial);
      delete this.#bus._methodReturnHandlers[serial];
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
    const message = new Message({
      type: MessageType.SIGNAL,
      path,
      interface: interfaceName,
      member,
      signature,
      body,
      ...(destination === undefined ? {} : { destination }),
    });
    this.#bus.send(message);
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

  /** Hands every method call that arrives to `handle`, which answers it by `reply` or `fail`. */
  onCall(handle: (call: IncomingCall) => void): void {
    this.#bus.addMethodHandler((message: Incoming) => {
      handle({
        message,
        sender: message.sender,
        path: message.path,
        interface: message.interface,
        member: message.member,
        signature: message.signature,
        body: message.body,
        wantsReply: (message.flags & NO_REPLY_EXPECTED) === 0,
        interactive: (message.flags & ALLOW_INTERACTIVE_AUTHORIZATION) !== 0,
      });
      return true;
    });
  }

  /** Takes over the descriptors of the call that is being handled; see `USocket.claimAll`. */
  claimDescriptors(): number[] {
    return this.#socket.claimAll();
  }

  /** Answers a call. Descriptors in the body belong to the connection from here on. */
  reply(call: IncomingCall, signature = "", body: unknown[] = []): void {
    if (!this.#open) return;
    this.#bus.send(Message.newMethodReturn(call.message, signature, body));
  }

  /** Answers a call with an error. */
  fail(call: IncomingCall, error: BusError): void {
    if (!this.#open || !call.wantsReply) return;
    this.#bus.send(Message.newError(call.message, error.errorName, error.message));
  }

  /**
   * Who is behind a unique name, asked of the bus once and remembered until the name goes.
   *
   * @throws {BusError} if that connection is gone already
   */
  async caller(uniqueName: string): Promise<Caller> {
    await this.#watchNames();
    const known = this.#callers.get(uniqueName);
    if (known) return known;
    const asked = this.#askCaller(uniqueName);
    this.#callers.set(uniqueName, asked);
    asked.catch(() => this.#callers.delete(uniqueName));
    return asked;
  }

  async #askCaller(uniqueName: string): Promise<Caller> {
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

  #callBus(member: string, signature: string, body: unknown[]): Promise<unknown[]> {
    return this.call({ destination: BUS, path: BUS_PATH, interface: BUS, member, signature, body });
  }
}

export type SignalHandler = (body: unknown[], signal: Incoming) => void;
