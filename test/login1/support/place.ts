/** Where a world is: namespaces that a process holds, in a cgroup by which all of it is ended. */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { Cgroup, cgroupRoot } from "../../../lib/linux/index.ts";
import { until } from "../../support/until.ts";

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
 * then: what is in the cgroup, and the cgroup.
 */
const REAPER = `read -r line
[ -d "$1" ] || exit 0
until rmdir "$1" 2>/dev/null; do
  echo 1 > "$1/cgroup.kill"
  find "$1" -mindepth 1 -depth -type d -exec rmdir {} + 2>/dev/null
  sleep 0.1
done
`;

export interface PlaceOptions {
  /** The host's VTs that are in it, 0 for the console; none makes a world without VTs. */
  vts: number[];
  /** Whether it has pids of its own, counted from 1, and its own /proc. */
  ownPids: boolean;
}

export class Place {
  readonly #cgroup: Cgroup;
  readonly #reaper: Bun.Subprocess<"pipe", "ignore", "inherit">;
  #holder: Bun.Subprocess<Blob, "pipe", "inherit"> | undefined;

  private constructor(
    /** Where its cgroup is on this machine. */
    readonly cgroupFolder: string,
    root: string,
    private readonly options: PlaceOptions,
  ) {
    // Before there is anything to take away, and in a session of its own: Ctrl-C is for the test,
    // whose end it waits for.
    this.#reaper = Bun.spawn(["setsid", "sh", "-c", REAPER, "sh", cgroupFolder], {
      stdio: ["pipe", "ignore", "inherit"],
    });
    this.#reaper.unref();
    this.#cgroup = new Cgroup(root, cgroupFolder.slice(root.length));
    this.#cgroup.create();
  }

  /** Makes the namespaces, with a dbus-daemon's configuration in /run/bus.conf; or nothing at all. */
  static async create(options: PlaceOptions, busConfig: string): Promise<Place> {
    const root = cgroupRoot();
    if (!root) throw new Error("these tests need a cgroup2 mount");
    const place = new Place(join(root, `p7-world-${randomUUID()}`), root, options);
    try {
      await place.#hold(busConfig);
    } catch (error) {
      await place.end();
      throw error;
    }
    return place;
  }

  async #hold(busConfig: string): Promise<void> {
    const { vts, ownPids } = this.options;
    const pidOptions = ownPids ? ["--pid", "--fork", "--mount-proc"] : [];
    const holder = Bun.spawn(
      [
        ...["sh", "-c", `echo $$ > ${this.cgroupFolder}/cgroup.procs && exec "$@"`, "sh"],
        ...["unshare", "--mount", "--cgroup", "--ipc", "--propagation", "private", ...pidOptions],
        ...["sh", "-c", SETUP],
      ],
      {
        env: { ...process.env, VTS: vts.map((vt) => `tty${vt}`).join(" ") },
        stdin: new Blob([busConfig]),
        stdout: "pipe",
        stderr: "inherit",
      },
    );
    this.#holder = holder;
    const { done } = await holder.stdout.getReader().read();
    if (done) throw new Error("the namespaces could not be made");
  }

  get #pid(): number {
    if (!this.#holder) throw new Error("nobody holds the namespaces");
    return this.#holder.pid;
  }

  /** The root directory in it, seen from here. */
  get root(): string {
    return `/proc/${this.#pid}/root`;
  }

  /** Words that run a command in it. */
  inside(command: string[], options: { user?: number; cgroup?: string } = {}): string[] {
    const { user, cgroup = "" } = options;
    const pid = this.#pid;
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

  /** Ends everything in it and takes it away. */
  async end(): Promise<void> {
    this.#cgroup.signal(9);
    await this.#holder?.exited;
    await until("the world's cgroup is empty", () => this.#cgroup.remove());
    this.#reaper.stdin.end();
    await this.#reaper.exited;
  }
}
