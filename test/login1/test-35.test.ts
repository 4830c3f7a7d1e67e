/**
 * What systemd's own integration test of logind (TEST-35-LOGIN) asks, of which each case that needs no
 * systemd as PID 1 is here, or where docs/beside-logind.md says; by Debian's loginctl, busctl and pam_systemd.
 */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { SESSION_CLASSES } from "../../lib/sd-login/index.ts";
import { busctl, LOGIN1 } from "./support/busctl.ts";
import { hasOwner } from "./support/client.ts";
import { loginAtSeat } from "./support/login.ts";
import { pamModule } from "./support/pam-module.ts";
import { addCommands } from "./support/power-world.ts";
import { noteSignals } from "./support/signals.ts";
import { scopeOf, World } from "./support/world.ts";

const USER = "nobody";
const UID = 65534;
const MANAGER = "/org/freedesktop/login1";

let world: World;
let bus: Connection;

beforeAll(async () => {
  world = await World.create();
  await addCommands(world);
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});
afterEach(() => world.reset(bus));

/** A property of the manager, as busctl prints it. */
const property = async (name: string) =>
  (await busctl(world, "get-property", LOGIN1, MANAGER, `${LOGIN1}.Manager`, name)).trim();

/** Ends the bridge and starts it, with these settings for it alone. */
async function restartWith(...lines: string[]): Promise<void> {
  const file = join(world.root, "run/lainos/logind.conf.d/test.conf");
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, ["[Login]", ...lines, ""].join("\n"));
  await restart();
  rmSync(file);
}

async function restart(): Promise<void> {
  await world.endBridge("SIGTERM");
  await world.startBridge();
  await world.until("login1 is on the bus", () => hasOwner(bus, LOGIN1));
}

/** What a loginctl prints that has to succeed. */
async function loginctl(words: string[], options: Parameters<World["run"]>[1] = {}) {
  const { code, stdout, stderr } = await world.run(["loginctl", "--no-pager", ...words], options);
  expect(`loginctl ${words.join(" ")}: ${code} ${stderr}`).toBe(`loginctl ${words.join(" ")}: 0 `);
  return stdout;
}

/** Rows of a list without its legend, by their words. */
const rows = async (...words: string[]) =>
  (await loginctl(["--no-legend", ...words]))
    .split("\n")
    .filter(Boolean)
    .map((line) => line.trim().split(/ +/));

describe("testcase", () => {
  afterEach(restart);

  test("properties: KillUserProcesses is as the file has it", async () => {
    await restartWith("KillUserProcesses=no");
    expect(await property("KillUserProcesses")).toBe("b false");
    await restartWith("KillUserProcesses=yes");
    expect(await property("KillUserProcesses")).toBe("b true");
  });

  test("sleep_automated: SleepOperation, its default and in its own order", async () => {
    expect(await property("SleepOperation")).toBe(
      'as 3 "suspend-then-hibernate" "suspend" "hibernate"',
    );
    await restartWith("SleepOperation=suspend hybrid-sleep");
    expect(await property("SleepOperation")).toBe('as 2 "hybrid-sleep" "suspend"');
    const can = await busctl(world, "call", LOGIN1, MANAGER, `${LOGIN1}.Manager`, "CanSleep");
    expect(can.trim()).toMatch(/^s "(yes|no|na)"$/);
  });

  test("restart: sessions of every class are there again", async () => {
    const made = [];
    for (const kind of SESSION_CLASSES)
      made.push(await loginAtSeat(world, bus, { class: kind, seat: "" }));
    await restart();
    expect((await rows("list-sessions")).map((row) => row[5]).sort()).toEqual(
      [...SESSION_CLASSES].sort(),
    );
    for (const { fd } of made) close(fd);
  });
});

test("testcase started: loginctl is answered by the bridge that was there", async () => {
  const pid = world.bridgePid;
  await loginctl([]);
  expect(world.bridgePid).toBe(pid);
  expect(await hasOwner(bus, LOGIN1)).toBe(true);
});

test("testcase shutdown: scheduled with and without a wall message, and taken back", async () => {
  const call = (member: string, ...words: string[]) =>
    busctl(world, "call", LOGIN1, MANAGER, `${LOGIN1}.Manager`, member, ...words);
  const far = "4102444800000000";
  for (const wall of ["true", "false"]) {
    await call("SetWallMessage", "sb", "", wall);
    await call("ScheduleShutdown", "st", "dry-poweroff", far);
    expect(await property("ScheduledShutdown")).toBe(`(st) "poweroff" ${far}`);
    expect((await call("CancelScheduledShutdown")).trim()).toBe("b true");
    expect((await call("CancelScheduledShutdown")).trim()).toBe("b false");
  }
});

test("testcase sanity_check: loginctl's verbs from inside of the session", async () => {
  const { id, fd, leader } = await loginAtSeat(world, bus, { type: "tty" });
  const inside = { user: UID, cgroup: `${scopeOf(UID, id)}/leader` };
  for (const words of [
    ["list-sessions"],
    ["list-sessions", "-j"],
    ["list-sessions", "--json=short"],
    ["session-status"],
    ["show-session"],
    ["show-session", "-P", "DelayInhibited"],
    ["kill-session", "--signal=SIGCONT", id],
    ["kill-session", "--signal=SIGCONT", "--kill-whom=leader", id],
    ["list-users"],
    ["user-status"],
    ["show-user", "-a"],
    ["show-user", "-P", "IdleAction"],
    ["list-seats"],
    ["seat-status"],
    ["show-seat"],
    ["show-seat", "-P", "IdleActionUSec"],
  ]) {
    await loginctl(words, inside);
  }
  // Root's rights.
  for (const verb of ["lock-sessions", "unlock-sessions", "flush-devices"]) await loginctl([verb]);
  const status = await loginctl(["session-status", id]);
  expect(status).toContain(`Unit: session-${id}.scope`);
  expect(status).toContain(`Leader: ${leader.pid}`);
  close(fd);
});

test("testcase session_properties: what its controller alone may say of a session", async () => {
  const { fd, path, call } = await loginAtSeat(world, bus, { type: "tty", tty: "pts/4242" });
  const get = async (name: string) =>
    (await busctl(world, "get-property", LOGIN1, path, `${LOGIN1}.Session`, name)).trim();
  const fails = (name: string) => ({ errorName: expect.stringContaining(name) });
  await expect(call("SetType", "s", ["tty"])).rejects.toMatchObject(fails("NotInControl"));
  await call("TakeControl", "b", [true]);
  await call("SetType", "s", ["wayland"]);
  expect(await get("Type")).toBe('s "wayland"');
  await expect(call("SetType", "s", ["hello"])).rejects.toMatchObject(fails("InvalidArgs"));
  await call("ReleaseControl");
  expect(await get("Type")).toBe('s "tty"');
  await expect(call("SetDisplay", "s", [":0"])).rejects.toMatchObject(fails("NotInControl"));
  await call("TakeControl", "b", [true]);
  // A terminal has no display.
  await expect(call("SetDisplay", "s", [":0"])).rejects.toMatchObject(fails("NotSupported"));
  await call("SetType", "s", ["wayland"]);
  await call("SetDisplay", "s", [":0"]);
  expect(await get("Display")).toBe('s ":0"');
  close(fd);
});

test("testcase list_users_sessions_seats: the columns, lingering, and the end", async () => {
  const events: string[] = [];
  await noteSignals(world, bus, events);
  const { id, fd } = await loginAtSeat(world, bus, { type: "tty", tty: "pts/4242" });
  await loginctl(["activate", id]);
  // SESSION UID USER SEAT LEADER CLASS TTY IDLE SINCE
  const [row = []] = await rows("list-sessions");
  expect([...row.slice(0, 4), ...row.slice(5)]).toEqual([
    ...[id, String(UID), USER, "seat0", "user", "pts/4242", "no", "-"],
  ]);
  expect(await rows("list-seats")).toEqual([["seat0"]]);
  expect(await rows("list-users")).toEqual([[String(UID), USER, "no", "active"]]);
  await loginctl(["enable-linger", USER]);
  await world.until("it is told that the user lingers", () =>
    events.includes(`User _${UID} Linger=true`),
  );
  expect(await rows("list-users")).toEqual([[String(UID), USER, "yes", "active"]]);
  await loginctl(["terminate-session", id]);
  await world.gone(bus, id);
  expect(await rows("list-users")).toEqual([[String(UID), USER, "yes", "lingering"]]);
  await loginctl(["disable-linger", USER]);
  close(fd);
});

describe("testcase background: the class that a login asks of pam_systemd", () => {
  let folder: string;
  const SERVICE = "p7-test-35";

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "p7-pam-"));
    const lines = [
      `session requisite ${pamModule()}`,
      `session required pam_exec.so ${folder}/list`,
    ];
    writeFileSync(join(folder, SERVICE), `${lines.join("\n")}\n`);
    const list = `#!/bin/sh\nloginctl --no-legend list-sessions > ${folder}/$PAM_TYPE\n`;
    writeFileSync(join(folder, "list"), list);
    chmodSync(join(folder, "list"), 0o755);
    const bound = await world.run(["mount", "--bind", folder, "/etc/pam.d"]);
    expect(bound).toMatchObject({ code: 0, stderr: "" });
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  /** The class of the session that a login of that user has while it is open; undefined without one. */
  async function classOf(user: string, ...environment: string[]): Promise<string | undefined> {
    const words = environment.flatMap((each) => ["-E", each]);
    const steps = ["open_session", "close_session"];
    const done = await world.run(["pamtester", ...words, SERVICE, user, ...steps]);
    expect(done).toMatchObject({ code: 0 });
    const listed = await Bun.file(join(folder, "open_session")).text();
    await world.reset(bus);
    return listed.trim().split(/ +/)[5];
  }

  test("is obeyed, and none is no session", async () => {
    expect(await classOf(USER, "XDG_SESSION_CLASS=none")).toBeUndefined();
    for (const kind of ["background-light", "background"]) {
      expect(await classOf(USER, `XDG_SESSION_CLASS=${kind}`)).toBe(kind);
    }
  });

  test("is a light one for a system user who names none", async () => {
    expect(await classOf("daemon", "XDG_SESSION_TYPE=unspecified")).toBe("background-light");
    expect(await classOf("daemon", "XDG_SESSION_TYPE=tty")).toBe("user-light");
  });
});
