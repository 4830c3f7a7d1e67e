/** The objects that we have on the bus: fixed ones, and folders of objects that come and go. */
import { readFileSync } from "node:fs";
import { closeAside, messageOf } from "../../linux/index.ts";
import type { Connection, IncomingCall } from "../connection/connection.ts";
import { BusError, busErrors } from "../protocol/errors.ts";
import type { Variant } from "../protocol/variant.ts";
import {
  type CallContext,
  type Interface,
  type MethodMember,
  type PropertyMember,
  whenKnown,
} from "./interface.ts";
import { introspection } from "./introspect.ts";
import { escapeLabel, unescapeLabel } from "./object-path.ts";
import { Quota } from "./quota.ts";

/** A folder of objects of one class, each under its escaped name. */
export interface Folder<Target> {
  interfaces: Interface<Target>[];
  /** The object of this (unescaped) name; it may depend on who calls, as `self` does. */
  find(name: string, call: CallContext): Target | undefined | Promise<Target | undefined>;
  /** The names of all objects, for introspection. */
  names(): string[];
  /** How a name stands in a path and is read back, where it is not by `escapeLabel`. */
  labels?: { toLabel(name: string): string; toName(label: string): string | undefined };
}

const ESCAPED = { toLabel: escapeLabel, toName: unescapeLabel };

// The tree holds objects of many classes; each is only ever given to its own interfaces.
// biome-ignore lint/suspicious/noExplicitAny: see above
type Anything = any;

/** What a call is answered with. */
interface Answer {
  signature: string;
  body: unknown[];
}

interface Resolved {
  target: Anything;
  interfaces: Interface<Anything>[];
}

const PROPERTIES = "org.freedesktop.DBus.Properties";
/** Its methods, with their signatures. */
const PROPERTY_CALLS = new Map([
  ["Get", "ss"],
  ["GetAll", "s"],
  ["Set", "ssv"],
]);
const TOO_MANY = "Too many calls of this user wait for their answers: wait for some of them first";

export class ObjectTree {
  readonly #objects = new Map<string, Resolved>();
  readonly #folders = new Map<string, Folder<Anything>>();
  readonly #connection: Connection;
  readonly #quota = new Quota();
  readonly #onFailure: (call: IncomingCall, error: unknown) => void;
  /** What is known of each object's properties, by interface and name: what they were, or were told to be. */
  readonly #known = new WeakMap<object, Map<string, unknown>>();

  /**
   * @param onFailure told of every handler that threw something other than a
   *   BusError: a fault of ours, which the caller sees as Failed
   */
  constructor(connection: Connection, onFailure: (call: IncomingCall, error: unknown) => void) {
    this.#connection = connection;
    this.#onFailure = onFailure;
    connection.onCall((call) => this.#answer(call));
  }

  /** Puts one object at `path`. */
  addObject<Target>(path: string, interfaces: Interface<Target>[], target: Target): void {
    this.#objects.set(path, { interfaces, target });
  }

  /** Puts a folder of objects below `path`. */
  addFolder<Target>(path: string, folder: Folder<Target>): void {
    this.#folders.set(path, folder);
  }

  /** Sends a signal that `definition` declares, from the object at `path`, to all who listen. */
  emit<Target>(path: string, definition: Interface<Target>, member: string, body: unknown[]): void {
    this.#emit(path, definition, member, body, undefined);
  }

  /** The same to one connection alone, by its unique name: what is in it may be for nobody else. */
  emitTo<Target>(
    destination: string,
    path: string,
    definition: Interface<Target>,
    member: string,
    body: unknown[],
  ): void {
    this.#emit(path, definition, member, body, destination);
  }

  #emit<Target>(
    path: string,
    definition: Interface<Target>,
    member: string,
    body: unknown[],
    destination: string | undefined,
  ): void {
    const declared = definition.signals?.[member];
    if (!declared) {
      throw new TypeError(`${definition.name} declares no signal ${member}`);
    }
    this.#connection.signal(path, definition.name, member, declared.signature, body, destination);
  }

  /**
   * Takes note of the properties of an object that is new, so that `emitChanged` tells of what is another
   * value since then. Of an object that was never noted it tells all that it is asked to.
   */
  note<Target extends object>({ name, members }: Interface<Target>, target: Target): void {
    for (const [key, property] of Object.entries(members)) {
      if (property.kind !== "property" || property.emits !== "true") continue;
      if (!property.drifting) this.#isNews(target, `${name}.${key}`, property.get(target).value);
    }
  }

  /** Whether a property has another value than was known; from here on it is known. */
  #isNews(target: object, key: string, value: unknown): boolean {
    const known = this.#known.get(target) ?? new Map<string, unknown>();
    this.#known.set(target, known);
    if (known.has(key) && Bun.deepEquals(known.get(key), value)) return false;
    known.set(key, value);
    return true;
  }

  /** Sends PropertiesChanged for those of `names` that have changed or drift, and whose annotation asks for it. */
  emitChanged<Target extends object>(
    path: string,
    definition: Interface<Target>,
    target: Target,
    names: Iterable<string>,
  ): void {
    const changed: Record<string, Variant> = {};
    const invalidated: string[] = [];
    for (const name of names) {
      const property = definition.members[name];
      if (property?.kind !== "property") {
        throw new TypeError(`${definition.name} declares no property ${name}`);
      }
      if (property.emits === "true") {
        const value = property.get(target);
        const key = `${definition.name}.${name}`;
        if (property.drifting || this.#isNews(target, key, value.value)) changed[name] = value;
      } else if (property.emits === "invalidates") invalidated.push(name);
    }
    if (Object.keys(changed).length + invalidated.length === 0) return;
    const body = [definition.name, changed, invalidated];
    this.#connection.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body);
  }

  /** Whether the call is answered already. */
  #answer(call: IncomingCall): boolean {
    const owner = this.#connection.callOwner(call.sender);
    if (this.#quota.isFull(owner, call.length)) {
      this.#connection.fail(call, busErrors.limitsExceeded(TOO_MANY));
      return true;
    }
    let { fds } = call;
    const context: CallContext = {
      sender: call.sender,
      path: call.path,
      interactive: call.interactive,
      caller: () => this.#connection.caller(call.sender),
      keep: (fd) => {
        if (fds.includes(fd)) fds.splice(fds.indexOf(fd), 1);
        return fd;
      },
    };
    try {
      const answer = this.#dispatch(call, context);
      if (!(answer instanceof Promise)) {
        this.#connection.reply(call, answer.signature, answer.body);
        return true;
      }
      // They outlive this turn, after which the connection closes what is left of the call's.
      fds = fds.splice(0);
      const endCount = this.#quota.take(owner, call.length);
      void this.#answerLater(call, answer).finally(() => {
        endCount();
        closeAside(this.#connection.descriptorsOwner(call.sender), fds);
      });
      return false;
    } catch (error) {
      this.#fail(call, error);
      return true;
    }
  }

  async #answerLater(call: IncomingCall, answer: Promise<Answer>): Promise<void> {
    try {
      const { signature, body } = await answer;
      this.#connection.reply(call, signature, body);
    } catch (error) {
      this.#fail(call, error);
    }
  }

  #fail(call: IncomingCall, error: unknown): void {
    if (error instanceof BusError) {
      this.#connection.fail(call, error);
      return;
    }
    this.#onFailure(call, error);
    const reason = messageOf(error);
    this.#connection.fail(call, busErrors.failed(reason));
  }

  #dispatch(call: IncomingCall, context: CallContext): Answer | Promise<Answer> {
    if (call.interface === "org.freedesktop.DBus.Peer") return answerPeer(call);
    const resolved = this.#resolve(call.path, context);
    // What it says is gone when the object is known.
    if (resolved instanceof Promise) this.#keepBody(call);
    return whenKnown(resolved, (found) => this.#answerFrom(call, context, found));
  }

  /** Keeps a call's body if that is what the method takes; all others are refused without it. */
  #keepBody(call: IncomingCall): void {
    const folder = this.#folders.get(call.path.slice(0, call.path.lastIndexOf("/")));
    const wanted =
      call.interface === PROPERTIES
        ? PROPERTY_CALLS.get(call.member)
        : findMethod(folder?.interfaces ?? [], call)?.inSignature;
    if (wanted === call.signature) call.keepBody();
  }

  #answerFrom(
    call: IncomingCall,
    context: CallContext,
    found: Resolved | undefined,
  ): Answer | Promise<Answer> {
    const isFolder = this.#folders.has(call.path) || this.#childrenOf(call.path).length > 0;
    if (!found && !isFolder) {
      throw busErrors.unknownObject(`Unknown object '${call.path}'.`);
    }
    const interfaces = found?.interfaces ?? [];
    switch (call.interface) {
      case "org.freedesktop.DBus.Introspectable": {
        expect(call, "Introspect", "");
        const children = this.#childrenOf(call.path);
        const document = introspection(interfaces as Interface<never>[], children);
        return { signature: "s", body: [document] };
      }
      case PROPERTIES:
        return this.#answerProperties(call, context, interfaces, found?.target);
    }
    const method = findMethod(interfaces, call);
    if (!method) throw unknownMethod(call);
    expect(call, call.member, method.inSignature);
    return whenKnown(method.handle(found?.target, argumentsOf(call), context), (body) => ({
      signature: method.outSignature,
      body,
    }));
  }

  #answerProperties(
    call: IncomingCall,
    context: CallContext,
    interfaces: Interface<Anything>[],
    target: Anything,
  ): Answer | Promise<Answer> {
    const signature = PROPERTY_CALLS.get(call.member);
    if (signature === undefined) {
      throw unknownMethod(call);
    }
    expect(call, call.member, signature);
    const [interfaceName, name, value] = argumentsOf(call) as [string, string, Variant | undefined];
    const chosen = interfaces.filter(
      (candidate) => interfaceName === "" || candidate.name === interfaceName,
    );
    const property = (): PropertyMember<Anything> => {
      for (const { members } of chosen) {
        const member = own(members, name);
        if (member?.kind === "property") return member;
      }
      throw busErrors.unknownProperty(`Unknown property '${name}'.`);
    };
    if (call.member === "Get") {
      return { signature: "v", body: [property().get(target)] };
    }
    if (call.member === "GetAll") {
      // The standard interfaces have no properties, and asking for them is no error.
      if (interfaceName.startsWith("org.freedesktop.DBus."))
        return { signature: "a{sv}", body: [{}] };
      if (chosen.length === 0) {
        throw busErrors.unknownInterface(`Unknown interface '${interfaceName}'.`);
      }
      const all: Record<string, Variant> = {};
      for (const { members } of chosen) {
        for (const [key, member] of Object.entries(members)) {
          if (member.kind === "property" && !member.hidden) all[key] = member.get(target);
        }
      }
      return { signature: "a{sv}", body: [all] };
    }
    const { set, type } = property();
    if (!set) throw busErrors.propertyReadOnly(`Property '${name}' is not writable.`);
    if (value?.signature !== type) {
      throw busErrors.invalidArgs(`Property '${name}' is of type '${type}'.`);
    }
    return set(target, value.value, context).then(() => ({ signature: "", body: [] }));
  }

  #resolve(
    path: string,
    context: CallContext,
  ): Resolved | undefined | Promise<Resolved | undefined> {
    const fixed = this.#objects.get(path);
    if (fixed) return fixed;
    const slash = path.lastIndexOf("/");
    const folder = this.#folders.get(path.slice(0, slash));
    const { toName } = folder?.labels ?? ESCAPED;
    const name = toName(path.slice(slash + 1));
    if (!folder || name === undefined) return undefined;
    return whenKnown(folder.find(name, context), (target) =>
      target === undefined ? undefined : { interfaces: folder.interfaces, target },
    );
  }

  #childrenOf(path: string): string[] {
    const prefix = path === "/" ? "/" : `${path}/`;
    const children = new Set<string>();
    for (const known of [...this.#objects.keys(), ...this.#folders.keys()]) {
      if (known.startsWith(prefix)) children.add(known.slice(prefix.length).split("/")[0] ?? "");
    }
    const folder = this.#folders.get(path);
    const { toLabel } = folder?.labels ?? ESCAPED;
    for (const name of folder?.names() ?? []) children.add(toLabel(name));
    children.delete("");
    return [...children].sort();
  }
}

/** A member by its name; a name from outside must not reach Object.prototype. */
function own<Value>(table: Record<string, Value>, name: string): Value | undefined {
  return Object.hasOwn(table, name) ? table[name] : undefined;
}

function findMethod(
  interfaces: Interface<Anything>[],
  call: IncomingCall,
): MethodMember<Anything> | undefined {
  for (const { name, members } of interfaces) {
    if (call.interface !== undefined && call.interface !== name) continue;
    const member = own(members, call.member);
    if (member?.kind === "method") return member;
  }
  return undefined;
}

const unknownMethod = ({ member, interface: name = "any interface" }: IncomingCall) =>
  busErrors.unknownMethod(`Unknown method ${member} or interface ${name}.`);

/** @throws {BusError} sd-bus's InconsistentMessage for a body that makes no sense: a descriptor that did not come */
function argumentsOf(call: IncomingCall): unknown[] {
  try {
    return call.body;
  } catch (error) {
    throw busErrors.inconsistentMessage(
      `Bad message to call ${call.member}(): ${messageOf(error)}`,
    );
  }
}

function expect(call: IncomingCall, member: string, signature: string): void {
  if (call.member !== member) throw unknownMethod(call);
  if (call.signature === signature) return;
  throw busErrors.invalidArgs(
    `Invalid arguments '${call.signature}' to call ${call.interface ?? ""}.${member}(), expecting '${signature}'.`,
  );
}

function answerPeer(call: IncomingCall): Answer {
  if (call.member === "GetMachineId") {
    expect(call, "GetMachineId", "");
    return { signature: "s", body: [readFileSync("/etc/machine-id", "utf8").trim()] };
  }
  expect(call, "Ping", "");
  return { signature: "", body: [] };
}
