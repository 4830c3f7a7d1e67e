/** The sound servers of one user's session: PipeWire, its session manager, its PulseAudio side; or jackd. */
import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { Failure, type Logger } from "../cli/index.ts";
import { type Environment, jackServer, pipeWireServers, type Server } from "./servers.ts";
import { type Rules, Supervisor } from "./supervise.ts";

/** What `runSession` works with. */
export interface SessionOptions {
  log: Logger;
  /** What the servers get: XDG_RUNTIME_DIR, in which their sockets are, PATH, the session bus. */
  environment?: Environment;
  /** Whether to start jackd, where it is installed, in place of PipeWire. */
  jack?: boolean;
  /** What to change of the rules. */
  rules?: Partial<Rules>;
}

const RULES: Rules = { patience: 10_000, grace: 5_000, delay: 1_000, most: 5 };

/**
 * Starts the servers that do not run, starts again those that die, and stays
 * until all that it started have ended or `stop` fires, upon which it ends them.
 *
 * @returns false if one was not usable in time, or died too often
 * @throws {Failure} if there is no runtime folder
 */
export async function runSession(options: SessionOptions, stop: AbortSignal): Promise<boolean> {
  const { log, environment = process.env, jack = false, rules } = options;
  const servers = (jack && findJack(environment, log)) || findPipeWire(environment, log);
  const supervisor = new Supervisor(servers, environment, log, { ...RULES, ...rules });
  try {
    await supervisor.keep(stop);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    await supervisor.end();
  }
  return supervisor.good;
}

function findJack(environment: Environment, log: Logger): Server[] | undefined {
  const server = jackServer(environment);
  if (Bun.which(server.program, { PATH: environment.PATH ?? "" }) !== null) return [server];
  log.warning(
    `${server.program} is not installed, so PipeWire is started: ` +
      "with pipewire-jack, programs for JACK use that",
  );
  return undefined;
}

function findPipeWire(environment: Environment, log: Logger): Server[] {
  const runtime = runtimeFolder(environment);
  if (!environment.DBUS_SESSION_BUS_ADDRESS && !existsSync(join(runtime, "bus"))) {
    log.warning(
      "there is no session bus (DBUS_SESSION_BUS_ADDRESS): " +
        "wireplumber cannot share sound cards with JACK, nor ask portals about cameras",
    );
  }
  // pipewire-pulse would make it; inotify needs it before that. Its mode is that of pipewire-pulse.
  mkdirSync(join(runtime, "pulse"), { recursive: true, mode: 0o700 });
  return pipeWireServers(runtime, environment, log);
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
