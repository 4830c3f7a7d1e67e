/** What is kept of strangers, and what is answered to them, has a length. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Connection } from "../../lib/dbus/index.ts";
import { cgroupRoot, close } from "../../lib/linux/index.ts";
import { callManager, callObject, createSession } from "./support/client.ts";
import { World } from "./support/world.ts";

const INVALID = "org.freedesktop.DBus.Error.InvalidArgs";
const LIMIT = "org.freedesktop.DBus.Error.LimitsExceeded";

const PYTHON = "/usr/bin/python3";

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
});
afterEach(() => world.reset(bus));
afterAll(async () => {
  bus.close();
  await world.end();
});

const inhibit = (who: string, why: string) =>
  callManager(bus, "Inhibit", "ssss", ["idle", who, why, "block"]);
const refused = (call: Promise<unknown>, errorName: string) =>
  expect(call).rejects.toMatchObject({ errorName });

test("an inhibitor's texts end at 255 and 1024 bytes of UTF-8", async () => {
  const [fd] = await inhibit("w".repeat(255), "y".repeat(1024));
  await refused(inhibit("w".repeat(256), ""), INVALID);
  await refused(inhibit("w", "y".repeat(1025)), INVALID);
  await refused(inhibit("ü".repeat(128), ""), INVALID);
  const [list] = await callManager(bus, "ListInhibitors");
  expect(list).toHaveLength(1);
  close(fd as number);
});

test("a user's inhibitors have 256 KiB of text together, and root's have no such limit", async () => {
  const python = `import socket,sys
from ctypes import *
lib=CDLL("libsystemd.so.0")
bus=c_void_p(); lib.sd_bus_open_system(byref(bus))
why=b"y"*1024; done=0; held=[]
for i in range(300):
    reply=c_void_p(); error=(c_char*64)()
    r=lib.sd_bus_call_method(bus,b"org.freedesktop.login1",b"/org/freedesktop/login1",b"org.freedesktop.login1.Manager",b"Inhibit",byref(error),byref(reply),b"ssss",b"idle",b"w",why,b"block")
    if r<0: break
    done+=1; held.append(reply)
print(done)`;
  const script = ["/usr/bin/python3", "-c", python];
  expect((await world.run(script, { user: 65534 })).stdout).toBe("255\n");
  expect((await world.run(script)).stdout).toBe("300\n");
  await world.until("all are given back", async () => {
    const [list] = await callManager(bus, "ListInhibitors");
    return (list as unknown[]).length === 0;
  });
});

test("a session's display and desktop end at 255 bytes", async () => {
  const leader = await world.leader();
  const long = "d".repeat(256);
  for (const name of ["desktop", "display", "service", "remoteHost", "remoteUser"] as const) {
    const options = { uid: 1, leader: leader.pid, [name]: long };
    await refused(createSession(bus, options), INVALID);
  }
  const { path, fd } = await createSession(bus, { uid: 1, leader: leader.pid });
  await callObject(bus, path, "Session", "TakeControl", "b", [false]);
  const display = (text: string) => callObject(bus, path, "Session", "SetDisplay", "s", [text]);
  await display("d".repeat(255));
  await refused(display(long), INVALID);
  close(fd);
});

test("an error is no longer than 512 characters, whatever was asked", async () => {
  const path = `/${"a".repeat(50_000)}`;
  const asked = callObject(bus, path, "Manager", "ListSeats", "", []);
  await expect(asked).rejects.toMatchObject({
    errorName: "org.freedesktop.DBus.Error.UnknownObject",
    message: expect.stringMatching(/^.{1,513}$/),
  });
});

test("a call of over 64 KiB is refused, and the bridge stays on the bus", async () => {
  const pid = world.bridgePid;
  await refused(callManager(bus, "GetSession", "s", ["x".repeat(2 ** 16)]), LIMIT);
  await refused(callManager(bus, "ListSeats", "av", [[]]), INVALID);
  // A path as long as the bus takes it: its error quoted it, and was too long for the bus.
  const path = `/${"a".repeat(30 * 2 ** 20)}`;
  await refused(callObject(bus, path, "Manager", "ListSeats", "", []), LIMIT);
  expect(await callManager(bus, "ListSeats")).toHaveLength(1);
  expect(world.bridgePid).toBe(pid);
});

test("a session's processes are listed with the start of their command lines", async () => {
  const leader = await world.leader();
  const { id, fd } = await createSession(bus, { uid: 1, leader: leader.pid });
  const cgroup = (await Bun.file(`/proc/${leader.pid}/cgroup`).text()).trim().split("::")[1] ?? "";
  const words = "x".repeat(100_000);
  const children = Array.from({ length: 30 }, () =>
    Bun.spawn(
      world.inside([PYTHON, "-c", "import time; time.sleep(60)"].concat(...Array(15).fill(words))),
      { stdout: "ignore", stderr: "inherit" },
    ),
  );
  for (const { pid } of children) {
    // What starts it moves itself to a cgroup first.
    await world.until("it is Python", () =>
      readFileSync(`/proc/${pid}/cmdline`, "latin1").startsWith(PYTHON),
    );
    await Bun.write(`${cgroupRoot()}${cgroup}/cgroup.procs`, String(pid));
  }
  const [processes] = (await bus.call({
    destination: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
    ...{ member: "GetUnitProcesses", signature: "s", body: [`session-${id}.scope`] },
  })) as [[string, number, string][]];
  expect(processes.length).toBeGreaterThanOrEqual(31);
  for (const [, , line] of processes) expect(line.length).toBeLessThanOrEqual(4096);
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.exited));
  close(fd);
});
