/** QEMU's control socket: commands and what the machine does (QEMU Machine Protocol Reference). */
import { HostError } from "../../scripts/host.ts";
import { LineSocket } from "./lines.ts";

export interface QmpEvent {
  readonly event: string;
  readonly data?: Readonly<Record<string, unknown>>;
}

interface Reply {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { readonly class: string; readonly desc: string };
}

interface Waiting {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

export class Qmp {
  /** What has happened since the start, oldest first. */
  readonly events: QmpEvent[] = [];
  /** Is told of each as it comes. */
  onEvent: (event: QmpEvent) => void = () => {};
  private readonly waiting = new Map<number, Waiting>();
  private count = 0;
  private socket: LineSocket | undefined;

  static async connect(path: string, ended: () => boolean): Promise<Qmp> {
    const qmp = new Qmp();
    qmp.socket = await LineSocket.connect(
      path,
      (line) => qmp.receive(JSON.parse(line)),
      () => qmp.end(),
      ended,
    );
    await qmp.execute("qmp_capabilities");
    return qmp;
  }

  /** @throws HostError with QEMU's words where it refuses, or ends before it answers. */
  execute(command: string, words: Readonly<Record<string, unknown>> = {}): Promise<unknown> {
    const id = ++this.count;
    return new Promise((resolve, reject) => {
      if (this.socket === undefined) {
        reject(new HostError(`${command}: QEMU has ended`));
        return;
      }
      this.waiting.set(id, { resolve, reject });
      this.socket.send(JSON.stringify({ execute: command, arguments: words, id }));
    });
  }

  close(): void {
    this.socket?.close();
  }

  private receive(message: Reply & Partial<QmpEvent>): void {
    if (message.event !== undefined) {
      this.events.push(message as QmpEvent);
      this.onEvent(message as QmpEvent);
    }
    if (message.id === undefined) return;
    const waiting = this.waiting.get(message.id);
    this.waiting.delete(message.id);
    if (message.error) waiting?.reject(new HostError(`QEMU: ${message.error.desc}`));
    else waiting?.resolve(message.return);
  }

  private end(): void {
    this.socket = undefined;
    for (const { reject } of this.waiting.values()) reject(new HostError("QEMU has ended"));
    this.waiting.clear();
  }
}
