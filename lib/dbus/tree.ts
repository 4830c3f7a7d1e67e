/** The objects that we have on the bus: fixed ones, and folders of objects that come and go. */
import { readFileSync } from "node:fs";
import { close } from "../linux/index.ts";
import type { Connection, IncomingCall } from "./connection.ts";
import type { Variant } from "./dbus-next.ts";
import { BusError, busErrors } from "./errors.ts";
import type { CallContext, Interface, MethodMember, PropertyMember } from "./interface.ts";
import { introspection } from "./introspect.ts";
import { escapeLabel, unescapeLabel } from "./label.ts";

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

interface Resolved {
  target: Anything;
  interfaces: Interface<Anything>[];
}

const PROPERTIES = "org.freedesktop.DBus.Properties";

export class ObjectTree {
  readonly #objects = new Map<string, Resolved>();
  readonly #folders = new Map<string, Folder<Anything>>();
  readonly #connection: Connection;
  readonly #onFailure: (call: IncomingCall, error: unknown) => void;

  /**
   * @param onFailure told of every handler that threw something other than a
   *   BusError: a fault of ours, which the caller sees as Failed
   */
  constructor(connection: Connection, onFailure: (call: IncomingCall, error: unknown) => void) {
    this.#connection = connection;
    this.#onFailure = onFailure;
    connection.onCall((call) => void this.#answer(call));
  }

  /** Puts one object at `path`. */
  addObject<Target>(path: string, interfaces: Interface<Target>[], target: Target): void {
    this.#objects.set(path, { interfaces, target });
  }

  /** Puts a folder of objects below `path`. */
  addFolder<Target>(path: string, folder: Folder<Target>): void {
    this.#folders.set(path, folder);
  }

  /** Sends a signal that `definition` declares, from the object at `path`. */
  emit<Target>(
    path: string,
    definition: Interface<Target>,
    member: string,
    body: unknown[],
    destination?: string,
  ): void {
    const declared = definition.signals?.[member];
    if (!declared) {
      throw new TypeError(`${definition.name} declares no signal ${member}`);
    }
    this.#connection.signal(path, definition.name, member, declared.signature, body, destination);
  }

  /** Sends PropertiesChanged for those of `names` whose annotation asks for it. */
  emitChanged<Target>(
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
      if (property.emits === "true") changed[name] = property.get(target);
      else if (property.emits === "invalidates") invalidated.push(name);
    }
    if (Object.keys(changed).length + invalidated.length === 0) return;
    const body = [definition.name, changed, invalidated];
    this.#connection.signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body);
  }

  async #answer(call: IncomingCall): Promise<void> {
    // In this turn, before the socket closes them.
    const received = this.#connection.claimDescriptors();
    const kept = new Set<number>();
    const context: CallContext = {
      sender: call.sender,
      path: call.path,
      interactive: call.interactive,
      caller: () => this.#connection.caller(call.sender),
      keep: (fd) => {
        kept.add(fd);
        return fd;
      },
    };
    try {
      const { signature, body } = await this.#dispatch(call, context);
      if (call.wantsReply) this.#connection.reply(call, signature, body);
      else closeAll(descriptorsOf(signature, body));
    } catch (error) {
      if (error instanceof BusError) {
        this.#connection.fail(call, error);
      } else {
        this.#onFailure(call, error);
        const reason = error instanceof Error ? error.message : String(error);
        this.#connection.fail(call, busErrors.failed(reason));
      }
    } finally {
      closeAll(received.filter((fd) => !kept.has(fd)));
    }
  }

  async #dispatch(
    call: IncomingCall,
    context: CallContext,
  ): Promise<{ signature: string; body: unknown[] }> {
    if (call.interface === "org.freedesktop.DBus.Peer") return answerPeer(call);
    const found = await this.#resolve(call.path, context);
    if (!found && this.#childrenOf(call.path).length === 0) {
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
    if (!method) {
      const known = interfaces.some((candidate) => candidate.name === call.interface);
      const where = call.interface ?? "any interface";
      if (call.interface !== undefined && !known) {
        throw busErrors.unknownInterface(`Unknown interface '${where}'.`);
      }
      throw busErrors.unknownMethod(`Unknown method ${call.member} or interface ${where}.`);
    }
    expect(call, call.member, method.inSignature);
    const body = await method.handle(found?.target, call.body, context);
    return { signature: method.outSignature, body };
  }

  async #answerProperties(
    call: IncomingCall,
    context: CallContext,
    interfaces: Interface<Anything>[],
    target: Anything,
  ): Promise<{ signature: string; body: unknown[] }> {
    const [interfaceName, name, value] = call.body as [string, string, Variant | undefined];
    const chosen = () => {
      const list = interfaces.filter(
        (candidate) => interfaceName === "" || candidate.name === interfaceName,
      );
      if (list.length === 0)
        throw busErrors.unknownInterface(`Unknown interface '${interfaceName}'.`);
      return list;
    };
    const property = (): PropertyMember<Anything> => {
      for (const { members } of chosen()) {
        const member = own(members, name);
        if (member?.kind === "property") return member;
      }
      throw busErrors.unknownProperty(`Unknown property '${name}'.`);
    };
    if (call.member === "Get") {
      expect(call, "Get", "ss");
      return { signature: "v", body: [property().get(target)] };
    }
    if (call.member === "GetAll") {
      expect(call, "GetAll", "s");
      // The standard interfaces have no properties, and asking for them is no error.
      if (interfaceName.startsWith("org.freedesktop.DBus."))
        return { signature: "a{sv}", body: [{}] };
      const all: Record<string, Variant> = {};
      for (const { members } of chosen()) {
        for (const [key, member] of Object.entries(members)) {
          if (member.kind === "property" && !member.hidden) all[key] = member.get(target);
        }
      }
      return { signature: "a{sv}", body: [all] };
    }
    expect(call, "Set", "ssv");
    const { set, type } = property();
    if (!set) throw busErrors.propertyReadOnly(`Property '${name}' is not writable.`);
    if (value?.signature !== type) {
      throw busErrors.invalidArgs(`Property '${name}' is of type '${type}'.`);
    }
    await set(target, value.value, context);
    return { signature: "", body: [] };
  }

  async #resolve(path: string, context: CallContext): Promise<Resolved | undefined> {
    const fixed = this.#objects.get(path);
    if (fixed) return fixed;
    const slash = path.lastIndexOf("/");
    const folder = this.#folders.get(path.slice(0, slash));
    const { toName } = folder?.labels ?? ESCAPED;
    const name = toName(path.slice(slash + 1));
    if (!folder || name === undefined) return undefined;
    const target = await folder.find(name, context);
    return target === undefined ? undefined : { interfaces: folder.interfaces, target };
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

function expect(call: IncomingCall, member: string, signature: string): void {
  if (call.member !== member) {
    throw busErrors.unknownMethod(`Unknown method ${call.member} or interface ${call.interface}.`);
  }
  if (call.signature === signature) return;
  throw busErrors.invalidArgs(
    `Invalid arguments '${call.signature}' to call ${call.interface ?? ""}.${member}(), expecting '${signature}'.`,
  );
}

function answerPeer(call: IncomingCall): { signature: string; body: unknown[] } {
  if (call.member === "GetMachineId") {
    expect(call, "GetMachineId", "");
    return { signature: "s", body: [readFileSync("/etc/machine-id", "utf8").trim()] };
  }
  expect(call, "Ping", "");
  return { signature: "", body: [] };
}

/** The descriptors at the top level of a body, which is where our own replies have them. */
function descriptorsOf(signature: string, body: unknown[]): number[] {
  if (!signature.includes("h")) return [];
  return [...signature.replace(/\([^)]*\)|a./g, "x")].flatMap((code, index) =>
    code === "h" ? [body[index] as number] : [],
  );
}

function closeAll(fds: number[]): void {
  for (const fd of fds) close(fd);
}
