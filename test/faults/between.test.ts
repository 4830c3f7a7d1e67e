/**
 * What happens between two steps: a switch that is called off while it is under way, a login that is
 * refused while its user is kept for a while, a seat whose file is damaged, descriptors that run out.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import {
  type CreateOptions,
  callManager,
  createSession,
  getProperty,
} from "../login1/support/client.ts";
import { loginAtSeat } from "../login1/support/login.ts";
import { takeableNull } from "../login1/support/null-device.ts";
import { addDevice, removeDevice } from "../login1/support/udev-database.ts";
import { World } from "../login1/support/world.ts";
import { breakRun, mendRun } from "./run-folder.ts";

const ALICE = 65534;
const SESSION = "org.freedesktop.login1.Session";
/** The number of /dev/null, which stands for an input device. */
const NULL = [1, 3];

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  await takeableNull(world);
  bus = await world.connect();
  const sender = "org.freedesktop.login1";
  for (const member of ["PauseDevice", "ResumeDevice"]) {
    await bus.onSignal({ sender, interface: SESSION, member }, ([, , how]) => {
      events.push(`${member} ${typeof how === "string" ? how : "descriptor"}`);
    });
  }
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
});
afterEach(() => world.reset(bus));

/** As seen from the world, where it is a file system of the world's own. */
const lingerFolder = "var/lib/systemd/linger";
const inRun = (folder: string) => join(world.root, "run/systemd", folder);
const sessions = async () => {
  const [list] = (await callManager(bus, "ListSessions")) as [[string][]];
  return list.map(([id]) => id).sort();
};
const active = async () => {
  const seat = "/org/freedesktop/login1/seat/seat0";
  const [id] = (await getProperty(bus, seat, "Seat", "ActiveSession")) as [string];
  return id;
};

async function run(...words: string[]): Promise<void> {
  expect(await world.run(words)).toMatchObject({ code: 0, stderr: "" });
}

const login = (options?: Partial<CreateOptions>) => loginAtSeat(world, bus, options);

/** A session in the foreground whose controller has a device, and one in the background. */
async function two() {
  const one = await login();
  const other = await login();
  await one.call("Activate");
  await one.call("TakeControl", "b", [false]);
  const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
  return { one, other, end: () => [device, one.fd, other.fd].forEach(close) };
}

describe("a switch that is called off", () => {
  const ways = {
    "back to who was asked": ({ one }: Awaited<ReturnType<typeof two>>) => one.call("Activate"),
    "as its target ends": async ({ other }: Awaited<ReturnType<typeof two>>) => {
      other.leader.kill("SIGKILL");
      await world.until("it has ended", async () => !(await sessions()).includes(other.id));
    },
  };
  for (const [name, callOff] of Object.entries(ways)) {
    test(`${name}: what is paused after that comes back`, async () => {
      const both = await two();
      const { one, other } = both;
      await other.call("Activate");
      await world.until("it is asked", () => events.includes("PauseDevice pause"));
      await callOff(both);
      // The answer to the question was on its way already.
      await one.call("PauseDeviceComplete", "uu", NULL);
      expect(await active()).toBe(one.id);
      await world.until("it is back", () => events.at(-1) === "ResumeDevice descriptor");
      both.end();
    });
  }
});

test.each(["ReleaseDevice", "ReleaseControl", "leaving the bus"])(
  "a switch does not wait for a device that is given back by %s",
  async (how) => {
    const one = await login();
    const other = await login();
    await one.call("Activate");
    const controller = await world.connect();
    const call = (member: string, signature = "", body: unknown[] = []) =>
      controller.call({
        ...{ destination: "org.freedesktop.login1", path: one.path, interface: SESSION },
        ...{ member, signature, body },
      });
    await call("TakeControl", "b", [false]);
    const [device] = (await call("TakeDevice", "uu", NULL)) as [number];
    await other.call("Activate");
    expect(await active()).toBe(one.id);
    if (how === "ReleaseDevice") await call(how, "uu", NULL);
    else if (how === "ReleaseControl") await call(how);
    else controller.close();
    await world.until("it is made", async () => (await active()) === other.id);
    expect(world.log).not.toContain("did not pause its devices in time");
    if (how !== "leaving the bus") controller.close();
    for (const fd of [device, one.fd, other.fd]) close(fd);
  },
);

test("a user who is kept for a while goes after it, also where a login is refused meanwhile", async () => {
  mkdirSync(join(world.root, "run/lainos"), { recursive: true });
  const settings = join(world.root, "run/lainos/logind.conf");
  writeFileSync(settings, "[Login]\nUserStopDelaySec=2\n");
  await callManager(bus, "Reload");
  const one = await login();
  const leader = await world.leader();
  const slice = `/sys/fs/cgroup/user.slice/user-${ALICE}.slice`;
  await run("sh", "-c", `echo 1 > ${slice}/cgroup.max.depth`);
  one.leader.kill("SIGKILL");
  close(one.fd);
  await world.until("it has ended", async () => (await sessions()).length === 0);
  await expect(createSession(bus, { uid: ALICE, leader: leader.pid })).rejects.toThrow(/scope/);
  await run("sh", "-c", `echo 13 > ${slice}/cgroup.max.depth`);
  const users = async () => ((await callManager(bus, "ListUsers")) as [unknown[]])[0].length;
  expect(await users()).toBe(1);
  await world.until("the user is gone", async () => (await users()) === 0);
  writeFileSync(settings, "[Login]\nUserStopDelaySec=0\n");
  await callManager(bus, "Reload");
});

test("a seat whose file is damaged has in its foreground who was there", async () => {
  const both = await two();
  const { one } = both;
  expect(await active()).toBe(one.id);
  await world.endBridge("SIGKILL");
  writeFileSync(join(inRun("seats"), "seat0"), "\x00\xff=");
  await world.startBridge();
  expect(await active()).toBe(one.id);
  both.end();
});

test("a folder in the place of a state file gives way to it", async () => {
  const one = await login();
  await world.endBridge("SIGKILL");
  for (const file of ["users/65534", "seats/seat0"]) {
    rmSync(inRun(file));
    mkdirSync(join(inRun(file), "folder"), { recursive: true });
  }
  await world.startBridge();
  expect(await sessions()).toEqual([one.id]);
  await one.call("SetLockedHint", "b", [true]);
  for (const file of ["users/65534", "seats/seat0"]) {
    expect(statSync(inRun(file)).isFile()).toBe(true);
  }
  close(one.fd);
});

test("a scope that cannot be removed keeps no session", async () => {
  const one = await login();
  await run("mount", "-o", "remount,bind,ro", "/sys/fs/cgroup");
  one.leader.kill("SIGKILL");
  close(one.fd);
  await world
    .until("it is gone", async () => (await sessions()).length === 0)
    .finally(() => run("mount", "-o", "remount,bind,rw", "/sys/fs/cgroup"));
  expect(world.log.match(/scope, which stays: EROFS/g)).toHaveLength(1);
});

test.each([
  ["tags", ": >$1"],
  ["tags/master-of-seat", "ln -s $1 $1"],
  ["tags/uaccess", ": >$1"],
  ["data/c226:0", "mkdir -p $1"],
])("udev's %s that is something else ends no start", async (name, place) => {
  const udev = "/run/udev";
  await world.endBridge("SIGTERM");
  await run("mv", udev, "/run/udev-away");
  addDevice(world, "c226:0", ["seat", "master-of-seat", "uaccess"], {});
  await run("sh", "-ec", `rm -r $1; ${place}`, "sh", `${udev}/${name}`);
  const started = world.startBridge();
  await started.finally(() => run("sh", "-ec", `rm -r ${udev}; mv /run/udev-away ${udev}`));
  const one = await login();
  expect(await sessions()).toEqual([one.id]);
  close(one.fd);
});

test("a folder of who lingers that cannot be read keeps nobody from logging in", async () => {
  await world.endBridge("SIGTERM");
  const linger = join(world.root, lingerFolder);
  mkdirSync(linger, { recursive: true });
  rmSync(linger, { recursive: true });
  writeFileSync(linger, "");
  await world.startBridge();
  expect(world.log).toMatch(/after looking for who lingers: ENOTDIR: .*linger/);
  const one = await login();
  expect(await sessions()).toEqual([one.id]);
  rmSync(linger);
  close(one.fd);
});

describe("a /run that takes no new file", () => {
  const size = () => run("mount", "-o", "remount,size=8m,nr_inodes=20k", "/run");
  const ways: Record<string, [begin: () => Promise<void>, end: () => Promise<void>]> = {
    "as it is out of inodes": [() => breakRun(world, "out of inodes"), () => mendRun(world)],
    "as it is read-only": [
      () => run("mount", "-o", "remount,bind,ro", "/run"),
      () => run("mount", "-o", "remount,bind,rw", "/run"),
    ],
  };
  for (const [name, [begin, end]] of Object.entries(ways)) {
    test(`${name}, keeps nobody from another session, whose descriptor ends it`, async () => {
      await size();
      const one = await login();
      await begin();
      const next = await login().finally(async () => {
        if ((await sessions()).length === 1) await end();
      });
      expect(await sessions()).toEqual([one.id, next.id].sort());
      close(next.fd);
      next.leader.kill("SIGKILL");
      await world.until("it has ended", async () => (await sessions()).join() === one.id);
      const last = await login();
      await end();
      await world.until("it is in the files", () =>
        readdirSync(inRun("sessions")).includes(last.id),
      );
      await world.endBridge("SIGKILL");
      await world.startBridge();
      expect(await sessions()).toEqual([one.id, last.id].sort());
      for (const { fd } of [one, last]) close(fd);
    });
  }
});

describe("without a descriptor to be had", () => {
  const limit = (most: number) =>
    run("prlimit", `--pid=${world.bridgePid}`, `--nofile=${most}:4096`);

  /** The number that the next descriptor gets. */
  const lowestFree = () => {
    const open = new Set(readdirSync(`/proc/${world.bridgePid}/fd`).map(Number));
    let number = 0;
    while (open.has(number)) number++;
    return number;
  };

  test("who comes to the foreground has its devices as soon as there is one", async () => {
    const both = await two();
    const { one, other } = both;
    await other.call("Activate");
    await world.until("it is asked", () => events.includes("PauseDevice pause"));
    await one.call("PauseDeviceComplete", "uu", NULL);
    expect(await active()).toBe(other.id);
    events.length = 0;
    await limit(lowestFree());
    await one.call("Activate");
    expect(await active()).toBe(one.id);
    await Bun.sleep(200);
    expect(events).toEqual([]);
    await limit(4096);
    await world.until("it is back", () => events.at(-1) === "ResumeDevice descriptor");
    both.end();
  });

  test("a seat whose device comes meanwhile is there as soon as there is one", async () => {
    await limit(lowestFree());
    const [key, tags] = ["c226:0", ["seat", "master-of-seat"]] as const;
    addDevice(world, key, [...tags], { ID_SEAT: "seat-two" });
    await world.until("it is looked for", () => /after a change in udev: EMFILE/.test(world.log));
    await limit(4096);
    const seats = async () => ((await callManager(bus, "ListSeats")) as [unknown[]])[0].length;
    await world.until("the seat is there", async () => (await seats()) === 2);
    removeDevice(world, key, [...tags]);
    await world.until("the seat is gone", async () => (await seats()) === 1);
  });

  test("a start that needs more of them says so", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => login()));
    await world.endBridge("SIGKILL");
    const few = `ulimit -n 24; exec "$@"`;
    const { code, stderr } = await world.run(["sh", "-c", few, "sh", ...world.options.bridge]);
    expect(code).toBe(1);
    expect(stderr).toContain("EMFILE");
    await world.startBridge();
    expect(await sessions()).toHaveLength(all.length);
    for (const { fd } of all) close(fd);
  });
});
