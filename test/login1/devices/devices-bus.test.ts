/**
 * TakeDevice and what follows, over the bus. There is no DRM card and no input
 * device here: /dev/null stands for an event node, by a sysfs made for it, so all
 * is real but the kernel's revocation, which refuses /dev/null. What the DRM and
 * the revocation do is in devices.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { clearNonBlocking } from "../../../lib/linux/ffi/fd.ts";
import { close } from "../../../lib/linux/index.ts";
import { type CreateOptions, callSession, createSession } from "../support/client.ts";
import { loginAtSeat } from "../support/login.ts";
import { giveNullTo, NULL, takeableNull } from "../support/null-device.ts";
import { buildSeatClient } from "../support/probe.ts";
import { scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const SESSION = "org.freedesktop.login1.Session";

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  await takeableNull(world);
  bus = await world.connect();
  for (const member of ["PauseDevice", "ResumeDevice"]) {
    const match = { sender: "org.freedesktop.login1", interface: SESSION, member };
    await bus.onSignal(match, ([major, minor, how], { fds }) => {
      const what = typeof how === "string" ? how : `${fds.length} descriptor`;
      events.push(`${member} ${major}:${minor} ${what}`);
    });
  }
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
  giveNullTo(world, "seat0");
});
afterEach(() => world.reset(bus));

const active = () => world.stateOf("seats", "seat0").ACTIVE;
const login = (options?: Partial<CreateOptions>) => loginAtSeat(world, bus, options);
const errorName = (name: string) => ({ errorName: name });

describe("a device", () => {
  test("is its controller's alone to take, once, and to give back", async () => {
    const { id, call, fd } = await login();
    await expect(call("TakeDevice", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.login1.NotInControl"),
    );
    await call("TakeControl", "b", [false]);
    await expect(call("ReleaseDevice", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.login1.DeviceNotTaken"),
    );
    await expect(call("PauseDeviceComplete", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.login1.DeviceNotTaken"),
    );
    const [device, inactive] = (await call("TakeDevice", "uu", NULL)) as [number, boolean];
    expect(inactive).toBe(false);
    expect(readFileSync(`/proc/self/fdinfo/${device}`, "utf8")).toContain("flags:\t02104002");
    close(device);
    expect(world.stateOf("sessions", id).DEVICES).toBe("1:3");
    await expect(call("TakeDevice", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.login1.DeviceIsTaken"),
    );
    await call("ReleaseDevice", "uu", NULL);
    await world.until("it is gone", () => events.includes("PauseDevice 1:3 gone"));
    expect(world.stateOf("sessions", id).DEVICES).toBeUndefined();
    close(fd);
  });

  test("is refused if it is none, of no kind that can be taken away again, or another seat's", async () => {
    const { call, fd } = await login();
    await call("TakeControl", "b", [false]);
    const NO_DEVICE = errorName("System.Error.ENODEV");
    await expect(call("TakeDevice", "uu", [1, 99])).rejects.toMatchObject(NO_DEVICE);
    await expect(call("TakeDevice", "uu", [1, 5])).rejects.toMatchObject(NO_DEVICE);
    for (const number of [
      [4096, 3],
      [1, 1 << 20],
    ]) {
      await expect(call("TakeDevice", "uu", number)).rejects.toMatchObject(
        errorName("org.freedesktop.DBus.Error.InvalidArgs"),
      );
    }
    giveNullTo(world, "seat-left");
    await expect(call("TakeDevice", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.DBus.Error.AccessDenied"),
    );
    rmSync(`${world.root}/run/udev/data/+input:input3`);
    await expect(call("TakeDevice", "uu", NULL)).rejects.toMatchObject(NO_DEVICE);
    const seatless = await login({ seat: "" });
    await seatless.call("TakeControl", "b", [false]);
    await expect(seatless.call("TakeDevice", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.DBus.Error.AccessDenied"),
    );
    for (const each of [fd, seatless.fd]) close(each);
  });

  test("is asked to pause before the seat is switched, and comes back with it", async () => {
    const one = await login();
    const two = await login();
    await one.call("Activate");
    await one.call("TakeControl", "b", [false]);
    const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    await two.call("Activate");
    await world.until("the question", () => events.includes("PauseDevice 1:3 pause"));
    expect(active()).toBe(one.id);
    await one.call("PauseDeviceComplete", "uu", NULL);
    expect(active()).toBe(two.id);
    await one.call("PauseDeviceComplete", "uu", NULL);
    await one.call("Activate");
    await world.until("it is back", () => events.includes("ResumeDevice 1:3 1 descriptor"));
    expect(active()).toBe(one.id);
    expect(events).toEqual(["PauseDevice 1:3 pause", "ResumeDevice 1:3 1 descriptor"]);
    for (const fd of [device, one.fd, two.fd]) close(fd);
  });

  test("that its controller paused unasked needs no question, and comes back all the same", async () => {
    const one = await login();
    const two = await login();
    await one.call("Activate");
    await one.call("TakeControl", "b", [false]);
    const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    await one.call("PauseDeviceComplete", "uu", NULL);
    expect(active()).toBe(one.id);
    await two.call("Activate");
    expect(active()).toBe(two.id);
    await one.call("Activate");
    await world.until("it is back", () => events.includes("ResumeDevice 1:3 1 descriptor"));
    expect(events).toEqual(["ResumeDevice 1:3 1 descriptor"]);
    for (const fd of [device, one.fd, two.fd]) close(fd);
  });

  test("is paused at once when another session comes up by itself", async () => {
    const one = await login();
    await one.call("TakeControl", "b", [false]);
    const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    const two = await login();
    expect(active()).toBe(two.id);
    await world.until("the news", () => events.includes("PauseDevice 1:3 force"));
    for (const fd of [device, one.fd, two.fd]) close(fd);
  });

  test("goes with control, and is another's to take then", async () => {
    const one = await login();
    await one.call("TakeControl", "b", [false]);
    const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    await one.call("ReleaseControl");
    expect(world.stateOf("sessions", one.id).DEVICES).toBeUndefined();
    await one.call("TakeControl", "b", [false]);
    const [again] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    // Whoever forces control gets nothing of what the one before had.
    const other = await world.connect();
    await callSession(other, one.path, "TakeControl", "b", [true]);
    await world.until("the news", () => events.includes("PauseDevice 1:3 gone"));
    expect(world.stateOf("sessions", one.id).DEVICES).toBeUndefined();
    other.close();
    for (const fd of [device, again, one.fd]) close(fd);
  });

  test("that udev gives to another seat is taken away", async () => {
    const one = await login();
    await one.call("TakeControl", "b", [false]);
    const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    giveNullTo(world, "seat-left");
    // udev renames its records into place, which is what is watched.
    mkdirSync(`${world.root}/run/udev/data/other`);
    await world.until("the news", () => events.includes("PauseDevice 1:3 gone"));
    expect(world.stateOf("sessions", one.id).DEVICES).toBeUndefined();
    rmSync(`${world.root}/run/udev/data/other`, { recursive: true });
    for (const fd of [device, one.fd]) close(fd);
  });
});

describe("a bridge that is killed", () => {
  /** What lainos-notifyd has for it. */
  const kept = async () => {
    const request = { do: "list", service: "lainos-dbus-bridge" };
    const ask =
      "import socket, sys; s = socket.socket(socket.AF_UNIX); " +
      's.connect("/run/lainos/fdstore"); s.send(sys.argv[1].encode() + b"\\n"); print(s.recv(9999).decode())';
    const done = await world.run(["/usr/bin/python3", "-c", ask, JSON.stringify(request)]);
    expect(done).toMatchObject({ code: 0, stderr: "" });
    return (JSON.parse(done.stdout) as { names: string[] }).names;
  };
  /** The open files of /dev/null that the bridge has as a device: their flags, in octal. */
  const held = () => {
    const folder = `/proc/${world.bridgePid}`;
    return readdirSync(`${folder}/fd`)
      .filter((fd) => Number(fd) > 2 && readlinkSync(`${folder}/fd/${fd}`) === "/dev/null")
      .map((fd) => /^flags:\t0*(\d+)$/m.exec(readFileSync(`${folder}/fdinfo/${fd}`, "utf8"))?.[1]);
  };
  /** O_RDWR and O_CLOEXEC; a new opening has O_NONBLOCK besides. */
  const MARKED = "2100002";
  const FRESH = "2104002";
  /** Takes the device, and marks the open file by a flag that all who have it see. */
  const takeMarked = async () => {
    const one = await login();
    await one.call("Activate");
    await one.call("TakeControl", "b", [false]);
    const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    clearNonBlocking(device);
    return { ...one, device, name: `session-${one.id}-device-1-3` };
  };
  const restart = async () => {
    await world.endBridge("SIGKILL");
    await world.startBridge();
  };

  beforeAll(async () => {
    await world.startNotifyd();
    await restart();
  });

  test("has its devices again from lainos-notifyd, as the same open files", async () => {
    const two = await login();
    const one = await takeMarked();
    expect(await kept()).toEqual([one.name]);
    events.length = 0;
    await restart();
    expect(held()).toEqual([MARKED]);
    expect(await kept()).toEqual([one.name]);
    await expect(one.call("TakeDevice", "uu", NULL)).rejects.toMatchObject(
      errorName("org.freedesktop.login1.DeviceIsTaken"),
    );
    expect(world.stateOf("sessions", one.id).DEVICES).toBe("1:3");
    await two.call("Activate");
    await world.until("the question", () => events.includes("PauseDevice 1:3 pause"));
    await one.call("PauseDeviceComplete", "uu", NULL);
    expect(active()).toBe(two.id);
    expect(events).toEqual(["PauseDevice 1:3 pause"]);
    await one.call("Activate");
    await world.until("it is back", () => events.includes("ResumeDevice 1:3 1 descriptor"));
    expect(await kept()).toEqual([one.name]);
    // That is the new opening, and no longer the old one.
    await restart();
    expect(held()).toEqual([FRESH]);
    for (const fd of [one.device, one.fd, two.fd]) close(fd);
  });

  test("leaves nothing of what is released, of who let go, or of who left meanwhile", async () => {
    const one = await takeMarked();
    await one.call("ReleaseDevice", "uu", NULL);
    await world.until("it is not kept", async () => (await kept()).length === 0);
    await one.call("TakeDevice", "uu", NULL);
    expect(await kept()).toEqual([one.name]);
    await one.call("ReleaseControl");
    await world.until("it is not kept", async () => (await kept()).length === 0);
    const other = await world.connect();
    await callSession(other, one.path, "TakeControl", "b", [false]);
    await callSession(other, one.path, "TakeDevice", "uu", NULL);
    await world.endBridge("SIGKILL");
    expect(await kept()).toEqual([one.name]);
    other.close();
    await world.startBridge();
    expect(await kept()).toEqual([]);
    expect(held()).toEqual([]);
    for (const fd of [one.device, one.fd]) close(fd);
  });

  test("has them also when lainos-notifyd was killed before", async () => {
    const one = await takeMarked();
    await world.signalNotifyd("SIGKILL");
    await world.startNotifyd();
    await world.until("it is told anew", async () => (await kept()).length === 1);
    await restart();
    expect(held()).toEqual([MARKED]);
    for (const fd of [one.device, one.fd]) close(fd);
  });

  test("opens them anew when lainos-notifyd is killed with it", async () => {
    const one = await takeMarked();
    await world.endBridge("SIGKILL");
    await world.signalNotifyd("SIGKILL");
    await world.startBridge();
    await world.until("a new one", () => events.includes("ResumeDevice 1:3 1 descriptor"));
    expect(events).toEqual(["PauseDevice 1:3 force", "ResumeDevice 1:3 1 descriptor"]);
    expect(held()).toEqual([FRESH]);
    await world.startNotifyd();
    await world.until("it is told of it", async () => (await kept()).length === 1);
    for (const fd of [one.device, one.fd]) close(fd);
  });

  test("does without a lainos-notifyd that hangs, before and after", async () => {
    await world.until("nothing is kept of before", async () => (await kept()).length === 0);
    await world.signalNotifyd("SIGSTOP");
    const one = await takeMarked();
    // More than the socket has room for.
    for (let turns = 0; turns < 20; turns++) {
      await one.call("ReleaseDevice", "uu", NULL);
      const [again] = (await one.call("TakeDevice", "uu", NULL)) as [number];
      close(again);
    }
    await restart();
    await world.until("a new one", () => events.includes("ResumeDevice 1:3 1 descriptor"));
    await world.signalNotifyd("SIGCONT");
    await world.until("it is told", async () => (await kept()).includes(one.name));
    await one.call("ReleaseDevice", "uu", NULL);
    await world.until("it is not kept", async () => (await kept()).length === 0);
    for (const fd of [one.device, one.fd]) close(fd);
  });

  test("takes a device no more that has gone meanwhile", async () => {
    const one = await takeMarked();
    await world.endBridge("SIGKILL");
    rmSync(`${world.root}/run/sys/input3/event3/uevent`);
    await world.startBridge();
    expect(world.stateOf("sessions", one.id).DEVICES).toBeUndefined();
    await world.until("the news", () => events.includes("PauseDevice 1:3 gone"));
    await world.until("it is not kept", async () => (await kept()).length === 0);
    const uevent = "MAJOR=1\nMINOR=3\nDEVNAME=null\n";
    writeFileSync(`${world.root}/run/sys/input3/event3/uevent`, uevent);
    const [again] = (await one.call("TakeDevice", "uu", NULL)) as [number];
    for (const fd of [again, one.device, one.fd]) close(fd);
  });
});

test("the real libseat takes its seat, a device, pauses it for a switch, and lets go", async () => {
  const folder = mkdtempSync(join(tmpdir(), "p7-seat-"));
  const program = await buildSeatClient(folder);
  const leader = await world.leader({ user: ALICE });
  const { id, path, fd } = await createSession(bus, {
    uid: ALICE,
    leader: leader.pid,
    seat: "seat0",
    type: "tty",
  });
  const scope = scopeOf(ALICE, id);
  const client = Bun.spawn(world.inside([program], { user: ALICE, cgroup: scope }), {
    env: { ...process.env, LIBSEAT_BACKEND: "logind", XDG_SESSION_TYPE: "wayland" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "pipe",
  });
  let said = "";
  const heard = (async () => {
    for await (const chunk of client.stdout) said += Buffer.from(chunk).toString();
  })();
  const until = (text: string) => world.until(`"${text}"`, () => said.includes(text));
  await until("on seat0\nenabled\n");
  expect(world.stateOf("sessions", id)).toMatchObject({ TYPE: "wayland", ORIGINAL_TYPE: "tty" });
  client.stdin.write("open /dev/zero\n");
  await until("refused\n");
  client.stdin.write("open /dev/null\n");
  await until("opened\n");
  expect(world.stateOf("sessions", id).DEVICES).toBe("1:3");
  // It answers the question by itself, and the switch goes on.
  const other = await login();
  await callSession(bus, path, "Activate");
  await world.until("it is in the foreground", () => active() === id);
  await other.call("Activate");
  await world.until("it has paused", () => active() === other.id);
  client.stdin.write("close\n");
  await until("closed\n");
  expect(world.stateOf("sessions", id).DEVICES).toBeUndefined();
  client.stdin.end();
  expect(await client.exited).toBe(0);
  await heard;
  expect(await new Response(client.stderr).text()).toMatch(/^[^\n]*No such device: 1:5[^\n]*\n$/);
  await world.until(
    "control is free",
    () => world.stateOf("sessions", id).CONTROLLER === undefined,
  );
  expect(world.stateOf("sessions", id).TYPE).toBe("tty");
  for (const each of [fd, other.fd]) close(each);
  rmSync(folder, { recursive: true });
});

describe("brightness", () => {
  const LIGHT = "/run/sys/class/backlight/panel";

  beforeAll(async () => {
    const made = await world.run([
      "sh",
      "-ec",
      `mount -t tmpfs tmpfs /sys/class
       mkdir -p ${LIGHT} /sys/class/backlight
       ln -s /run/sys/class/backlight ${LIGHT}/subsystem
       ln -s ${LIGHT} /sys/class/backlight/panel
       : > ${LIGHT}/uevent; echo 5 > ${LIGHT}/brightness`,
    ]);
    expect(made).toMatchObject({ code: 0, stderr: "" });
  });

  test("is the foreground session's to set, of a light on its seat", async () => {
    const one = await login();
    const set = (subsystem: string, name: string) =>
      one.call("SetBrightness", "ssu", [subsystem, name, 7]);
    await set("backlight", "panel");
    expect(readFileSync(`${world.root + LIGHT}/brightness`, "utf8").trim()).toBe("7");
    await expect(set("block", "panel")).rejects.toMatchObject(
      errorName("org.freedesktop.DBus.Error.NotSupported"),
    );
    await expect(set("backlight", "../panel")).rejects.toMatchObject(
      errorName("org.freedesktop.DBus.Error.InvalidArgs"),
    );
    await expect(set("leds", "panel")).rejects.toMatchObject(errorName("System.Error.ENODEV"));
    const NOT_YOURS = errorName("org.freedesktop.login1.NotYourDevice");
    writeFileSync(`${world.root}/run/udev/data/+backlight:panel`, "E:ID_SEAT=seat-left\n");
    await expect(set("backlight", "panel")).rejects.toMatchObject(NOT_YOURS);
    rmSync(`${world.root}/run/udev/data/+backlight:panel`);
    const two = await login();
    await expect(set("backlight", "panel")).rejects.toMatchObject(NOT_YOURS);
    const byStranger = (name: string) => {
      const words = ["SetBrightness", "ssu", "backlight", name, "9"];
      const call = ["busctl", "call", "org.freedesktop.login1", two.path, SESSION, ...words];
      return world.run(call, { user: 1 });
    };
    expect((await byStranger("panel")).stderr).toContain("Access denied");
    // What can never be is said before it is looked who asks.
    expect((await byStranger("../panel")).stderr).toContain("Not a valid device name");
    expect(readFileSync(`${world.root + LIGHT}/brightness`, "utf8").trim()).toBe("7");
    for (const { fd } of [one, two]) close(fd);
  });
});
