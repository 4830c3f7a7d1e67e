import { afterEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { runSession } from "../../lib/audio/index.ts";

const cleanups: (() => void)[] = [];
afterEach(() => {
  for (const clean of cleanups.splice(0)) clean();
});

/** A session whose jackdrc is this, with a JACK of its own name. */
function newSession(jackdrc: string) {
  const home = mkdtempSync(join(tmpdir(), "p7-jack-"));
  cleanups.push(() => rmSync(home, { recursive: true }));
  writeFileSync(join(home, ".jackdrc"), jackdrc);
  const name = `p7-${process.pid}`;
  const environment = {
    PATH: process.env.PATH ?? "",
    HOME: home,
    XDG_RUNTIME_DIR: home,
    DBUS_SESSION_BUS_ADDRESS: "none:",
    JACK_DEFAULT_SERVER: name,
  };
  const lines: string[] = [];
  const waiting: { text: string; resolve: () => void }[] = [];
  const say = (level: string) => (message: string) => {
    lines.push(`${level}: ${message}`);
    for (const { text, resolve } of waiting) if (message.includes(text)) resolve();
  };
  const log = {
    debug: say("debug"),
    info: say("info"),
    warning: say("warning"),
    error: say("error"),
  };
  const logged = (text: string) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    waiting.push({ text, resolve });
    return promise;
  };
  return {
    environment,
    lines,
    log,
    logged,
    socket: `/dev/shm/jack_${name}_${process.getuid?.()}_0`,
  };
}

test.skipIf(Bun.which("jackd") === null)(
  "a real jackd is started by its jackdrc in place of PipeWire, awaited, left alone, and ended",
  async () => {
    const name = `p7-${process.pid}`;
    const session = newSession(`jackd -r -n ${name}\n -d dummy\n`);
    const { environment, log, lines, socket } = session;
    const stop = new AbortController();
    const started = session.logged("started");
    const running = runSession({ log, environment, jack: true }, stop.signal);
    await started;
    expect(lines).toEqual([`info: jackd: started, ${socket} is there`]);
    if (Bun.which("jack_wait")) {
      const wait = Bun.spawnSync(["jack_wait", "-s", name, "-w", "-t", "10"], { env: environment });
      expect(wait.exitCode).toBe(0);
    }
    const second = newSession("jackd -d dummy");
    const idle = new AbortController();
    const options = { log: second.log, environment: second.environment, jack: true };
    expect(await runSession(options, idle.signal)).toBe(true);
    expect(second.lines).toEqual([`info: jackd: left alone, since ${socket} is there already`]);
    stop.abort();
    expect(await running).toBe(true);
    expect(existsSync(join(environment.XDG_RUNTIME_DIR, "pipewire-0"))).toBe(false);
  },
  60_000,
);

test("without jackd PipeWire is started, which is said", async () => {
  const { environment, log, lines } = newSession("/nowhere/jackd -d alsa\n");
  const empty = join(environment.HOME, "bin");
  mkdirSync(empty);
  const options = { log, environment: { ...environment, PATH: empty }, jack: true };
  expect(await runSession(options, new AbortController().signal)).toBe(true);
  expect(lines).toEqual([
    "warning: /nowhere/jackd is not installed, so PipeWire is started: with pipewire-jack, programs for JACK use that",
    "warning: pipewire is not installed, so it is not started",
    "warning: without pipewire there is no sound, and the others are not started",
  ]);
});
