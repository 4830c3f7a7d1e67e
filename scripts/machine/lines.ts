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
    for (const deadline = Date.now() + 10_000; ; await sleep(20)) {
      try {
        const socket = await new Promise<Socket>((resolve, reject) => {
          const made = connect(path, () => {
            made.off("error", reject);
            resolve(made);
          });
          made.once("error", reject);
        });
        return new LineSocket(socket, onLine, onClose);
      } catch (error) {
        if (ended() || Date.now() > deadline) throw error;
      }
    }
  }

  send(line: string): void {
    this.socket.write(`${line}\n`);
  }

  close(): void {
    this.socket.destroy();
  }
}
