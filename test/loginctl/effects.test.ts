/** What loginctl's verbs do to a real login1: systemd's and ours, one after the other, with the same effect. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { constants } from "node:os";
import type { Connection } from "../../lib/dbus/index.ts";
import { type CreateOptions, createSession } from "../login1/support/client.ts";
import { addDevice, DEVICE, makeDevice, removeDevice } from "../login1/support/udev-database.ts";
import { scopeOf, World } from "../login1/support/world.ts";
import { ours, theirs } from "./both.ts";

const NOBODY = 65534;
const DAEMON = 1;

let world: World;
let bus: Connection;
/** The sessions' signals, as `Lock ID`, and the lists' changes, as `SeatNew ID`. */
const signals: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const sender = "org.freedesktop.login1";
  for (const member of ["Lock", "Unlock"]) {
    const match = { sender, interface: "org.freedesktop.login1.Session", member };
    await bus.onSignal(match, (_, { path }) => {
      signals.push(`${member} ${path.split("/").at(-1)}`);
    });
  }
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  signals.length = 0;
});
afterEach(() => world.reset(bus));

/** A session whose leader this process can wait for. */
async function login(options: Partial<CreateOptions> = {}) {
  const leader = await world.leader();
  const made = await createSession(bus, { uid: NOBODY, leader: leader.pid, ...options });
  return { ...made, name: made.path.split("/").at(-1), leader };
}

/** Another process in a session, besides its leader. */
async function member(id: string, uid = NOBODY) {
  const cgroup = scopeOf(uid, id);
  const words = world.inside(["sh", "-c", "echo up; exec sleep infinity"], { cgroup });
  const child = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  await child.stdout.getReader().read();
  return child;
}

describe.each([
  ["systemd's", theirs("loginctl")],
  ["our", ours("loginctl")],
])("%s loginctl", (_, loginctl) => {
  /** Runs it; it has to succeed and say nothing. */
  async function run(...words: string[]): Promise<void> {
    expect({ words, ...(await world.run([...loginctl, ...words])) }).toEqual({
      ...{ words, code: 0, stdout: "", stderr: "" },
    });
  }
  const shown = async (...words: string[]) =>
    (await world.run([...loginctl, ...words, "--value"])).stdout.trim();
  const listed = async (verb: string) =>
    (await world.run([...loginctl, verb, "--no-legend"])).stdout.split("\n").slice(0, -1);

  test("activate brings a session of the seat to the foreground", async () => {
    const [one, two] = [await login({ seat: "seat0" }), await login({ seat: "seat0" })];
    for (const { id } of [one, two, one]) {
      await run("activate", id);
      expect(await shown("show-seat", "seat0", "-p", "ActiveSession")).toBe(id);
      expect(await shown("show-session", id, "-p", "Active")).toBe("yes");
    }
    expect(await shown("show-session", two.id, "-p", "State")).toBe("online");
  });

  test("lock-session and unlock-session tell those sessions, and the plural tells all", async () => {
    const [one, two] = [await login(), await login({ uid: DAEMON })];
    const heard = (...expected: string[]) =>
      world
        .until(expected.join(), () => signals.length === expected.length)
        .then(() => {
          expect(signals.splice(0).sort()).toEqual(expected.sort());
        });
    await run("lock-session", one.id);
    await heard(`Lock ${one.name}`);
    await run("unlock-session", two.id, one.id);
    await heard(`Unlock ${one.name}`, `Unlock ${two.name}`);
    await run("lock-sessions");
    await heard(`Lock ${one.name}`, `Lock ${two.name}`);
    await run("unlock-sessions");
    await heard(`Unlock ${one.name}`, `Unlock ${two.name}`);
  });

  test.each([
    ["leader", ["--kill-whom=leader"], [true, false]],
    ["all", ["--kill-whom=all"], [true, true]],
    ["all, which is what is meant without a word", [], [true, true]],
  ] as const)("kill-session reaches %s", async (_who, words, [leaderDies, memberDies]) => {
    const session = await login();
    const inside = await member(session.id);
    await run("kill-session", "-s", "SIGUSR2", ...words, session.id);
    if (leaderDies) await session.leader.exited;
    if (memberDies) await inside.exited;
    expect(session.leader.signalCode).toBe(leaderDies ? "SIGUSR2" : null);
    expect(inside.signalCode).toBe(memberDies ? "SIGUSR2" : null);
    inside.kill("SIGKILL");
    await inside.exited;
  });

  test("kill-session and kill-user send any signal, by name and number, SIGTERM without one", async () => {
    for (const [words, signal] of [
      [[], "SIGTERM"],
      [["-s", "HUP"], "SIGHUP"],
      [["--signal=SIGINT"], "SIGINT"],
      [["-s9"], "SIGKILL"],
      [["-s", String(constants.signals.SIGALRM)], "SIGALRM"],
    ] as const) {
      const one = await login();
      await run("kill-session", ...words, one.id);
      await one.leader.exited;
      const two = await login({ uid: DAEMON });
      const three = await login({ uid: DAEMON });
      const other = await login();
      await run("kill-user", ...words, "daemon");
      await Promise.all([two.leader.exited, three.leader.exited]);
      const ends = [one, two, three, other].map(({ leader }) => leader.signalCode);
      expect(ends).toEqual([signal, signal, signal, null]);
    }
  });

  test("terminate-session ends it and no other, and list-sessions has it no more", async () => {
    const [one, two, three] = [await login(), await login(), await login()];
    const inside = await member(one.id);
    await run("terminate-session", one.id, two.id);
    await Promise.all([one.leader.exited, inside.exited, two.leader.exited]);
    await world.until("one session is left", async () => {
      return (await listed("list-sessions")).length === 1;
    });
    expect((await listed("list-sessions"))[0]).toMatch(new RegExp(`^ *${three.id} +65534 +nobody`));
    expect(three.leader.exitCode).toBeNull();
  });

  test("terminate-user ends all of a user's, and list-users has only the others", async () => {
    const [one, two, other] = [await login(), await login(), await login({ uid: DAEMON })];
    expect(await listed("list-users")).toHaveLength(2);
    await run("terminate-user", "nobody");
    await Promise.all([one.leader.exited, two.leader.exited]);
    await world.until("one user is left", async () => (await listed("list-users")).length === 1);
    expect(await listed("list-users")).toEqual([expect.stringMatching(/^ *1 +daemon/)]);
    expect(await shown("show-session", other.id, "-p", "State")).toBe("active");
  });

  test("'' is the caller's own session, or all of the caller's own", async () => {
    /** Runs it as a user, from inside of a session where one is named. */
    const asUser = async (words: string[], id?: string) => {
      const cgroup = id === undefined ? {} : { cgroup: scopeOf(NOBODY, id) };
      return world.run([...loginctl, ...words], { user: NOBODY, ...cgroup });
    };
    const [one, two, other] = [await login(), await login(), await login({ uid: DAEMON })];
    const done = { code: 0, stdout: "", stderr: "" };
    // Its leader stands still: one that dies takes the caller with it, who is in the session as well.
    const still = ["kill-session", "-s", "STOP", "--kill-whom=leader", ""];
    expect(await asUser(still, one.id)).toEqual(done);
    const isStill = ({ pid }: Bun.Subprocess) =>
      /\) T /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
    await world.until("it stands still", () => isStill(one.leader));
    expect(isStill(two.leader)).toBe(false);
    one.leader.kill("SIGKILL");
    await one.leader.exited;
    expect(await asUser(["show-session", "", "-P", "Id"], two.id)).toMatchObject({
      stdout: `${two.id}\n`,
    });
    expect(await asUser(["enable-linger", ""], two.id)).toEqual(done);
    await world.until("nobody is kept", async () => {
      return (await shown("show-user", "nobody", "-p", "Linger")) === "yes";
    });
    expect(await asUser(["disable-linger", ""], two.id)).toEqual(done);
    expect(await shown("show-user", "nobody", "-p", "Linger")).toBe("no");
    const three = await login();
    expect(await asUser(["kill-user", "-s", "USR1", ""])).toEqual(done);
    await Promise.all([two.leader.exited, three.leader.exited]);
    expect([two, three].map(({ leader }) => leader.signalCode)).toEqual(["SIGUSR1", "SIGUSR1"]);
    const four = await login();
    expect(await asUser(["terminate-user", ""])).toEqual(done);
    await four.leader.exited;
    await world.until("nobody has gone", async () => (await listed("list-users")).length === 1);
    expect(other.leader.exitCode).toBeNull();
    expect((await asUser(["kill-session", "", "-s", "CONT"])).code).toBe(1);
    expect((await asUser(["show-user", ""])).code).toBe(1);
  });

  test("terminate-seat ends what is on the seat, and nothing else", async () => {
    const [on, off] = [await login({ seat: "seat0" }), await login()];
    await run("terminate-seat", "seat0");
    await on.leader.exited;
    await world.until("the seat is empty", async () => {
      return (await shown("show-seat", "seat0", "-p", "Sessions")) === "";
    });
    expect(await listed("list-seats")).toEqual(["seat0"]);
    expect(off.leader.exitCode).toBeNull();
  });

  test("enable-linger keeps a user without a session, and disable-linger lets go", async () => {
    await run("enable-linger", "nobody");
    await world.until("nobody is kept", async () => (await listed("list-users")).length === 1);
    expect(await listed("list-users")).toEqual([
      expect.stringMatching(/^65534 nobody +yes +lingering$/),
    ]);
    expect(await shown("show-user", "nobody", "-p", "State")).toBe("lingering");
    expect(existsSync(`${world.root}/run/user/${NOBODY}`)).toBe(true);
    const files = readdirSync(`${world.root}/var/lib/systemd/linger`);
    expect(files).toEqual(["nobody"]);
    await run("disable-linger", "nobody");
    await world.until("nobody goes", async () => (await listed("list-users")).length === 0);
    expect(readdirSync(`${world.root}/var/lib/systemd/linger`)).toEqual([]);
  });

  describe("of devices", () => {
    const RULE = "/etc/udev/rules.d/72-seat-usb-1.rules";
    beforeAll(() => makeDevice(world));
    afterAll(async () => {
      await world.run([
        "sh",
        "-ec",
        "umount /sys/devices; umount -l /etc; rm -r /run/upper /run/work",
      ]);
    });

    test("attach writes a device's rule, and flush-devices takes it back", async () => {
      addDevice(world, "+input:input3", ["seat"], { ID_FOR_SEAT: "usb-1" });
      await run("attach", "seat-left", DEVICE);
      expect(readFileSync(world.root + RULE, "utf8")).toContain('ENV{ID_SEAT}="seat-left"');
      await run("flush-devices");
      expect(existsSync(world.root + RULE)).toBe(false);
      removeDevice(world, "+input:input3", ["seat"]);
    });
  });
});
