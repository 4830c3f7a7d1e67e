/** The rules of taken devices with kinds that note what is asked of them, where the hardware is missing. */
import { beforeEach, describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import type { Logger } from "../../../lib/cli/index.ts";
import {
  characterDeviceOf,
  close,
  duplicate,
  isSameOpenFile,
  SystemError,
  socketPair,
} from "../../../lib/linux/index.ts";
import type { DeviceKind } from "../../../lib/login1/devices/device-kinds.ts";
import { DEVICE_KINDS, takeable } from "../../../lib/login1/devices/device-kinds.ts";
import type { DescriptorStore } from "../../../lib/login1/devices/parts.ts";
import { Devices } from "../../../lib/login1/devices/session-devices.ts";
import type { SystemDevice } from "../../../lib/login1/hardware/udev.ts";
import { Seat, Session, User } from "../../../lib/login1/model/objects.ts";
import { until } from "../../support/until.ts";

const EINVAL = 22;
const ENODEV = 19;
const noted: string[] = [];
/** Calls that are to fail, by name, with an errno. */
const failing = new Map<string, number>();

/** The seat's foreground goes from one session to another, as Foreground has it. */
function move(devices: Devices, before: Session | undefined, after: Session): void {
  if (before) devices.left(before);
  if (after.active) devices.entered(after);
}

function note(name: string): void {
  const errno = failing.get(name);
  noted.push(errno === undefined ? name : `${name} failed`);
  if (errno !== undefined) throw new SystemError(name, errno, "card0");
}

const logged: string[] = [];
const log: Logger = {
  debug: () => {},
  info: () => {},
  warning: (message) => logged.push(message),
  error: (message) => logged.push(message),
};

/** A card of which what the controller has open is lost. */
const lostCard: DeviceKind = {
  open() {
    note("open beside");
    return openSync("/dev/null", "r+");
  },
  activate: (fd) => fd,
  deactivate() {},
};
/** A card: the same open file throughout. */
const card: DeviceKind = {
  withoutFile: lostCard,
  open(_node, active) {
    note(active ? "open as master" : "open");
    return openSync("/dev/null", "r+");
  },
  activate(fd) {
    note("set master");
    return fd;
  },
  deactivate: () => note("drop master"),
};
/** An event node: a new open file each time. */
const events: DeviceKind = {
  open(_node, active) {
    note(active ? "open" : "open revoked");
    return openSync("/dev/null", "r+");
  },
  activate(fd) {
    note("open anew");
    const fresh = openSync("/dev/null", "r+");
    close(fd);
    return fresh;
  },
  deactivate: () => note("revoke"),
};

const NOW = { realtime: 1n, monotonic: 1n };
const user = new User(1000, 1000, "alice", "/run/user/1000", NOW);
function sessionOn(seat: Seat, id: string): Session {
  const session = new Session({
    id,
    user,
    leader: { pid: 1, pidfdId: 0n, startTime: 0n },
    service: "",
    idleRule: { ttyAfter: 0n, lastTouched: () => undefined },
    type: "wayland",
    class: "user",
    desktop: "",
    seat,
    vtnr: 0,
    tty: "",
    display: "",
    remote: false,
    remoteHost: "",
    extraDeviceAccess: [],
    remoteUser: "",
    audit: 0,
    since: NOW,
    hasFifo: false,
  });
  seat.add(session);
  return session;
}

/** What the store has: an open file by each name. */
const stored = new Map<string, number>();
/** Resolves what waits for the store. */
let whenKept = Promise.resolve();
const store: DescriptorStore = {
  fetch: async () => new Map([...stored].map(([name, fd]) => [name, duplicate(fd)])),
  keep(name, fd) {
    store.drop(name);
    stored.set(name, duplicate(fd));
    return whenKept;
  },
  drop(name) {
    const fd = stored.get(name);
    if (fd !== undefined) closeSync(fd);
    stored.delete(name);
  },
  stop() {},
};

let devices: Devices;
let seat: Seat;
let one: Session;
let two: Session;
let seatOf: Record<string, string | undefined>;

beforeEach(() => {
  noted.length = 0;
  logged.length = 0;
  failing.clear();
  seatOf = { "226:0": "seat1", "13:64": "seat1" };
  seat = new Seat("seat1");
  one = sessionOn(seat, "1");
  two = sessionOn(seat, "2");
  seat.active = one;
  for (const name of stored.keys()) store.drop(name);
  whenKept = Promise.resolve();
  devices = newRun();
});

/** The devices of a run of the bridge. */
function newRun(): Devices {
  const dummy = (key: string): SystemDevice => ({
    syspath: "",
    name: "",
    subsystem: "",
    node: "",
    key,
  });
  return new Devices(
    log,
    {
      completeSwitch() {
        noted.push("switch");
        seat.active = two;
        move(devices, one, two);
      },
      sessionChanged: (session) => noted.push(`saved ${[...session.devices].join(" ")}`),
    },
    {
      find: (number) =>
        number in seatOf
          ? { kind: number === "226:0" ? card : events, node: number, seatDevice: dummy(number) }
          : undefined,
      // All of them are /dev/null here.
      isOpenOn: (fd) => characterDeviceOf(fd) === "1:3",
      seatOf: ({ seatDevice }) => seatOf[seatDevice.key],
    },
    {
      paused: (_session, major, minor, how) => noted.push(`${major}:${minor} ${how}`),
      resumed(_session, major, minor, fd) {
        noted.push(`${major}:${minor} resumed`);
        closeSync(fd);
      },
    },
    store,
    1,
  );
}

const take = async (session: Session, major: number, minor: number) => {
  const { fd, inactive } = await devices.take(session, major, minor);
  closeSync(fd);
  return inactive;
};

describe("taken devices", () => {
  test("are the foreground's: master and events at once; else paused from the start", async () => {
    expect(await take(one, 226, 0)).toBe(false);
    expect(await take(one, 13, 64)).toBe(false);
    expect(await take(two, 13, 64)).toBe(true);
    expect(noted).toEqual([
      ...["open as master", "saved 226:0", "open", "saved 226:0 13:64"],
      ...["open revoked", "saved 13:64"],
    ]);
  });

  test("wait for each to be paused before the switch, and come back with a new opening", async () => {
    await take(one, 226, 0);
    await take(one, 13, 64);
    await take(two, 226, 0);
    noted.length = 0;
    expect(devices.leaving(one)).toBe(false);
    devices.pauseComplete(one, 226, 0);
    expect(noted).toEqual(["226:0 pause", "13:64 pause", "drop master"]);
    devices.pauseComplete(one, 13, 64);
    expect(noted.slice(3)).toEqual(["revoke", "switch", "set master", "226:0 resumed"]);
    noted.length = 0;
    seat.active = one;
    move(devices, two, one);
    expect(noted).toEqual([
      ...["drop master", "226:0 force"],
      ...["set master", "226:0 resumed", "open anew", "13:64 resumed"],
    ]);
    devices.stop();
  });

  test("a controller that does not answer keeps nobody waiting for ever", async () => {
    await take(one, 13, 64);
    noted.length = 0;
    expect(devices.leaving(one)).toBe(false);
    await until("the seat is switched", () => noted.includes("switch"));
    expect(noted).toEqual(["13:64 pause", "switch", "revoke", "13:64 force"]);
    expect(logged[0]).toContain("did not pause its devices in time");
  });

  test("one that its controller paused unasked, as Xorg does, is not paused again and comes back", async () => {
    await take(one, 226, 0);
    await take(one, 13, 64);
    noted.length = 0;
    devices.pauseComplete(one, 226, 0);
    expect(noted).toEqual(["drop master"]);
    seat.active = two;
    move(devices, one, two);
    expect(noted.slice(1)).toEqual(["revoke", "13:64 force"]);
    seat.active = one;
    move(devices, two, one);
    expect(noted.slice(3)).toEqual([
      ...["set master", "226:0 resumed"],
      ...["open anew", "13:64 resumed"],
    ]);
  });

  test("with nothing to pause the switch need not wait", async () => {
    await take(two, 226, 0);
    expect(devices.leaving(one)).toBe(true);
  });

  test("a card with another master is taken paused, and stays so until it can be had", async () => {
    failing.set("open as master", EINVAL);
    expect(await take(one, 226, 0)).toBe(true);
    expect(noted).toEqual(["open as master failed", "open", "saved 226:0"]);
    failing.set("set master", EINVAL);
    move(devices, undefined, one);
    expect(noted.at(-1)).toBe("set master failed");
    failing.clear();
    move(devices, undefined, one);
    expect(noted.at(-1)).toBe("226:0 resumed");
  });

  test("one that cannot be opened leaves nothing behind", async () => {
    failing.set("open", ENODEV);
    await expect(devices.take(one, 13, 64)).rejects.toThrow("ENODEV");
    expect(one.devices.size).toBe(0);
    failing.clear();
    expect(await take(one, 13, 64)).toBe(false);
  });

  test("an unplugged one is gone, though nothing can be revoked of it", async () => {
    await take(one, 13, 64);
    failing.set("revoke", ENODEV);
    seatOf = {};
    noted.length = 0;
    devices.refresh();
    expect(noted).toEqual(["revoke failed", "13:64 gone", "saved "]);
    expect(logged).toEqual([]);
    expect(() => devices.release(one, 13, 64)).toThrow("Device not taken");
  });

  test("all go with the session", async () => {
    await take(one, 226, 0);
    await take(one, 13, 64);
    noted.length = 0;
    devices.ended(one);
    expect(noted).toEqual(["drop master", "226:0 gone", "revoke", "13:64 gone"]);
  });
});

describe("after a restart", () => {
  const restart = async (...sessions: Session[]) => {
    for (const session of sessions) session.wasActive = session.active;
    noted.length = 0;
    devices = newRun();
    await devices.fetch();
    for (const session of sessions) devices.restore(session);
    devices.endRestore();
  };

  test("each device is there with the same open file, and nothing else is kept", async () => {
    await take(one, 226, 0);
    await take(one, 13, 64);
    await take(two, 13, 64);
    expect([...stored.keys()]).toEqual([
      ...["session-1-device-226-0", "session-1-device-13-64", "session-2-device-13-64"],
    ]);
    devices.release(two, 13, 64);
    const before = duplicate(stored.get("session-1-device-226-0") ?? -1);
    await restart(one, two);
    expect(noted).toEqual([]);
    expect(logged).toEqual([]);
    await expect(devices.take(one, 13, 64)).rejects.toThrow("already taken");
    expect(isSameOpenFile(before, stored.get("session-1-device-226-0") ?? -1)).toBe(true);
    closeSync(before);
    seat.active = two;
    move(devices, one, two);
    expect(noted).toEqual(["drop master", "226:0 force", "revoke", "13:64 force"]);
    devices.ended(one);
    expect(stored.size).toBe(0);
  });

  test("what comes back and is not the device is never used, and the device is opened anew", async () => {
    await take(one, 13, 64);
    const [ours, theirs] = socketPair();
    store.keep("session-1-device-13-64", theirs);
    await restart(one);
    expect(noted).toEqual(["open", "13:64 force", "13:64 resumed"]);
    expect(logged).toEqual([
      expect.stringContaining(
        "session-1-device-13-64: what was kept under this name is not the device",
      ),
      expect.stringContaining("is lost"),
    ]);
    for (const fd of [ours, theirs]) closeSync(fd);
  });

  test("what came back with a new opening is that one, and not the revoked one", async () => {
    await take(two, 13, 64);
    const revoked = duplicate(stored.get("session-2-device-13-64") ?? -1);
    seat.active = two;
    move(devices, one, two);
    expect(isSameOpenFile(revoked, stored.get("session-2-device-13-64") ?? -1)).toBe(false);
    closeSync(revoked);
  });

  test("what belongs to nobody any more is taken away", async () => {
    await take(one, 226, 0);
    one.devices.clear();
    await restart(one);
    expect(noted).toEqual(["drop master"]);
    expect(stored.size).toBe(0);
  });

  test("without the store an event node is opened anew, and its controller told", async () => {
    await take(one, 13, 64);
    await take(two, 13, 64);
    stored.clear();
    await restart(one, two);
    expect(noted).toEqual(["open", "13:64 force", "13:64 resumed", "open revoked"]);
    expect(logged).toHaveLength(2);
    expect([...stored.keys()]).toEqual(["session-1-device-13-64", "session-2-device-13-64"]);
  });

  test("without the store a card stays its controller's, who hears of each switch", async () => {
    await take(one, 226, 0);
    await take(two, 226, 0);
    stored.clear();
    await restart(one, two);
    expect(noted).toEqual(["open beside", "open beside"]);
    noted.length = 0;
    seat.active = two;
    move(devices, one, two);
    seat.active = one;
    move(devices, two, one);
    expect(noted).toEqual([...["226:0 force", "226:0 resumed", "226:0 force", "226:0 resumed"]]);
    devices.release(one, 226, 0);
    expect(await take(one, 226, 0)).toBe(false);
  });

  test("one that is gone, or cannot be opened anew, is taken no more", async () => {
    await take(one, 226, 0);
    await take(one, 13, 64);
    stored.clear();
    failing.set("open", ENODEV);
    seatOf = { "13:64": "seat1" };
    await restart(one);
    expect(noted).toEqual(["226:0 gone", "open failed", "13:64 gone"]);
    expect(one.devices.size).toBe(0);
  });
});

test("what happens while the store is waited for is in the answer", async () => {
  const { promise, resolve } = Promise.withResolvers<void>();
  whenKept = promise;
  const taking = [devices.take(one, 226, 0), devices.take(one, 13, 64)] as const;
  devices.release(one, 13, 64);
  seat.active = two;
  move(devices, one, two);
  resolve();
  await expect(taking[1]).rejects.toThrow("not taken");
  const { fd, inactive } = await taking[0];
  expect(inactive).toBe(true);
  closeSync(fd);
});

describe("the kinds", () => {
  const device = (name: string, subsystem: string): SystemDevice => ({
    syspath: "/nowhere",
    name,
    subsystem,
    node: `/dev/${name}`,
    key: "c1:1",
  });

  test("are cards, hidraw and event nodes, and nothing else", async () => {
    expect(takeable(device("card0", "drm"))?.kind).toBe(DEVICE_KINDS.drm);
    expect(takeable(device("hidraw2", "hidraw"))?.kind).toBe(DEVICE_KINDS.hidraw);
    // An event node belongs to the input device above it, and here is none.
    expect(takeable(device("event3", "input"))).toBeUndefined();
    for (const [name, subsystem] of [
      ["renderD128", "drm"],
      ["card0-HDMI-A-1", "drm"],
      ["mouse0", "input"],
      ["zero", "mem"],
      ["sda", "block"],
    ] as const) {
      expect(takeable(device(name, subsystem))).toBeUndefined();
    }
  });

  test("close what cannot be made the master or revoked", async () => {
    // The ioctls themselves need hardware; /dev/null refuses each, as it must.
    expect(() => DEVICE_KINDS.drm.open("/dev/null", true)).toThrow("DRM_IOCTL_SET_MASTER");
    expect(() => DEVICE_KINDS.drm.open("/dev/null", false)).toThrow("DRM_IOCTL_DROP_MASTER");
    expect(() => DEVICE_KINDS.evdev.open("/dev/null", false)).toThrow("EVIOCREVOKE");
    for (const active of [false, true]) {
      expect(() => DEVICE_KINDS.hidraw.open("/dev/null", active)).toThrow("HIDIOCREVOKE");
    }
  });
});
