/** A Unix socket that QEMU listens at, over which lines go back and forth. */
import { connect, type Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";

export class LineSocket {
  private rest = "";

  private constructor(
    private readonly socket: Socket,
    onLine: (line: string) => void,
    onClose: () => void,
  ) {
    socket.setEncoding("utf8");
    socket.on("data", (text: string) => {
      const lines = (this.rest + text).split("\n");
      this.rest = lines.pop() ?? "";
      for (const line of lines) onLine(line);
    });
    // QEMU's end, after which nothing else comes; "close" follows an error as well.
    socket.on("error", () => {});
    socket.on("close", onClose);
  }

  /**
   * Connects as soon as the socket is there.
   * @throws the last attempt's error where it is not within ten seconds or `ended` says that
   * nobody will make it.
   */
  static async connect(
    path: string,
    onLine: (line: string) => void,
    onClose: () => void,
    ended: () => boolean,
  ): Promise<LineSocket> {
    return new LineSocket(await connectTo(path, ended), onLine, onClose);
  }

  send(line: string): void {
    this.socket.write(`${line}\n`);
  }

  close(): void {
    this.socket.destroy();
  }
}

/**
 * Connects to a socket of QEMU's as soon as it is there.
 * @throws the last attempt's error where it is not within ten seconds or `ended` says that nobody
 * will make it.
 */
export async function connectTo(path: string, ended: () => boolean): Promise<Socket> {
  for (const deadline = Date.now() + 10_000; ; await sleep(20)) {
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const made = connect(path, () => {
          made.off("error", reject);
          resolve(made);
        });
        made.once("error", reject);
      });
    } catch (error) {
      if (ended() || Date.now() > deadline) throw error;
    }
  }
}
