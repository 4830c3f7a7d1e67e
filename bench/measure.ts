/** One server in a world of its own, started and measured by client.c. */
import { mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, EXECUTABLES } from "../scripts/build.ts";
import { World } from "../test/login1/support/world.ts";
import { layOverEtc, type Server } from "./peer.ts";

/** `nobody`, who is on every system. */
const UID = 65534;

/** How much is measured. */
export interface Counts {
  rounds: number;
  /** Calls in each measurement of calls, and of each kind before it. */
  calls: number;
  warmUp: number;
  /** How many sessions "all sessions" are. */
  sessions: number;
  /** How many sessions are made and released one after the other, after half as many; and a quarter of them in flight. */
  logins: number;
  /** How long a server is left alone before its memory is looked at, in seconds. */
  idle: number;
  /** How often `lainos-init --version` runs. */
  starts: number;
}

/** What client.c measures of one call: calls a second, and µs of the server's processor time a call. */
type CallFigures<Label extends string> = Record<
  `${Label}${"InTurn" | "Cost" | "Few" | "Many" | "ManyCost"}`,
  number
>;

/** KiB, as /proc/PID/smaps_rollup has them. */
type MemoryFigures<When extends string> = Record<
  `${When}${"Rss" | "Pss" | "Uss" | "Anonymous"}`,
  number
>;

/** What client.c prints: times in ms, and the above. */
export interface Figures
  extends CallFigures<"one" | "all" | "getAll">,
    MemoryFigures<"idle" | "called"> {
  start: number;
  createFirst: number;
  create: number[];
  /** CreateSession and ReleaseSession, of each of the first logins. */
  logins: number[];
  /** Both a second, one login after the other and 64 in flight, and µs of the server's processor time a login. */
  loginsInTurn: number;
  loginsMany: number;
  loginsCost: number;
  calls: number;
}

async function compile(name: string, program: string): Promise<void> {
  const flags = ["-Wall", "-Wextra", "-Werror", "-O2"];
  const source = join(import.meta.dir, name);
  const compiler = Bun.spawn(["cc", ...flags, "-o", program, source, "-lsystemd"], {
    stderr: "pipe",
  });
  const [words, code] = await Promise.all([compiler.stderr.text(), compiler.exited]);
  if (code !== 0) throw new Error(`${name} does not compile: ${words}`);
}

/** What is measured with: the client, what stands for PID 1, and our executables under their names. */
export class Tools {
  private constructor(private readonly folder: string) {}

  /**
   * Compiles all.
   *
   * @throws {Error} with the compiler's words, and BuildError
   */
  static async make(): Promise<Tools> {
    const folder = mkdtempSync(join(tmpdir(), "p7-bench-"));
    try {
      const tools = new Tools(folder);
      await compile("client.c", tools.client);
      await compile("systemd1.c", tools.systemd1);
      const executable = await build("protocol7");
      for (const name of [EXECUTABLES["dbus-bridge"], EXECUTABLES["lainos-init"]]) {
        symlinkSync(executable, join(folder, name));
      }
      return tools;
    } catch (error) {
      rmSync(folder, { recursive: true });
      throw error;
    }
  }

  get client(): string {
    return join(this.folder, "client");
  }

  /** What answers systemd-logind in the place of PID 1. */
  get systemd1(): string {
    return join(this.folder, "systemd1");
  }

  get bridge(): Server {
    const name = EXECUTABLES["dbus-bridge"];
    return { name, command: [join(this.folder, name)], environment: {} };
  }

  /** How long `lainos-init --version` takes, in ms. */
  async startInit(): Promise<number> {
    const begin = performance.now();
    const child = Bun.spawn([join(this.folder, EXECUTABLES["lainos-init"]), "--version"], {
      stdio: ["ignore", "ignore", "inherit"],
    });
    if ((await child.exited) !== 0) throw new Error("lainos-init --version failed");
    return performance.now() - begin;
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

let world: World | undefined;

/** Ends what is being measured. */
export async function stopMeasuring(): Promise<void> {
  const ending = world;
  world = undefined;
  await ending?.end();
}

/** Starts what a server needs, which ends with the world. */
async function startNeeded(place: World, command: string[]): Promise<void> {
  const child = Bun.spawn(place.inside(command), { stdin: "ignore", stdout: "pipe" });
  const { done } = await child.stdout.getReader().read();
  if (done) throw new Error(`${command[0]} did not start`);
}

/**
 * Starts a server in a new world and measures it.
 *
 * @throws {Error} with what the client and the server said, if either fails
 */
export async function measure(client: string, server: Server, counts: Counts): Promise<Figures> {
  // Pids of its own: elogind takes the cgroup of process 1 for the top of the tree.
  world = await World.create({ bridge: [], ownPids: true, policies: server.policies ?? [] });
  try {
    if (server.etc !== undefined) await layOverEtc(world, server.etc);
    if (server.needs) await startNeeded(world, server.needs);
    const environment = Object.entries(server.environment).map(([key, value]) => `${key}=${value}`);
    const { calls, sessions, logins, warmUp, idle } = counts;
    const done = await world.run([
      ...["env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", ...environment],
      ...[
        client,
        ...[calls, sessions, logins, warmUp, idle, UID].map(String),
        "--",
        ...server.command,
      ],
    ]);
    if (done.code !== 0) throw new Error(`${server.name}: ${done.stderr}`);
    return JSON.parse(done.stdout) as Figures;
  } finally {
    await stopMeasuring();
  }
}
