/**
 * Type, class, seat and VT of a session by what CreateSession is asked, and which session is its user's
 * display. Each row is what systemd-logind 262 answers to the same call.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { SESSION_CLASSES } from "../../../lib/sd-login/index.ts";
import {
  type CreateOptions,
  callManager,
  callSession,
  createSession,
  getProperty,
} from "../support/client.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

const DAEMON = 1;
/** Accounts at both ends of each range of uids. */
const UIDS = [999, 1000, 60577, 60578, 60705, 60706, 61183, 61184, 65519, 65520, 0x8000_0000];
const PASSWD = UIDS.map((uid) => `u${uid}:x:${uid}:1::/:/bin/sh`).join("\\n");

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  const script = `cp /etc/passwd /run/passwd; printf '${PASSWD}\\n' >>/run/passwd; mount --bind /run/passwd /etc/passwd`;
  expect(await world.run(["sh", "-ec", script])).toMatchObject({ code: 0, stderr: "" });
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});
afterEach(() => world.reset(bus));

async function login(options: Partial<CreateOptions> = {}) {
  const leader = await world.leader();
  const asked = { uid: DAEMON, type: "", class: "", leader: leader.pid, ...options };
  const { fd, ...made } = await createSession(bus, asked);
  const end = async () => {
    close(fd);
    await endAll(leader);
    await world.gone(bus, made.id);
  };
  const get = (name: string) => getProperty(bus, made.path, "Session", name);
  return { ...made, leader, get, end };
}

/** What a login becomes. */
async function kindOf(options: Partial<CreateOptions>): Promise<string> {
  const { get, end } = await login(options);
  const kind = `${await get("Class")} ${await get("Type")}`;
  await end();
  return kind;
}

describe("a login that names no class", () => {
  const [pts, display] = [{ tty: "pts/0" }, { display: ":0" }];
  for (const [asked, root, program, person] of [
    [{}, "background-light unspecified", "background-light unspecified", "background unspecified"],
    [pts, "user-early tty", "user-light tty", "user tty"],
    [display, "user-early x11", "user x11", "user x11"],
    [{ ...pts, ...display }, "user-early x11", "user x11", "user x11"],
    [{ type: "wayland" }, "user-early wayland", "user wayland", "user wayland"],
    [{ type: "web" }, "user-early web", "user-light web", "user web"],
    // Who says that nobody knows the type is believed, whatever terminal or display there is.
    ...[pts, display, { ...pts, ...display }].map((more) => [
      { type: "unspecified", ...more },
      "background-light unspecified",
      "background-light unspecified",
      "background unspecified",
    ]),
  ] as [Partial<CreateOptions>, string, string, string][]) {
    test(`and ${JSON.stringify(asked)}`, async () => {
      expect(await kindOf({ uid: 0, ...asked })).toBe(root);
      expect(await kindOf({ uid: DAEMON, ...asked })).toBe(program);
      expect(await kindOf({ uid: 1000, ...asked })).toBe(person);
    });
  }

  test("is light for system users, nobody, and users that are made as needed", async () => {
    const kinds: Record<number, string> = {};
    for (const uid of [...UIDS, 65534]) kinds[uid] = await kindOf({ uid, type: "tty" });
    expect(kinds).toEqual({
      999: "user-light tty",
      1000: "user tty",
      60577: "user tty",
      60578: "user-light tty",
      60705: "user-light tty",
      60706: "user tty",
      61183: "user tty",
      61184: "user-light tty",
      65519: "user-light tty",
      65520: "user tty",
      65534: "user-light tty",
      2147483648: "user tty",
    });
  });
});

test("a class that is named is taken as it is, and `none` is no class of a session", async () => {
  const classes = SESSION_CLASSES.filter((kind) => !kind.startsWith("manager"));
  for (const kind of classes) expect(await kindOf({ class: kind })).toBe(`${kind} unspecified`);
  await expect(login({ class: "none" })).rejects.toMatchObject({
    errorName: "org.freedesktop.DBus.Error.InvalidArgs",
  });
});

test("one that manages a user's services stays in its cgroup, without a scope", async () => {
  for (const kind of ["manager", "manager-early"]) {
    const leader = await world.leader();
    const before = readFileSync(`/proc/${leader.pid}/cgroup`, "utf8");
    const { id, path, get, end } = await login({ class: kind, leader: leader.pid });
    expect(readFileSync(`/proc/${leader.pid}/cgroup`, "utf8")).toBe(before);
    expect([await get("Class"), await get("Scope")]).toEqual([kind, ""]);
    expect(world.stateOf("sessions", id).SCOPE).toBeUndefined();
    expect(world.stateOf("users", String(DAEMON))).toMatchObject({ STATE: "online", SESSIONS: id });
    expect(await callManager(bus, "GetSessionByPID", "u", [leader.pid])).toEqual([path]);
    await expect(callManager(bus, "KillSession", "ssi", [id, "all", 15])).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.NotSupported",
    });
    await callManager(bus, "KillSession", "ssi", [id, "leader", 15]);
    await leader.exited;
    expect(leader.signalCode).toBe("SIGTERM");
    await world.gone(bus, id);
    await end();
  }
});

describe("a seat and a VT", () => {
  test("a number of a VT without a seat is taken, for what it is worth", async () => {
    const { id, vtnr, get, end } = await login({ vtnr: 99 });
    expect([vtnr, await get("VTNr"), await get("Seat")]).toEqual([99, 99, ["", "/"]]);
    expect(world.stateOf("sessions", id).VTNR).toBeUndefined();
    // It is nobody's VT: control touches none.
    await callManager(bus, "GetSession", "s", [id]);
    await callSession(bus, `/org/freedesktop/login1/session/${id}`, "TakeControl", "b", [false]);
    await end();
  });

  test("a display alone puts nobody on a seat", async () => {
    const { seat, vtnr, end } = await login({ display: ":0", vtnr: 3 });
    expect([seat, vtnr]).toEqual(["", 3]);
    await end();
  });

  test("without VTs the console is seat0's", async () => {
    for (const tty of ["console", "/dev/console"]) {
      const { seat, vtnr, end } = await login({ tty });
      expect([seat, vtnr]).toEqual(["seat0", 0]);
      await end();
    }
    await expect(login({ tty: "console", vtnr: 3 })).rejects.toThrow("do not match");
    await expect(login({ tty: "tty3" })).rejects.toThrow("has no VTs");
    await expect(login({ seat: "seat0", vtnr: 3 })).rejects.toThrow("has no VTs");
  });
});

describe("a user's display", () => {
  const display = () => world.stateOf("users", String(DAEMON)).DISPLAY;
  /** Which of some logins it is, by its place among them. */
  const elected = async (...all: Partial<CreateOptions>[]) => {
    const made = [];
    for (const options of all) made.push(await login({ class: "user", type: "tty", ...options }));
    const found = made.findIndex(({ id }) => id === display());
    for (const { end } of made) await end();
    return found;
  };

  test("is a session that is complete, of a person or a greeter", async () => {
    for (const kind of SESSION_CLASSES) {
      const { id, end } = await login({ class: kind, type: "tty" });
      const may = kind === "greeter" || (kind.startsWith("user") && kind !== "user-incomplete");
      expect([kind, display()]).toEqual([kind, may ? id : undefined]);
      expect(world.stateOf("sessions", id).IS_DISPLAY).toBe(may ? "1" : "0");
      await end();
    }
  });

  test("is the best by class, then by type, and else the first", async () => {
    expect(await elected({}, {}, {})).toBe(0);
    expect(await elected({ type: "unspecified" }, { type: "web" })).toBe(1);
    expect(await elected({ type: "web" }, { type: "tty" })).toBe(1);
    expect(await elected({ type: "tty" }, { type: "x11" })).toBe(1);
    expect(await elected({ type: "x11" }, { type: "wayland" })).toBe(0);
    expect(await elected({ type: "x11", class: "user-early" }, {})).toBe(1);
    expect(await elected({ type: "x11", class: "user-light" }, { class: "user-early" })).toBe(1);
    expect(await elected({ class: "greeter" }, { class: "user-light" })).toBe(0);
    expect(await elected({ class: "user-incomplete", type: "x11" }, {})).toBe(1);
  });

  test("when it ends is the newest of those that are as good, also after a restart", async () => {
    const [one, two, three] = [
      await login({ class: "user", type: "tty" }),
      await login({ class: "user", type: "tty" }),
      await login({ class: "user", type: "tty" }),
    ] as const;
    expect(display()).toBe(one.id);
    await one.end();
    expect(display()).toBe(three.id);
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(display()).toBe(three.id);
    expect(
      await getProperty(bus, `/org/freedesktop/login1/user/_${DAEMON}`, "User", "Display"),
    ).toEqual([three.id, three.path]);
    await three.end();
    expect(display()).toBe(two.id);
    await two.end();
  });

  test("is chosen when a session begins or ends, and not by what its controller says", async () => {
    const one = await login({ class: "user", type: "tty" });
    const two = await login({ class: "user", type: "tty" });
    await callSession(bus, two.path, "TakeControl", "b", [false]);
    await callSession(bus, two.path, "SetType", "s", ["wayland"]);
    expect(display()).toBe(one.id);
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(display()).toBe(one.id);
    const three = await login({ class: "background" });
    expect(display()).toBe(two.id);
    for (const { end } of [three, two, one]) await end();
  });

  test("is the desktop that lainos-init announces", async () => {
    const one = await login({ class: "user", type: "tty" });
    const two = await login({ class: "user", type: "tty" });
    const said = await world.run(
      [
        ...["busctl", "call", "org.freedesktop.login1", two.path, "org.lainos.Session1"],
        ...["AnnounceDesktop", "sss", "wayland", "sway", ""],
      ],
      { user: DAEMON, cgroup: scopeOf(DAEMON, two.id) },
    );
    expect(said).toMatchObject({ code: 0, stderr: "" });
    expect(display()).toBe(two.id);
    for (const { end } of [two, one]) await end();
  });
});
