/** The rules of taken devices with kinds that note what is asked of them, where the hardware is missing. */
import { beforeEach, describe, expect, test } from "bun:test";
import { closeSync, openSync } from "node:fs";
import type { Logger } from "../../lib/cli/index.ts";
import { close, SystemError } from "../../lib/linux/index.ts";
import type { DeviceKind } from "../../lib/login1/device-kinds.ts";
import { DEVICE_KINDS, takeable } from "../../lib/login1/device-kinds.ts";
import { Devices } from "../../lib/login1/devices.ts";
import { Seat } from "../../lib/login1/seat.ts";
import { Session } from "../../lib/login1/session.ts";
import type { SystemDevice } from "../../lib/login1/udev.ts";
import { User } from "../../lib/login1/user.ts";

const EINVAL = 22;
const ENODEV = 19;
const noted: string[] = [];
/** Calls that are to fail, by name, with an errno. */
const failing = new Map<string, number>();

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

/** A card: the same open file throughout. */
const card: DeviceKind = {
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
    close(fd);
    return openSync("/dev/null", "r+");
  },
  deactivate: () => note("revoke"),
};

const NOW = { realtime: 1n, monotonic: 1n };
const user = new User(1000, 1000, "alice", "/run/user/1000", NOW);
function sessionOn(seat: Seat, id: string): Session {
  const session = new Session({
    id,
    user,
    leader: { pid: 1, startTime: 0n, pidfdId: 0n },
    service: "",
    type: "wayland",
    class: "user",
    desktop: "",
    seat,
    vtnr: 0,
    tty: "",
    display: "",
    remote: false,
    remoteHost: "",
    remoteUser: "",
    audit: 0,
    since: NOW,
    hasFifo: false,
  });
  seat.add(session);
  return session;
}

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
  const dummy = (key: string): SystemDevice => ({
    syspath: "",
    name: "",
    subsystem: "",
    node: "",
    key,
  });
  devices = new Devices(
    log,
    {
      completeSwitch() {
        noted.push("switch");
        seat.active = two;
        devices.foreground(one, two);
      },
      sessionChanged: (session) => noted.push(`saved ${[...session.devices].join(" ")}`),
    },
    {
      find: (number) =>
        number in seatOf
          ? { kind: number === "226:0" ? card : events, node: number, seatDevice: dummy(number) }
          : undefined,
      seatOf: ({ seatDevice }) => seatOf[seatDevice.key],
    },
    {
      paused: (_session, major, minor, how) => noted.push(`${major}:${minor} ${how}`),
      resumed(_session, major, minor, fd) {
        noted.push(`${major}:${minor} resumed`);
        closeSync(fd);
      },
    },
    1,
  );
});

const take = (session: Session, major: number, minor: number) => {
  const { fd, inactive } = devices.take(session, major, minor);
  closeSync(fd);
  return inactive;
};

describe("taken devices", () => {
  test("are the foreground's: master and events at once; else paused from the start", () => {
    expect(take(one, 226, 0)).toBe(false);
    expect(take(one, 13, 64)).toBe(false);
    expect(take(two, 13, 64)).toBe(true);
    expect(noted).toEqual([
      ...["open as master", "saved 226:0", "open", "saved 226:0 13:64"],
      ...["open revoked", "saved 13:64"],
    ]);
  });

  test("wait for each to be paused before the switch, and come back with a new opening", () => {
    take(one, 226, 0);
    take(one, 13, 64);
    take(two, 226, 0);
    noted.length = 0;
    expect(devices.leaving(one)).toBe(false);
    devices.pauseComplete(one, 226, 0);
    expect(noted).toEqual(["226:0 pause", "13:64 pause", "drop master"]);
    devices.pauseComplete(one, 13, 64);
    expect(noted.slice(3)).toEqual(["revoke", "switch", "set master", "226:0 resumed"]);
    noted.length = 0;
    seat.active = one;
    devices.foreground(two, one);
    expect(noted).toEqual([
      ...["drop master", "226:0 force"],
      ...["set master", "226:0 resumed", "open anew", "13:64 resumed"],
    ]);
    devices.stop();
  });

  test("a controller that does not answer keeps nobody waiting for ever", async () => {
    take(one, 13, 64);
    noted.length = 0;
    expect(devices.leaving(one)).toBe(false);
    while (!noted.includes("switch")) await Bun.sleep(1);
    expect(noted).toEqual(["13:64 pause", "switch", "revoke", "13:64 force"]);
    expect(logged[0]).toContain("did not pause its devices in time");
  });

  test("with nothing to pause the switch need not wait", () => {
    take(two, 226, 0);
    expect(devices.leaving(one)).toBe(true);
  });

  test("a card with another master is taken paused, and stays so until it can be had", () => {
    failing.set("open as master", EINVAL);
    expect(take(one, 226, 0)).toBe(true);
    expect(noted).toEqual(["open as master failed", "open", "saved 226:0"]);
    failing.set("set master", EINVAL);
    devices.foreground(undefined, one);
    expect(noted.at(-1)).toBe("set master failed");
    failing.clear();
    devices.foreground(undefined, one);
    expect(noted.at(-1)).toBe("226:0 resumed");
  });

  test("one that cannot be opened leaves nothing behind", () => {
    failing.set("open", ENODEV);
    expect(() => devices.take(one, 13, 64)).toThrow("ENODEV");
    expect(one.devices.size).toBe(0);
    failing.clear();
    expect(take(one, 13, 64)).toBe(false);
  });

  test("an unplugged one is gone, though nothing can be revoked of it", () => {
    take(one, 13, 64);
    failing.set("revoke", ENODEV);
    seatOf = {};
    noted.length = 0;
    devices.refresh();
    expect(noted).toEqual(["revoke failed", "13:64 gone", "saved "]);
    expect(logged).toEqual([]);
    expect(() => devices.release(one, 13, 64)).toThrow("Device not taken");
  });

  test("all go with the session", () => {
    take(one, 226, 0);
    take(one, 13, 64);
    noted.length = 0;
    devices.ended(one);
    expect(noted).toEqual(["drop master", "226:0 gone", "revoke", "13:64 gone"]);
  });
});

describe("the kinds", () => {
  const device = (name: string, subsystem: string): SystemDevice => ({
    syspath: "/nowhere",
    name,
    subsystem,
    node: `/dev/${name}`,
    key: "c1:1",
  });

  test("are cards, hidraw and event nodes, and nothing else", () => {
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

  test("close what cannot be made the master or revoked", () => {
    // The ioctls themselves need hardware; /dev/null refuses each, as it must.
    expect(() => DEVICE_KINDS.drm.open("/dev/null", true)).toThrow("DRM_IOCTL_SET_MASTER");
    expect(() => DEVICE_KINDS.drm.open("/dev/null", false)).toThrow("DRM_IOCTL_DROP_MASTER");
    expect(() => DEVICE_KINDS.evdev.open("/dev/null", false)).toThrow("EVIOCREVOKE");
    expect(() => DEVICE_KINDS.hidraw.open("/dev/null", false)).toThrow("HIDIOCREVOKE");
  });
});
