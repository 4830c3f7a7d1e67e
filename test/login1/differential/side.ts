/** One of the two servers in a world of its own: asked, listened to and looked at. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BusError, type Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { parseState } from "../../../lib/sd-login/index.ts";
import { hasOwner } from "../support/client.ts";
import { startPolkitd } from "../support/polkitd.ts";
import { readBus, View } from "../support/views.ts";
import { scopeOf, World } from "../support/world.ts";
import { Agents } from "./agents.ts";
import { makeMachine } from "./machine.ts";
import { Neutral } from "./neutral.ts";
import { Pid1 } from "./pid1.ts";

export const NAME = "org.freedesktop.login1";
const MANAGER_SIGNALS = [
  ...["SessionNew", "SessionRemoved", "UserNew", "UserRemoved", "SeatNew", "SeatRemoved"],
  ...["SecureAttentionKey", "PrepareForSleep", "PrepareForShutdown"],
  "PrepareForShutdownWithMetadata",
];
const SESSION_SIGNALS = ["Lock", "Unlock", "PauseDevice", "ResumeDevice"];

/** What the names of inhibitors' descriptors begin with. */
const INHIBITORS = ["i", "b"];

/** Root outside of any session, in the world: our own process is outside of its tree of cgroups. */
export const OPERATOR = "operator";

/** A call to make: `from` is the agent's name that makes it, and "" the operator's. */
export interface Call {
  from: string;
  path: (side: Side) => string;
  interface: string;
  member: string;
  signature: string;
  /** Of each side's own, since pids and descriptors differ. */
  body: (side: Side) => unknown[];
  interactive?: boolean;
  /** The name of the session that the reply's first value is the id of. */
  creates?: string;
  /** Which of the reply's values is a descriptor, and under which name it is kept. */
  fd?: { at: number; name: string };
}

export class Side {
  readonly neutral: Neutral;
  readonly #signals: [path: string, what: unknown, agent: string][] = [];
  readonly #fds = new Map<string, number>();

  private constructor(
    readonly name: string,
    readonly world: World,
    readonly bus: Connection,
    readonly view: View,
    readonly agents: Agents,
    readonly pid1: Pid1 | undefined,
  ) {
    this.neutral = new Neutral(agents);
  }

  /** @param programs of agents.c and sd-view.c */
  static async start(
    name: "ours" | "logind",
    programs: { agents: string; view: string },
  ): Promise<Side> {
    const policies = name === "logind" ? ["org.freedesktop.systemd1.conf"] : [];
    const world = await World.create({ bridge: [], policies });
    try {
      await makeMachine(world);
      let pid1: Pid1 | undefined;
      if (name === "ours") {
        world.options.bridge.push(
          process.execPath,
          join(import.meta.dir, "../../../cmd/dbus-bridge.ts"),
        );
        await world.startBridge();
      } else {
        pid1 = await Pid1.start(world);
      }
      const bus = await world.connect();
      if (name === "logind") await startLogind(world, bus);
      await startPolkitd(world, bus);
      const view = new View(world, programs.view);
      const side = new Side(name, world, bus, view, new Agents(world, programs.agents), pid1);
      await side.#listen(bus);
      await side.agents.start(OPERATOR, 0);
      return side;
    } catch (error) {
      await world.end();
      throw error;
    }
  }

  /** Hears what everybody hears; what goes to one alone, where that one's connection is given. */
  async #listen(bus: Connection): Promise<void> {
    const note = (path: string, what: unknown[]) => this.#signals.push([path, what, ""]);
    const sender = NAME;
    for (const [kind, members] of [
      ["Manager", MANAGER_SIGNALS],
      ["Session", SESSION_SIGNALS],
    ] as const) {
      for (const member of members) {
        const match = { sender, interface: `${NAME}.${kind}`, member };
        await bus.onSignal(match, (body, { path }) => {
          note(path, [member, this.#takeSignal(member, body)]);
        });
      }
    }
    const match = {
      sender,
      interface: "org.freedesktop.DBus.Properties",
      member: "PropertiesChanged",
    };
    await bus.onSignal(match, ([, values, gone], { path }) => {
      note(path, ["PropertiesChanged", values, (gone as string[]).sort()]);
    });
  }

  #takeSignal(member: string, body: unknown[]): unknown[] {
    if (member !== "ResumeDevice") return body;
    close(body[2] as number);
    return [...body.slice(0, 2), "a descriptor"];
  }

  /** Starts an agent, and hears what is for it alone. */
  async startAgent(name: string, uid: number): Promise<void> {
    const { bus } = await this.agents.start(name, uid);
    for (const member of ["PauseDevice", "ResumeDevice"]) {
      const match = { sender: NAME, interface: `${NAME}.Session`, member };
      await bus.onSignal(match, (body, { path }) => {
        const what = [`${member} to ${name}`, this.#takeSignal(member, body)];
        this.#signals.push([path, what, name]);
      });
    }
  }

  /** Makes a call; what came of it, in words that are the same for both sides. */
  async call({ from, fd, creates, body, path, ...request }: Call): Promise<unknown> {
    const { bus } = this.agents.get(from === "" ? OPERATOR : from);
    try {
      const to = { destination: NAME, path: path(this) };
      const reply = await bus.call({ ...to, ...request, body: body(this) });
      if (creates !== undefined) this.neutral.nameSession(String(reply[0]), creates);
      if (fd) {
        this.#fds.set(fd.name, reply[fd.at] as number);
        reply[fd.at] = "a descriptor";
      }
      return this.neutral.reply(request.member, reply);
    } catch (error) {
      if (!(error instanceof BusError)) throw error;
      return { error: error.errorName, message: this.neutral.text(error.message) };
    }
  }

  /** Puts an agent into a session's scope. */
  async enter(name: string, uid: number, id: string): Promise<void> {
    const procs = `${this.world.cgroupFolder}${scopeOf(uid, this.neutral.idOf(id))}/cgroup.procs`;
    writeFileSync(procs, `${this.agents.get(name).pid}`);
  }

  /** How many inhibitors' descriptors are held. */
  get inhibitors(): number {
    return [...this.#fds.keys()].filter((name) => INHIBITORS.includes(name[0] ?? "")).length;
  }

  closeFd(name: string): void {
    const fd = this.#fds.get(name);
    if (fd !== undefined) close(fd);
    this.#fds.delete(name);
  }

  /**
   * What was heard since the last `forget`, of each object in its order: first what everybody heard, then
   * what each agent did, since it is chance which of two connections is read first.
   */
  get signals(): Record<string, unknown[]> {
    const signals: Record<string, unknown[]> = {};
    const heard = this.#signals.toSorted(([, , one], [, , other]) => order(one, other));
    for (const [path, what] of heard) {
      const at = this.neutral.text(path);
      signals[at] ??= [];
      signals[at].push(this.neutral.value(what));
    }
    return signals;
  }

  forgetSignals(): void {
    this.#signals.length = 0;
  }

  /** Everything that can be seen of it from outside, in words that are the same for both sides. */
  async look(): Promise<Record<string, unknown>> {
    while (this.pid1?.sweep()) await this.ping();
    const agents = this.agents.all;
    const { manager, sessions, users, seats } = await readBus(this.bus);
    const lists = ["ListSessions", "ListSessionsEx", "ListUsers", "ListSeats", "ListInhibitors"];
    const listed: Record<string, unknown> = {};
    for (const member of lists) {
      listed[member] = await this.call({
        ...{ from: "", path: () => "/org/freedesktop/login1", interface: `${NAME}.Manager` },
        ...{ member, signature: "", body: () => [] },
      });
    }
    const said = await this.view.read(agents.map(({ pid }) => ({ pid })));
    return this.neutral.value({
      manager,
      sessions: Object.fromEntries(sessions),
      users: Object.fromEntries(users),
      seats: Object.fromEntries(seats),
      listed,
      libsystemd: this.neutral.processes(said),
      inhibitors: this.#inhibitorFiles(),
    }) as Record<string, unknown>;
  }

  #inhibitorFiles(): unknown[] {
    const folder = `${this.world.root}/run/systemd/inhibit`;
    mkdirSync(folder, { recursive: true });
    return (
      readdirSync(folder)
        .filter((name) => /^\d+$/.test(name))
        .map((name) => parseState(readFileSync(join(folder, name), "utf8")))
        // Which fifo it is, and the number that tells its process from a later one, are the server's own.
        .map((entries) => ({ WHO: "", WHY: "", ...Object.fromEntries(entries) }))
        .map((entries) => ({ ...entries, FIFO: "", PIDFDID: "" }))
        .map((entries) => this.neutral.value(entries))
        .toSorted((one, other) => (JSON.stringify(one) < JSON.stringify(other) ? -1 : 1))
    );
  }

  /** Everything that was sent before is here when this returns, what was sent to an agent too. */
  async ping(): Promise<void> {
    const ping = { interface: "org.freedesktop.DBus.Peer", member: "Ping" };
    const server = { destination: NAME, path: "/org/freedesktop/login1" };
    await this.bus.call({ ...server, ...ping });
    // What the server sent before that is on its way to each agent, and the bus's own answer comes after it.
    const bus = { destination: "org.freedesktop.DBus", path: "/org/freedesktop/DBus" };
    await Promise.all(
      this.agents.all.map((agent) =>
        agent.bus.call({ ...bus, ...ping }).catch((error) => {
          // It hears nothing any more.
          if (!(error instanceof BusError)) throw error;
        }),
      ),
    );
  }

  /** Brings a session up, as root. */
  async activate(name: string): Promise<void> {
    await this.#tell("ActivateSession", "s", [this.neutral.idOf(name)]);
  }

  async #tell(member: string, signature: string, body: unknown[]): Promise<unknown> {
    return this.call({
      ...{ from: "", path: () => "/org/freedesktop/login1", interface: `${NAME}.Manager` },
      ...{ member, signature, body: () => body },
    });
  }

  async end(): Promise<void> {
    for (const name of this.#fds.keys()) this.closeFd(name);
    this.pid1?.close();
    this.bus.close();
    await this.agents.end();
    await this.view.end();
    await this.world.end();
  }
}

const order = (one: string, other: string) => (one < other ? -1 : Number(one > other));

const LOGIND = "/usr/lib/systemd/systemd-logind";

async function startLogind(world: World, bus: Connection): Promise<void> {
  const environment = [
    "PATH=/usr/sbin:/usr/bin:/sbin:/bin",
    // Its sysfs is made of files.
    "SYSTEMD_DEVICE_VERIFY_SYSFS=0",
  ];
  const child = Bun.spawn(world.inside(["env", "-i", ...environment, LOGIND]), {
    stdio: ["ignore", "ignore", "pipe"],
  });
  // systemd-logind has faults too, and a run that one of them ends says so.
  void child.exited.then((status) => {
    world.log += `systemd-logind has ended: ${child.signalCode ?? `exit status ${status}`}\n`;
  });
  void (async () => {
    for await (const chunk of child.stderr) world.log += Buffer.from(chunk).toString();
  })();
  await world.until("systemd-logind is on the bus", () => {
    if (child.exitCode !== null) throw new Error(`systemd-logind ended: ${world.log}`);
    return hasOwner(bus, NAME);
  });
}
