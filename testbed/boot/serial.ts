/** A root shell on the serial line of a machine: what the live medium's serial entry offers. */
import type { Socket } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { HostError } from "../../scripts/host.ts";
import type { ExecResult } from "../live/enter.ts";
import { connectTo } from "../machine/lines.ts";

export class SerialLine {
  /** All that came, with no carriage returns and no escape sequences. */
  text = "";
  private socket: Socket | undefined;
  private readonly watchers = new Set<() => void>();
  private closed = false;
  private count = 0;
  private queue: Promise<unknown> = Promise.resolve();

  /** Connects as soon as the socket is there; see `connectTo`. */
  static async connect(path: string, ended: () => boolean): Promise<SerialLine> {
    const line = new SerialLine();
    line.socket = await connectTo(path, ended);
    line.socket.setEncoding("utf8");
    line.socket.on("data", (text: string) => line.receive(text));
    // QEMU's end, which "close" tells of.
    line.socket.on("error", () => {});
    line.socket.on("close", () => {
      line.closed = true;
      line.wake();
    });
    return line;
  }

  send(text: string): void {
    this.socket?.write(text);
  }

  close(): void {
    this.socket?.destroy();
  }

  /**
   * Waits for text that has not been there before `from`.
   * @returns where it ends.
   * @throws HostError with the last lines where it does not come in time (milliseconds).
   */
  async awaitText(pattern: RegExp, what: string, timeout: number, from = 0): Promise<number> {
    const deadline = Date.now() + timeout;
    for (;;) {
      const match = pattern.exec(this.text.slice(from));
      if (match) return from + match.index + match[0].length;
      const left = deadline - Date.now();
      if (left <= 0 || this.closed) {
        const why = this.closed ? "QEMU has ended" : `not within ${timeout / 1000} seconds`;
        const last = this.text.trimEnd().split("\n").slice(-15).join("\n  ");
        throw new HostError(`${what} on the serial line: ${why}\n  ${last}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const watchers = this.watchers;
        function done() {
          clearTimeout(timer);
          watchers.delete(done);
          resolve();
        }
        watchers.add(done);
      });
    }
  }

  /** Logs in at the getty and starts a plain sh of root's that echoes nothing: by doas as another user. */
  async logIn(user: string, password: string, timeout = 60_000): Promise<void> {
    let at = await this.awaitText(/login: $/m, "a getty", timeout);
    this.send(`${user}\r`);
    at = await this.awaitText(/Password: /, "the question for the password", timeout, at);
    this.send(`${password}\r`);
    at = await this.awaitText(/\n.*[#%$>] ?$/, "a shell's prompt", timeout, at);
    if (user === "root") {
      this.send("exec /bin/sh\r");
    } else {
      this.send("exec doas /bin/sh\r");
      at = await this.awaitText(/password: $/, "the question of doas", timeout, at);
      this.send(`${password}\r`);
    }
    // In two parts, so that the line itself is not what is waited for.
    await sleep(500);
    this.send("stty -echo; PS1=; PS2=; echo at'-'work\r");
    await this.awaitText(/at-work\n/, "the shell", timeout, at);
  }

  /**
   * Runs a line of sh in the shell that `logIn` started; one at a time.
   * @throws HostError where it has not ended in time (milliseconds).
   */
  run(line: string, timeout = 60_000): Promise<ExecResult> {
    const next = this.queue.then(() => this.runNow(line, timeout));
    this.queue = next.catch(() => {});
    return next;
  }

  private async runNow(line: string, timeout: number): Promise<ExecResult> {
    const id = ++this.count;
    const from = this.text.length;
    const files = `/run/serial-${id}`;
    const encoded = Buffer.from(line).toString("base64");
    // A terminal's line may be 4,095 bytes long.
    for (const part of encoded.match(/.{1,2000}/g) ?? []) {
      this.send(`printf %s '${part}' >>${files}.sh\r`);
    }
    this.send(`base64 -d ${files}.sh >${files}.run\r`);
    this.send(`sh ${files}.run >${files}.out 2>${files}.err </dev/null; s=$?\r`);
    const show = (end: string) => `$(base64 -w 0 ${files}.${end})`;
    this.send(`echo "done-${id}"" $s -${show("out")} -${show("err")} end"; rm -f ${files}.*\r`);
    const pattern = new RegExp(`done-${id} (\\d+) -([A-Za-z0-9+/=]*) -([A-Za-z0-9+/=]*) end\\n`);
    await this.awaitText(pattern, `the end of ${line}`, timeout, from);
    const [, code, out = "", err = ""] = pattern.exec(this.text.slice(from)) ?? [];
    const decode = (text: string) => Buffer.from(text, "base64").toString();
    return { code: Number(code), stdout: decode(out), stderr: decode(err) };
  }

  private receive(text: string): void {
    this.text += Bun.stripANSI(text).replaceAll("\r", "");
    this.wake();
  }

  private wake(): void {
    for (const watcher of [...this.watchers]) watcher();
  }
}
