/** A lainos-notifyd in a folder of its own, its senders, and services in cgroups of their own. */
import { expect } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cgroup, cgroupRoot, mount, unmount } from "../../../lib/linux/index.ts";
import { until } from "../../support/until.ts";

export const COMMAND = join(import.meta.dir, "../../../cmd/notifyd.ts");

const cleanups: (() => Promise<void> | void)[] = [];

/** Has something undone after the test. */
export const later = (clean: () => Promise<void> | void): void => void cleanups.push(clean);

/** For afterEach: undoes all of it, the last first. */
export async function cleanUp(): Promise<void> {
  for (const clean of cleanups.splice(0).reverse()) await clean();
}

/** A folder that any user may look into, gone after the test. */
export function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-notify-"));
  Bun.spawnSync(["chmod", "755", path]);
  later(() => rmSync(path, { recursive: true }));
  return path;
}

/** Starts lainos-notifyd; it is usable when this returns, because it has said so. */
export async function start(socket: string, ...args: string[]) {
  return startWith({}, socket, ...args);
}

/** The same with more in its environment. */
export async function startWith(env: Record<string, string>, socket: string, ...args: string[]) {
  const folder = newFolder();
  const paths = { socket, store: join(folder, "store"), state: join(folder, "state/state.json") };
  return { ...(await startDaemon({ paths, args, env })), ...paths };
}

export interface StartOptions {
  /** Where the daemon has its files, as it sees them. */
  paths: { socket: string; store: string; state: string };
  /** More arguments, of which the last of a kind counts. */
  args?: readonly string[];
  env?: Readonly<Record<string, string>>;
  /** What starts the daemon, such as in a namespace. */
  prefix?: readonly string[];
}

/** Starts lainos-notifyd, and waits until it receives or has ended. */
export async function startDaemon({ paths, args = [], env = {}, prefix = [] }: StartOptions) {
  const own = Object.entries(paths).flatMap(([name, path]) => [`--${name}`, path]);
  const child = Bun.spawn([...prefix, "bun", COMMAND, ...own, "--syslog", "/nowhere", ...args], {
    stderr: "pipe",
    env: { ...process.env, ...env },
  });
  later(async () => {
    child.kill("SIGKILL");
    await child.exited;
  });
  let log = "";
  const ended = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) log += decoder.decode(chunk, { stream: true });
  })();
  /** Resolves when the log has the text. */
  const logged = async (text: string | RegExp) => {
    const has = () => (typeof text === "string" ? log.includes(text) : text.test(log));
    await until(
      `${text} in the log`,
      () => log,
      () => has() || child.exitCode !== null || child.signalCode !== null,
    );
    // What it wrote last may still be in the pipe.
    if (!has()) await ended;
    if (!has()) throw new Error(`it has ended without ${text} in its log:\n${log}`);
  };
  const stop = async (signal: NodeJS.Signals = "SIGTERM") => {
    child.kill(signal);
    await Promise.all([child.exited, ended]);
    return child.exitCode;
  };
  await logged("receiving at");
  return { child, logged, stop, text: () => log };
}

/** The start of a Python program: `s` is connected to the notify socket, which is at `path`. */
const SENDER = `import array, os, select, socket, sys, time
path = sys.argv[1]
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.connect(path)
def send(data, fds=()):
    s.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else [])
def barrier(seconds=60):
    r, w = os.pipe()
    send(b"BARRIER=1", [w])
    os.close(w)
    return len(select.select([r], [], [], seconds)[0])
`;

const sender = (socket: string, program: string, prefix: readonly string[]) =>
  Bun.spawn([...prefix, "/usr/bin/python3", "-uc", `${SENDER}${program}`, socket], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });

/** Runs a Python program that has `s`, a socket connected to the notify socket, `path`, send and barrier. */
export async function python(socket: string, program: string, prefix: readonly string[] = []) {
  const child = sender(socket, program, prefix);
  const out = await child.stdout.text();
  expect(await child.exited).toBe(0);
  return { out: out.trim(), pid: child.pid };
}

/** The same, which stays until it is ended; what it said has been handled when this returns. */
export async function speaker(socket: string, program: string, prefix: readonly string[] = []) {
  const child = sender(socket, `${program}\nprint(barrier())\nsys.stdin.read()`, prefix);
  const end = async () => {
    child.stdin.end();
    child.kill("SIGKILL");
    await child.exited;
  };
  later(end);
  const { value } = await child.stdout.getReader().read();
  expect(
    Buffer.from(value ?? [])
      .toString()
      .trim(),
  ).toBe("1");
  return { pid: child.pid, end };
}

/** Compiles a C program of this folder; returns its path. */
export async function compile(source: string, ...libraries: string[]): Promise<string> {
  const program = join(newFolder(), source.replace(/\.c$/, ""));
  const path = join(import.meta.dir, source);
  const gcc = Bun.spawn([
    "gcc",
    "-O2",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-o",
    program,
    path,
    ...libraries,
  ]);
  expect(await gcc.exited).toBe(0);
  return program;
}

/** How many descriptors a process has open. */
export const descriptorsOf = (pid: number): number => readdirSync(`/proc/${pid}/fd`).length;

/** Waits until a process has no more descriptors open than before. */
export const allGivenBack = (pid: number, before: number): Promise<number> =>
  until(
    `no more than ${before} descriptors are open`,
    () => descriptorsOf(pid),
    (count) => count <= before,
  );

/** A line of `lainos-notifyd status --json`. */
export interface Shown {
  service?: string;
  pid?: number;
  state: string;
  status?: string;
  fds: number;
  watchdogUsec?: number;
  watchdogMissed?: boolean;
  errno?: number;
  busError?: string;
  varlinkError?: string;
  exitStatus?: number;
  reloadBegan?: number;
  command: string;
  uid: number;
}

/** Runs a subcommand to its end. */
export function notifyd(...args: string[]) {
  const child = Bun.spawnSync(["bun", COMMAND, ...args], { timeout: 20_000 });
  return {
    status: child.exitCode,
    out: child.stdout.toString(),
    errors: child.stderr.toString(),
  };
}

/** Who said what, by the state file that is there now. */
export function shown(state: string): Shown[] {
  const { out, errors } = notifyd("status", "--json", "--state", state);
  expect(errors).toBe("");
  return JSON.parse(out) as Shown[];
}

/** Waits until what is known of a service is as it should be. */
export const shownOf = (
  state: string,
  service: string,
  isSo: (entry: Shown) => boolean,
): Promise<Shown> =>
  until(
    `${service} as it should be in ${state}`,
    () => shown(state).find((entry) => entry.service === service) as Shown,
    (entry) => entry !== undefined && isSo(entry),
  );

/** The mount of cgroup2, made if there is none. */
function hierarchy(): string {
  const mounted = cgroupRoot();
  if (mounted !== undefined) return mounted;
  const target = newFolder();
  mount("cgroup2", target, "cgroup2", 0);
  later(() => unmount(target));
  return target;
}

/** What a service runs: each line of its standard input, the answer in one line. */
const SERVICE = `import array, os, select, signal, socket, subprocess, sys, time
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def connect():
    s.connect(sys.argv[1])
if os.path.exists(sys.argv[1]): connect()
def send(data, fds=(), pid=None):
    extra = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
    if pid: extra.append((socket.SOL_SOCKET, 2, array.array("i", [pid, 0, 0])))
    s.sendmsg([data], extra)
def barrier():
    r, w = os.pipe()
    send(b"BARRIER=1", [w])
    os.close(w)
    select.select([r], [], [], 20)
    os.close(r)
def say(data, seconds=30):
    "1 if it was heard and its barrier answered, 0 if not; a daemon that ends answers none."
    try:
        send(data)
        r, w = os.pipe()
        send(b"BARRIER=1", [w])
        os.close(w)
        answered = len(select.select([r], [], [], seconds)[0])
        os.close(r)
        send(b"WATCHDOG=1")
        return answered
    except OSError:
        return 0
for line in sys.stdin:
    answer = None
    scope = globals()
    exec(line, scope)
    print(scope.pop("answer", None), flush=True)
`;

/** An OpenRC service as far as its cgroup, its script and its settings go. */
export class Service {
  readonly #cgroup: Cgroup;
  readonly #root: string;
  readonly #seen: string;

  /**
   * @param root the folder that stands for / with the daemon
   * @param settings its conf.d file
   * @param seen the same folder as the daemon sees it
   */
  constructor(
    root: string,
    readonly name: string,
    settings = "",
    seen = root,
  ) {
    this.#root = root;
    this.#seen = seen;
    for (const folder of ["init.d", "conf.d"])
      mkdirSync(join(root, "etc", folder), { recursive: true });
    writeFileSync(join(root, "etc/init.d", name), "");
    this.settings(settings);
    this.#cgroup = new Cgroup(hierarchy(), `/openrc.${name}`);
    this.#cgroup.create();
    later(async () => {
      this.#cgroup.signal(9);
      await until(`the cgroup of ${name} is empty`, () => this.#cgroup.remove());
    });
  }

  settings(text: string): void {
    writeFileSync(join(this.#root, "etc/conf.d", this.name), text);
  }

  /** Notes a main process as start-stop-daemon does. */
  notePid(pid: number): void {
    const daemons = join(this.#root, "run/openrc/daemons", this.name);
    mkdirSync(daemons, { recursive: true });
    writeFileSync(this.pidFile, `${pid}\n`);
    const seen = join(this.#seen, "run", `${this.name}.pid`);
    writeFileSync(join(daemons, "001"), `exec=/usr/bin/python3\npidfile=${seen}\n`);
  }

  /** Where its pid is noted. */
  get pidFile(): string {
    return join(this.#root, "run", `${this.name}.pid`);
  }

  /** Runs a command in the service's cgroup. */
  spawn(command: string[], env: Record<string, string> = {}) {
    const child = Bun.spawn(command, {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
      env: { ...process.env, ...env },
    });
    this.#cgroup.add(child.pid);
    return child;
  }

  /** A Python process of the service that does what it is told. */
  async process(socket: string, prefix: string[] = []) {
    // It waits for its first line, so that it says nothing from outside of the cgroup.
    const child = this.spawn([...prefix, "/usr/bin/python3", "-c", SERVICE, socket]);
    const reader = child.stdout.getReader();
    let rest = "";
    const tell = async (line: string): Promise<string> => {
      child.stdin.write(`${line}\n`);
      await child.stdin.flush();
      while (!rest.includes("\n")) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the service ended at: ${line}`);
        rest += Buffer.from(value).toString();
      }
      const at = rest.indexOf("\n");
      const answer = rest.slice(0, at);
      rest = rest.slice(at + 1);
      return answer;
    };
    const end = async () => {
      child.kill("SIGKILL");
      await child.exited;
    };
    later(end);
    await tell("pass");
    /** Speaks to the daemon that there is now. */
    const reconnect = () => tell("connect()");
    return { pid: child.pid, tell, reconnect, end };
  }
}

/** The root folder of a daemon and its services; a name that no other test has. */
export const newRoot = (): string => newFolder();

/** A service name that is nobody's. */
export const newName = (): string => `p7-${crypto.randomUUID().slice(0, 8)}`;
