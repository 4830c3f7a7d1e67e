/** Processes are not taken for earlier ones whose numbers they have. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { callManager, createSession, getProperty } from "../support/client.ts";
import { scopeOf, World } from "../support/world.ts";

const MALLORY = 65534;
const VICTIM = 1;
const PASSED = join(import.meta.dir, "../support/passed-connection.py");

let world: World;
let bus: Connection;
beforeAll(async () => {
  world = await World.create({ ownPids: true });
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});

/** The numbers inside of what the tests have started, and the descriptors of their sessions. */
const started: number[] = [];
const descriptors: number[] = [];
afterEach(async () => {
  await world.run(["kill", "-KILL", ...started.splice(0).map(String)]);
  for (const fd of descriptors.splice(0)) close(fd);
  await world.reset(bus);
});

/** A program inside, and its answers to what it is told, a line each. */
function start(command: string[], user?: number) {
  const child = Bun.spawn(world.inside(command, user === undefined ? {} : { user }), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = (async function* () {
    let rest = "";
    for await (const chunk of child.stdout) {
      const parts = (rest + Buffer.from(chunk).toString()).split("\n");
      rest = parts.pop() ?? "";
      yield* parts;
    }
  })();
  return {
    child,
    async line(): Promise<string> {
      const { value, done } = await lines.next();
      if (done) throw new Error(`${command[0]} has ended`);
      return value;
    },
    tell(text: string) {
      child.stdin.write(`${text}\n`);
      child.stdin.flush();
    },
  };
}

/** A shell inside whose child, a process that waits, has a number that was somebody else's. */
async function takeNumber(pid: number, user = 0): Promise<void> {
  // The kernel gives the next process the number after that of the last one.
  const script =
    "echo $(($1 - 1)) >/proc/sys/kernel/ns_last_pid; setpriv --reuid=$2 sleep infinity & echo $!; wait";
  const { line } = start(["sh", "-c", script, "sh", String(pid), String(user)]);
  expect(Number(await line())).toBe(pid);
  started.push(pid);
}

const isGone = (pid: number) =>
  world.until(`${pid} is free`, async () => {
    return (await world.run(["test", "-e", `/proc/${pid}`])).code !== 0;
  });

/** A leader that starts what outlives it, and then ends. */
const LEADER =
  "echo $$; read line; trap '' HUP; setsid sleep infinity </dev/null >/dev/null & read line";

async function newSession(uid: number, leader: number) {
  const made = await createSession(bus, { uid, leader });
  descriptors.push(made.fd);
  return made;
}

test("the number of a leader that is dead is free for the next login", async () => {
  const login = start(["sh", "-c", LEADER]);
  const pid = Number(await login.line());
  const first = await newSession(MALLORY, pid);
  login.tell("start it");
  login.tell("end");
  await login.child.exited;
  await isGone(pid);
  await world.until("the session is closing", async () => {
    return (await getProperty(bus, first.path, "Session", "State")) === "closing";
  });
  await takeNumber(pid);
  await expect(callManager(bus, "GetSessionByPID", "u", [pid])).rejects.toMatchObject({
    errorName: "org.freedesktop.login1.NoSessionForPID",
  });
  await expect(
    callManager(bus, "KillSession", "ssi", [first.id, "leader", 15]),
  ).rejects.toMatchObject({ errorName: "org.freedesktop.DBus.Error.UnixProcessIdUnknown" });
  const second = await newSession(VICTIM, pid);
  expect(second.id).not.toBe(first.id);
  expect(await callManager(bus, "GetSessionByPID", "u", [pid])).toEqual([second.path]);
  await callManager(bus, "TerminateSession", "s", [first.id]);
});

test("a connection is not in the session of a process that has its maker's number now", async () => {
  const client = start(["/usr/bin/python3", PASSED], MALLORY);
  const pid = Number(await client.line());
  expect(await client.line()).toBe(`error PID ${pid} does not belong to any known session`);
  const child = await client.line();
  await isGone(pid);
  await takeNumber(pid);
  const { path } = await newSession(VICTIM, pid);
  expect(await callManager(bus, "GetSessionByPID", "u", [pid])).toEqual([path]);
  await world.run(["kill", "-USR1", child]);
  expect(await client.line()).toBe("error PID 0 does not belong to any known session");
});

test("nor where the bridge asks for it only then", async () => {
  const client = start(["/usr/bin/python3", PASSED, "silent"], MALLORY);
  const pid = Number(await client.line());
  const child = await client.line();
  await isGone(pid);
  await takeNumber(pid, MALLORY);
  const { path } = await newSession(MALLORY, pid);
  expect(await callManager(bus, "GetSessionByPID", "u", [pid])).toEqual([path]);
  await world.run(["kill", "-USR1", child]);
  expect(await client.line()).toBe("error PID 0 does not belong to any known session");
});

test("a caller that is there is known by its pidfd, which does not stay open", async () => {
  const login = start(["sh", "-c", "echo $$; exec sleep infinity"]);
  const pid = Number(await login.line());
  started.push(pid);
  const { id } = await newSession(MALLORY, pid);
  const [bridge] = await bus.call({
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "GetConnectionUnixProcessID",
    signature: "s",
    body: ["org.freedesktop.login1"],
  });
  const open = async () =>
    (await world.run(["ls", `/proc/${bridge}/fd`])).stdout.split("\n").length;
  const cgroup = `${scopeOf(MALLORY, id)}/leader`;
  const ask = () =>
    world.run(["loginctl", "show-session", "self", "--property=Id"], { user: MALLORY, cgroup });
  const before = await open();
  for (let times = 0; times < 5; times++) {
    expect(await ask()).toMatchObject({ code: 0, stdout: `Id=${id}\n` });
  }
  // Those of an earlier test may go meanwhile.
  expect(await open()).toBeLessThanOrEqual(before);
});
