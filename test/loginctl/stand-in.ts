/** A login1 that does nothing but note what it is asked and answer what a test wants. */
import { BusError, type Connection, type IncomingCall } from "../../lib/dbus/index.ts";
import { World } from "../login1/support/world.ts";

export interface NotedCall {
  path: string;
  interface: string | undefined;
  member: string;
  signature: string;
  body: unknown[];
  interactive: boolean;
}

/** An answer: a reply of this signature, or an error. */
export type Answer = { signature: string; body: unknown[] } | BusError;

export class StandIn {
  readonly calls: NotedCall[] = [];
  /** What to answer a method with; without an entry it is an empty reply. */
  readonly answers = new Map<string, (call: IncomingCall) => Answer>();

  private constructor(
    readonly world: World,
    readonly connection: Connection,
  ) {}

  /** Makes a world with a bus and nothing on it but this. */
  static async start(): Promise<StandIn> {
    const world = await World.create({ bridge: [] });
    const connection = await world.connect();
    const standIn = new StandIn(world, connection);
    connection.onCall((call) => standIn.#answer(call));
    await connection.requestName("org.freedesktop.login1");
    return standIn;
  }

  #answer(call: IncomingCall): void {
    const { path, interface: name, member, signature, body, interactive } = call;
    this.calls.push({ path, interface: name, member, signature, body, interactive });
    const answer = this.answers.get(member)?.(call) ?? { signature: "", body: [] };
    if (answer instanceof BusError) this.connection.fail(call, answer);
    else this.connection.reply(call, answer.signature, answer.body);
  }

  /** Runs a command on its bus; what it called is in `calls` and nothing else. */
  async run(...command: string[]) {
    this.calls.length = 0;
    return this.world.run(command);
  }

  /** Gives its name up: there is no login1 on the bus then. */
  async leave(): Promise<void> {
    const bus = "org.freedesktop.DBus";
    await this.connection.call({
      destination: bus,
      path: "/org/freedesktop/DBus",
      interface: bus,
      member: "ReleaseName",
      signature: "s",
      body: ["org.freedesktop.login1"],
    });
  }

  async stop(): Promise<void> {
    this.connection.close();
    await this.world.end();
  }
}
