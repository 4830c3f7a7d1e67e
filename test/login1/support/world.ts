/**
 * A small world of a test's own: a mount namespace with its own /run and /dev, an
 * IPC namespace, a cgroup namespace with its own tree, a real dbus-daemon with the policy that
 * the package ships, and the bridge. Everything in it is in one cgroup, by which
 * it is ended whole.
 */
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { Connection } from "../../../lib/dbus/index.ts";
import { parseState } from "../../../lib/sd-login/index.ts";
import { busConfig } from "../../support/bus-config.ts";
import { type Nothing, until } from "../../support/until.ts";
import { sessionIds } from "./client.ts";
import { Place, type PlaceOptions } from "./place.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");

/** The bus of a world: as a system's, with what the packages ship and these policies of others. */
const systemBus = (policies: readonly string[]) =>
  busConfig(
    "unix:path=/run/dbus/system_bus_socket",
    `<deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_destination="org.freedesktop.DBus"/>`,
    `<include>${REPOSITORY}/files/usr/share/dbus-1/system.d/org.freedesktop.login1.conf</include>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  ${policies.map((name) => `<include>/usr/share/dbus-1/system.d/${name}</include>`).join("")}`,
  );

/** Where the bridge is when lainos-notifyd is to know it as a service. */
const BRIDGE_SERVICE = "lainos-dbus-bridge";
const BRIDGE_CGROUP = `/openrc.${BRIDGE_SERVICE}`;

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface WorldOptions extends PlaceOptions {
  /** The command that starts the bridge; empty for none. */
  bridge: string[];
  /** Policies of the bus that packages have in /usr/share/dbus-1/system.d, besides ours and polkit's. */
  policies: string[];
}

/** Where a session's processes are, in the world's tree of cgroups. */
export const scopeOf = (uid: number, id: string) =>
  `/user.slice/user-${uid}.slice/session-${id}.scope`;

/** Kills processes, and waits until they have ended. */
export async function endAll(...children: Bun.Subprocess[]): Promise<void> {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.exited));
}

export class World {
  /** What the bridge wrote to its log so far. */
  log = "";
  #bus = "";
  #bridge: Bun.Subprocess | undefined;
  #bridgeCgroup = "";
  #notifyd: Bun.Subprocess | undefined;
  readonly #leaders: Bun.Subprocess[] = [];

  private constructor(
    private readonly place: Place,
    readonly options: WorldOptions,
  ) {}

  /**
   * Makes the world with a bus in it, and the bridge unless `bridge` is empty; or nothing at all.
   *
   * @param options what to change of the defaults: the bridge from the sources, no VTs
   */
  static async create(options: Partial<WorldOptions> = {}): Promise<World> {
    const bridge = options.bridge ?? [process.execPath, join(REPOSITORY, "cmd/dbus-bridge.ts")];
    const { vts = [], ownPids = false, policies = [] } = options;
    const place = await Place.create({ vts, ownPids }, systemBus(policies));
    const world = new World(place, { bridge, vts, ownPids, policies });
    try {
      await world.startBus();
      if (bridge.length > 0) await world.startBridge();
    } catch (error) {
      await world.end();
      throw error;
    }
    return world;
  }

  /** The world's root directory, seen from here. */
  get root(): string {
    return this.place.root;
  }

  /** Where the world's cgroup is on this machine. */
  get cgroupFolder(): string {
    return this.place.cgroupFolder;
  }

  get busAddress(): string {
    return `unix:path=${this.root}/run/dbus/system_bus_socket`;
  }

  /** Words that run a command inside the world. */
  inside(command: string[], options: { user?: number; cgroup?: string } = {}): string[] {
    return this.place.inside(command, options);
  }

  /** Runs a command inside to its end. */
  async run(command: string[], options: { user?: number; cgroup?: string } = {}): Promise<Outcome> {
    const child = Bun.spawn(this.inside(command, options), {
      env: { ...process.env, LC_ALL: "C.UTF-8", SYSTEMD_PAGER: "", SYSTEMD_COLORS: "0" },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    const [stdout, stderr, code] = await Promise.all([
      new Response(child.stdout).text(),
      new Response(child.stderr).text(),
      child.exited,
    ]);
    return { code, stdout, stderr };
  }

  async startBus(): Promise<void> {
    const started = await this.run([
      ...["dbus-daemon", "--config-file=/run/bus.conf", "--nopidfile", "--fork"],
      "--print-pid",
    ]);
    if (started.code !== 0) throw new Error(`no bus: ${started.stderr}`);
    this.#bus = started.stdout.trim();
  }

  /** Has the bus hang (STOP), or go on (CONT). */
  async signalBus(signal: "STOP" | "CONT"): Promise<void> {
    await this.run(["kill", `-${signal}`, this.#bus]);
  }

  /** Ends the bus, and with it every connection. */
  async endBus(): Promise<void> {
    await this.run(["kill", "-KILL", this.#bus]);
    rmSync(`${this.root}/run/dbus/system_bus_socket`);
  }

  /** Starts the bridge and waits until it says that it is ready. */
  async startBridge(): Promise<void> {
    const bridge = this.inside(this.options.bridge, { cgroup: this.#bridgeCgroup });
    const child = Bun.spawn(bridge, {
      stdin: "ignore",
      stdout: "inherit",
      stderr: "pipe",
    });
    this.#bridge = child;
    const ready = Promise.withResolvers<void>();
    const start = this.log.length;
    void (async () => {
      for await (const chunk of child.stderr) {
        this.log += Buffer.from(chunk).toString();
        if (this.log.slice(start).includes(": ready\n")) ready.resolve();
      }
      ready.reject(new Error(`the bridge ended:\n${this.log.slice(start)}`));
    })();
    await ready.promise;
  }

  /**
   * Starts lainos-notifyd, and returns when it can be used. A bridge that is started from then on is
   * the service that it is in OpenRC, with the settings that the package ships.
   */
  async startNotifyd(): Promise<void> {
    const root = `${this.root}/run/openrc-root`;
    for (const folder of ["init.d", "conf.d"]) {
      mkdirSync(`${root}/etc/${folder}`, { recursive: true });
    }
    writeFileSync(`${root}/etc/init.d/${BRIDGE_SERVICE}`, "");
    const settings = join(REPOSITORY, "openrc/conf.d", BRIDGE_SERVICE);
    copyFileSync(settings, `${root}/etc/conf.d/${BRIDGE_SERVICE}`);
    mkdirSync(this.cgroupFolder + BRIDGE_CGROUP, { recursive: true });
    this.#bridgeCgroup = BRIDGE_CGROUP;
    const command = [process.execPath, join(REPOSITORY, "cmd/notifyd.ts")];
    const options = ["--root", "/run/openrc-root", "--syslog", "/run/none"];
    const child = Bun.spawn(this.inside([...command, ...options]), { stderr: "pipe" });
    this.#notifyd = child;
    const ready = Promise.withResolvers<void>();
    const start = this.log.length;
    void (async () => {
      for await (const chunk of child.stderr) {
        this.log += Buffer.from(chunk).toString();
        if (this.log.slice(start).includes("receiving at")) ready.resolve();
      }
      ready.reject(new Error(`lainos-notifyd ended:\n${this.log.slice(start)}`));
    })();
    await ready.promise;
  }

  /** Sends lainos-notifyd a signal; after SIGKILL it has ended. */
  async signalNotifyd(signal: NodeJS.Signals): Promise<void> {
    this.#notifyd?.kill(signal);
    if (signal === "SIGKILL") await this.#notifyd?.exited;
  }

  get bridgePid(): number {
    if (!this.#bridge) throw new Error("there is no bridge");
    return this.#bridge.pid;
  }

  get notifydPid(): number {
    if (!this.#notifyd) throw new Error("there is no lainos-notifyd");
    return this.#notifyd.pid;
  }

  /** Ends the bridge by a signal and waits for its exit status (or the signal that it died of). */
  async endBridge(signal: NodeJS.Signals): Promise<number | string> {
    this.#bridge?.kill(signal);
    const code = await this.#bridge?.exited;
    return this.#bridge?.signalCode ?? code ?? -1;
  }

  /** A process inside that does nothing until it is ended: a session's leader. */
  async leader(
    options: { user?: number } = {},
  ): Promise<Bun.Subprocess<"ignore", "pipe", "inherit">> {
    const child = Bun.spawn(this.inside(["sh", "-c", "echo up; exec sleep infinity"], options), {
      stdin: "ignore",
      stdout: "pipe",
      stderr: "inherit",
    });
    await child.stdout.getReader().read();
    this.#leaders.push(child);
    return child;
  }

  /** Ends every leader, and waits until no session, user or descriptor's holder is left. */
  async reset(connection: Connection): Promise<void> {
    await endAll(...this.#leaders.splice(0));
    await this.until("no session and no user is left", async () => {
      const ids = await sessionIds(connection);
      return ids.length === 0 && readdirSync(`${this.root}/run/user`).length === 0;
    });
  }

  /** What a state file of login1's says. */
  stateOf(folder: "sessions" | "users" | "seats", name: string): Record<string, string> {
    const path = join(this.root, "run/systemd", folder, name);
    return Object.fromEntries(parseState(readFileSync(path, "utf8")));
  }

  /** Waits until login1 does not list a session any more. */
  async gone(connection: Connection, id: string): Promise<void> {
    await this.until(`session ${id} is gone`, async () => {
      return !(await sessionIds(connection)).includes(id);
    });
  }

  /** A connection of this process (root) to the world's bus. */
  connect(): Promise<Connection> {
    return Connection.open(this.busAddress);
  }

  /** Waits until a user's runtime directory is gone. */
  async userGone(uid: number): Promise<void> {
    await this.until(`user ${uid} is gone`, () => !existsSync(`${this.root}/run/user/${uid}`));
  }

  /** Waits as {@link until} does; its error has the log too. */
  async until<Seen>(
    what: string,
    look: () => Seen | Promise<Seen>,
    patience?: number,
  ): Promise<Exclude<Seen, Nothing>> {
    try {
      return (await until(what, look, Boolean, patience)) as Exclude<Seen, Nothing>;
    } catch (error) {
      throw new Error(`${String(error)}\n${this.log}`, { cause: error });
    }
  }

  /** Ends everything in the world and takes it away. */
  async end(): Promise<void> {
    await this.place.end();
    await Promise.all(this.#leaders.map((leader) => leader.exited));
    await Promise.all([this.#bridge?.exited, this.#notifyd?.exited]);
  }
}
