/** lainos-notifyd with a /run that takes nothing, without descriptors, with a slow helper, and killed anywhere. */
import { afterEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { close } from "../../lib/linux/index.ts";
import { fetchDescriptors } from "../../lib/notify/index.ts";
import { FAULTS, RunFolder, saying } from "../notify/support/run-folder.ts";
import {
  allGivenBack,
  cleanUp,
  compile,
  descriptorsOf,
  later,
  python,
  type Shown,
  shown,
  shownOf,
} from "../notify/support/world.ts";
import { until } from "../support/until.ts";

setDefaultTimeout(240_000);
afterEach(cleanUp);

const NOBODY = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

const linesWith = (log: string, text: string) =>
  log.split("\n").filter((line) => line.includes(text)).length;

/** The entry of a service in a state file that is there. */
const entryOf = (state: string, service: string): Shown | undefined =>
  shown(state).find((entry) => entry.service === service);

describe.each(FAULTS)("with /run %s", (fault) => {
  test("all is heard, kept, answered and handed back, and written when that is possible", async () => {
    const run = await RunFolder.make();
    const daemon = await run.start();
    const { name, main } = await run.service("lainos_fdstore_max=8\n");
    expect(await main.tell(saying("READY=1\\nSTATUS=before"))).toBe("1");
    run.break(fault);
    for (let count = 0; count < 5; count++) {
      expect(await main.tell(saying(`STATUS=number ${count}`))).toBe("1");
    }
    await main.tell('m = os.memfd_create("m"); send(b"FDSTORE=1\\nFDNAME=memory", [m])');
    expect(await main.tell(saying("RELOADING=1\\nMONOTONIC_USEC=5"))).toBe("1");
    const fetched = await fetchDescriptors({ service: name }, run.store);
    for (const { fd } of fetched) close(fd);
    expect(fetched.map((each) => each.name)).toEqual(["memory"]);
    // What was there is whole.
    expect(entryOf(run.state, name)).toMatchObject({ state: "ready", status: "before" });
    expect(linesWith(daemon.text(), "the state is not written")).toBe(1);
    run.mend();
    expect(await shownOf(run.state, name, ({ state }) => state === "reloading")).toMatchObject({
      pid: main.pid,
      status: "number 4",
      fds: 1,
    });
    await daemon.logged("the state is written again");
    expect(await daemon.stop()).toBe(0);
    expect(readdirSync(dirname(run.state))).toEqual(["state.json"]);
  });

  test("one that is killed is the same again, there or as soon as there is room", async () => {
    const run = await RunFolder.make();
    const first = await run.start();
    const { name, main } = await run.service();
    expect(await main.tell(saying("READY=1\\nSTATUS=before"))).toBe("1");
    run.break(fault);
    expect(await main.tell(saying("STATUS=not written"))).toBe("1");
    await first.stop("SIGKILL");
    const next = await run.start();
    await main.reconnect();
    expect(await main.tell(saying("WATCHDOG=1"))).toBe("1");
    const same = { state: "ready", status: "before", pid: main.pid };
    expect(entryOf(run.state, name)).toMatchObject(same);
    expect(await main.tell(saying("STATUS=after"))).toBe("1");
    run.mend();
    await shownOf(run.state, name, ({ status }) => status === "after");
    await main.end();
    await shownOf(run.state, name, ({ state }) => state === "ended");
    expect(await next.stop()).toBe(0);
  });

  test("it ends in good order", async () => {
    const run = await RunFolder.make();
    const daemon = await run.start();
    const { main } = await run.service();
    run.break(fault);
    expect(await main.tell(saying("READY=1"))).toBe("1");
    expect(await daemon.stop()).toBe(0);
  });
});

describe("without a free descriptor", () => {
  /** A daemon that may have so few that a crowd at the store's socket takes them all. */
  async function crowded() {
    const run = await RunFolder.make();
    const probe = await run.start();
    const base = descriptorsOf(probe.child.pid);
    await probe.stop();
    const limit = base + 12;
    const daemon = await run.start({ prefix: ["prlimit", `--nofile=${limit}:${limit}`] });
    const before = descriptorsOf(daemon.child.pid);
    const crowds: Bun.Subprocess<"pipe", "pipe", "inherit">[] = [];
    /** As many connections as a user may have, and more; they stay until `leave`. */
    const come = async () => {
      for (const uid of [65533, 65534]) {
        const program = `import socket, sys
held = [socket.socket(socket.AF_UNIX) for _ in range(32)]
for one in held: one.connect("${run.paths.store}")
print("here", flush=True)
sys.stdin.read()`;
        const user = ["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"];
        const words = [...run.inside, ...user, "/usr/bin/python3", "-c", program];
        const crowd = Bun.spawn(words, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
        later(async () => {
          crowd.kill("SIGKILL");
          await crowd.exited;
        });
        crowds.push(crowd);
        await crowd.stdout.getReader().read();
      }
      await daemon.logged("descriptor store: accept");
    };
    const leave = async () => {
      for (const crowd of crowds) crowd.kill("SIGKILL");
      await Promise.all(crowds.map(({ exited }) => exited));
    };
    return { run, daemon, before, come, leave };
  }

  test("words are heard and written, and ends are seen later; all is handed back", async () => {
    const { run, daemon, before, come, leave } = await crowded();
    const { name, main } = await run.service("lainos_fdstore_max=4\n");
    const other = await run.service("lainos_notify_access=all\n");
    await main.tell('m = os.memfd_create("m"); send(b"FDSTORE=1\\nFDNAME=memory\\nFDPOLL=0", [m])');
    expect(await main.tell(saying("STATUS=before"))).toBe("1");
    await come();
    expect(await main.tell(saying("READY=1\\nSTATUS=crowded"))).toBe("1");
    expect(entryOf(run.state, name)).toMatchObject({ state: "ready", status: "crowded", fds: 1 });
    // Its main process is new, and what watches it needs a descriptor.
    expect(await other.main.tell(saying("READY=1"))).toBe("1");
    expect(entryOf(run.state, other.name)).toMatchObject({ state: "ready", pid: other.main.pid });
    await daemon.logged("the end of a main process is not seen");
    const said = await python(run.socket, 'send(b"STATUS=of nobody"); print(barrier())');
    expect(said.out).toBe("1");
    const fetching = fetchDescriptors({ service: name }, run.store, 60_000);
    await leave();
    const fetched = await fetching;
    for (const { fd } of fetched) close(fd);
    expect(fetched.map((each) => each.name)).toEqual(["memory"]);
    await daemon.logged("the ends of main processes are seen again");
    await other.main.end();
    await shownOf(run.state, other.name, ({ state }) => state === "ended");
    expect(daemon.child.exitCode).toBeNull();
    expect(daemon.text()).not.toContain("was lost");
    expect(daemon.text()).not.toContain("callback failed");
    await main.end();
    await main.end();
    await shownOf(run.state, name, ({ state }) => state === "ended");
    // One is kept.
    await allGivenBack(daemon.child.pid, before + 1);
    expect(await daemon.stop()).toBe(0);
  });

  test("the store never takes more than half of what there may be", async () => {
    const run = await RunFolder.make();
    const daemon = await run.start({ prefix: ["prlimit", "--nofile=80:80"] });
    const { name, main } = await run.service("lainos_fdstore_max=4096\n");
    await main.tell("many = [os.open('/dev/null', 0) for _ in range(60)]");
    for (let at = 0; at < 60; at += 4) {
      expect(
        await main.tell(`send(b"FDSTORE=1", many[${at}:${at + 4}]); ${saying("STATUS=x")}`),
      ).toBe("1");
    }
    await daemon.logged("lainos_fdstore_max or the total is reached");
    expect(entryOf(run.state, name)?.fds).toBe(40);
    expect(daemon.text()).not.toContain("descriptors lost");
    expect(await main.tell(saying("READY=1"))).toBe("1");
    expect(entryOf(run.state, name)?.state).toBe("ready");
  });
});

describe("with what works outside of the sandbox", () => {
  const OUTSIDE = join(import.meta.dir, "../../files/usr/libexec/lainos/outside");
  /** The real one at the other end of two pipes, as the sandbox makes them. */
  const SETUP = `mkfifo /run/ask /run/answer
exec 6<>/run/ask 7<>/run/answer
{ "$0" services <&5 5<&- 6>&- 7>&- & } 5</run/ask >/run/answer
echo $! >/run/outside.pid
exec 6>/run/ask 7</run/answer
rm /run/ask /run/answer
exec "$@"`;

  async function outside() {
    const run = await RunFolder.make();
    const env = { LAINOS_OUTSIDE: "services:6:7" };
    const start = () => run.start({ env, prefix: ["sh", "-euc", SETUP, OUTSIDE] });
    const daemon = await start();
    const helper = () => Number(readFileSync(run.here("/run/outside.pid"), "utf8"));
    return { run, daemon, start, helper };
  }

  test("stopped, nobody waits for it twice, and its word counts when it goes on", async () => {
    const { run, daemon, helper } = await outside();
    const { name, main } = await run.service("", NOBODY);
    const other = await run.service();
    process.kill(helper(), "SIGSTOP");
    later(() => void process.kill(helper(), "SIGCONT"));
    // Of a user's process only the helper knows that it is the main one.
    expect(await main.tell(saying("STATUS=unknown", 60))).toBe("1");
    await daemon.logged("main processes are not known by their pid files");
    for (let count = 0; count < 20; count++) {
      expect(await main.tell(saying("STATUS=still unknown"))).toBe("1");
      expect(await other.main.tell(saying(`STATUS=${count}`))).toBe("1");
    }
    expect(entryOf(run.state, other.name)?.status).toBe("19");
    expect(entryOf(run.state, name)?.status).toBeUndefined();
    expect(linesWith(daemon.text(), "main processes are not known")).toBe(1);
    process.kill(helper(), "SIGCONT");
    await until(
      "its main process is known",
      async () => {
        expect(await main.tell(saying("READY=1"))).toBe("1");
        return entryOf(run.state, name);
      },
      (entry) => entry?.state === "ready" && entry.pid === main.pid,
    );
    await daemon.logged("pid files are looked at again");
    expect(await daemon.stop()).toBe(0);
  });

  test("ended, the daemon ends too, and the next one knows what it knew", async () => {
    const { run, daemon, start, helper } = await outside();
    const { name, main } = await run.service("", NOBODY);
    expect(await main.tell(saying("READY=1\\nSTATUS=here"))).toBe("1");
    process.kill(helper(), "SIGKILL");
    expect(await daemon.child.exited).toBe(1);
    await daemon.logged("what works outside of the sandbox has ended");
    const next = await start();
    await main.reconnect();
    expect(await main.tell(saying("WATCHDOG=1"))).toBe("1");
    expect(entryOf(run.state, name)).toMatchObject({
      state: "ready",
      status: "here",
      pid: main.pid,
    });
    expect(await next.stop()).toBe(0);
  });
});

describe.if(process.arch === "x64")("killed before any change of a file", () => {
  test("what a barrier has answered is there in the next run, and nothing is left lying", async () => {
    const killAt = await compile("kill-at.c");
    const points: string[] = [];
    let isThrough = false;
    for (let at = 1; !isThrough && at < 100; at++) {
      const run = await RunFolder.make();
      const { name, main } = await run.service();
      let confirmed = 0;
      let daemon: Awaited<ReturnType<RunFolder["start"]>> | undefined;
      try {
        // The folder of the lock, the sockets and the state.
        daemon = await run.start({ prefix: [killAt, `${at}`, "/run/"] });
        await main.reconnect();
        for (let count = 1; count <= 3; count++) {
          if ((await main.tell(saying(`READY=1\\nSTATUS=${count}`))) !== "1") break;
          confirmed = count;
        }
        isThrough = (await daemon.stop()) === 0;
      } catch (error) {
        // It was killed before it received.
        if (!String(error).includes("it has ended without receiving at")) throw error;
      }
      points.push(`${at}: ${confirmed}${isThrough ? ", to its end" : ""}`);
      const next = await run.start();
      await main.reconnect();
      const status = entryOf(run.state, name)?.status;
      expect({ at, status: Number(status ?? 0) >= confirmed }).toEqual({ at, status: true });
      expect(await main.tell(saying("READY=1\\nSTATUS=next"))).toBe("1");
      expect(entryOf(run.state, name)).toMatchObject({ status: "next", pid: main.pid });
      expect({ at, names: readdirSync(dirname(run.state)) }).toEqual({ at, names: ["state.json"] });
      expect(await next.stop()).toBe(0);
      await main.end();
    }
    console.log(`killed at: ${points.join("; ")}`);
    expect(isThrough).toBe(true);
    // At least: lock, sockets, and a state file that is made, filled and put in its place three times.
    expect(points.length).toBeGreaterThan(12);
  });
});

describe("what OpenRC has noted is damaged", () => {
  /** What may be in the place of a file; $1 is the place. */
  const PLACES: readonly (readonly [what: string, script: string])[] = [
    ["a folder", 'mkdir "$1"'],
    ["a link in a circle", 'ln -s "$1" "$1"'],
    ["a fifo", 'mkfifo "$1"'],
    ["a device without an end", 'mknod "$1" c 1 5'],
    ["noise", 'head -c 3000 /dev/urandom >"$1"'],
    ["nothing in it", ': >"$1"'],
    ["the pid of another service", 'echo "$2" >"$1"'],
    ["a pid that nobody has", 'echo 4194303 >"$1"'],
    ["no pid", 'echo -1 >"$1"'],
    ["too large a pid", 'echo 99999999999999999999 >"$1"'],
    ["a file without an end", 'head -c 200000 /dev/zero >"$1"'],
    ["nothing there", ":"],
  ];

  test.each(PLACES)("%s: nobody waits, and nobody speaks for another", async (_what, script) => {
    const run = await RunFolder.make();
    const daemon = await run.start();
    const other = await run.service();
    const { name, main } = await run.service();
    const user = await run.service("", NOBODY);
    const damage = (path: string) =>
      run.run(`set -- ${path} ${other.main.pid}; rm -rf "$1"; ${script}`);
    for (const path of [
      `/run/${name}.pid`,
      `/run/${user.name}.pid`,
      `/run/openrc/daemons/${other.name}/001`,
      `/etc/conf.d/${name}`,
    ]) {
      damage(path);
    }
    // Root's processes in a service are taken for it, where no main process is known.
    expect(await main.tell(saying("READY=1\\nSTATUS=mine"))).toBe("1");
    expect(await other.main.tell(saying("READY=1\\nSTATUS=other"))).toBe("1");
    expect(await user.main.tell(saying("READY=1\\nSTATUS=of a user"))).toBe("1");
    expect(entryOf(run.state, name)).toMatchObject({ state: "ready", status: "mine" });
    expect(entryOf(run.state, other.name)).toMatchObject({ state: "ready", status: "other" });
    expect(entryOf(run.state, user.name)?.status).toBeUndefined();
    expect(daemon.text()).not.toContain("was lost");
    expect(await daemon.stop()).toBe(0);
  });

  test("the daemons' folder is a file, or gone", async () => {
    const run = await RunFolder.make();
    const daemon = await run.start();
    const { name, main } = await run.service();
    run.run(`rm -rf /run/openrc/daemons; : >/run/openrc/daemons; rm -rf /run/openrc/started`);
    expect(await main.tell(saying("READY=1"))).toBe("1");
    expect(entryOf(run.state, name)?.state).toBe("ready");
    expect(await daemon.stop()).toBe(0);
  });

  test("settings that cannot be read any more stay what they were", async () => {
    const run = await RunFolder.make();
    const daemon = await run.start();
    const { service, name, main } = await run.service("lainos_fdstore_max=3\n");
    await main.tell('m = os.memfd_create("m")');
    expect(await main.tell(`send(b"FDSTORE=1", [m]); ${saying("READY=1")}`)).toBe("1");
    run.run(`rm /etc/conf.d/${name}; mkdir /etc/conf.d/${name}`);
    await main.end();
    const next = await service.process(run.paths.socket, run.inside);
    service.notePid(next.pid);
    await next.tell('n = os.memfd_create("n")');
    expect(await next.tell(`send(b"FDSTORE=1", [n]); ${saying("READY=1")}`)).toBe("1");
    expect(entryOf(run.state, name)?.fds).toBe(2);
    await daemon.logged("is no plain file: what it said before holds");
  });
});

test("the state file's folder may be gone: it is made again", async () => {
  const run = await RunFolder.make();
  const daemon = await run.start();
  const { name, main } = await run.service();
  run.run("umount /run/lainos/notify; rm -r /run/lainos/notify");
  expect(await main.tell(saying("READY=1"))).toBe("1");
  expect(entryOf(run.state, name)?.state).toBe("ready");
  expect(await daemon.stop()).toBe(0);
});

test("what stands in the way of the state file is named once, and nothing is lost by it", async () => {
  const run = await RunFolder.make();
  mkdirSync(run.state);
  writeFileSync(join(run.state, "x"), "");
  const daemon = await run.start();
  const { name, main } = await run.service();
  for (const state of ["READY=1", "STATUS=one", "STATUS=two"]) {
    expect(await main.tell(saying(state))).toBe("1");
  }
  expect(linesWith(daemon.text(), "the state is not written")).toBe(1);
  run.run(`rm -r ${run.paths.state}`);
  await daemon.logged("the state is written again");
  expect(await shownOf(run.state, name, ({ state }) => state === "ready")).toMatchObject({
    status: "two",
  });
});
