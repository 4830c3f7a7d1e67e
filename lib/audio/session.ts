/** The sound servers of one user's session: PipeWire, its session manager, its PulseAudio side. */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure, type Logger } from "../cli/index.ts";
import {
  answers,
  findTools,
  hasSessionManager,
  untilAnswers,
  untilSessionManager,
} from "./wait.ts";

type Environment = Record<string, string | undefined>;

/** What `runSession` works with. */
export interface SessionOptions {
  log: Logger;
  /** What the servers get: XDG_RUNTIME_DIR, in which their sockets are, PATH, the session bus. */
  environment?: Environment;
  /** How long one server may take until it is usable, in milliseconds. */
  patience?: number;
  /** How long a server may take to end after SIGTERM before it is killed, in milliseconds. */
  grace?: number;
}

/** One server: how to tell that it runs, and how to wait until it does. */
interface Server {
  readonly program: string;
  /** What it must bring about, for the log. */
  readonly sign: string;
  running(signal: AbortSignal): Promise<boolean>;
  ready(signal: AbortSignal): Promise<unknown>;
}

class SoundServers {
  readonly #children: { program: string; child: Bun.Subprocess }[] = [];
  #ending = false;
  /** False once a server did not start, or ended with a failure by itself. */
  good = true;

  constructor(
    readonly log: Logger,
    readonly environment: Environment,
    readonly patience: number,
    readonly grace: number,
  ) {}

  get count(): number {
    return this.#children.length;
  }

  /**
   * Starts a server if it does not run, and waits until it is usable.
   *
   * @returns whether it runs now
   * @throws the reason of `stop` if that fires first
   */
  async start(server: Server, stop: AbortSignal): Promise<boolean> {
    const { program, sign } = server;
    const late = AbortSignal.timeout(this.patience);
    const signal = AbortSignal.any([stop, late]);
    try {
      if (await server.running(signal)) {
        this.log.info(`${program}: left alone, since ${sign} is there already`);
        return true;
      }
      const path = which(program, this.environment);
      if (path === null) {
        this.log.warning(`${program} is not installed, so it is not started`);
        return false;
      }
      const child = this.#spawn(program, path);
      const ended = new AbortController();
      void child.exited.then(() => ended.abort(new Error("it ended before that")));
      await server.ready(AbortSignal.any([signal, ended.signal]));
      this.log.info(`${program}: started, ${sign} is there`);
      return true;
    } catch (error) {
      stop.throwIfAborted();
      this.good = false;
      const why = late.aborted ? `not within ${this.patience / 1000} s` : messageOf(error);
      this.log.error(`${program}: ${sign} did not come: ${why}`);
      return false;
    }
  }

  #spawn(program: string, path: string): Bun.Subprocess {
    const child = Bun.spawn([path], {
      env: this.environment,
      stdin: "ignore",
      stdout: "inherit",
      stderr: "inherit",
    });
    this.#children.push({ program, child });
    void child.exited.then(() => {
      if (this.#ending) return;
      const how = child.signalCode ?? `status ${child.exitCode}`;
      if (child.exitCode === 0) {
        this.log.info(`${program} ended`);
      } else {
        this.good = false;
        this.log.error(`${program} ended with ${how}`);
      }
    });
    return child;
  }

  /** Resolves when all servers that were started here have ended. */
  async allEnded(): Promise<void> {
    await Promise.all(this.#children.map(({ child }) => child.exited));
  }

  /** Ends what was started here, the last one first, since it is a client of those before it. */
  async end(): Promise<void> {
    this.#ending = true;
    for (const { program, child } of this.#children.toReversed()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill("SIGTERM");
      const timer = setTimeout(() => {
        this.log.warning(`${program} did not end within ${this.grace / 1000} s, so it is killed`);
        child.kill("SIGKILL");
      }, this.grace);
      await child.exited;
      clearTimeout(timer);
    }
  }
}

/** Looks in the PATH that the program gets; Bun.which alone looks in the one that we started with. */
const which = (program: string, environment: Environment) =>
  Bun.which(program, { PATH: environment.PATH ?? "" });

const messageOf = (error: unknown) => (error instanceof Error ? error.message : String(error));

/** The servers in the order of their starting: each is a client of the one before. */
function serversIn(runtime: string, environment: Environment, log: Logger): Server[] {
  const bySocket = (program: string, socket: string): Server => ({
    program,
    sign: socket,
    running: async () => answers(socket),
    ready: (signal) => untilAnswers(socket, signal),
  });
  const tools = findTools(environment);
  const sessionManager: Server = {
    program: "wireplumber",
    sign: "a session manager in PipeWire",
    running: async (signal) => tools !== undefined && (await hasSessionManager(tools, signal)),
    async ready(signal) {
      if (tools) await untilSessionManager(tools, signal);
      else log.warning("pw-cli and pw-mon are not installed, so wireplumber is not awaited");
    },
  };
  return [
    bySocket("pipewire", join(runtime, "pipewire-0")),
    sessionManager,
    bySocket("pipewire-pulse", join(runtime, "pulse/native")),
  ];
}

/**
 * Starts the servers that do not run, and stays until all that it started have
 * ended or `stop` fires, upon which it ends them.
 *
 * @returns false if one did not start or ended with a failure
 * @throws {Failure} if there is no runtime folder
 */
export async function runSession(options: SessionOptions, stop: AbortSignal): Promise<boolean> {
  const { log, environment = process.env, patience = 10_000, grace = 5_000 } = options;
  const runtime = runtimeFolder(environment);
  if (!environment.DBUS_SESSION_BUS_ADDRESS && !existsSync(join(runtime, "bus"))) {
    log.warning("there is no session bus (DBUS_SESSION_BUS_ADDRESS): wireplumber ends without one");
  }
  // pipewire-pulse would make it; inotify needs it before that. Its mode is that of pipewire-pulse.
  mkdirSync(join(runtime, "pulse"), { recursive: true, mode: 0o700 });
  const servers = new SoundServers(log, environment, patience, grace);
  try {
    for (const [index, server] of serversIn(runtime, environment, log).entries()) {
      const runs = await servers.start(server, stop);
      if (!runs && index === 0) {
        log.warning("without pipewire there is no sound, and the others are not started");
        return servers.good;
      }
    }
    const stopped = Promise.withResolvers<void>();
    stop.addEventListener("abort", () => stopped.resolve(), { once: true });
    if (stop.aborted) stopped.resolve();
    await Promise.race([servers.allEnded(), stopped.promise]);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    await servers.end();
  }
  return servers.good;
}

function runtimeFolder({ XDG_RUNTIME_DIR: runtime }: Environment): string {
  if (!runtime?.startsWith("/")) {
    throw new Failure("XDG_RUNTIME_DIR is not set: start this in a session, or use --system");
  }
  const stats = lstatSync(runtime, { throwIfNoEntry: false });
  if (!stats?.isDirectory() || stats.uid !== process.getuid?.()) {
    throw new Failure(
      `XDG_RUNTIME_DIR ${runtime}: must be a folder of this user's: log in through lainos-init`,
    );
  }
  return runtime;
}
