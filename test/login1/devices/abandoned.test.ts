/** What controls a session when its login ends without it: the real libseat, in the place of a compositor. */
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { readUntil } from "../../support/read-until.ts";
import { callManager, callSession, createSession } from "../support/client.ts";
import { takeableNull } from "../support/null-device.ts";
import { buildSeatClient } from "../support/probe.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const SESSION = "org.freedesktop.login1.Session";

let world: World;
let bus: Connection;
let folder: string;
let program: string;
const paused: unknown[] = [];

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-abandoned-"));
  // A shell of the user's starts it too.
  chmodSync(folder, 0o755);
  program = await buildSeatClient(folder);
  world = await World.create();
  await takeableNull(world);
  bus = await world.connect();
  const match = { sender: "org.freedesktop.login1", interface: SESSION, member: "PauseDevice" };
  await bus.onSignal(match, ([, , how]) => void paused.push(how));
});
afterAll(async () => {
  bus.close();
  await world.end();
  rmSync(folder, { recursive: true });
});
beforeEach(() => {
  paused.length = 0;
});
afterEach(() => world.reset(bus));

async function login() {
  const leader = await world.leader({ user: ALICE });
  const options = { uid: ALICE, leader: leader.pid, seat: "seat0", type: "tty" };
  return { leader, ...(await createSession(bus, options)) };
}

/** A compositor in a session, which has a device. */
async function compositor(id: string, ...before: string[]) {
  const inside = { user: ALICE, cgroup: scopeOf(ALICE, id) };
  const child = Bun.spawn(world.inside([...before, program], inside), {
    env: { ...process.env, LIBSEAT_BACKEND: "logind", XDG_SESSION_TYPE: "wayland" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "ignore",
  });
  child.stdin.write("open /dev/null\n");
  await readUntil(child.stdout, /opened\n/);
  expect(world.stateOf("sessions", id)).toMatchObject({ TYPE: "wayland", DEVICES: "1:3" });
  return child;
}

/** A process in a session that nothing has to do with the seat. */
async function job(id: string) {
  const child = Bun.spawn(
    world.inside(["sh", "-c", "echo up; exec cat"], { cgroup: scopeOf(ALICE, id) }),
    { stdin: "pipe", stdout: "pipe" },
  );
  await readUntil(child.stdout, /up\n/);
  return child;
}

const isFree = async (id: string) => {
  await world.until(
    "control is free",
    () => world.stateOf("sessions", id).CONTROLLER === undefined,
  );
  const { STATE, TYPE, DEVICES } = world.stateOf("sessions", id);
  expect([STATE, TYPE, DEVICES]).toEqual(["closing", "tty", undefined]);
};

/** A job that still does its work was sent nothing. */
const stillWorks = async ({ stdin, stdout }: Awaited<ReturnType<typeof job>>) => {
  stdin.write("work\n");
  stdin.end();
  expect(await readUntil(stdout, /work\n/)).toBe("work\n");
};

test("the leader's death ends the compositor, and nothing else of its session", async () => {
  const { id, path, fd, leader } = await login();
  const sway = await compositor(id);
  const work = await job(id);
  await endAll(leader);
  await sway.exited;
  expect(sway.signalCode).toBe("SIGTERM");
  await isFree(id);
  await expect(callSession(bus, path, "TakeControl", "b", [true])).rejects.toMatchObject({
    errorName: "org.freedesktop.DBus.Error.NotSupported",
  });
  await stillWorks(work);
  await world.gone(bus, id);
  close(fd);
});

test("so does the close of the descriptor that CreateSession gave", async () => {
  const { id, fd } = await login();
  const sway = await compositor(id);
  close(fd);
  await sway.exited;
  expect(sway.signalCode).toBe("SIGTERM");
  await isFree(id);
});

test("and the leader's end after it has released the session", async () => {
  const { id, fd, leader } = await login();
  const sway = await compositor(id);
  await callManager(bus, "ReleaseSession", "s", [id]);
  // It may have an end of its own to make: until the leader is gone nobody is asked to.
  expect(world.stateOf("sessions", id).CONTROLLER).not.toBeUndefined();
  await endAll(leader);
  await sway.exited;
  expect(sway.signalCode).toBe("SIGTERM");
  close(fd);
});

test("a compositor that does not end has neither the seat nor its devices", async () => {
  const { id, fd, leader } = await login();
  const sway = await compositor(id, "sh", "-c", "trap '' TERM; exec $0");
  await endAll(leader);
  await isFree(id);
  expect(sway.exitCode).toBeNull();
  const next = await login();
  await callSession(bus, next.path, "TakeControl", "b", [false]);
  expect(world.stateOf("seats", "seat0").ACTIVE).toBe(next.id);
  await endAll(sway);
  await world.gone(bus, id);
  for (const each of [fd, next.fd]) close(each);
});

test("a stopped one ends too", async () => {
  const { id, fd, leader } = await login();
  const sway = await compositor(id);
  sway.kill("SIGSTOP");
  await endAll(leader);
  await sway.exited;
  expect(sway.signalCode).toBe("SIGTERM");
  await world.gone(bus, id);
  close(fd);
});

test("a leader that died while the bridge was away is seen by the next one", async () => {
  const { id, fd, leader } = await login();
  const sway = await compositor(id);
  const work = await job(id);
  await world.endBridge("SIGKILL");
  await endAll(leader);
  expect(sway.signalCode).toBeNull();
  await world.startBridge();
  await sway.exited;
  expect(sway.signalCode).toBe("SIGTERM");
  await isFree(id);
  await stillWorks(work);
  await world.gone(bus, id);
  close(fd);
});

test("a controller outside of the session is told that its devices are gone, and runs on", async () => {
  const { id, fd, path, leader } = await login();
  const work = await job(id);
  await callSession(bus, path, "TakeControl", "b", [false]);
  const [device] = (await callSession(bus, path, "TakeDevice", "uu", [1, 3])) as [number];
  await endAll(leader);
  await isFree(id);
  await world.until("the news", () => paused.at(-1) === "gone");
  expect(await callManager(bus, "ListSessions")).toBeArray();
  await stillWorks(work);
  for (const each of [fd, device]) close(each);
});
