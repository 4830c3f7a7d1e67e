/** Seats from udev's database, switching on them, and giving devices to them. udev itself is played. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import {
  type CreateOptions,
  callManager,
  callSeat,
  getProperty,
  MANAGER,
} from "../support/client.ts";
import { loginAtSeat } from "../support/login.ts";
import {
  DEVICE,
  makeDevice,
  removeDevice as removeRecord,
  addDevice as writeRecord,
} from "../support/udev-database.ts";
import { World } from "../support/world.ts";

const ALICE = 65534;

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const sender = "org.freedesktop.login1";
  for (const member of ["SeatNew", "SeatRemoved"]) {
    const match = { sender, interface: "org.freedesktop.login1.Manager", member };
    await bus.onSignal(match, ([id]) => {
      const there = existsSync(join(world.root, "run/systemd/seats", String(id)));
      events.push(`${member} ${id} ${there ? "file" : "no file"}`);
    });
  }
  const match = {
    sender,
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
  };
  await bus.onSignal(match, ([, values], { path }) => {
    for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
      events.push(`${path.split("/").at(-1)} ${key}=${String(value)}`);
    }
  });
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
});
afterEach(async () => {
  await world.reset(bus);
  rmSync(`${world.root}/run/udev`, { recursive: true, force: true });
  await world.until("only seat0 is left", async () => (await seatIds()).length === 1);
});

const addDevice = (key: string, tags: string[], properties: Record<string, string> = {}) =>
  writeRecord(world, key, tags, properties);
const removeDevice = (key: string, tags: string[]) => removeRecord(world, key, tags);
const MASTER = ["seat", "master-of-seat"];
const seatIds = async () =>
  ((await callManager(bus, "ListSeats"))[0] as [string][]).map(([id]) => id);
const login = (options?: Partial<CreateOptions>) => loginAtSeat(world, bus, options);
const seat = (id: string, member: string, signature = "", body: unknown[] = []) =>
  callSeat(bus, id, member, signature, body);
const INVALID = { errorName: "org.freedesktop.DBus.Error.InvalidArgs" };

describe("seats of udev", () => {
  test("leave no closing session in a foreground that is gone, also after a restart", async () => {
    addDevice("c226:0", MASTER, { ID_SEAT: "seat-two" });
    await world.until("the seat is there", async () => (await seatIds()).includes("seat-two"));
    const { id, fd } = await login({ seat: "seat-two" });
    const other = await login({ seat: "seat-two" });
    await callManager(bus, "ReleaseSession", "s", [id]);
    await callManager(bus, "ActivateSession", "s", [id]);
    expect(world.stateOf("sessions", id)).toMatchObject({ ACTIVE: "1", STATE: "closing" });
    removeDevice("c226:0", MASTER);
    await world.until("the seat is gone", async () => !(await seatIds()).includes("seat-two"));
    const before = [id, other.id].map((one) => world.stateOf("sessions", one));
    for (const state of before) {
      expect(state).toMatchObject({ ACTIVE: "0", STATE: "closing", SEAT: "seat-two" });
    }
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect([id, other.id].map((one) => world.stateOf("sessions", one))).toEqual(before);
    // It comes back with those that have not ended yet.
    addDevice("c226:0", MASTER, { ID_SEAT: "seat-two" });
    await world.until("the seat is back", async () => (await seatIds()).includes("seat-two"));
    expect(world.stateOf("seats", "seat-two").SESSIONS).toBe(`${other.id} ${id}`);
    removeDevice("c226:0", MASTER);
    close(fd);
    close(other.fd);
  });

  test("end their sessions also where they go while nobody looks", async () => {
    addDevice("c226:0", MASTER, { ID_SEAT: "seat-two" });
    await world.until("the seat is there", async () => (await seatIds()).includes("seat-two"));
    const { id, fd } = await login({ seat: "seat-two" });
    await world.endBridge("SIGKILL");
    removeDevice("c226:0", MASTER);
    await world.startBridge();
    expect(world.stateOf("sessions", id)).toMatchObject({ STATE: "closing", SEAT: "seat-two" });
    close(fd);
  });

  test("come with their master device, also when udev starts late, and go with it", async () => {
    addDevice("c226:0", MASTER);
    await world.until("seat0 can show something", () => events.includes("seat0 CanGraphical=true"));
    expect(world.stateOf("seats", "seat0").CAN_GRAPHICAL).toBe("1");
    addDevice("c226:1", MASTER, { ID_SEAT: "seat-left" });
    await world.until("a second seat", () => events.includes("SeatNew seat-left file"));
    expect(await seatIds()).toEqual(["seat0", "seat-left"]);
    const made = await login({ seat: "seat-left" });
    expect(world.stateOf("seats", "seat-left")).toMatchObject({
      ACTIVE: made.id,
      CAN_GRAPHICAL: "1",
      CAN_TTY: "0",
    });
    expect(world.stateOf("seats", "seat0").ACTIVE).toBeUndefined();
    removeDevice("c226:1", MASTER);
    await world.until("it is gone", () => events.includes("SeatRemoved seat-left no file"));
    await world.until(
      "its session ends",
      () => world.stateOf("sessions", made.id).STATE === "closing",
    );
    removeDevice("c226:0", MASTER);
    await world.until("seat0 is blind", () => events.includes("seat0 CanGraphical=false"));
    close(made.fd);
  });

  test("outlive a restart, and those that went meanwhile are gone", async () => {
    addDevice("c226:1", MASTER, { ID_SEAT: "seat-left" });
    addDevice("c226:2", MASTER, { ID_SEAT: "seat-right" });
    await world.until("both are there", async () => (await seatIds()).length === 3);
    const made = await login({ seat: "seat-left" });
    await world.endBridge("SIGKILL");
    removeDevice("c226:2", MASTER);
    await world.startBridge();
    expect(await seatIds()).toEqual(["seat0", "seat-left"]);
    expect(readdirSync(`${world.root}/run/systemd/seats`).sort()).toEqual(["seat-left", "seat0"]);
    expect(world.stateOf("seats", "seat-left").ACTIVE).toBe(made.id);
    close(made.fd);
  });

  test("a name that is no seat's, and a device without the tag, make none", async () => {
    addDevice("c226:1", MASTER, { ID_SEAT: "../../etc" });
    addDevice("c226:2", ["seat"], { ID_SEAT: "seat-left" });
    addDevice("c226:3", MASTER, { ID_SEAT: "seat-right" });
    await world.until("the good one is there", async () => (await seatIds()).length > 1);
    expect(await seatIds()).toEqual(["seat0", "seat-right"]);
  });
});

describe("switching without VTs", () => {
  test("goes by positions: the lowest free one each, next and previous around the end", async () => {
    const one = await login();
    const two = await login();
    const three = await login();
    expect(world.stateOf("sessions", two.id).POSITION).toBe("2");
    const active = () => world.stateOf("seats", "seat0").ACTIVE;
    await seat("seat0", "SwitchTo", "u", [1]);
    expect(active()).toBe(one.id);
    await seat("seat0", "SwitchToPrevious");
    expect(active()).toBe(three.id);
    await seat("seat0", "SwitchToNext");
    expect(active()).toBe(one.id);
    await seat("seat0", "SwitchToNext");
    expect(active()).toBe(two.id);
    await expect(seat("seat0", "SwitchTo", "u", [0])).rejects.toMatchObject(INVALID);
    await expect(seat("seat0", "SwitchTo", "u", [4])).rejects.toMatchObject(INVALID);
    two.leader.kill("SIGKILL");
    await world.until("the second is gone", () => {
      return !existsSync(`${world.root}/run/systemd/sessions/${two.id}`);
    });
    const fourth = await login();
    expect(world.stateOf("sessions", fourth.id).POSITION).toBe("2");
    await world.endBridge("SIGKILL");
    await world.startBridge();
    await seat("seat0", "SwitchTo", "u", [3]);
    expect(active()).toBe(three.id);
    for (const { fd } of [one, two, three, fourth]) close(fd);
  });

  test("lists the newest session first, on the bus and in the files", async () => {
    const made = [await login(), await login(), await login()];
    const ids = made.map(({ id }) => id).reverse();
    const listed = async (path: string, kind: string) =>
      ((await getProperty(bus, `${MANAGER}/${path}`, kind, "Sessions")) as string[][]).map(
        ([id]) => id,
      );
    expect(await listed("seat/seat0", "Seat")).toEqual(ids);
    expect(await listed(`user/_${ALICE}`, "User")).toEqual(ids);
    expect(world.stateOf("seats", "seat0").SESSIONS).toBe(ids.join(" "));
    expect(world.stateOf("users", String(ALICE)).SESSIONS).toBe(ids.join(" "));
    for (const { fd } of made) close(fd);
  });

  test("is idle since none is, and else since the last that is not says so", async () => {
    const [one, two] = [await login(), await login()];
    const since = (path: string, kind: string) =>
      getProperty(bus, path, kind, "IdleSinceHintMonotonic");
    const path = `${MANAGER}/seat/seat0`;
    for (const session of [one, two]) {
      await session.call("SetIdleHint", "b", [true]);
      await session.call("SetIdleHint", "b", [false]);
    }
    expect(await since(path, "Seat")).toBe(await since(two.path, "Session"));
    await two.call("SetIdleHint", "b", [true]);
    expect(await since(path, "Seat")).toBe(await since(one.path, "Session"));
    for (const { fd } of [one, two]) close(fd);
  });

  test("tells nothing of a session that has just begun but that it is there", async () => {
    const { id, fd } = await login();
    await world.until("the seat's news", () =>
      events.some((event) => event.startsWith("seat0 ActiveSession=")),
    );
    expect(events.filter((event) => event.startsWith(`${id} `))).toEqual([]);
    close(fd);
  });

  test("a seat's ActivateSession takes ids alone", async () => {
    const { fd } = await login();
    const NONE = { errorName: "org.freedesktop.login1.NoSuchSession" };
    for (const id of ["", "self", "auto"]) {
      await expect(seat("seat0", "ActivateSession", "s", [id])).rejects.toMatchObject(NONE);
    }
    close(fd);
  });

  test("with one session there is no next", async () => {
    const { fd } = await login();
    await expect(seat("seat0", "SwitchToNext")).rejects.toMatchObject(INVALID);
    close(fd);
  });

  test("is not a stranger's to do", async () => {
    const made = [await login(), await login()];
    const outcome = await world.run(
      [
        ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1/seat/seat0"],
        ...["org.freedesktop.login1.Seat", "SwitchTo", "u", "1"],
      ],
      { user: 1 },
    );
    expect(outcome.stderr).toContain("Access denied");
    // What can never be is said before anybody is asked.
    const none = await world.run(
      [
        ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1/seat/seat0"],
        ...["org.freedesktop.login1.Seat", "SwitchTo", "u", "0"],
      ],
      { user: 1 },
    );
    expect(none.stderr).toContain("counted from 1");
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(made[1]?.id);
    for (const { fd } of made) close(fd);
  });
});

describe("a device's seat", () => {
  const RULE = "/etc/udev/rules.d/72-seat-usb-1.rules";

  beforeAll(() => makeDevice(world));
  afterAll(async () => {
    await world.run(["sh", "-ec", "umount /sys/devices; umount -l /etc"]);
  });

  const attach = (id: string, path: string) =>
    callManager(bus, "AttachDevice", "ssb", [id, path, false]);
  const inside = (path: string) => readFileSync(world.root + path, "utf8");

  test("is written as a rule, udev is told, and a flush takes it back", async () => {
    addDevice("+input:input3", ["seat"], { ID_FOR_SEAT: "usb-1" });
    await attach("seat-left", DEVICE);
    expect(inside(RULE)).toBe('TAG=="seat", ENV{ID_FOR_SEAT}=="usb-1", ENV{ID_SEAT}="seat-left"\n');
    for (const path of [DEVICE, `${DEVICE}/event3`]) {
      expect(inside(`${path}/uevent`)).toBe("change");
      writeFileSync(`${world.root}${path}/uevent`, "");
    }
    writeFileSync(`${world.root}/etc/udev/rules.d/70-other.rules`, "");
    await callManager(bus, "FlushDevices", "b", [false]);
    expect(readdirSync(`${world.root}/etc/udev/rules.d`)).toEqual(["70-other.rules"]);
    expect(inside(`${DEVICE}/uevent`)).toBe("change");
  });

  test("is refused for what is no device, has no tag, or is no seat, and to strangers", async () => {
    const NO_DEVICE = { errorName: "System.Error.ENODEV" };
    await expect(attach("seat-left", DEVICE)).rejects.toMatchObject(NO_DEVICE);
    addDevice("+input:input3", ["seat"]);
    await expect(attach("seat-left", DEVICE)).rejects.toMatchObject(NO_DEVICE);
    addDevice("+input:input3", ["seat"], { ID_FOR_SEAT: "../../x" });
    await expect(attach("seat-left", DEVICE)).rejects.toMatchObject(NO_DEVICE);
    await expect(attach("seat-left", "/sys/devices/none")).rejects.toMatchObject(NO_DEVICE);
    await expect(attach("seat-left", "/etc/passwd")).rejects.toMatchObject(INVALID);
    await expect(attach("seat-left", `/sys/../etc`)).rejects.toMatchObject(INVALID);
    await expect(attach('seat"x', DEVICE)).rejects.toMatchObject(INVALID);
    for (const [member, ...words] of [
      ["AttachDevice", "ssb", "seat-left", DEVICE, "false"],
      ["FlushDevices", "b", "false"],
    ] as string[][]) {
      const outcome = await world.run(
        [
          ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
          ...["org.freedesktop.login1.Manager", String(member), ...words],
        ],
        { user: ALICE },
      );
      expect(outcome.stderr).toContain("Access denied");
    }
    // What can never be is said before anybody is asked.
    for (const words of [
      ['seat"x', DEVICE],
      ["seat-left", "/etc"],
    ]) {
      const asked = ["org.freedesktop.login1.Manager", "AttachDevice", "ssb", ...words, "false"];
      const login1 = ["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"];
      const outcome = await world.run([...login1, ...asked], { user: ALICE });
      expect(outcome.stderr).toMatch(/is not valid|is not in \/sys/);
    }
    expect(existsSync(world.root + RULE)).toBe(false);
  });
});
