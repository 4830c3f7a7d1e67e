/** The objects of iwd on the bus, as its documentation (doc/*-api.txt) has them. */
import { type Connection, Variant } from "../dbus/index.ts";

const IWD = "net.connman.iwd";
const BUS = "org.freedesktop.DBus";
const OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager";

type Properties = Record<string, Variant>;
type Objects = Record<string, Record<string, Properties>>;

/** An object of iwd's that has the interface asked for. */
export interface IwdObject {
  path: string;
  properties: Properties;
}

export class Iwd {
  readonly #waiting = new Set<() => void>();

  private constructor(readonly connection: Connection) {}

  /** Begins to listen for what iwd makes; iwd need not be there yet. */
  static async watch(connection: Connection): Promise<Iwd> {
    const iwd = new Iwd(connection);
    const wake = () => {
      for (const look of iwd.#waiting) look();
    };
    const names = { sender: BUS, interface: BUS, member: "NameOwnerChanged", arg0: IWD };
    await connection.onSignal(names, wake);
    const added = { sender: IWD, interface: OBJECT_MANAGER, member: "InterfacesAdded" };
    await connection.onSignal(added, wake);
    return iwd;
  }

  /**
   * Asks again at everything new of iwd's, until there is an answer.
   *
   * @returns undefined if `deadline` comes first
   */
  async until<Answer>(
    deadline: AbortSignal,
    ask: () => Promise<Answer | undefined>,
  ): Promise<Answer | undefined> {
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#waiting.add(resolve);
      deadline.addEventListener("abort", () => resolve(), { once: true });
      try {
        const answer = await ask();
        if (answer !== undefined || deadline.aborted) return answer;
        await promise;
      } finally {
        this.#waiting.delete(resolve);
      }
    }
  }

  /** Whether iwd has its name on the bus. */
  async running(): Promise<boolean> {
    const [has] = await this.connection.call({
      ...{ destination: BUS, path: "/org/freedesktop/DBus", interface: BUS },
      ...{ member: "NameHasOwner", signature: "s", body: [IWD] },
    });
    return has === true;
  }

  /** The objects that have an interface: `Adapter`, `Device`, `Station`. */
  async objects(kind: string): Promise<IwdObject[]> {
    const [all] = (await this.connection.call({
      ...{ destination: IWD, path: "/", interface: OBJECT_MANAGER, member: "GetManagedObjects" },
    })) as [Objects];
    return Object.entries(all).flatMap(([path, interfaces]) => {
      const properties = interfaces[`${IWD}.${kind}`];
      return properties ? [{ path, properties }] : [];
    });
  }

  /**
   * Sets a property if it is not so yet.
   *
   * @throws {BusError} iwd's, or AccessDenied by the bus's policy
   */
  async set(
    { path, properties }: IwdObject,
    kind: string,
    name: string,
    signature: string,
    value: unknown,
  ): Promise<void> {
    if (properties[name]?.value === value) return;
    await this.connection.call({
      ...{ destination: IWD, path, interface: "org.freedesktop.DBus.Properties", member: "Set" },
      ...{ signature: "ssv", body: [`${IWD}.${kind}`, name, new Variant(signature, value)] },
    });
  }

  /** Has a station look for networks; what it knows it joins by itself. */
  async scan(path: string): Promise<void> {
    await this.connection.call({
      ...{ destination: IWD, path, interface: `${IWD}.Station`, member: "Scan" },
    });
  }
}
