/** Programs that speak sd_notify(3), unchanged. */
import { afterEach, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { syslogSink } from "../../lib/cli/index.ts";
import { until } from "../support/until.ts";
import {
  cleanUp,
  compile,
  later,
  newFolder,
  newName,
  newRoot,
  Service,
  type Shown,
  shownOf,
  start,
} from "./support/world.ts";

setDefaultTimeout(60_000);
afterEach(cleanUp);

async function world(settings = "lainos_notify_access=all\nlainos_fdstore_max=8\n") {
  const root = newRoot();
  const folder = newFolder();
  const socket = join(folder, "notify");
  const daemon = await start(socket, "--root", root, "--verbose");
  const service = new Service(root, newName(), settings);
  /** Starts a command in the service's cgroup: a shell waits there for a line first. */
  const run = (command: string[], env: Record<string, string> = {}) => {
    const child = service.spawn(["sh", "-c", 'read go; exec "$@"', "sh", ...command], {
      NOTIFY_SOCKET: socket,
      ...env,
    });
    service.notePid(child.pid);
    child.stdin.write("\n");
    child.stdin.end();
    later(async () => {
      child.kill("SIGKILL");
      await child.exited;
    });
    return child;
  };
  /** Waits until what is known of it is as it should be. */
  const known = (isSo: (entry: Shown) => boolean) => shownOf(daemon.state, service.name, isSo);
  return { folder, daemon, run, known };
}

test("libsystemd's functions all work", async () => {
  const { daemon, run, known } = await world();
  const program = await compile("sd-notify.c", "-lsystemd");
  const other = Bun.spawn(["sleep", "60"]);
  later(async () => {
    other.kill();
    await other.exited;
  });
  const child = run([program, `${other.pid}`]);
  expect((await child.stdout.text()).trim()).toMatch(/^1 1 1 1 1 (1|lacking 1)$/);
  await daemon.logged(`pid ${other.pid} uid 0 (sleep): STATUS=in another's name`);
  expect(await known(({ fds }) => fds === 2)).toMatchObject({ status: "number 7" });
});

test("systemd-notify speaks for the script that calls it", async () => {
  const { run, known } = await world("");
  const script = "systemd-notify --ready --status='a script' && sleep 60";
  const child = run(["sh", "-c", `${script}; true`]);
  expect(await known(({ state }) => state === "ready")).toMatchObject({
    status: "a script",
    pid: child.pid,
  });
});

test("a Python service as in sd_notify(3) is heard", async () => {
  const { folder, run, known } = await world("");
  const path = join(folder, "service.py");
  // By the page's example, in our own words: notify READY and RELOADING with the monotonic time.
  writeFileSync(
    path,
    `import os, signal, socket, time
def notify(text):
    path = os.environ.get("NOTIFY_SOCKET")
    if not path: return
    if path[0] == "@": path = "\\0" + path[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as s:
        s.connect(path)
        s.sendall(text)
def reload(*_):
    notify(b"RELOADING=1\\nMONOTONIC_USEC=%d" % (time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000))
signal.signal(signal.SIGHUP, reload)
notify(b"READY=1")
while True: signal.pause()
`,
  );
  const child = run(["/usr/bin/python3", path]);
  await known(({ state }) => state === "ready");
  child.kill("SIGHUP");
  const { reloadBegan } = await known(({ state }) => state === "reloading");
  expect(reloadBegan).toBeGreaterThan(1_000_000);
});

test("dbus-daemon says when it is ready", async () => {
  const { folder, run, known } = await world("");
  const address = `unix:path=${join(folder, "bus")}`;
  run(["dbus-daemon", "--session", "--nofork", "--nopidfile", `--address=${address}`]);
  expect(await known(({ state }) => state === "ready")).toMatchObject({ command: "dbus-daemon" });
});

test.skipIf(!Bun.which("syslog-ng"))("syslog-ng says so too, and takes our lines", async () => {
  const { folder, daemon, run, known } = await world("");
  const config = join(folder, "syslog-ng.conf");
  const [log, out] = [join(folder, "log"), join(folder, "out")];
  const form = "$FACILITY $LEVEL $PROGRAM $PID $MSG\\n";
  writeFileSync(
    config,
    `@version: 3.38
source s { unix-dgram("${log}"); };
destination d { file("${out}" template("${form}")); };
log { source(s); destination(d); };
`,
  );
  const own = ["persist-file", "pidfile", "control"].flatMap((name) => [
    `--${name}`,
    join(folder, name),
  ]);
  // It speaks only where systemd's folder is.
  const booted = 'mount -t tmpfs run /run && mkdir -p /run/systemd/system && exec "$@"';
  const apart = ["unshare", "--mount", "sh", "-c", booted, "sh"];
  run([
    ...apart,
    "syslog-ng",
    "--foreground",
    "--no-caps",
    "--stderr",
    "--cfgfile",
    config,
    ...own,
  ]);
  expect(await known(({ state }) => state === "ready")).toMatchObject({
    // Newer ones name their main thread.
    command: expect.stringMatching(/^syslog-ng(-main)?$/),
  });
  const give = syslogSink("a-daemon", log);
  await until("syslog-ng takes a line", () => give("warning", "a line"));
  const written = await until("it is written", () =>
    existsSync(out) ? readFileSync(out, "utf8") : "",
  );
  expect(written).toBe(`daemon warning a-daemon ${process.pid} a line\n`);
  expect(await daemon.stop()).toBe(0);
});
