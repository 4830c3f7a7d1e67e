/** lainos-notifyd beside a receiver in C that does nothing with what it gets. */
import { mkdtempSync, readFileSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { build, EXECUTABLES, removeAtExit } from "../scripts/build.ts";

const SENDERS = 50;
const EACH = 2000;

/** What one run of one receiver gave. */
export interface NotifyFigures {
  /** Datagrams a second, of all senders together. */
  rate: number;
  /** RSS after it, in KiB. */
  rss: number;
}

/** The rounds of both. */
export interface NotifyRounds {
  ours: NotifyFigures[];
  sink: NotifyFigures[];
}

async function compile(source: string, program: string): Promise<void> {
  const flags = ["-Wall", "-Wextra", "-Werror", "-O2"];
  const compiler = Bun.spawn(["cc", ...flags, "-o", program, source], { stderr: "pipe" });
  const [words, code] = await Promise.all([compiler.stderr.text(), compiler.exited]);
  if (code !== 0) throw new Error(`${source} does not compile: ${words}`);
}

/** Starts a receiver, floods it, and looks at its memory. */
async function one(flooder: string, command: string[], socket: string): Promise<NotifyFigures> {
  const receiver = Bun.spawn(command, { stderr: "pipe", env: { PATH: "/usr/bin:/bin" } });
  const kill = () => receiver.kill("SIGKILL");
  // An interruption ends the process in the middle; without a receiver the senders end too.
  process.once("exit", kill);
  const words = receiver.stderr.getReader();
  // It is not read further than the pipe is long: what is logged is bounded by the rate limits.
  const { value } = await words.read();
  try {
    if (!Buffer.from(value ?? []).includes("receiving")) throw new Error(`${command[0]} failed`);
    const drained = (async () => {
      while (!(await words.read()).done);
    })();
    const flood = Bun.spawn([flooder, "flood", socket, `${SENDERS}`, `${EACH}`], {
      stdout: "pipe",
    });
    const [, , seconds] = (await flood.stdout.text()).split(" ").map(Number);
    if ((await flood.exited) !== 0 || !seconds) throw new Error(`${command[0]} did not answer`);
    const status = readFileSync(`/proc/${receiver.pid}/status`, "utf8");
    receiver.kill();
    await drained;
    const rss = Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]);
    return { rate: (SENDERS * EACH) / seconds, rss };
  } finally {
    process.off("exit", kill);
    kill();
    await receiver.exited;
  }
}

/**
 * Measures both in turn, so many times.
 *
 * @throws {Error} if one does not compile or does not answer
 */
export async function measureNotify(rounds: number): Promise<NotifyRounds> {
  const folder = mkdtempSync(join(tmpdir(), "p7-bench-notify-"));
  const remove = removeAtExit(folder);
  try {
    const [flooder, sink] = [join(folder, "traffic"), join(folder, "sink")];
    await compile(join(import.meta.dir, "../test/notify/support/traffic.c"), flooder);
    await compile(join(import.meta.dir, "notify-sink.c"), sink);
    const daemon = join(folder, EXECUTABLES.notifyd);
    symlinkSync(await build("protocol7"), daemon);
    const measured: NotifyRounds = { ours: [], sink: [] };
    for (let round = 0; round < rounds; round++) {
      const socket = join(folder, `ours-${round}`);
      const own = ["--store", `${socket}-store`, "--state", `${socket}.json`, "--syslog", "/none"];
      const command = [daemon, "--socket", socket, ...own];
      measured.ours.push(await one(flooder, command, socket));
      const plain = join(folder, `sink-${round}`);
      measured.sink.push(await one(flooder, [sink, plain], plain));
    }
    return measured;
  } finally {
    await remove();
  }
}
