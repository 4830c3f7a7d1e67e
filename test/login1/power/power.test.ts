import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { close, now } from "../../../lib/linux/index.ts";
import { nextWarning } from "../../../lib/login1/power/wall.ts";
import { parseState } from "../../../lib/sd-login/index.ts";
import { createSession } from "../support/client.ts";
import { errorOf, PowerWorld } from "../support/power-world.ts";
import { scopeOf } from "../support/world.ts";

const USER = 65534;
const OTHER = 1;
const MINUTE = 60_000_000n;

let power: PowerWorld;
beforeAll(async () => {
  power = await PowerWorld.create();
});
afterAll(() => power.end());
const held: number[] = [];
beforeEach(() => {
  for (const fd of held.splice(0)) close(fd);
  return power.reset();
});

const told = (...signals: string[]) =>
  power.world.until(`the news: ${signals}`, () =>
    signals.every((signal) => power.signals.includes(signal)),
  );
/** The log comes by a pipe of its own, and so perhaps after what it tells of. */
const logged = (text: string) =>
  power.world.until(`"${text}" in the log`, () => power.world.log.includes(text));
const done = (count: number) =>
  power.world.until(`${count} commands`, () => power.commands.length >= count);

/** A session of a user on the seat, and its scope. */
async function login(uid: number): Promise<string> {
  const leader = await power.world.leader();
  const made = await createSession(power.bus, { uid, leader: leader.pid, seat: "seat0" });
  held.push(made.fd);
  return scopeOf(uid, made.id);
}

describe("a shutdown", () => {
  test.each([
    ["PowerOff", "poweroff", "--poweroff"],
    ["Reboot", "reboot", "--reboot"],
    ["Halt", "halt", "--halt"],
  ])("by %s is announced, then init is told", async (member, type, option) => {
    expect(await power.ask(`Can${member}`)).toBe("yes");
    expect(await power.property("PreparingForShutdown")).toBe(false);
    await power.call(member, "b", false);
    expect(power.commands).toEqual([`openrc-shutdown ${option} now`]);
    expect(power.read("run/environment").trim().split("\n")).toEqual(["PATH", "PWD"]);
    await told("PrepareForShutdown true");
    expect(power.signals).toEqual([
      `PrepareForShutdownWithMetadata true ${type}`,
      "PrepareForShutdown true",
    ]);
    expect(await power.property("PreparingForShutdown")).toBe(true);
    expect(await power.property("PreparingForShutdownWithMetadata")).toMatchObject({
      preparing: { value: true },
      type: { value: type },
    });
    expect(await errorOf(power.call("Reboot", "b", false))).toBe("OperationInProgress");
    expect(await errorOf(power.inhibit("shutdown:idle", "block"))).toBe("OperationInProgress");
    close(await power.inhibit("sleep", "block"));
    expect(power.commands.length).toBe(1);
  });

  test.each([
    ["PowerOff", "poweroff"],
    ["Reboot", "reboot"],
    ["Halt", "halt"],
  ])("by %sWithFlags is the same", async (member, way) => {
    await power.call(`${member}WithFlags`, "t", 0n);
    expect(power.commands).toEqual([`openrc-shutdown --${way} now`]);
    await told(`PrepareForShutdownWithMetadata true ${way}`, "PrepareForShutdown true");
  });

  test("that fails is taken back, and the caller told", async () => {
    power.write("run/fail-openrc-shutdown", "3");
    expect(await errorOf(power.call("RebootWithFlags", "t", 0n))).toBe("Failed");
    await told("PrepareForShutdown true", "PrepareForShutdown false");
    expect(power.signals).toContain("PrepareForShutdownWithMetadata false reboot");
    await logged("openrc-shutdown failed with exit status 3");
    expect(await power.property("PreparingForShutdown")).toBe(false);
    expect(power.exists("run/systemd/operation")).toBe(false);
    close(await power.inhibit("shutdown", "block"));
  });

  test("waits for a delay inhibitor, also over the bridge's end", async () => {
    const fd = await power.inhibit("shutdown", "delay");
    await power.call("PowerOff", "b", false);
    await told("PrepareForShutdown true");
    expect(power.commands).toEqual([]);
    await power.world.endBridge("SIGKILL");
    await power.world.startBridge();
    expect(await power.property("PreparingForShutdown")).toBe(true);
    expect(power.commands).toEqual([]);
    close(fd);
    await done(1);
    expect(power.commands).toEqual(["openrc-shutdown --poweroff now"]);
  });

  test("that had begun when the bridge ended is told to init again", async () => {
    await power.world.endBridge("SIGKILL");
    power.write("run/systemd/operation", "WAY=reboot\nSTAGE=doing\n");
    await power.world.startBridge();
    await done(1);
    expect(power.commands).toEqual(["openrc-shutdown --reboot now"]);
    expect(await power.property("PreparingForShutdown")).toBe(true);
  });

  test("waits no longer than InhibitDelayMaxSec", async () => {
    power.write("run/lainos/logind.conf.d/50-test.conf", "[Login]\nInhibitDelayMaxSec=300ms\n");
    await power.call("Reload");
    const fd = await power.inhibit("shutdown", "delay");
    await power.call("PowerOff", "b", false);
    expect(power.commands).toEqual([]);
    await done(1);
    await logged("poweroff does not wait any longer for test");
    close(fd);
    power.remove("run/lainos/logind.conf.d");
  });

  test("that waits can be called off", async () => {
    const fd = await power.inhibit("shutdown", "delay");
    await power.call("PowerOff", "b", false);
    expect(await power.ask("CancelScheduledShutdown")).toBe(true);
    await told("PrepareForShutdown true", "PrepareForShutdown false");
    close(fd);
    expect(await power.property("PreparingForShutdown")).toBe(false);
    // The closed inhibitor may be seen a moment later, and is waited for until then.
    await power.call("Reboot", "b", false);
    await done(1);
    expect(power.commands).toEqual(["openrc-shutdown --reboot now"]);
  });

  test("is refused while something blocks it, for root too unless it skips that", async () => {
    const fd = await power.inhibit("shutdown", "block");
    expect(await errorOf(power.call("PowerOff", "b", false))).toBe("BlockedByInhibitorLock");
    expect(await errorOf(power.call("PowerOffWithFlags", "t", 1n))).toBe("BlockedByInhibitorLock");
    expect(power.signals).toEqual([]);
    await power.call("PowerOffWithFlags", "t", 16n);
    expect(power.commands).toEqual(["openrc-shutdown --poweroff now"]);
    close(fd);
  });

  test("passes a weak inhibitor of one's own, and for root another's unless it asks to check", async () => {
    const own = await power.inhibit("shutdown", "block-weak");
    expect(await power.ask("CanPowerOff")).toBe("yes");
    close(own);
    const command = ["systemd-inhibit", "--what=shutdown", "--mode=block", "sleep", "infinity"];
    const weak = command.with(2, "--mode=block-weak");
    const options = { user: USER, cgroup: await login(USER) };
    const hold = async (words: string[], property: string) => {
      const holder = Bun.spawn(power.world.inside(words, options), {
        stdin: "ignore",
        stdout: "ignore",
        stderr: "inherit",
      });
      await power.world.until("it is held", async () => (await power.property(property)) !== "");
      return holder;
    };
    const strong = await hold(command, "BlockInhibited");
    expect(await errorOf(power.call("Halt", "b", false))).toBe("BlockedByInhibitorLock");
    strong.kill("SIGKILL");
    await strong.exited;
    await power.world.until("it is over", async () => !(await power.property("BlockInhibited")));
    const second = await hold(weak, "BlockWeakInhibited");
    const checked = power.call("HaltWithFlags", "t", 1n);
    expect(await errorOf(checked)).toBe("BlockedByInhibitorLock");
    await power.call("HaltWithFlags", "t", 0n);
    expect(power.commands).toEqual(["openrc-shutdown --halt now"]);
    second.kill("SIGKILL");
    await second.exited;
  });

  test("takes only the flags that there are", async () => {
    expect(await errorOf(power.call("PowerOffWithFlags", "t", 32n))).toBe("InvalidArgs");
    expect(await errorOf(power.call("PowerOffWithFlags", "t", 2n))).toBe("InvalidArgs");
    expect(await errorOf(power.call("RebootWithFlags", "t", 6n))).toBe("InvalidArgs");
    expect(await errorOf(power.call("RebootWithFlags", "t", 4n))).toBe("NotSupported");
    expect(power.commands).toEqual([]);
    // No kernel is loaded for kexec, so it is a plain reboot.
    await power.call("RebootWithFlags", "t", 2n);
    expect(power.commands).toEqual(["openrc-shutdown --reboot now"]);
  });
});

describe("who may shut down", () => {
  test("a user without a session may not", async () => {
    const options = { user: USER };
    expect((await power.busctl(["CanPowerOff"], options)).output).toBe('s "no"');
    const { code, output } = await power.busctl(["PowerOff", "b", "false"], options);
    expect(code).not.toBe(0);
    expect(output).toMatch(/may power off the machine|access denied/i);
    const schedule = ["ScheduleShutdown", "st", "poweroff", "1"];
    expect((await power.busctl(schedule, options)).code).not.toBe(0);
    expect((await power.busctl(["SetWallMessage", "sb", "x", "true"], options)).code).not.toBe(0);
    expect(power.commands).toEqual([]);
    expect(power.signals).toEqual([]);
  });

  test("the active user may, and others' sessions do not keep from it, but a block does", async () => {
    await login(OTHER);
    const options = { user: USER, cgroup: await login(USER) };
    expect((await power.busctl(["CanReboot"], options)).output).toBe('s "yes"');
    expect((await power.busctl(["CanHalt"], options)).output).toBe('s "no"');
    const fd = await power.inhibit("shutdown", "block");
    expect((await power.busctl(["CanReboot"], options)).output).toBe('s "inhibitor-blocked"');
    expect((await power.busctl(["RebootWithFlags", "t", "16"], options)).code).not.toBe(0);
    close(fd);
    await power.world.until("it is over", async () => !(await power.property("BlockInhibited")));
    expect((await power.busctl(["Reboot", "b", "false"], options)).code).toBe(0);
    expect(power.commands).toEqual(["openrc-shutdown --reboot now"]);
  });

  test("the user of an inactive session may not", async () => {
    const options = { user: USER, cgroup: await login(USER) };
    expect((await power.busctl(["CanReboot"], options)).output).toBe('s "yes"');
    await login(OTHER);
    expect((await power.busctl(["CanReboot"], options)).output).toBe('s "no"');
    expect((await power.busctl(["Reboot", "b", "false"], options)).code).not.toBe(0);
  });
});

describe("a scheduled shutdown", () => {
  const file = () =>
    Object.fromEntries(parseState(power.read("run/systemd/shutdown/scheduled")).entries());

  test("is in its file and property, comes over the bridge's end, and is taken back", async () => {
    const due = now().realtime + 60n * MINUTE;
    await power.call("SetWallMessage", "sb", 'to "mend" it', true);
    await power.call("ScheduleShutdown", "st", "reboot", due);
    const expected = { USEC: String(due), WARN_WALL: "1", MODE: "reboot", UID: "0" };
    expect(file()).toEqual({ ...expected, WALL_MESSAGE: String.raw`to \"mend\" it` });
    expect(await power.property("ScheduledShutdown")).toEqual(["reboot", due]);
    await power.world.endBridge("SIGKILL");
    await power.world.startBridge();
    expect(await power.property("ScheduledShutdown")).toEqual(["reboot", due]);
    expect(await power.property("WallMessage")).toBe('to "mend" it');
    expect(await power.property("EnableWallMessages")).toBe(true);
    expect(await power.ask("CancelScheduledShutdown")).toBe(true);
    expect(await power.ask("CancelScheduledShutdown")).toBe(false);
    expect(power.exists("run/systemd/shutdown/scheduled")).toBe(false);
    expect(await power.property("ScheduledShutdown")).toEqual(["", 0xffffffffffffffffn]);
    await done(1);
    expect(power.commands).toEqual(["wall -- The shutdown has been cancelled."]);
    expect(power.signals).toEqual([]);
  });

  test("comes when it is due, and logins end before", async () => {
    await power.call("SetWallMessage", "sb", "bye", true);
    await power.call("ScheduleShutdown", "st", "poweroff", now().realtime + 300_000n);
    await told("PrepareForShutdown true");
    await power.world.until("init is told", () =>
      power.commands.includes("openrc-shutdown --poweroff now"),
    );
    // It is not waited for people's terminals.
    const words = "wall -- bye\nAbout to power off the machine at ";
    await power.world.until("people are told", () => power.commands.join("\n").includes(words));
    expect(power.read("run/nologin")).not.toBe("");
  });

  test("five minutes before, logins are forbidden, and allowed again when it is taken back", async () => {
    await power.call("ScheduleShutdown", "st", "halt", now().realtime + 4n * MINUTE);
    await power.world.until("no logins", () => power.exists("run/nologin"));
    expect(power.commands).toEqual([]);
    expect(await power.ask("CancelScheduledShutdown")).toBe(true);
    expect(power.exists("run/nologin")).toBe(false);
  });

  test("that is only tried does everything but shut down", async () => {
    await power.call("ScheduleShutdown", "st", "dry-poweroff", now().realtime + 200_000n);
    await power.world.until("it is over", () => !power.exists("run/systemd/shutdown/scheduled"));
    expect(power.commands).toEqual([]);
    expect(power.signals).toEqual([]);
  });

  test("without a time is a minute away", async () => {
    await power.call("ScheduleShutdown", "st", "reboot", 0xffffffffffffffffn);
    const [, due] = (await power.property("ScheduledShutdown")) as [string, bigint];
    const away = due - now().realtime;
    expect(away > 0n && away <= MINUTE).toBe(true);
  });

  test("of an unknown kind is refused", async () => {
    for (const type of ["", "suspend", "soft-reboot", "dry-", "toString"]) {
      expect(await errorOf(power.call("ScheduleShutdown", "st", type, 1n))).toBe("InvalidArgs");
    }
    expect(power.exists("run/systemd/shutdown/scheduled")).toBe(false);
  });
});

test("a wall message is short and plain, and its properties are root's to set", async () => {
  const set = (message: string) => power.call("SetWallMessage", "sb", message, true);
  expect(await errorOf(set("x".repeat(4097)))).toBe("InvalidArgs");
  expect(await errorOf(set("a\u001b[2J"))).toBe("InvalidArgs");
  await set("two\nlines\t");
  expect(await power.property("WallMessage")).toBe("two\nlines\t");
  const words = ["set-property", "org.freedesktop.login1", "/org/freedesktop/login1"];
  const wallMessage = ["org.freedesktop.login1.Manager", "WallMessage", "s", "mine"];
  const byUser = await power.world.run(["busctl", ...words, ...wallMessage], { user: USER });
  expect(byUser.code).not.toBe(0);
  expect((await power.world.run(["busctl", ...words, ...wallMessage])).code).toBe(0);
  expect(await power.property("WallMessage")).toBe("mine");
});

test("people are told at these times before a shutdown", () => {
  const due = 1000n * MINUTE;
  const minutes: number[] = [];
  for (let at: bigint | undefined = 0n; at !== undefined; at = nextWarning(due, at)) {
    minutes.push(Number((due - at) / MINUTE));
  }
  const hours = [960, 900, 840, 780, 720, 660, 600, 540, 480, 420, 360, 300, 240];
  expect(minutes).toEqual([
    ...[1000, ...hours, 180, 150, 130, 100, 70, 55, 40, 25],
    ...[10, 9, 8, 7, 6, 5, 4, 3, 2, 1],
  ]);
});
