/** A varlink client that can also say what no client should. */

export interface Message {
  parameters?: Record<string, unknown>;
  error?: string;
}

export class Client {
  #text = "";
  #ended = false;
  #wake = () => {};
  readonly #decoder = new TextDecoder();

  private constructor(private readonly socket: () => Bun.Socket) {}

  static async connect(path: string): Promise<Client> {
    let socket: Bun.Socket | undefined;
    const client = new Client(() => {
      if (!socket) throw new Error("not connected");
      return socket;
    });
    socket = await Bun.connect({
      unix: path,
      socket: {
        data: (_socket, bytes) => {
          client.#text += client.#decoder.decode(bytes, { stream: true });
          client.#wake();
        },
        close: () => client.#end(),
        end: () => client.#end(),
        error: () => client.#end(),
      },
    });
    return client;
  }

  #end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** Sends bytes or text as they are. */
  send(data: string | Uint8Array): void {
    this.socket().write(data);
  }

  /** Sends a call, or a message like one. */
  ask(method: string, parameters?: object, more: object = {}): void {
    this.send(`${JSON.stringify({ method, parameters, ...more })}\0`);
  }

  /** The next message; undefined if the server has closed the connection. The test's timeout bounds it. */
  async next(): Promise<Message | undefined> {
    for (;;) {
      const end = this.#text.indexOf("\0");
      if (end >= 0) {
        const message = this.#text.slice(0, end);
        this.#text = this.#text.slice(end + 1);
        return JSON.parse(message);
      }
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  async call(method: string, parameters?: object): Promise<Message | undefined> {
    this.ask(method, parameters);
    return this.next();
  }

  /** Says that no more will be sent. */
  finish(): void {
    this.socket().shutdown();
  }

  close(): void {
    this.socket().terminate();
  }
}
