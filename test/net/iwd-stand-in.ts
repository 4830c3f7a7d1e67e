/**
 * A stand-in for iwd on a private bus, since iwd itself runs only on a kernel with its ciphers: the
 * objects of one or more adapters, which behave as iwd's documentation says. An adapter that is
 * off has no device, a device that is off, or no station by its mode, has no Station.
 */
import { BusError, Connection, type IncomingCall, Variant } from "../../lib/dbus/index.ts";

const IWD = "net.connman.iwd";
const PROPERTIES = "org.freedesktop.DBus.Properties";
const OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager";

type Value = boolean | string;
type Interfaces = Record<string, Record<string, Value>>;

export class IwdStandIn {
  /** What was called, in order: `Set PATH Device.Powered true`, `Scan PATH`. */
  readonly calls: string[] = [];
  readonly objects = new Map<string, Interfaces>();
  /** What a call that begins so is refused with. */
  readonly refusals = new Map<string, BusError>();

  private constructor(readonly connection: Connection) {
    connection.onCall((call) => this.#answer(call));
  }

  static async start(address: string): Promise<IwdStandIn> {
    return new IwdStandIn(await Connection.open(address));
  }

  takeName(): Promise<void> {
    return this.connection.requestName(IWD);
  }

  /** An adapter, with one device `wlanN`, which has the mode and power given. */
  addAdapter(index: number, powered: boolean, device: { Powered: boolean; Mode: string }): void {
    const path = `/net/connman/iwd/${index}`;
    const adapter = { Powered: powered, Name: `phy${index}`, Model: "Stand-in" };
    this.#add(path, "Adapter", adapter);
    this.#devices.set(path, { Name: `wlan${index}`, Adapter: path, ...device });
    this.#settle(path);
  }

  readonly #devices = new Map<string, Record<string, Value>>();

  property(path: string, kind: string, name: string): Value | undefined {
    return this.objects.get(path)?.[`${IWD}.${kind}`]?.[name];
  }

  /** Makes what an adapter's state calls for. */
  #settle(adapter: string): void {
    const path = `${adapter}/1`;
    const device = this.#devices.get(adapter);
    if (!device || this.property(adapter, "Adapter", "Powered") !== true) return;
    if (!this.objects.has(path)) this.#add(path, "Device", device);
    const isStation = device.Powered === true && device.Mode === "station";
    if (isStation && this.property(path, "Station", "State") === undefined) {
      this.#add(path, "Station", { State: "disconnected", Scanning: false });
    }
  }

  #add(path: string, kind: string, properties: Record<string, Value>): void {
    const interfaces = this.objects.get(path) ?? {};
    interfaces[`${IWD}.${kind}`] = properties;
    this.objects.set(path, interfaces);
    const body = [path, toVariants({ [`${IWD}.${kind}`]: properties })];
    this.connection.signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", body);
  }

  #answer(call: IncomingCall): void {
    try {
      const { signature, body } = this.#perform(call);
      this.connection.reply(call, signature, body);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      this.connection.fail(call, error);
    }
  }

  #perform({ path, interface: name, member, body }: IncomingCall): {
    signature: string;
    body: unknown[];
  } {
    const nothing = { signature: "", body: [] };
    if (name === OBJECT_MANAGER && member === "GetManagedObjects" && path === "/") {
      const all = [...this.objects].map(([at, interfaces]) => [at, toVariants(interfaces)]);
      return { signature: "a{oa{sa{sv}}}", body: [Object.fromEntries(all)] };
    }
    if (name === PROPERTIES && member === "Set") {
      const [on, property, { value }] = body as [string, string, Variant];
      this.#note(`Set ${path} ${on.slice(IWD.length + 1)}.${property} ${value}`);
      const properties = this.objects.get(path)?.[on];
      if (!properties) throw new BusError(`${IWD}.NotFound`, "no such object");
      properties[property] = value as Value;
      this.#settle(on === `${IWD}.Device` ? path.slice(0, path.lastIndexOf("/")) : path);
      return nothing;
    }
    if (name === `${IWD}.Station` && member === "Scan") {
      this.#note(`Scan ${path}`);
      return nothing;
    }
    throw new BusError("org.freedesktop.DBus.Error.UnknownMethod", `${name}.${member} on ${path}`);
  }

  #note(call: string): void {
    this.calls.push(call);
    for (const [start, error] of this.refusals) if (call.startsWith(start)) throw error;
  }
}

function toVariants(interfaces: Interfaces): Record<string, Record<string, Variant>> {
  const entries = Object.entries(interfaces).map(([name, properties]) => [
    name,
    Object.fromEntries(
      Object.entries(properties).map(([key, value]) => [
        key,
        new Variant(typeof value === "boolean" ? "b" : key === "Adapter" ? "o" : "s", value),
      ]),
    ),
  ]);
  return Object.fromEntries(entries);
}
