/** login1 as its clients call it. */
import { Connection, escapeLabel, type Variant } from "../dbus/index.ts";
import { saying } from "./errors.ts";

export const ROOT = "/org/freedesktop/login1";
const LOGIN1 = "org.freedesktop.login1";
const SYSTEMD1 = "org.freedesktop.systemd1";
const PROPERTIES = "org.freedesktop.DBus.Properties";

/** What the methods answer with whose answers are looked at. */
const REPLIES: Readonly<Record<string, string>> = {
  ListSessionsEx: "a(sussussbto)",
  ListSessions: "a(susso)",
  ListUsers: "a(uso)",
  ListSeats: "a(so)",
  ListInhibitors: "a(ssssuu)",
  GetSession: "o",
  GetUser: "o",
  GetSeat: "o",
  Inhibit: "h",
  GetAll: "a{sv}",
};

/** An object's properties by name, in the order in which it gives them. */
export type Properties = Record<string, Variant>;

/** A process in a unit: its cgroup, its pid, and its command line. */
export type UnitProcess = [cgroup: string, pid: number, command: string];

/** An inhibitor as ListInhibitors gives it. */
export type Inhibitor = [
  what: string,
  who: string,
  why: string,
  mode: string,
  uid: number,
  pid: number,
];

export class Login1Client {
  /** @param interactive whether the user may be asked for a password */
  private constructor(
    readonly connection: Connection,
    readonly interactive: boolean,
  ) {}

  /** @throws {CommandError} if there is no bus */
  static async open(interactive: boolean): Promise<Login1Client> {
    const connection = await saying(
      "Failed to connect to system scope bus via local transport",
      Connection.open(),
    );
    return new Login1Client(connection, interactive);
  }

  close(): void {
    this.connection.close();
  }

  /** Calls a method of the manager. @throws {BusError} */
  manager(member: string, signature = "", body: unknown[] = []): Promise<unknown[]> {
    return this.on(ROOT, `${LOGIN1}.Manager`, member, signature, body);
  }

  /** Calls a method of an object. @throws {BusError} */
  on(
    path: string,
    interfaceName: string,
    member: string,
    signature = "",
    body: unknown[] = [],
  ): Promise<unknown[]> {
    return this.connection.call({
      destination: LOGIN1,
      path,
      interface: interfaceName,
      member,
      signature,
      body,
      autoStart: true,
      replySignature: REPLIES[member],
      interactive: this.interactive,
      // The answer may have to wait for a password to be typed.
      timeout: this.interactive ? 10 * 60_000 : 25_000,
    });
  }

  /** All properties of an object. @throws {BusError} */
  async properties(path: string): Promise<Properties> {
    const [all] = await this.on(path, PROPERTIES, "GetAll", "s", [""]);
    return all as Properties;
  }

  /** The cgroup of a unit, from the root of the tree. @throws {BusError} */
  async unitCgroup(unit: string): Promise<string> {
    const kind = unit.endsWith(".slice") ? "Slice" : "Scope";
    const [value] = await this.connection.call({
      destination: SYSTEMD1,
      path: `/org/freedesktop/systemd1/unit/${escapeLabel(unit)}`,
      interface: PROPERTIES,
      member: "Get",
      signature: "ss",
      body: [`${SYSTEMD1}.${kind}`, "ControlGroup"],
      autoStart: true,
      replySignature: "v",
    });
    return String((value as Variant).value);
  }

  /** The processes of a unit. @throws {BusError} */
  async unitProcesses(unit: string): Promise<UnitProcess[]> {
    const [processes] = await this.connection.call({
      destination: SYSTEMD1,
      path: "/org/freedesktop/systemd1",
      interface: `${SYSTEMD1}.Manager`,
      member: "GetUnitProcesses",
      signature: "s",
      body: [unit],
      autoStart: true,
      replySignature: "a(sus)",
    });
    return processes as UnitProcess[];
  }
}
