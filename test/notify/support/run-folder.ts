/** A /run of its own for a lainos-notifyd and its services, which may be full or read-only for a while. */
import { join } from "node:path";
import { later, newName, Service, startDaemon } from "./world.ts";

/** The ways in which it may be. */
export const FAULTS = ["full", "read-only", "out of inodes"] as const;
export type Fault = (typeof FAULTS)[number];

const LIMITS = "rw,size=1M,nr_inodes=4k";

const SETUP = `mount -t tmpfs -o ${LIMITS},mode=755 run /run
for folder in /etc/conf.d /etc/init.d; do mkdir -p $folder; mount -t tmpfs -o mode=755 own $folder; done
mkdir -p /run/systemd /run/lainos/notify /run/openrc/started /run/openrc/stopping
# As in the sandbox, where the lock, which is open for writing, is elsewhere.
mount --bind /run/lainos/notify /run/lainos/notify
echo ready
exec cat`;

const BREAK: Readonly<Record<Fault, string>> = {
  full: "! dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null",
  "read-only": "mount -o remount,bind,ro /run/lainos/notify",
  "out of inodes":
    'mount -o "remount,nr_inodes=$(stat -f -c "%c %d" /run | awk "{ print \\$1 - \\$2 }")" /run',
};

/** Where the daemon has its files, as it sees them. */
const PATHS = {
  socket: "/run/systemd/notify",
  store: "/run/lainos/fdstore",
  state: "/run/lainos/notify/state.json",
};

export interface RunOptions {
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** What starts the daemon inside. */
  prefix?: readonly string[];
}

/** A mount namespace, which ends with the process that holds it, and that with this one. */
export class RunFolder {
  readonly #holder: number;

  private constructor(holder: number) {
    this.#holder = holder;
  }

  static async make(): Promise<RunFolder> {
    const words = ["unshare", "--mount", "--propagation=private", "sh", "-euc", SETUP];
    const holder = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
    later(async () => {
      holder.stdin.end();
      await holder.exited;
    });
    const { value } = await holder.stdout.getReader().read();
    if (!Buffer.from(value ?? []).includes("ready")) throw new Error("no /run of its own");
    return new RunFolder(holder.pid);
  }

  /** What runs a command inside. */
  get inside(): string[] {
    return ["nsenter", `--mount=/proc/${this.#holder}/ns/mnt`, "--"];
  }

  /** A path of it, as root sees it from here. */
  here(path: string): string {
    return join(`/proc/${this.#holder}/root`, path);
  }

  readonly paths = PATHS;

  get state(): string {
    return this.here(PATHS.state);
  }

  get socket(): string {
    return this.here(PATHS.socket);
  }

  get store(): string {
    return this.here(PATHS.store);
  }

  /** Runs a shell script inside. */
  run(script: string): void {
    const { exitCode, stderr } = Bun.spawnSync([...this.inside, "sh", "-euc", script]);
    if (exitCode !== 0) throw new Error(`${script}: ${stderr}`);
  }

  /** Has no state written any more. */
  break(fault: Fault): void {
    this.run(BREAK[fault]);
  }

  /** Takes that back, whether it is so or not. */
  mend(): void {
    this.run(
      `mount -o remount,bind,rw /run/lainos/notify
      mount -o remount,${LIMITS} /run && rm -f /run/filler`,
    );
  }

  start({ args = [], env = {}, prefix = [] }: RunOptions = {}) {
    return startDaemon({
      paths: PATHS,
      args: ["--root", "/", ...args],
      env,
      prefix: [...this.inside, ...prefix],
    });
  }

  /** A service inside, with a main process that OpenRC knows. */
  async service(settings = "", user: readonly string[] = []) {
    const service = new Service(this.here("/"), newName(), settings, "/");
    const main = await service.process(PATHS.socket, [...this.inside, ...user]);
    service.notePid(main.pid);
    return { service, name: service.name, main };
  }
}

/** What a service is told to say; it answers "1" if that is heard and its barrier answered in so many seconds. */
export const saying = (words: string, seconds = 30): string =>
  `answer = say(b"${words}", ${seconds})`;
