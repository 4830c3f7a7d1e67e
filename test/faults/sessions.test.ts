/**
 * Sessions where something fails: a full or read-only /run, no descriptors, cgroups that cannot be made,
 * a bridge that is killed at any file that it writes. Nothing may be stuck, lost or given to the wrong
 * session, and all has to be as it should once the fault is over.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import {
  cgroupOf,
  close,
  IN_CREATE,
  IN_DELETE,
  IN_MOVED_TO,
  watchPath,
} from "../../lib/linux/index.ts";
import {
  type CreateOptions,
  callManager,
  createSession,
  getProperty,
  sessionIds,
} from "../login1/support/client.ts";
import { loginAtSeat } from "../login1/support/login.ts";
import { NULL, takeableNull } from "../login1/support/null-device.ts";
import { scopeOf, World } from "../login1/support/world.ts";
import { quietFor } from "../support/until.ts";

const ALICE = 65534;
const BOB = 8;
const SESSION = "org.freedesktop.login1.Session";

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  await takeableNull(world);
  await connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
});
afterEach(async () => {
  await giveRoom();
  await world.reset(bus);
  expect(readdirSync(inRun("sessions"))).toEqual([]);
});

async function connect(): Promise<void> {
  bus = await world.connect();
  const sender = "org.freedesktop.login1";
  for (const member of ["PauseDevice", "ResumeDevice"]) {
    await bus.onSignal({ sender, interface: SESSION, member }, ([, , how]) => {
      events.push(`${member} ${typeof how === "string" ? how : "descriptor"}`);
    });
  }
  const manager = { sender, interface: "org.freedesktop.login1.Manager" };
  for (const member of ["SessionNew", "SessionRemoved", "UserRemoved"]) {
    await bus.onSignal({ ...manager, member }, ([id]) => events.push(`${member} ${id}`));
  }
}

const inRun = (folder: string) => join(world.root, "run/systemd", folder);
const hasState = (folder: string, name: string) => existsSync(join(inRun(folder), name));
const sessions = async () => (await sessionIds(bus)).sort();
const active = async () => {
  const seat = "/org/freedesktop/login1/seat/seat0";
  const [id] = (await getProperty(bus, seat, "Seat", "ActiveSession")) as [string];
  return id;
};

async function run(...words: string[]): Promise<void> {
  expect(await world.run(words)).toMatchObject({ code: 0, stderr: "" });
}

/** Fills /run to the last byte. */
async function fill(): Promise<void> {
  await run("mount", "-o", "remount,size=4m", "/run");
  await run("sh", "-c", "dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null || true");
}

async function giveRoom(): Promise<void> {
  await run("mount", "-o", "remount,bind,rw", "/run");
  await run("mount", "-o", "remount,size=50%", "/run");
  await run("rm", "-f", "/run/filler");
}

const faults = {
  full: fill,
  "read-only": () => run("mount", "-o", "remount,bind,ro", "/run"),
};

const login = (options?: Partial<CreateOptions>) => loginAtSeat(world, bus, options);

/** A session whose controller has taken a device. */
async function loginWithDevice() {
  const session = await login();
  await session.call("TakeControl", "b", [false]);
  const [device] = (await session.call("TakeDevice", "uu", NULL)) as [number];
  return { ...session, device };
}

/** The files say of the sessions what the bus says of them. */
async function filesAgree(): Promise<void> {
  await world.until("the files say what is so", async () => {
    const ids = await sessions();
    const files = readdirSync(inRun("sessions")).filter((name) => !name.endsWith(".ref"));
    if (files.sort().join() !== ids.join()) return false;
    return (world.stateOf("seats", "seat0").ACTIVE ?? "") === (await active());
  });
}

for (const [name, begin] of Object.entries(faults)) {
  describe(`a ${name} /run`, () => {
    test("does not leave the devices with a session in the background", async () => {
      const one = await loginWithDevice();
      const two = await login();
      await one.call("Activate");
      await world.until("the first has its device", () =>
        events.includes("ResumeDevice descriptor"),
      );
      events.length = 0;
      await begin();
      await two.call("Activate");
      await world.until("the first is asked", () => events.includes("PauseDevice pause"));
      await one.call("PauseDeviceComplete", "uu", NULL);
      expect(await active()).toBe(two.id);
      events.length = 0;
      await one.call("Activate");
      await world.until("it has it again", () => events.includes("ResumeDevice descriptor"));
      expect(await active()).toBe(one.id);
      await giveRoom();
      await filesAgree();
      for (const fd of [one.device, one.fd, two.fd]) close(fd);
    });

    test("does not keep a session closing whose last process ends", async () => {
      const one = await login();
      const rest = await world.run(
        ["sh", "-c", "trap '' HUP; sleep infinity >/dev/null 2>&1 & echo $!"],
        {
          cgroup: `${scopeOf(ALICE, one.id)}/leader`,
        },
      );
      expect(rest.code).toBe(0);
      await begin();
      one.leader.kill("SIGKILL");
      await world.until(
        "it closes",
        async () => (await getProperty(bus, one.path, "Session", "State")) === "closing",
      );
      await run("kill", "-KILL", rest.stdout.trim());
      await world.until("it is gone", () => events.includes(`SessionRemoved ${one.id}`));
      expect(await sessions()).toEqual([]);
      await world.until("and its user", () => events.includes(`UserRemoved ${ALICE}`));
      await giveRoom();
      await filesAgree();
      expect(readdirSync(inRun("users"))).toEqual([]);
      close(one.fd);
    });

    test("keeps no hint, type, control or device from being what it is", async () => {
      const one = await login();
      await begin();
      await one.call("SetLockedHint", "b", [true]);
      await one.call("SetIdleHint", "b", [true]);
      await one.call("TakeControl", "b", [false]);
      await one.call("SetType", "s", ["x11"]);
      const [device] = (await one.call("TakeDevice", "uu", NULL)) as [number];
      for (const [property, value] of [
        ["LockedHint", true],
        ["IdleHint", true],
        ["Type", "x11"],
      ] as const) {
        expect(await getProperty(bus, one.path, "Session", property)).toBe(value);
      }
      await giveRoom();
      await world.until("all of it is in the file", () => {
        const { LOCKED_HINT, IDLE_HINT, TYPE, DEVICES } = world.stateOf("sessions", one.id);
        return [LOCKED_HINT, IDLE_HINT, TYPE, DEVICES].join() === "1,1,x11,1:3";
      });
      for (const fd of [device, one.fd]) close(fd);
    });

    test("is said once, and its end too, however often something changes", async () => {
      const one = await login();
      // What failed before has been written by now, and is said to be.
      const last = (text: string) => world.log.lastIndexOf(text);
      await world.until("nothing waits", () => {
        const written = Math.max(last("the state files are written again"), last(": ready"));
        return last("it is tried again") < written;
      });
      await begin();
      const start = world.log.length;
      for (let count = 0; count < 20; count++) {
        await one.call("SetLockedHint", "b", [count % 2 === 0]);
      }
      await giveRoom();
      await world.until("its end is said", () =>
        world.log.slice(start).includes("the state files are written again"),
      );
      expect(world.log.slice(start).match(/it is tried again/g)).toHaveLength(1);
      close(one.fd);
    });
  });
}

describe("a full /run", () => {
  test("keeps nobody from logging in, and the session's files come with the room", async () => {
    const one = await login();
    await fill();
    const two = await login({ uid: BOB });
    expect(await sessions()).toEqual([one.id, two.id].sort());
    expect(await active()).toBe(two.id);
    expect(cgroupOf(two.leader.pid)).toEndWith(`/session-${two.id}.scope/leader`);
    expect(hasState("sessions", two.id)).toBe(false);
    await giveRoom();
    await filesAgree();
    expect(world.stateOf("users", String(BOB)).SESSIONS).toBe(two.id);
    for (const fd of [one.fd, two.fd]) close(fd);
  });
});

describe("a login that is refused", () => {
  test("takes neither the screen nor devices from who has them, nor moves its leader", async () => {
    const one = await loginWithDevice();
    const before = readdirSync(inRun("sessions")).sort();
    await run("sh", "-c", `echo 2 > /sys/fs/cgroup${slice()}/cgroup.max.descendants`);
    const leader = await world.leader();
    const cgroup = cgroupOf(leader.pid);
    events.length = 0;
    const refused = createSession(bus, { uid: ALICE, leader: leader.pid, seat: "seat0" });
    await expect(refused).rejects.toThrow(/scope could not be made/);
    expect(cgroupOf(leader.pid)).toBe(cgroup);
    expect(await active()).toBe(one.id);
    expect(await sessions()).toEqual([one.id]);
    expect(readdirSync(inRun("sessions")).sort()).toEqual(before);
    expect(events).toEqual([]);
    await run("sh", "-c", `echo max > /sys/fs/cgroup${slice()}/cgroup.max.descendants`);
    const two = await createSession(bus, { uid: ALICE, leader: leader.pid, seat: "seat0" });
    expect(await active()).toBe(two.id);
    for (const fd of [one.device, one.fd, two.fd]) close(fd);
  });

  test("tells of no user who was never there", async () => {
    const one = await login();
    // As many as there are: neither a slice nor a scope can be made.
    await run("sh", "-c", "echo 0 > /sys/fs/cgroup/cgroup.max.descendants");
    const leader = await world.leader();
    await world.until("the news of the first", () => events.includes(`SessionNew ${one.id}`));
    events.length = 0;
    await expect(createSession(bus, { uid: BOB, leader: leader.pid })).rejects.toThrow(/scope/);
    await run("sh", "-c", "echo max > /sys/fs/cgroup/cgroup.max.descendants");
    const two = await createSession(bus, { uid: BOB, leader: leader.pid });
    await world.until("the news", () => events.includes(`SessionNew ${two.id}`));
    expect(events).toEqual([`SessionNew ${two.id}`]);
    for (const fd of [one.fd, two.fd]) close(fd);
  });
});

const slice = () => `/user.slice/user-${ALICE}.slice`;

describe("without a descriptor to be had", () => {
  test("logins are refused, sessions end all the same, and nothing is left", async () => {
    const one = await login();
    const two = await login({ uid: BOB });
    const open = readdirSync(`/proc/${bridge()}/fd`).length;
    await run("prlimit", `--pid=${bridge()}`, `--nofile=${open}:4096`);
    const leader = await world.leader();
    await expect(
      createSession(bus, { uid: ALICE, leader: leader.pid, seat: "seat0" }),
    ).rejects.toThrow();
    one.leader.kill("SIGKILL");
    await quietFor(100, "the bridge ends for want of descriptors");
    await run("prlimit", `--pid=${bridge()}`, "--nofile=4096:4096");
    await world.until("it is gone", async () => (await sessions()).join() === two.id);
    await filesAgree();
    const made = await createSession(bus, { uid: ALICE, leader: leader.pid, seat: "seat0" });
    for (const fd of [one.fd, two.fd, made.fd]) close(fd);
  });
});

const bridge = () => world.bridgePid;

describe("a bridge that is killed at any of the files it writes", () => {
  /** What is done, while the bridge is killed at the file system's n-th word of it. */
  const transitions: Record<string, () => Promise<unknown>> = {
    "a login": async () => {
      const leader = await world.leader();
      const { fd } = await createSession(bus, { uid: BOB, leader: leader.pid, seat: "seat0" });
      close(fd);
    },
    "a session's end": async () => {
      const [last] = (await sessions()).slice(-1);
      await callManager(bus, "TerminateSession", "s", [last]);
    },
    "a switch": async () => {
      const current = await active();
      const other = (await sessions()).find((id) => id !== current);
      await callManager(bus, "ActivateSession", "s", [other]);
    },
  };

  for (const [name, transition] of Object.entries(transitions)) {
    for (const at of [1, 2, 3, 4, 6, 8, 11]) {
      test(`${name}, at ${at}`, async () => {
        const one = await login();
        const two = await login();
        const leaders = [one.leader.pid, two.leader.pid];
        let seen = 0;
        const kill = () => {
          if (++seen === at) process.kill(bridge(), "SIGKILL");
        };
        const watches = ["sessions", "users", "seats"].map((each) =>
          watchPath(inRun(each), IN_CREATE | IN_MOVED_TO | IN_DELETE, kill),
        );
        await transition().catch((error: Error) => error);
        await quietFor(20, "anything: it is killed at a moment of its own");
        for (const end of watches) end();
        await world.endBridge("SIGKILL");
        await world.startBridge();
        await filesAgree();
        // Whose leader lives and who was not ended has the session still.
        const left = await sessions();
        for (const [index, id] of [one.id, two.id].entries()) {
          const isEnded = name === "a session's end" && id === [one.id, two.id].sort()[1];
          const runs = existsSync(`/proc/${leaders[index]}`);
          if (runs && !isEnded) expect(left).toContain(id);
        }
        if (left.length > 0) expect(left).toContain(await active());
        else expect(await active()).toBe("");
        for (const fd of [one.fd, two.fd]) close(fd);
      });
    }
  }
});

describe("state files that are damaged", () => {
  test("cost nobody their session whose user and leader are known", async () => {
    const one = await login({ type: "x11", display: ":5", desktop: "openbox" });
    const path = join(inRun("sessions"), one.id);
    await world.endBridge("SIGKILL");
    const text = readFileSync(path, "utf8");
    const essential = /^(?:#.*|(?:UID|USER|TYPE|CLASS|LEADER|LEADER_\w+)=.*)$/;
    const damaged = text
      .split("\n")
      .map((line) => (essential.test(line) ? line : line.replace(/=.*/, "=\x01-7x")));
    writeFileSync(path, damaged.join("\n"));
    writeFileSync(join(inRun("users"), String(ALICE)), "\x00\xff=");
    await world.startBridge();
    expect(await sessions()).toEqual([one.id]);
    expect(world.stateOf("users", String(ALICE))).toMatchObject({
      NAME: "nobody",
      SESSIONS: one.id,
    });
    expect(statSync(join(world.root, "run/user", String(ALICE))).uid).toBe(ALICE);
    await filesAgree();
    close(one.fd);
  });

  test("one that is none, and one of a session that nobody leads, are passed over in a line", async () => {
    const one = await login();
    await world.endBridge("SIGKILL");
    const start = world.log.length;
    await run("mkdir", "/run/systemd/sessions/c90");
    writeFileSync(join(inRun("sessions"), "c91"), "LEADER=12x\nLEADER_PIDFDID=12x\n");
    writeFileSync(
      join(inRun("sessions"), "c92"),
      readFileSync(join(inRun("sessions"), one.id)).subarray(0, 60),
    );
    writeFileSync(join(inRun("users"), "not-a-uid"), "NAME=root\n");
    await world.startBridge();
    expect(await sessions()).toEqual([one.id]);
    const said = world.log.slice(start);
    for (const name of ["sessions/c90", "sessions/c91", "sessions/c92", "users/not-a-uid"]) {
      expect(said).toContain(`/run/systemd/${name} is not used: `);
    }
    // libsystemd lists what has a file there.
    for (const id of ["c90", "c91", "c92"]) {
      expect(existsSync(join(inRun("sessions"), id))).toBe(false);
    }
    expect(existsSync(join(inRun("users"), "not-a-uid"))).toBe(false);
    close(one.fd);
  });

  test("names that are no text go, and fifos' names where there are none", async () => {
    const one = await login();
    await world.endBridge("SIGKILL");
    const folders = ["sessions", "users", "seats", "inhibit"];
    await run(
      ...[
        "sh",
        "-euc",
        'cd /run/systemd; for folder in "$@"; do : > "$folder/$(printf "c\\377")"; done',
      ],
      ...["sh", ...folders],
    );
    await run("mkdir", "/run/systemd/users/1.ref");
    await run("touch", "/run/systemd/seats/seat9.ref", "/run/systemd/seats/seat0.ref");
    await world.startBridge();
    const names = Object.fromEntries(
      folders.map((folder) => [folder, readdirSync(inRun(folder)).sort()]),
    );
    const own = readdirSync(inRun("sessions")).filter((name) => name.startsWith(one.id));
    expect(names).toEqual({
      sessions: own.sort(),
      users: [`${ALICE}`],
      seats: ["seat0"],
      inhibit: [],
    });
    close(one.fd);
  });

  test("a start that cannot succeed ends in one line and a status, and the next one succeeds", async () => {
    const one = await login();
    await world.endBridge("SIGKILL");
    await run("mv", "/run/systemd/seats", "/run/systemd/seats-away");
    writeFileSync(join(world.root, "run/systemd/seats"), "");
    await expect(world.startBridge()).rejects.toThrow(
      /lainos-dbus-bridge: .*\/run\/systemd\/seats/,
    );
    await run("rm", "/run/systemd/seats");
    await run("mv", "/run/systemd/seats-away", "/run/systemd/seats");
    await world.startBridge();
    expect(await sessions()).toEqual([one.id]);
    close(one.fd);
  });
});
