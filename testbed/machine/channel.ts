/** The ports over which commands get into the machine; agent.sh is at their other end. */
import { HostError } from "../../scripts/host.ts";
import type { ExecResult } from "../live/enter.ts";
import { LineSocket } from "./lines.ts";

/** How many commands can run at a time. */
export const PORTS = 4;

export function portName(index: number): string {
  return `protocol7.${index}`;
}

interface Job {
  readonly id: number;
  readonly line: string;
  readonly resolve: (result: ExecResult) => void;
  readonly reject: (error: Error) => void;
}

interface Port {
  socket?: LineSocket;
  job?: Job | undefined;
  /** The agent has said so; before that, what is sent may be lost. */
  ready: boolean;
}

export class Channel {
  private readonly ports: Port[] = [];
  private readonly queue: Job[] = [];
  private count = 0;
  private ended = false;

  /** Whether an agent is there. */
  get isReady(): boolean {
    return this.ports.some(({ ready }) => ready);
  }

  /** @param ready whether the agents run already, as after a hibernation. */
  static async connect(
    paths: readonly string[],
    ready: boolean,
    ended: () => boolean,
  ): Promise<Channel> {
    const channel = new Channel();
    for (const path of paths) {
      const port: Port = { ready };
      port.socket = await LineSocket.connect(
        path,
        (line) => channel.receive(port, line),
        () => channel.end(),
        ended,
      );
      channel.ports.push(port);
    }
    return channel;
  }

  /** Runs a script by sh as root. @throws HostError where the machine ends before. */
  run(script: string, stdin?: string): Promise<ExecResult> {
    const id = ++this.count;
    const input = stdin ? Buffer.from(stdin).toString("base64") : "-";
    const line = `${id} ${Buffer.from(script).toString("base64")} ${input}`;
    return new Promise((resolve, reject) => {
      if (this.ended) return reject(new HostError("the machine has ended"));
      this.queue.push({ id, line, resolve, reject });
      this.next();
    });
  }

  /** The machine begins anew: whatever ran is gone. */
  reset(): void {
    this.fail("the machine was reset");
    for (const port of this.ports) port.ready = false;
  }

  close(): void {
    for (const { socket } of this.ports) socket?.close();
    this.end();
  }

  private next(): void {
    for (const port of this.ports) {
      if (!port.ready || port.job) continue;
      port.job = this.queue.shift();
      if (port.job) port.socket?.send(port.job.line);
    }
  }

  private receive(port: Port, line: string): void {
    if (line === "ready") port.ready = true;
    const [id, status, stdout = "", stderr = ""] = line.split(" ");
    if (port.job && id === String(port.job.id)) {
      port.job.resolve({ code: Number(status), stdout: decode(stdout), stderr: decode(stderr) });
      delete port.job;
    }
    this.next();
  }

  private end(): void {
    this.ended = true;
    this.fail("the machine has ended");
  }

  private fail(why: string): void {
    for (const port of this.ports) {
      port.job?.reject(new HostError(why));
      delete port.job;
    }
    for (const job of this.queue.splice(0)) job.reject(new HostError(why));
  }
}

/** The "-" before it keeps an empty field a field. */
function decode(field: string): string {
  return Buffer.from(field.slice(1), "base64").toString();
}
