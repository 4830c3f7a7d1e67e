/** The sound servers: how each is started, and how to tell that it runs. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../cli/index.ts";
import { hasCode } from "../linux/index.ts";
import {
  answers,
  findTools,
  hasSessionManager,
  untilAnswers,
  untilSessionManager,
} from "./wait.ts";

export type Environment = Record<string, string | undefined>;

/** One server: how to tell that it runs, and how to wait until it does. */
export interface Server {
  readonly program: string;
  readonly args: readonly string[];
  /** What it must bring about, for the log. */
  readonly sign: string;
  running(signal: AbortSignal): Promise<boolean>;
  ready(signal: AbortSignal): Promise<unknown>;
}

function bySocket(socket: string, program: string, ...args: string[]): Server {
  return {
    program,
    args,
    sign: socket,
    running: async () => answers(socket),
    ready: (signal) => untilAnswers(socket, signal),
  };
}

/** PipeWire and its clients in the order of their starting. `runtime` is XDG_RUNTIME_DIR. */
export function pipeWireServers(runtime: string, environment: Environment, log: Logger): Server[] {
  const tools = findTools(environment);
  const sessionManager: Server = {
    program: "wireplumber",
    args: [],
    sign: "a session manager in PipeWire",
    running: async (signal) => tools !== undefined && (await hasSessionManager(tools, signal)),
    async ready(signal) {
      if (tools) await untilSessionManager(tools, signal);
      else log.warning("pw-cli and pw-mon are not installed, so wireplumber is not awaited");
    },
  };
  return [
    bySocket(join(runtime, "pipewire-0"), "pipewire"),
    sessionManager,
    bySocket(join(runtime, "pulse/native"), "pipewire-pulse"),
  ];
}

/** What libjack starts where there is no jackdrc. */
const JACKD = ["jackd", "-T", "-ndefault", "-d", "alsa"];

/**
 * jackd with the command line of ~/.jackdrc or /etc/jackdrc, by which libjack
 * starts it too (jackd(1)); its socket is jack2's.
 */
export function jackServer(environment: Environment): Server {
  const files = [join(environment.HOME ?? "/", ".jackdrc"), "/etc/jackdrc"];
  const [program = "", ...args] = files.map(readWords).find((words) => words.length > 0) ?? JACKD;
  const name = environment.JACK_DEFAULT_SERVER || "default";
  return bySocket(`/dev/shm/jack_${name}_${process.getuid?.()}_0`, program, ...args);
}

function readWords(file: string): string[] {
  try {
    return readFileSync(file, "utf8").split(/\s+/).filter(Boolean);
  } catch (error) {
    if (hasCode(error, "ENOENT")) return [];
    throw error;
  }
}
