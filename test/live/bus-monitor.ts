/** What goes to and from login1 on a booted system's bus, by the unmodified `busctl monitor`. */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import type { Live } from "../../testbed/live/index.ts";
import { must } from "./system.ts";

export interface Message {
  type: "method_call" | "method_return" | "error" | "signal";
  sender: string;
  path?: string;
  interface?: string;
  member?: string;
  payload: { type: string; data: unknown[] };
}

const PING = [
  ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
  ...["org.freedesktop.DBus.Peer", "Ping"],
];

/** Far more than any test takes: whoever started it stops it. */
const TIMEOUT = 300_000;
let count = 0;

export class BusMonitor {
  private constructor(
    private readonly live: Live,
    private readonly file: string,
    private readonly done: Promise<unknown>,
  ) {}

  /** Starts it and waits until it sees what goes by. */
  static async start(live: Live): Promise<BusMonitor> {
    const file = `/tmp/monitor.${++count}`;
    const script =
      'echo $$ > "$1.pid"; exec busctl monitor --json=short org.freedesktop.login1 > "$1" 2> "$1.log"';
    const done = live.exec(["sh", "-c", script, "sh", file], { timeout: TIMEOUT });
    const seen = `${live.root}${file}`;
    // It does not say when it has begun: what it is to see does.
    await live.waitFor(async () => {
      await must(live, PING);
      return existsSync(seen) && (await readFile(seen, "utf8")).includes('"Ping"');
    }, "busctl monitor");
    return new BusMonitor(live, file, done);
  }

  /** All so far, oldest first. */
  async messages(): Promise<Message[]> {
    const text = await readFile(`${this.live.root}${this.file}`, "utf8");
    // The last line may still be being written.
    const lines = text.split("\n").slice(0, -1);
    return lines.map((line) => JSON.parse(line) as Message);
  }

  /** The calls and signals so far that have one of these names, as `NAME VALUES`. */
  async named(...names: string[]): Promise<string[]> {
    const wanted = (await this.messages()).filter(({ member = "" }) => names.includes(member));
    return wanted.map(({ member, payload }) => [member, ...payload.data].join(" "));
  }

  async stop(): Promise<void> {
    const pid = (await readFile(`${this.live.root}${this.file}.pid`, "utf8")).trim();
    await must(this.live, ["kill", pid]);
    await this.done;
    for (const end of ["", ".pid", ".log"]) await rm(`${this.live.root}${this.file}${end}`);
  }
}
