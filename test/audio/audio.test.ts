import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { restoreCards, runSession, soundCards } from "../../lib/audio/index.ts";
import { answers, untilAnswers } from "../../lib/audio/wait.ts";
import { close, listenStream } from "../../lib/linux/index.ts";
import { quietFor } from "../support/until.ts";

// Each test starts several processes, which takes its time on a busy machine.
setDefaultTimeout(60_000);

const COMMAND = join(import.meta.dir, "../../cmd/audio-init.ts");

const cleanups: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const clean of cleanups.splice(0).reverse()) await clean();
});

function newFolder(): string {
  const path = mkdtempSync(join(tmpdir(), "p7-audio-"));
  cleanups.push(() => rmSync(path, { recursive: true }));
  return path;
}

function script(path: string, text: string): string {
  writeFileSync(path, text);
  chmodSync(path, 0o755);
  return path;
}

/** A log that keeps its lines. */
function newLog() {
  const lines: string[] = [];
  const at = (level: string) => (message: string) => lines.push(`${level}: ${message}`);
  return {
    lines,
    log: { debug: at("debug"), info: at("info"), warning: at("warning"), error: at("error") },
  };
}

/** The processes that have this runtime folder in their environment. */
function processesOf(runtime: string): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => {
      try {
        return readFileSync(`/proc/${pid}/environ`, "utf8").includes(
          `XDG_RUNTIME_DIR=${runtime}\0`,
        );
      } catch {
        return false; // ended meanwhile
      }
    })
    .map(Number);
}

/** A private runtime folder with a private session bus in it. */
async function newSession() {
  const runtime = newFolder();
  const address = `unix:path=${runtime}/bus`;
  const config = join(runtime, "bus.conf");
  writeFileSync(
    config,
    `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>session</type><listen>${address}</listen>
<policy context="default"><allow send_destination="*"/><allow eavesdrop="true"/><allow own="*"/></policy>
</busconfig>`,
  );
  const bus = Bun.spawn(["dbus-daemon", `--config-file=${config}`, "--nofork", "--print-address"], {
    stdout: "pipe",
    stderr: "ignore",
  });
  await bus.stdout.getReader().read();
  cleanups.push(async () => {
    bus.kill();
    await bus.exited;
  });
  const environment = {
    PATH: process.env.PATH ?? "",
    HOME: runtime,
    LANG: "C",
    XDG_RUNTIME_DIR: runtime,
    DBUS_SESSION_BUS_ADDRESS: address,
  };
  return { runtime, environment };
}

/** Starts lainos-audio-init in a session. */
function start(environment: Record<string, string>, ...args: string[]) {
  const child = Bun.spawn(["bun", COMMAND, ...args], {
    env: environment,
    stdout: "ignore",
    stderr: "pipe",
  });
  cleanups.push(async () => {
    child.kill("SIGTERM");
    await child.exited;
  });
  let text = "";
  const waiting = new Set<() => void>();
  const read = (async () => {
    const decoder = new TextDecoder();
    for await (const chunk of child.stderr) {
      text += decoder.decode(chunk, { stream: true });
      for (const look of waiting) look();
    }
  })();
  const logged = (wanted: RegExp) => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const look = () => {
      if (!wanted.test(text)) return;
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
    look();
    return promise;
  };
  const ended = async () => {
    await Promise.all([child.exited, read]);
    return child.exitCode;
  };
  /** Its own lines, without those of the servers, which may be in the middle of one. */
  const lines = () => text.match(/lainos-audio-init: .*/g) ?? [];
  return { child, logged, ended, lines };
}

/** A PATH with nothing but bun and these. */
function pathOf(...programs: string[]): string {
  const folder = join(newFolder(), "bin");
  mkdirSync(folder);
  for (const program of ["bun", ...programs]) {
    const path = Bun.which(program);
    if (path === null) throw new Error(`${program} is not installed`);
    symlinkSync(path, join(folder, program));
  }
  return folder;
}

describe("sound cards", () => {
  const procAsound = (text: string) => {
    const folder = newFolder();
    writeFileSync(join(folder, "cards"), text);
    return folder;
  };
  const TWO = ` 0 [PCH            ]: HDA-Intel - HDA Intel PCH
                      HDA Intel PCH at 0xf7d10000 irq 32
12 [Dummy Card     ]: Dummy - Dummy
                      Dummy 1
`;

  test("are read from the kernel's list", () => {
    expect(soundCards(procAsound(TWO))).toEqual([
      { number: 0, id: "PCH" },
      { number: 12, id: "Dummy Card" },
    ]);
    expect(soundCards(procAsound("--- no soundcards ---\n"))).toEqual([]);
    expect(soundCards("/nowhere/asound")).toEqual([]);
  });

  test("none, and no alsactl, are no errors", async () => {
    const { log, lines } = newLog();
    expect(await restoreCards({ log, procAsound: "/nowhere", alsactl: null })).toBe(true);
    expect(await restoreCards({ log, procAsound: procAsound(TWO), alsactl: null })).toBe(true);
    expect(lines).toEqual([
      "info: no sound card, so nothing to restore",
      "warning: alsactl is not installed (package alsa-utils): the mixers stay as they are",
    ]);
  });

  test("each is restored by itself; one that fails is named and the next comes all the same", async () => {
    const folder = newFolder();
    const alsactl = script(
      join(folder, "alsactl"),
      `#!/bin/sh
echo "$@" >> ${folder}/calls
case $2 in 0) echo first >&2; echo broken >&2; exit 3 ;; 12) exit 99 ;; esac
`,
    );
    const { log, lines } = newLog();
    const cards = procAsound(`${TWO} 3 [HDMI           ]: HDA-Intel - HDMI\n`);
    const stateFile = join(folder, "asound.state");
    writeFileSync(stateFile, "state.HDMI {\n\tcontrol.1 {\n\t}\n}\nstate.PCH {\n}\n");
    expect(await restoreCards({ log, procAsound: cards, alsactl, stateFile })).toBe(false);
    expect(readFileSync(join(folder, "calls"), "utf8")).toBe("restore 0\nrestore 12\nrestore 3\n");
    expect(lines).toEqual([
      "error: card 0 (PCH): alsactl restore ended with status 3: broken",
      "info: card 12 (Dummy Card): nothing was stored for it, so it begins at moderate levels",
      expect.stringMatching(/^warning: card 12: amixer scontents: .+/),
      "info: card 3 (HDMI): restored",
    ]);
  });

  test("the real alsactl says why it cannot restore a card that is gone", async () => {
    const { log, lines } = newLog();
    const cards = procAsound("30 [Gone           ]: USB-Audio - Gone\n");
    expect(await restoreCards({ log, procAsound: cards })).toBe(false);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(/^error: card 30 \(Gone\): alsactl restore ended with status \d+: .+/);
  });

  test("--system touches the cards alone", async () => {
    const { runtime, environment } = await newSession();
    // Without alsactl, so that the mixers of the machine that tests stay as they are.
    const system = start({ ...environment, PATH: pathOf("pipewire") }, "--system");
    expect(await system.ended()).toBe(0);
    expect(system.lines()).toHaveLength(1);
    expect(system.lines()[0]).toMatch(/no sound card|alsactl is not installed/);
    expect(existsSync(join(runtime, "pipewire-0"))).toBe(false);
  });
});

describe("the sound servers of a session", () => {
  test("are started and awaited in order, left alone by a second one, and ended by SIGTERM", async () => {
    const { runtime, environment } = await newSession();
    const first = start(environment, "--session");
    await first.logged(/pipewire-pulse: started/);
    expect(first.lines()).toEqual([
      `lainos-audio-init: pipewire: started, ${runtime}/pipewire-0 is there`,
      "lainos-audio-init: wireplumber: started, a session manager in PipeWire is there",
      `lainos-audio-init: pipewire-pulse: started, ${runtime}/pulse/native is there`,
    ]);
    const info = Bun.spawnSync(["pw-cli", "ls", "PipeWire:Interface:Client"], { env: environment });
    expect(info.stdout.toString()).toContain("WirePlumber");
    expect(answers(join(runtime, "pulse/native"))).toBe(true);

    const second = start(environment, "--session");
    expect(await second.ended()).toBe(0);
    expect(second.lines().map((line) => /: (\S+): left alone/.exec(line)?.[1])).toEqual([
      "pipewire",
      "wireplumber",
      "pipewire-pulse",
    ]);
    expect(answers(join(runtime, "pipewire-0"))).toBe(true);

    first.child.kill("SIGTERM");
    expect(await first.ended()).toBe(0);
    expect(answers(join(runtime, "pipewire-0"))).toBe(false);
    // What is left is the bus, which the cleaning up ends.
    expect(processesOf(runtime)).toEqual([]);
  });

  test("one that dies is started again, and with pipewire its clients, over its dead socket", async () => {
    const { runtime, environment } = await newSession();
    const first = start(environment, "--session");
    await first.logged(/pipewire-pulse: started/);
    const pidOf = (program: string) =>
      processesOf(runtime).find((pid) => readlinkSync(`/proc/${pid}/exe`).endsWith(`/${program}`));
    const before = { pipewire: pidOf("pipewire"), wireplumber: pidOf("wireplumber") };
    process.kill(before.wireplumber ?? 0, "SIGKILL");
    await first.logged(/(wireplumber: started[\s\S]*){2}/);
    expect(pidOf("pipewire")).toBe(before.pipewire as number);
    expect(pidOf("wireplumber")).not.toBe(before.wireplumber as number);

    process.kill(before.pipewire ?? 0, "SIGKILL");
    await first.logged(/(pipewire-pulse: started[\s\S]*){2}/);
    expect(first.lines().join("\n")).toContain("error: pipewire ended with SIGKILL");
    expect(first.lines().slice(-3)).toEqual([
      `lainos-audio-init: pipewire: started, ${runtime}/pipewire-0 is there`,
      "lainos-audio-init: wireplumber: started, a session manager in PipeWire is there",
      `lainos-audio-init: pipewire-pulse: started, ${runtime}/pulse/native is there`,
    ]);
    first.child.kill("SIGINT");
    expect(await first.ended()).toBe(0);
    expect(processesOf(runtime)).toEqual([]);
  });

  test("what is not installed is named, and what is runs", async () => {
    const { environment } = await newSession();
    const nothing = start({ ...environment, PATH: pathOf() }, "--session");
    expect(await nothing.ended()).toBe(0);
    expect(nothing.lines()[0]).toBe(
      "lainos-audio-init: warning: pipewire is not installed, so it is not started",
    );
    expect(nothing.lines()).toHaveLength(2);

    const some = start({ ...environment, PATH: pathOf("pipewire") }, "--session");
    await some.logged(/pipewire-pulse is not installed/);
    expect(some.lines().join("\n")).toMatch(
      /pipewire: started.*\n.*warning: wireplumber is not installed.*\n.*warning: pipewire-pulse is not/,
    );
    some.child.kill();
    expect(await some.ended()).toBe(0);
  });

  test("without a session bus they run, and a warning says what is missing", async () => {
    const runtime = newFolder();
    const environment = { PATH: process.env.PATH ?? "", HOME: runtime, XDG_RUNTIME_DIR: runtime };
    const session = start(environment, "--session");
    await session.logged(/pipewire-pulse: started/);
    const lines = session.lines().join("\n");
    expect(lines).toContain("warning: there is no session bus");
    expect(lines).toContain("wireplumber: started, a session manager in PipeWire is there");
    session.child.kill();
    expect(await session.ended()).toBe(0);
  });

  test("one that always ends is named and given up, and the others run", async () => {
    const { environment } = await newSession();
    const folder = newFolder();
    script(join(folder, "wireplumber"), "#!/bin/sh\nexit 70\n");
    const PATH = `${folder}:${environment.PATH}`;
    const session = start({ ...environment, PATH }, "--session");
    await session.logged(/wireplumber was started again 5 times within a minute, so no more/);
    const lines = session.lines().join("\n");
    expect(lines).toContain("pipewire-pulse: started");
    expect(lines.match(/error: wireplumber ended with/g)).toHaveLength(6);
    expect(lines).toContain("a session manager in PipeWire did not come: it ended before that");
    session.child.kill();
    expect(await session.ended()).toBe(1);
  });

  test("needs a runtime folder and one mode", async () => {
    const { environment } = await newSession();
    const { XDG_RUNTIME_DIR: _, ...without } = environment;
    const unset = start(without, "--session");
    expect(await unset.ended()).toBe(1);
    expect(unset.lines()[0]).toContain("XDG_RUNTIME_DIR is not set");
    const missing = start({ ...environment, XDG_RUNTIME_DIR: "/nowhere" }, "--session");
    expect(await missing.ended()).toBe(1);
    expect(missing.lines()[0]).toContain("XDG_RUNTIME_DIR /nowhere: must be a folder");
    expect(await start(environment, "--session", "--system").ended()).toBe(2);
    expect(await start(environment, "--jack", "--system").ended()).toBe(2);
  });
});

describe("servers that misbehave", () => {
  /** Runs a session in which `pipewire` is this Python program, which has `path`. */
  async function withPipewire(program: string, stop = new AbortController()) {
    const folder = newFolder();
    script(
      join(folder, "pipewire"),
      `#!/usr/bin/python3
import os, signal, socket, sys, time
path = ${JSON.stringify(join(folder, "pipewire-0"))}
${program}
`,
    );
    const { log, lines } = newLog();
    const environment = {
      PATH: folder,
      XDG_RUNTIME_DIR: folder,
      DBUS_SESSION_BUS_ADDRESS: "none:",
    };
    const rules = { patience: 1500, grace: 300, delay: 20 };
    const options = { log, environment, rules };
    return { folder, lines, good: await runSession(options, stop.signal) };
  }

  test("one that ends at once is named, and given up after five restarts", async () => {
    const { good, lines } = await withPipewire("sys.exit(3)");
    expect(good).toBe(false);
    expect(lines.join("\n")).toContain("pipewire-0 did not come: it ended before that");
    expect(lines.filter((line) => line === "error: pipewire ended with status 3")).toHaveLength(6);
    expect(lines.at(-1)).toStartWith("error: pipewire was started again 5 times within a minute");
  });

  test("one that never opens its socket is named after the wait, and ended", async () => {
    const { folder, good, lines } = await withPipewire(
      `open(path + ".pid", "w").write(str(os.getpid())); time.sleep(60)`,
    );
    expect(good).toBe(false);
    expect(lines.join("\n")).toContain("pipewire-0 did not come: not within 1.5 s");
    const pid = Number(readFileSync(join(folder, "pipewire-0.pid"), "utf8"));
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  test("one that ignores SIGTERM is killed after its time of grace", async () => {
    const stop = new AbortController();
    const { folder, good, lines } = await withPipewire(
      `signal.signal(signal.SIGTERM, signal.SIG_IGN)
s = socket.socket(socket.AF_UNIX); s.bind(path); time.sleep(0.1); s.listen()
open(path + ".pid", "w").write(str(os.getpid()))
time.sleep(0.5); os.kill(os.getppid(), signal.SIGUSR2); time.sleep(60)`,
      stopOn("SIGUSR2", stop),
    );
    expect(lines[0]).toBe(`info: pipewire: started, ${folder}/pipewire-0 is there`);
    expect(lines).toContain("warning: pipewire did not end within 0.3 s, so it is killed");
    expect(good).toBe(true);
    const pid = Number(readFileSync(join(folder, "pipewire-0.pid"), "utf8"));
    expect(existsSync(`/proc/${pid}`)).toBe(false);
  });

  function stopOn(signal: NodeJS.Signals, stop: AbortController): AbortController {
    const abort = () => stop.abort();
    process.on(signal, abort);
    cleanups.push(() => void process.off(signal, abort));
    return stop;
  }
});

describe("untilAnswers", () => {
  test("sees a socket that comes later, and no file of that name", async () => {
    const folder = newFolder();
    const socket = join(folder, "socket");
    let there = false;
    const waiting = untilAnswers(socket, AbortSignal.timeout(5000)).then(() => {
      there = true;
    });
    writeFileSync(join(folder, "other"), "");
    await quietFor(50, "another file is taken for the socket");
    expect(there).toBe(false);
    const fd = listenStream(socket);
    await waiting;
    close(fd);
    expect(answers(socket)).toBe(false);
  });

  test("gives up when told to", async () => {
    const socket = join(newFolder(), "socket");
    const reason = new Error("enough");
    const stop = new AbortController();
    const waiting = untilAnswers(socket, stop.signal);
    stop.abort(reason);
    await expect(waiting).rejects.toBe(reason);
    await expect(untilAnswers(socket, AbortSignal.abort(reason))).rejects.toBe(reason);
  });
});
