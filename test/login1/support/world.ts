/**
 * A small world of a test's own: a mount namespace with its own /run and /dev, an
 * IPC namespace, a cgroup namespace with its own tree, a real dbus-daemon with the policy that
 * the package ships, and the bridge. Everything in it is in one cgroup, by which
 * it is ended whole.
 */
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Connection } from "../../../lib/dbus/index.ts";
import { Cgroup, cgroupRoot } from "../../../lib/linux/index.ts";

const REPOSITORY = resolve(import.meta.dir, "../../..");

const busConfig = (
  policies: readonly string[],
) => `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <include>${REPOSITORY}/files/usr/share/dbus-1/system.d/org.freedesktop.login1.conf</include>
  <include ignore_missing="yes">/usr/share/dbus-1/system.d/org.freedesktop.PolicyKit1.conf</include>
  ${policies.map((name) => `<include>/usr/share/dbus-1/system.d/${name}</include>`).join("")}
</busconfig>
`;

const SETUP = `set -e
umount -R -l /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/newdev
mount -t tmpfs -o mode=755 tmpfs /run/newdev
for node in null zero full random urandom tty $VTS; do cp -a /dev/$node /run/newdev/; done
mkdir /run/newdev/pts /run/newdev/shm
mount --bind /dev/pts /run/newdev/pts
ln -s pts/ptmx /run/newdev/ptmx
ln -s /proc/self/fd /run/newdev/fd
mount --move /run/newdev /dev
rmdir /run/newdev
mkdir -p /run/dbus /run/systemd/system /run/user
state=/var/lib/systemd
[ -d $state ] || state=/var/lib
mount -t tmpfs -o mode=755 tmpfs $state
mkdir /dev/mqueue
mount -t mqueue mqueue /dev/mqueue
chmod 1777 /dev/shm
cat > /run/bus.conf
echo ready
exec sleep infinity
`;

/**
 * Waits for the end of the test's process, however it ends, and takes away what is left of its world
 * then: what is in the cgroup, the cgroup, and the folder. After `World.end` there is nothing left.
 */
const REAPER = `read -r line
[ -d "$1" ] || exit 0
until rmdir "$1" 2>/dev/null; do
  echo 1 > "$1/cgroup.kill"
  find "$1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null
  sleep 0.1
done
rm -rf "$2"
`;

/** Where the bridge is when lainos-notifyd is to know it as a service. */
const BRIDGE_SERVICE = "lainos-dbus-bridge";
const BRIDGE_CGROUP = `/openrc.${BRIDGE_SERVICE}`;

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

export interface WorldOptions {
  /** The command that starts the bridge; empty for none. */
  bridge: string[];
  /** The host's VTs that are in it, 0 for the console; none makes a world without VTs. */
  vts: number[];
  /** Whether it has pids of its own, counted from 1, and its own /proc. */
  ownPids: boolean;
  /** Policies of the bus that packages have in /usr/share/dbus-1/system.d, besides ours and polkit's. */
  policies: string[];
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
    private readonly folder: string,
    private readonly cgroup: Cgroup,
    private readonly cgroupFolder: string,
    private readonly holder: Bun.Subprocess,
    readonly options: WorldOptions,
  ) {}

  /**
   * Makes the world with a bus in it, and the bridge unless `bridge` is empty.
   *
   * @param options what to change of the defaults: the bridge from the sources, no VTs
   */
  static async create(options: Partial<WorldOptions> = {}): Promise<World> {
    const bridge = options.bridge ?? [process.execPath, join(REPOSITORY, "cmd/dbus-bridge.ts")];
    const vts = options.vts ?? [];
    const ownPids = options.ownPids ?? false;
    const policies = options.policies ?? [];
    const pidOptions = ownPids ? ["--pid", "--fork", "--mount-proc"] : [];
    const root = cgroupRoot();
    if (!root) throw new Error("these tests need a cgroup2 mount");
    const folder = mkdtempSync(join(tmpdir(), "p7-world-"));
    const name = folder.slice(folder.lastIndexOf("/") + 1);
    const cgroup = new Cgroup(root, `/${name}`);
    cgroup.create();
    const cgroupFolder = join(root, name);
    // In a session of its own: Ctrl-C is for the test, whose end it waits for.
    const reaper = Bun.spawn(["setsid", "sh", "-c", REAPER, "sh", cgroupFolder, folder], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    reaper.unref();
    const holder = Bun.spawn(
      [
        ...["sh", "-c", `echo $$ > ${cgroupFolder}/cgroup.procs && exec "$@"`, "sh"],
        ...["unshare", "--mount", "--cgroup", "--ipc", "--propagation", "private", ...pidOptions],
        ...["sh", "-c", SETUP],
      ],
      {
        env: { ...process.env, VTS: vts.map((vt) => `tty${vt}`).join(" ") },
        stdin: new Blob([busConfig(policies)]),
        stdout: "pipe",
        stderr: "inherit",
      },
    );
    const { done } = await holder.stdout.getReader().read();
    if (done) throw new Error("the namespaces could not be made");
    const world = new World(folder, cgroup, cgroupFolder, holder, {
      ...{ bridge, vts, ownPids, policies },
    });
    await world.startBus();
    if (bridge.length > 0) await world.startBridge();
    return world;
  }

  /** The world's root directory, seen from here. */
  get root(): string {
    return `/proc/${this.holder.pid}/root`;
  }

  get busAddress(): string {
    return `unix:path=${this.root}/run/dbus/system_bus_socket`;
  }

  /** Words that run a command inside the world. */
  inside(command: string[], options: { user?: number; cgroup?: string } = {}): string[] {
    const { user, cgroup = "" } = options;
    const { pid } = this.holder;
    const pids = this.options.ownPids ? [`--pid=/proc/${pid}/ns/pid_for_children`] : [];
    const as =
      user === undefined
        ? []
        : ["setpriv", `--reuid=${user}`, `--regid=${user}`, "--clear-groups", "--"];
    return [
      ...["sh", "-c", `echo $$ > ${this.cgroupFolder}${cgroup}/cgroup.procs && exec "$@"`, "sh"],
      ...["nsenter", `--target=${pid}`, "--mount", "--cgroup", "--ipc", ...pids, "--wd=/", "--"],
      ...as,
      ...command,
    ];
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
    const leaders = this.#leaders.splice(0);
    for (const leader of leaders) leader.kill("SIGKILL");
    await Promise.all(leaders.map((leader) => leader.exited));
    await this.until("no session and no user is left", async () => {
      const [sessions] = (await callManager(connection, "ListSessions")) as [unknown[]];
      return sessions.length === 0 && readdirSync(`${this.root}/run/user`).length === 0;
    });
  }

  /** A connection of this process (root) to the world's bus. */
  connect(): Promise<Connection> {
    return Connection.open(this.busAddress);
  }

  /** Waits until `probe` gives something other than undefined or false, for 5 s or so many at most. */
  async until<Result>(
    what: string,
    probe: () => Result | undefined | false | Promise<Result | undefined | false>,
    seconds = 5,
  ): Promise<Result> {
    const deadline = performance.now() + seconds * 1000;
    for (;;) {
      const result = await probe();
      if (result !== undefined && result !== false) return result;
      if (performance.now() > deadline)
        throw new Error(`not in ${seconds} s: ${what}\n${this.log}`);
      await Bun.sleep(10);
    }
  }

  /** Ends everything in the world and takes it away. */
  async end(): Promise<void> {
    this.cgroup.signal(9);
    await Promise.all([this.holder.exited, ...this.#leaders.map((leader) => leader.exited)]);
    await Promise.all([this.#bridge?.exited, this.#notifyd?.exited]);
    await this.until("the world's cgroup is empty", () => this.cgroup.remove());
    rmSync(this.folder, { recursive: true });
  }
}

/** What CreateSession answers, by name. */
export interface Created {
  id: string;
  path: string;
  runtimePath: string;
  fd: number;
  uid: number;
  seat: string;
  vtnr: number;
  existing: boolean;
}

export interface CreateOptions {
  uid: number;
  leader: number;
  service: string;
  type: string;
  class: string;
  desktop: string;
  seat: string;
  vtnr: number;
  tty: string;
  display: string;
  remote: boolean;
  remoteUser: string;
  remoteHost: string;
}

/** Whether somebody on the bus has a name. */
export async function hasOwner(connection: Connection, name: string): Promise<boolean> {
  const [has] = await connection.call({
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "NameHasOwner",
    signature: "s",
    body: [name],
  });
  return has === true;
}

/** A D-Bus call to login1's manager. */
export function callManager(
  connection: Connection,
  member: string,
  signature = "",
  body: unknown[] = [],
): Promise<unknown[]> {
  return connection.call({
    destination: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
    member,
    signature,
    body,
  });
}

/** The value of a property of login1's: `kind` is Manager, Session, User or Seat. */
export async function getProperty(
  connection: Connection,
  path: string,
  kind: string,
  name: string,
): Promise<unknown> {
  const [value] = await connection.call({
    destination: "org.freedesktop.login1",
    path,
    interface: "org.freedesktop.DBus.Properties",
    member: "Get",
    signature: "ss",
    body: [`org.freedesktop.login1.${kind}`, name],
  });
  return (value as { value: unknown }).value;
}

const NOTHING = {
  service: "test",
  type: "wayland",
  class: "user",
  desktop: "",
  seat: "",
  vtnr: 0,
  tty: "",
  display: "",
  remote: false,
  remoteUser: "",
  remoteHost: "",
};

const middle = (all: CreateOptions) => [
  all.service,
  all.type,
  all.class,
  all.desktop,
  all.seat,
  all.vtnr,
  all.tty,
  all.display,
  all.remote,
  all.remoteUser,
  all.remoteHost,
];

function toCreated(body: unknown[]): Created {
  const [id, path, runtimePath, fd, uid, seat, vtnr, existing] = body as [
    string,
    string,
    string,
    number,
    number,
    string,
    number,
    boolean,
  ];
  return { id, path, runtimePath, fd, uid, seat, vtnr, existing };
}

/** CreateSession as pam_systemd of systemd 252 calls it. The returned descriptor is the caller's. */
export async function createSession(
  connection: Connection,
  options: Partial<CreateOptions> & Pick<CreateOptions, "uid" | "leader">,
): Promise<Created> {
  const all = { ...NOTHING, ...options };
  const body = [all.uid, all.leader, ...middle(all), []];
  return toCreated(await callManager(connection, "CreateSession", "uusssssussbssa(sv)", body));
}

/** CreateSessionWithPIDFD as of systemd 257; the pidfd belongs to the connection from here on. */
export async function createSessionByPidfd(
  connection: Connection,
  pidfd: number,
  options: Partial<CreateOptions> & Pick<CreateOptions, "uid">,
): Promise<Created> {
  const all = { ...NOTHING, leader: 0, ...options };
  const body = [all.uid, pidfd, ...middle(all), 0n, []];
  return toCreated(
    await callManager(connection, "CreateSessionWithPIDFD", "uhsssssussbssta(sv)", body),
  );
}
