/** Control of a session, what its controller may say of it, and idle hints. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, ioctlBytes, O_NOCTTY, O_RDONLY, O_RDWR, open } from "../../../lib/linux/index.ts";
import { type CreateOptions, createSession, getProperty } from "../support/client.ts";
import { compile } from "../support/probe.ts";
import { World } from "../support/world.ts";

const ALICE = 65534;
const BOB = 1;
const SESSION = "org.freedesktop.login1.Session";

let world: World;
let bus: Connection;
const changes: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const match = {
    sender: "org.freedesktop.login1",
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
  };
  await bus.onSignal(match, ([name, values], { path }) => {
    for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
      const kind = String(name).split(".").at(-1);
      changes.push(`${kind} ${path.split("/").at(-1)} ${key}=${String(value)}`);
    }
  });
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  changes.length = 0;
});
afterEach(() => world.reset(bus));

/** A session that ends with its leader. */
async function login(options: Partial<CreateOptions> = {}) {
  const leader = await world.leader();
  const made = await createSession(bus, { uid: ALICE, leader: leader.pid, ...options });
  const call = (
    connection: Connection,
    member: string,
    signature = "",
    body: unknown[] = [],
    timeout = 25_000,
  ) =>
    connection.call({
      destination: "org.freedesktop.login1",
      path: made.path,
      interface: SESSION,
      member,
      signature,
      body,
      timeout,
    });
  return { ...made, leader, call };
}
const get = (path: string, kind: string, name: string) => getProperty(bus, path, kind, name);
const busctl = (user: number, path: string, ...words: string[]) =>
  world.run(["busctl", "call", "org.freedesktop.login1", path, SESSION, ...words], { user });
const errorName = (name: string) => ({ errorName: name });
const NOT_IN_CONTROL = errorName("org.freedesktop.login1.NotInControl");
const INVALID = errorName("org.freedesktop.DBus.Error.InvalidArgs");
const NOT_SUPPORTED = errorName("org.freedesktop.DBus.Error.NotSupported");

describe("control", () => {
  test("is the session's user's or root's to take, and only root forces it", async () => {
    const { path, call, fd } = await login();
    const stranger = await busctl(BOB, path, "TakeControl", "b", "false");
    expect(stranger.stderr).toContain("Access denied");
    expect((await busctl(ALICE, path, "TakeControl", "b", "true")).stderr).toContain(
      "Access denied",
    );
    expect(await busctl(ALICE, path, "TakeControl", "b", "false")).toMatchObject({ code: 0 });
    const other = await world.connect();
    // The user's busctl has left the bus, and control with it.
    await world.until("control is free", async () => {
      return await call(other, "TakeControl", "b", [false]).then(
        () => true,
        () => false,
      );
    });
    await expect(call(bus, "TakeControl", "b", [false])).rejects.toMatchObject(
      errorName("System.Error.EBUSY"),
    );
    await call(other, "TakeControl", "b", [false]);
    await call(bus, "TakeControl", "b", [true]);
    await expect(call(other, "ReleaseControl")).rejects.toMatchObject(NOT_IN_CONTROL);
    await call(bus, "ReleaseControl");
    await expect(call(bus, "ReleaseControl")).rejects.toMatchObject(NOT_IN_CONTROL);
    other.close();
    close(fd);
  });

  test("lets its holder set type and display, and its end takes the type back", async () => {
    const { id, call, fd } = await login({ type: "tty" });
    await expect(call(bus, "SetType", "s", ["wayland"])).rejects.toMatchObject(NOT_IN_CONTROL);
    await expect(call(bus, "SetDisplay", "s", [":1"])).rejects.toMatchObject(NOT_IN_CONTROL);
    await call(bus, "TakeControl", "b", [false]);
    expect(world.stateOf("sessions", id)).toMatchObject({
      CONTROLLER: bus.uniqueName,
      ORIGINAL_TYPE: "tty",
    });
    await expect(call(bus, "SetType", "s", ["teletype"])).rejects.toMatchObject(INVALID);
    await expect(call(bus, "SetDisplay", "s", [":1"])).rejects.toMatchObject(NOT_SUPPORTED);
    await call(bus, "SetType", "s", ["x11"]);
    await call(bus, "SetDisplay", "s", [":1"]);
    await expect(call(bus, "SetDisplay", "s", ["a\nUID=0"])).rejects.toMatchObject(INVALID);
    expect(world.stateOf("sessions", id)).toMatchObject({
      TYPE: "x11",
      DISPLAY: ":1",
      ORIGINAL_TYPE: "tty",
    });
    await call(bus, "ReleaseControl");
    expect(world.stateOf("sessions", id).TYPE).toBe("tty");
    expect(world.stateOf("sessions", id).CONTROLLER).toBeUndefined();
    await world.until("the news", () => changes.includes(`Session ${id} Type=tty`));
    expect(changes).toContain(`Session ${id} Type=x11`);
    expect(changes).toContain(`Session ${id} Display=:1`);
    close(fd);
  });

  test("taken by force leaves the type as the holder before has set it", async () => {
    const { id, call, fd } = await login({ type: "tty" });
    const holder = await world.connect();
    await call(holder, "TakeControl", "b", [false]);
    await call(holder, "SetType", "s", ["wayland"]);
    await call(bus, "TakeControl", "b", [true]);
    expect(world.stateOf("sessions", id)).toMatchObject({
      ...{ CONTROLLER: bus.uniqueName, TYPE: "wayland", ORIGINAL_TYPE: "tty" },
    });
    await call(bus, "ReleaseControl");
    expect(world.stateOf("sessions", id).TYPE).toBe("tty");
    holder.close();
    close(fd);
  });

  test("ends when its holder leaves the bus", async () => {
    const { id, call, fd } = await login({ type: "tty" });
    const holder = await world.connect();
    await call(holder, "TakeControl", "b", [false]);
    await call(holder, "SetType", "s", ["wayland"]);
    holder.close();
    await world.until(
      "control is free",
      () => world.stateOf("sessions", id).CONTROLLER === undefined,
    );
    expect(world.stateOf("sessions", id).TYPE).toBe("tty");
    await call(bus, "TakeControl", "b", [false]);
    close(fd);
  });

  test("outlives a restart of the bridge, unless its holder has left meanwhile", async () => {
    const one = await login({ type: "tty" });
    const two = await login({ type: "tty" });
    const holder = await world.connect();
    await one.call(bus, "TakeControl", "b", [false]);
    await one.call(bus, "SetType", "s", ["wayland"]);
    await two.call(holder, "TakeControl", "b", [false]);
    await two.call(holder, "SetType", "s", ["wayland"]);
    await world.endBridge("SIGKILL");
    holder.close();
    await world.startBridge();
    expect(world.stateOf("sessions", one.id)).toMatchObject({
      CONTROLLER: bus.uniqueName,
      TYPE: "wayland",
    });
    expect(world.stateOf("sessions", two.id)).toMatchObject({ TYPE: "tty" });
    expect(world.stateOf("sessions", two.id).CONTROLLER).toBeUndefined();
    await one.call(bus, "ReleaseControl");
    expect(world.stateOf("sessions", one.id).TYPE).toBe("tty");
    for (const { fd } of [one, two]) close(fd);
  });

  test("is of no use where nobody sits at the session", async () => {
    const { call, fd } = await login({ class: "background" });
    await call(bus, "TakeControl", "b", [false]);
    await expect(call(bus, "SetType", "s", ["x11"])).rejects.toMatchObject(NOT_SUPPORTED);
    await expect(call(bus, "TakeDevice", "uu", [1, 3])).rejects.toMatchObject(NOT_SUPPORTED);
    // What is no device's number is so whoever asks.
    for (const member of ["TakeDevice", "ReleaseDevice", "PauseDeviceComplete"]) {
      await expect(call(bus, member, "uu", [4096, 0])).rejects.toMatchObject(INVALID);
    }
    close(fd);
  });

  test("lets its holder name the terminal by a descriptor of it", async () => {
    const { id, call, fd } = await login({ type: "tty" });
    const terminal = openTerminal();
    const again = () => open(`/dev/${terminal.name}`, O_RDWR | O_NOCTTY);
    await expect(call(bus, "SetTTY", "h", [again()])).rejects.toMatchObject(NOT_IN_CONTROL);
    await call(bus, "TakeControl", "b", [false]);
    await call(bus, "SetTTY", "h", [again()]);
    expect(world.stateOf("sessions", id).TTY).toBe(terminal.name);
    await expect(call(bus, "SetTTY", "h", [open("/dev/null", O_RDWR)])).rejects.toMatchObject(
      errorName("System.Error.ENOTTY"),
    );
    const readOnly = open(`/dev/${terminal.name}`, O_RDONLY | O_NOCTTY);
    await expect(call(bus, "SetTTY", "h", [readOnly])).rejects.toMatchObject(
      errorName("org.freedesktop.DBus.Error.AccessDenied"),
    );
    close(terminal.fd);
    close(fd);
  });

  test("takes no pseudo terminal of another instance for this system's of that number", async () => {
    const { id, call, fd } = await login({ type: "tty" });
    await call(bus, "TakeControl", "b", [false]);
    // As anybody can mount it in a user namespace.
    const mounted = "mkdir /run/pts && mount -t devpts -o newinstance,ptmxmode=666 none /run/pts";
    expect(await world.run(["sh", "-c", mounted])).toMatchObject({ code: 0, stderr: "" });
    // There must be one here by that name.
    const ours = openTerminal();
    const number = Number(ours.name.split("/")[1]);
    const theirs: number[] = [];
    const path = `${world.root}/run/pts`;
    while (!existsSync(`${path}/${number}`)) {
      theirs.push(open(`${path}/ptmx`, O_RDWR | O_NOCTTY));
    }
    for (const master of theirs) unlock(master);
    await expect(
      call(bus, "SetTTY", "h", [open(`${path}/${number}`, O_RDWR | O_NOCTTY)]),
    ).rejects.toMatchObject(errorName("System.Error.ENOTTY"));
    expect(world.stateOf("sessions", id).TTY ?? "").toBe("");
    for (const master of [ours.fd, ...theirs, fd]) close(master);
    await world.run(["sh", "-c", "umount -l /run/pts && rmdir /run/pts"]);
  });

  test("is not kept waiting by a file whose file system does not answer", async () => {
    const folder = mkdtempSync(join(tmpdir(), "p7-tty-"));
    const fuse = await compile(join(import.meta.dir, "../support/fuse.c"), "-lc", folder);
    await world.run(["sh", "-c", "mknod -m 666 /dev/fuse c 10 229; mkdir /run/fuse"]);
    const server = Bun.spawn(world.inside([fuse, "/run/fuse", String(ALICE), "all", "silent"]), {
      stdout: "pipe",
    });
    await server.stdout.getReader().read();
    try {
      const { call, fd } = await login({ type: "tty" });
      await call(bus, "TakeControl", "b", [false]);
      const file = open(`${world.root}/run/fuse/tty`, O_RDWR);
      const answer = call(bus, "SetTTY", "h", [file], 1000);
      await expect(answer).rejects.toMatchObject(errorName("System.Error.ENOTTY"));
      close(fd);
    } finally {
      server.kill("SIGKILL");
      await world.run(["sh", "-c", "umount -l /run/fuse; rmdir /run/fuse; rm /dev/fuse"]);
      rmSync(folder, { recursive: true });
    }
  });
});

/** Lets the other end of a pseudo terminal be opened. */
function unlock(master: number): void {
  const TIOCSPTLCK = 0x4004_5431;
  ioctlBytes(master, TIOCSPTLCK, new Uint8Array(4), "TIOCSPTLCK");
}

/** A new pseudo terminal, unlocked; see pts(4). */
function openTerminal(): { fd: number; name: string } {
  const TIOCGPTN = 0x8004_5430;
  const fd = open("/dev/ptmx", O_RDWR | O_NOCTTY);
  unlock(fd);
  const number = new Uint8Array(4);
  ioctlBytes(fd, TIOCGPTN, number, "TIOCGPTN");
  return { fd, name: `pts/${new DataView(number.buffer).getUint32(0, true)}` };
}

test("a session goes from user-incomplete to user, and no other way", async () => {
  const { id, path, call, fd } = await login({ class: "user-incomplete" });
  await expect(call(bus, "SetClass", "s", ["root"])).rejects.toMatchObject(INVALID);
  await expect(call(bus, "SetClass", "s", ["greeter"])).rejects.toMatchObject(INVALID);
  expect((await busctl(BOB, path, "SetClass", "s", "user")).stderr).toContain("Access denied");
  expect(world.stateOf("sessions", id).CLASS).toBe("user-incomplete");
  expect(await busctl(ALICE, path, "SetClass", "s", "user")).toMatchObject({ code: 0 });
  expect(world.stateOf("sessions", id).CLASS).toBe("user");
  await world.until("the news", () => changes.includes(`Session ${id} Class=user`));
  const greeter = await login({ class: "greeter" });
  await expect(greeter.call(bus, "SetClass", "s", ["user"])).rejects.toMatchObject(INVALID);
  for (const each of [fd, greeter.fd]) close(each);
});

describe("an idle hint", () => {
  const MANAGER = "/org/freedesktop/login1";

  test("is the owner's to give, and user, seat and manager follow", async () => {
    const { id, path, fd } = await login({ seat: "seat0" });
    expect((await busctl(BOB, path, "SetIdleHint", "b", "true")).stderr).toContain("Access denied");
    expect(await get(MANAGER, "Manager", "IdleHint")).toBe(false);
    expect(await busctl(ALICE, path, "SetIdleHint", "b", "true")).toMatchObject({ code: 0 });
    await world.until("the news", () => changes.includes("Manager login1 IdleHint=true"));
    for (const who of [`Session ${id}`, `User _65534`, "Seat seat0"]) {
      expect(changes).toContain(`${who} IdleHint=true`);
    }
    const since = await get(path, "Session", "IdleSinceHint");
    expect(since).toBeGreaterThan(0n);
    expect(await get(MANAGER, "Manager", "IdleSinceHint")).toBe(since);
    // A second session that is busy makes the machine busy.
    const busy = await login();
    expect(await get(MANAGER, "Manager", "IdleHint")).toBe(false);
    expect(await get(`${MANAGER}/seat/seat0`, "Seat", "IdleHint")).toBe(true);
    for (const each of [fd, busy.fd]) close(each);
  });

  test("said again changes nothing, and a restart keeps it", async () => {
    const { path, call, fd } = await login();
    await call(bus, "SetIdleHint", "b", [true]);
    const since = await get(path, "Session", "IdleSinceHintMonotonic");
    await call(bus, "SetIdleHint", "b", [true]);
    expect(await get(path, "Session", "IdleSinceHintMonotonic")).toBe(since);
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(await get(path, "Session", "IdleHint")).toBe(true);
    expect(await get(path, "Session", "IdleSinceHintMonotonic")).toBe(since);
    await call(bus, "SetIdleHint", "b", [false]);
    expect(await get(path, "Session", "IdleHint")).toBe(false);
    expect(await get(path, "Session", "IdleSinceHintMonotonic")).toBeGreaterThan(since as bigint);
    close(fd);
  });

  test("is not a tty's or a background session's to give", async () => {
    const tty = await login({ type: "tty" });
    const background = await login({ class: "background" });
    for (const { call, fd } of [tty, background]) {
      await expect(call(bus, "SetIdleHint", "b", [true])).rejects.toMatchObject(NOT_SUPPORTED);
      close(fd);
    }
  });
});
