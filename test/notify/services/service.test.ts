/** Services in cgroups of their own: who may speak for one, and what becomes of what is said. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "../../support/until.ts";
import {
  cleanUp,
  later,
  newFolder,
  newName,
  newRoot,
  notifyd,
  python,
  Service,
  shown,
  shownOf,
  start,
  startWith,
} from "../support/world.ts";

setDefaultTimeout(60_000);
afterEach(cleanUp);

/** A daemon with a root of its own. */
async function world(env: Record<string, string> = {}) {
  const root = newRoot();
  const socket = join(newFolder(), "notify");
  const daemon = await startWith(env, socket, "--root", root);
  return { root, socket, daemon, one: (service: string) => find(daemon.state, service) };
}

const find = (state: string, service: string) =>
  shown(state).find((entry) => entry.service === service);

/** A rc-service that notes what it is asked for. */
function recordedRestarts() {
  const folder = newFolder();
  writeFileSync(join(folder, "rc-service"), `#!/bin/sh\necho "$@" >> ${folder}/calls\n`);
  chmodSync(join(folder, "rc-service"), 0o755);
  const calls = () =>
    existsSync(join(folder, "calls")) ? readFileSync(join(folder, "calls"), "utf8") : "";
  return { path: `${folder}:${process.env.PATH}`, calls };
}

describe("what a service says", () => {
  test("is shown under its name, and is there once a barrier is answered", async () => {
    const { root, socket, daemon, one } = await world();
    const service = new Service(root, newName());
    const main = await service.process(socket);
    service.notePid(main.pid);
    await main.tell(
      'send(b"READY=1\\nSTATUS=up\\nERRNO=2\\nBUSERROR=a.b\\nVARLINKERROR=a.b.C\\nEXIT_STATUS=3"); barrier()',
    );
    expect(one(service.name)).toMatchObject({
      service: service.name,
      pid: main.pid,
      state: "ready",
      status: "up",
      errno: 2,
      busError: "a.b",
      varlinkError: "a.b.C",
      exitStatus: 3,
      command: "python3",
      fds: 0,
    });
    expect(daemon.text()).toMatch(
      new RegExp(`warning: pid ${main.pid} uid 0 \\(python3\\) of ${service.name}: READY=1`),
    );
    await main.tell('send(b"RELOADING=1\\nMONOTONIC_USEC=77"); barrier()');
    expect(one(service.name)).toMatchObject({ state: "reloading", reloadBegan: 77 });
    await main.tell('send(b"READY=1\\nSTATUS="); barrier()');
    expect(one(service.name)).not.toHaveProperty("status");
    const { out } = notifyd("status", service.name, "--state", daemon.state);
    expect(out).toMatch(
      new RegExp(`\\n${service.name} +${main.pid} +ready +\\d{4}-.* - +0 +\\[errno 2`),
    );
    await main.tell('send(b"STOPPING=1"); send(b"READY=1"); barrier()');
    expect(one(service.name)?.state).toBe("stopping");
    await main.end();
    await shownOf(daemon.state, service.name, ({ state }) => state === "ended");
    expect(one(service.name)).not.toHaveProperty("pid");
  });

  test("is its main process's to say, unless the settings or NOTIFYACCESS say otherwise", async () => {
    const { root, socket, daemon, one } = await world();
    const service = new Service(root, newName());
    const main = await service.process(socket);
    service.notePid(main.pid);
    const other = await service.process(socket);
    await main.tell('send(b"STATUS=mine"); barrier()');
    await other.tell('send(b"STATUS=not mine"); barrier()');
    expect(one(service.name)?.status).toBe("mine");
    expect(daemon.text()).toContain(
      `not credited to ${service.name}: only its main process may speak for it (pid ${main.pid})`,
    );
    await main.tell('send(b"NOTIFYACCESS=all"); barrier()');
    await other.tell('send(b"STATUS=of another"); barrier()');
    expect(one(service.name)?.status).toBe("of another");
    await main.tell('send(b"NOTIFYACCESS=none"); send(b"STATUS=x"); barrier()');
    expect(one(service.name)?.status).toBe("of another");
    await main.end();

    service.settings("lainos_notify_access=all\n");
    const next = await service.process(socket);
    service.notePid(next.pid);
    await other.tell('send(b"STATUS=by settings"); barrier()');
    expect(one(service.name)).toMatchObject({ status: "by settings", pid: next.pid });
  });

  test("cannot be said from outside of it, not even with its name or as its user", async () => {
    const { root, socket, daemon, one } = await world();
    const service = new Service(root, newName(), "lainos_notify_access=all\n");
    const main = await service.process(socket);
    await main.tell('send(b"STATUS=mine"); barrier()');
    const { pid } = await python(
      socket,
      `open("/proc/self/comm", "w").write("supervise-daemo")
os.environ["RC_SVCNAME"] = "${service.name}"
send(b"STATUS=forged\\nREADY=1")
r, w = os.pipe(); send(b"BARRIER=1", [w]); os.close(w); select.select([r], [], [])`,
      ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"],
    );
    expect(one(service.name)).toMatchObject({ state: "starting", status: "mine" });
    await daemon.logged(`pid ${pid} uid 65534 (supervise-daemo): STATUS=forged READY=1`);
  });

  test("may name another main process: of its own, or anyone's if root says so", async () => {
    const { root, socket, daemon, one } = await world();
    const service = new Service(root, newName(), "lainos_notify_access=all\n");
    const first = await service.process(socket);
    service.notePid(first.pid);
    const second = await service.process(socket, [
      "setpriv",
      "--reuid=65534",
      "--regid=65534",
      "--clear-groups",
    ]);
    const outside = Bun.spawn(["sleep", "60"]);
    later(async () => {
      outside.kill();
      await outside.exited;
    });
    await first.tell('send(b"READY=1"); barrier()');
    for (const [pid, why] of [
      [outside.pid, `pid ${outside.pid} is not of ${service.name}`],
      [daemon.child.pid, "service manager"],
      [2 ** 22 + 1, "there is no pid"],
    ] as const) {
      await second.tell(`send(b"MAINPID=${pid}"); barrier()`);
      await daemon.logged(why);
      expect(one(service.name)?.pid).toBe(first.pid);
    }
    await second.tell(`send(b"MAINPID=%d" % os.getpid()); barrier()`);
    expect(one(service.name)).toMatchObject({ pid: second.pid, state: "ready" });
    await second.tell(`send(b"MAINPIDFD=1", [os.pidfd_open(${first.pid})]); barrier()`);
    expect(one(service.name)?.pid).toBe(first.pid);
    await second.tell('send(b"MAINPIDFD=1", [0]); barrier()');
    await daemon.logged("no pidfd of a process that is there");
    await first.tell(`send(b"MAINPID=${second.pid}\\nMAINPIDFDID=1"); barrier()`);
    await daemon.logged(`pid ${second.pid} is another process now`);
    const right = `os.fstat(os.pidfd_open(${second.pid})).st_ino`;
    await first.tell(`send(b"MAINPID=${second.pid}\\nMAINPIDFDID=%d" % ${right}); barrier()`);
    expect(one(service.name)?.pid).toBe(second.pid);
    await first.tell(`send(b"MAINPID=${outside.pid}"); barrier()`);
    expect(one(service.name)?.pid).toBe(outside.pid);
  });

  test("may come from its script, with exec", async () => {
    const { root, socket, daemon, one } = await world();
    const service = new Service(root, newName(), "lainos_notify_access=exec\n");
    const main = await service.process(socket);
    service.notePid(main.pid);
    const other = await service.process(socket);
    await other.tell('send(b"STATUS=other"); barrier()');
    await daemon.logged("only its main process and its script");
    // A script's shell is known by its name and by the path that it runs.
    const shell = join(newFolder(), "openrc-run.sh");
    writeFileSync(shell, '#!/bin/sh\n/usr/bin/systemd-notify --pid=self "STATUS=of $1"\nexit 0\n');
    chmodSync(shell, 0o755);
    const script = service.spawn([shell, join(root, "etc/init.d", service.name)], {
      NOTIFY_SOCKET: socket,
    });
    expect(await script.exited).toBe(0);
    expect(one(service.name)?.status).toBe(`of ${root}/etc/init.d/${service.name}`);
  });

  test("outlives a restart of the daemon, if its process does", async () => {
    const { root, socket, daemon, one } = await world();
    const [lives, dies] = [new Service(root, newName()), new Service(root, newName())];
    const processes = [await lives.process(socket), await dies.process(socket)];
    for (const [index, service] of [lives, dies].entries()) {
      service.notePid(processes[index]?.pid ?? 0);
      await processes[index]?.tell('send(b"READY=1\\nSTATUS=here"); barrier()');
    }
    expect(one(dies.name)?.state).toBe("ready");
    await daemon.stop("SIGKILL");
    await processes[1]?.end();
    const next = await start(socket, "--root", root, "--state", daemon.state);
    expect(find(daemon.state, lives.name)).toMatchObject({
      state: "ready",
      status: "here",
      pid: processes[0]?.pid,
    });
    expect(find(daemon.state, dies.name)).toMatchObject({ state: "ended", status: "here" });
    await next.stop();
    writeFileSync(daemon.state, "{");
    const third = await start(socket, "--root", root, "--state", daemon.state);
    expect(third.text()).toContain("is not what lainos-notifyd writes: starting without it");
    expect(third.text().trim().split("\n")).toHaveLength(2);
  });

  test("is forgotten some seconds after OpenRC has stopped it", async () => {
    const root = newRoot();
    const started = join(root, "run/openrc/started");
    mkdirSync(started, { recursive: true });
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket, "--root", root);
    const service = new Service(root, newName());
    writeFileSync(join(started, service.name), "");
    const main = await service.process(socket);
    service.notePid(main.pid);
    await main.tell('send(b"READY=1"); barrier()');
    rmSync(join(started, service.name));
    await main.end();
    await until(
      "it is forgotten",
      () => find(daemon.state, service.name),
      (entry) => entry === undefined,
    );
  });
});

describe("what happens while no daemon runs", () => {
  test("a service that was stopped meanwhile is forgotten", async () => {
    const root = newRoot();
    const started = join(root, "run/openrc/started");
    mkdirSync(started, { recursive: true });
    const socket = join(newFolder(), "notify");
    const daemon = await start(socket, "--root", root);
    const [gone, stays] = [new Service(root, newName()), new Service(root, newName())];
    for (const service of [gone, stays]) {
      writeFileSync(join(started, service.name), "");
      const main = await service.process(socket);
      service.notePid(main.pid);
      await main.tell('send(b"READY=1"); barrier()');
      if (service === gone) later(() => main.end());
    }
    await daemon.stop("SIGKILL");
    rmSync(join(started, gone.name));
    await start(socket, "--root", root, "--state", daemon.state);
    await until(
      "it is forgotten",
      () => shown(daemon.state).map(({ service }) => service),
      (names) => !names.includes(gone.name),
    );
    expect(find(daemon.state, stays.name)?.state).toBe("ready");
  });

  test("a restart that waited for its time is not forgotten", async () => {
    const { path, calls } = recordedRestarts();
    const { root, socket, daemon } = await world({ PATH: path });
    const service = new Service(root, newName(), "lainos_watchdog=restart\n");
    const main = await service.process(socket);
    service.notePid(main.pid);
    await main.tell('send(b"READY=1\\nWATCHDOG=trigger"); barrier()');
    await daemon.logged(`${service.name}: restarted`);
    await main.tell('send(b"WATCHDOG=trigger"); barrier()');
    await daemon.logged("it is restarted in 5 s");
    await main.tell('send(b"WATCHDOG=trigger"); barrier()');
    await daemon.logged(/its restart is due in [1-5] s already/);
    await daemon.stop("SIGKILL");
    const again = ["--root", root, "--state", daemon.state] as const;
    const next = await startWith({ PATH: path }, socket, ...again);
    await next.logged("it was to be restarted by the last daemon; it is restarted");
    await next.logged(`${service.name}: restarted`);
    expect(calls()).toBe(`${service.name} restart\n`.repeat(2));
  });
});

describe("a watchdog", () => {
  test("that is missed is said, and restarts the service if it is to", async () => {
    const { path, calls } = recordedRestarts();
    const { root, socket, daemon } = await world({ PATH: path });
    const quiet = new Service(root, newName());
    const restarted = new Service(root, newName(), "lainos_watchdog=restart\n");
    for (const [service, words] of [
      [quiet, 'send(b"WATCHDOG_USEC=100000"); send(b"WATCHDOG=1")'],
      [restarted, 'send(b"WATCHDOG_USEC=100000\\nREADY=1")'],
    ] as const) {
      const main = await service.process(socket);
      service.notePid(main.pid);
      await main.tell(`${words}; barrier()`);
      await daemon.logged(`${service.name}: watchdog: it was not heard of in time`);
      await shownOf(daemon.state, service.name, ({ watchdogMissed }) => watchdogMissed === true);
    }
    await daemon.logged(`${restarted.name}: restarted`);
    expect(calls()).toBe(`${restarted.name} restart\n`);
    expect(daemon.text()).toContain("lainos_watchdog=restart would restart it");
  });

  test("that is fed is quiet, WATCHDOG=trigger is obeyed, and the second restart waits", async () => {
    const { path, calls } = recordedRestarts();
    const { root, socket, daemon, one } = await world({ PATH: path });
    const service = new Service(
      root,
      newName(),
      "lainos_watchdog=restart\nlainos_watchdog_sec=3600\n",
    );
    const main = await service.process(socket);
    service.notePid(main.pid);
    await main.tell('send(b"READY=1"); send(b"WATCHDOG=1"); barrier()');
    expect(one(service.name)).toMatchObject({ watchdogUsec: 3_600_000_000 });
    expect(one(service.name)?.watchdogMissed).toBeUndefined();
    await main.tell('send(b"WATCHDOG=trigger"); barrier()');
    await daemon.logged(`${service.name}: restarted`);
    await main.tell('send(b"WATCHDOG=trigger"); barrier()');
    await daemon.logged(`it is restarted in 5 s`);
    expect(calls()).toBe(`${service.name} restart\n`);
    await main.tell('send(b"WATCHDOG=1"); barrier()');
    expect(one(service.name)?.watchdogMissed).toBe(false);
  });
});
