/** Processes in a world that are clients of login1, each with a user, a process and a cgroup of its own. */
import { mkdirSync } from "node:fs";
import { Connection } from "../../../lib/dbus/index.ts";
import { hasCode } from "../../../lib/linux/index.ts";
import { kill } from "../../../lib/linux/processes/process.ts";
import { CoProcess } from "../support/co-process.ts";
import type { World } from "../support/world.ts";

const SIGKILL = 9;
const SOCKETS = "/run/agents";

export interface Agent {
  readonly name: string;
  readonly uid: number;
  readonly pid: number;
  /** Its connection, which is spoken here. */
  readonly bus: Connection;
}

export class Agents {
  readonly #agents = new Map<string, Agent>();
  /** Of those that have ended too: a file may go on naming them. */
  readonly #names = new Map<number, string>();
  readonly #maker: CoProcess;

  /** @param program agents.c's executable */
  constructor(
    private readonly world: World,
    program: string,
  ) {
    mkdirSync(world.root + SOCKETS);
    this.#maker = new CoProcess(world, program);
  }

  /** Starts one, which is on the bus when this returns. */
  async start(name: string, uid: number): Promise<Agent> {
    const socket = `${SOCKETS}/${name}`;
    const pid = Number(await this.#maker.ask(`start ${uid} ${socket}`));
    const bus = await Connection.open(`unix:path=${this.world.root}${socket}`);
    const agent = { name, uid, pid, bus };
    this.#agents.set(name, agent);
    this.#names.set(pid, name);
    return agent;
  }

  get(name: string): Agent {
    const agent = this.#agents.get(name);
    if (!agent) throw new Error(`there is no ${name}`);
    return agent;
  }

  /** Those that run. */
  get all(): Agent[] {
    return [...this.#agents.values()];
  }

  /** The process of that number by its name here, which is the same in every world. */
  nameOf(pid: number): string {
    return this.#names.get(pid) ?? `process ${pid}`;
  }

  /** Ends one's process, and so its connection to the bus; it is known until `forget`. */
  kill(name: string): void {
    try {
      kill(this.get(name).pid, SIGKILL);
    } catch (error) {
      // Something that happened before may have ended it.
      if (!hasCode(error, "ESRCH")) throw error;
    }
  }

  /** One has ended. */
  forget(name: string): void {
    this.#agents.get(name)?.bus.close();
    this.#agents.delete(name);
  }

  /** Ends all of them. */
  async end(): Promise<void> {
    for (const { bus } of this.#agents.values()) bus.close();
    await this.#maker.end();
  }
}
