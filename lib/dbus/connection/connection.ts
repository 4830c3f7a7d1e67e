/** One connection to a message bus: calls with time limits, signals, and the callers' credentials. */
import {
  accountOf,
  close,
  type Fd,
  hasItsNumber,
  identityOfPid,
  identityOfPidfd,
  messageOf,
  type ProcessIdentity,
  processStatus,
  userOwner,
} from "../../linux/index.ts";
import { BusError, busErrors } from "../protocol/errors.ts";
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
import { splitSignature } from "../protocol/signature.ts";
import { checkName, type Variant } from "../protocol/variant.ts";
import { type Owner, Quota } from "./quota.ts";
import { Transport } from "./transport.ts";

const BUS = "org.freedesktop.DBus";
const BUS_PATH = "/org/freedesktop/DBus";
const NAME_ALLOW_REPLACEMENT = 1;
const NAME_REPLACE_EXISTING = 2;
const NAME_DO_NOT_QUEUE = 4;
const NAME_PRIMARY_OWNER = 1;
/** The first wait before the bus is tried again, and the longest, in milliseconds. */
const FIRST_RETRY = 50;
const LAST_RETRY = 2000;
/** The longest text of an error, in characters: it may quote what a stranger sent. */
const LONGEST_ERROR = 512;

/** How long a call may take, in milliseconds; the D-Bus libraries' usual 25 s. */
const CALL_TIMEOUT = 25_000;

/** Who is behind a connection to the bus, as the bus daemon saw it connect. */
export interface Caller {
  readonly uid: number;
  /** 0 once the process has ended, or where it cannot be seen from here: never that of a later one. */
  readonly pid: number;
}

/** A caller whose process is looked at again each time that its pid is asked for. */
class Connected implements Caller {
  constructor(
    readonly uid: number,
    readonly process: ProcessIdentity | undefined,
  ) {}

  get pid(): number {
    return this.process && hasItsNumber(this.process) ? this.process.pid : 0;
  }
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

const TOO_LONG = `The call is longer than the ${LONGEST_CALL} bytes that one may have here`;
const TOO_MANY = "Too many calls wait to be done: send fewer before their replies have come";

/** The address of the system bus, as the D-Bus specification finds it. */
export function systemBusAddress(): string {
  return process.env.DBUS_SYSTEM_BUS_ADDRESS ?? "unix:path=/run/dbus/system_bus_socket";
}

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
  readonly #address: string;
  #transport: Transport;
  #reconnection: Reconnection | undefined;
  #retry: Timer | undefined;
  #isTrying = false;
  /** The match rules and names that a connection made again has to have. */
  readonly #rules: string[] = [];
  readonly #names: string[] = [];
  readonly #quota = new Quota();
  /** Counts the transports: a call that came by an earlier one has nobody to answer. */
  #run = 1;
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
  /** Called with what was wrong with a message that was dropped, and its sender as far as that is known. */
  onBadMessage: (error: Error, sender: string) => void = () => {};

  private constructor(address: string) {
    this.#address = address;
    this.#transport = this.#connect();
  }

  #connect(): Transport {
    return new Transport(socketOf(this.#address), {
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
        message.run = this.#run;
        return this.#onCall(message);
      case MessageType.SIGNAL:
        for (const { matches, handle } of this.#signalHandlers) {
          if (matches(message)) handle(message.body, message);
        }
        return false;
      case MessageType.METHOD_RETURN: {
        const pending = this.#pending.get(message.replySerial);
        if (!pending) return true;
        try {
          const { body } = message;
          // From here on its descriptors are the caller's.
          message.fds.length = 0;
          pending.resolve(body);
        } catch (error) {
          pending.reject(busErrors.failed(`the reply makes no sense: ${messageOf(error)}`));
        }
        return false;
      }
      case MessageType.ERROR: {
        const pending = this.#pending.get(message.replySerial);
        if (!pending) return true;
        pending.reject(errorOf(message));
        return false;
      }
      default:
        // The specification: types that are not known are to be ignored.
        return true;
    }
  }

  /** Answers a call of which no more than the header is known. */
  #onTooLong({ type, flags, serial, sender, length }: Passed): void {
    const { METHOD_CALL, ERROR } = MessageType;
    const wantsReply = type === METHOD_CALL && (flags & NO_REPLY_EXPECTED) === 0 && sender !== "";
    this.onBadMessage(
      new Error(`a message of ${length} bytes, of type ${type}, was too long`),
      sender,
    );
    if (!this.#open || !wantsReply || serial === 0) return;
    const { errorName, message } = busErrors.limitsExceeded(TOO_LONG);
    this.#send({
      type: ERROR,
      ...{ replySerial: serial, destination: sender, errorName, signature: "s", body: [message] },
    });
  }

  #onEnd(error: Error | undefined): void {
    this.#open = false;
    this.#ended = error ?? new Error("the bus closed the connection");
    this.#failPending();
    if (this.#isTrying) return;
    if (!this.#reconnection) {
      this.onClosed();
      return;
    }
    // What leaves the bus from now on is not seen to leave.
    this.#callers.clear();
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
      const [name] = await this.#callBus("Hello", "", []);
      this.#name = String(name);
      for (const rule of this.#rules) await this.#callBus("AddMatch", "s", [rule]);
      for (const own of this.#names) if (!(await this.#takeName(own))) taken = own;
      // It may have been lost again with the last of these answers.
      if (!this.#open) throw busErrors.noReply("the bus closed the connection again");
    } catch (error) {
      if (this.#open) this.#transport.close();
      this.#open = false;
      this.#failPending();
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

  #failPending(): void {
    for (const { reject } of this.#pending.values()) {
      reject(busErrors.noReply("the connection to the message bus ended"));
    }
  }

  /** Ends the connection; what was sent before is sent. */
  close(): void {
    clearTimeout(this.#retry);
    this.#reconnection = undefined;
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
    try {
      this.#send({
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
    if (!(await this.#takeName(name))) {
      throw new Error(`the bus name ${name} is taken: another program answers for it already`);
    }
    this.#names.push(name);
  }

  /** Whether it is ours now. */
  async #takeName(name: string): Promise<boolean> {
    const flags = NAME_DO_NOT_QUEUE | NAME_ALLOW_REPLACEMENT;
    const ask = async (more: number) =>
      (await this.#callBus("RequestName", "su", [name, flags | more]))[0] === NAME_PRIMARY_OWNER;
    return (await ask(0)) || ((await this.#ownerHasEnded(name)) && ask(NAME_REPLACE_EXISTING));
  }

  async #ownerHasEnded(name: string): Promise<boolean> {
    try {
      const [pid] = await this.#callBus("GetConnectionUnixProcessID", "s", [name]);
      return (processStatus(Number(pid))?.state ?? "Z") === "Z";
    } catch (error) {
      // It has left meanwhile.
      if (error instanceof BusError) return true;
      throw error;
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
    this.#rules.push(rule);
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
   * @throws {BusError} LimitsExceeded if it is longer than the bus takes
   */
  reply(call: IncomingCall, signature = "", body: unknown[] = []): void {
    if (!this.#isAnswerable(call)) {
      for (const fd of descriptorsOf(signature, body)) close(fd);
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
    const { serial: replySerial, sender: destination } = call;
    const { errorName } = error;
    const body = [cutError(error.message)];
    this.#send({
      type: MessageType.ERROR,
      ...{ replySerial, destination, errorName, signature: "s", body },
    });
  }

  /** Whose a call counts as: the user's, as soon as the bus has told. */
  #ownerOf({ sender }: IncomingCall): Owner {
    const known = this.#callers.get(sender);
    return known === undefined || known instanceof Promise ? sender : accountOf(known.uid);
  }

  /** Whether the caller has as many calls under way as one may; see Quota. */
  hasTooMany(call: IncomingCall): boolean {
    return this.#quota.isFull(this.#ownerOf(call), call.length);
  }

  /** Counts a call whose answer has to wait. @returns a function that ends the count */
  countWaiting(call: IncomingCall): () => void {
    return this.#quota.take(this.#ownerOf(call), call.length);
  }

  /** Whose a sender's file descriptors are counted as: a user's, however many connections it has. */
  descriptorsOwner(sender: string): string {
    const known = this.#callers.get(sender);
    return userOwner(known === undefined || known instanceof Promise ? "unknown" : known.uid);
  }

  /** Whom a unique name is counted and named for in the log: `uid 1000`, or the name while nobody knows. */
  accountOf(sender: string): string {
    const known = this.#callers.get(sender);
    return known === undefined || known instanceof Promise ? sender : userOwner(known.uid);
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
    return callerFrom(credentials as Record<string, Variant<number>>, uniqueName);
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

/** An error's text, which a stranger must not make longer than what it asked. */
function cutError(text: string): string {
  return text.length > LONGEST_ERROR ? `${text.slice(0, LONGEST_ERROR)}…` : text;
}

/** Reads what GetConnectionCredentials answers; see the D-Bus specification. */
function callerFrom(credentials: Record<string, Variant<number>>, uniqueName: string): Caller {
  const { UnixUserID: uid, ProcessID: pid, ProcessFD: pidfd } = credentials;
  try {
    if (!uid) throw busErrors.accessDenied(`the bus does not know who ${uniqueName} is`);
    // Buses know the process by a pidfd from dbus-daemon 1.15.8 on, with Linux 6.5.
    if (pidfd) return new Connected(uid.value, identityOfPidfd(pidfd.value));
    // A process outside of the bus's pid namespace has no number there.
    return new Connected(uid.value, pid && identityOfPid(pid.value, uid.value));
  } finally {
    if (pidfd) close(pidfd.value);
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
