/** What comes of idleness, and what else of logind.conf is obeyed over the bus: maintenance, wall messages, Sleep. */

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { NEVER } from "../../../lib/cli/index.ts";
import { close, now } from "../../../lib/linux/index.ts";
import { type IdlePart, idleDue, stopDue } from "../../../lib/login1/actions/idle-action.ts";
import { ttyIdleAfter } from "../../../lib/login1/settings/logind-conf.ts";
import { quietFor } from "../../support/until.ts";
import { type CreateOptions, callSession, createSession, getProperty } from "../support/client.ts";
import { PowerWorld } from "../support/power-world.ts";
import { configOf } from "../support/settings.ts";
import { endAll, scopeOf } from "../support/world.ts";

const USER = 65534;
const MINUTE = 60_000_000n;

const part = (hint: boolean, since: bigint, timed = false): IdlePart => ({
  idle: { hint, since: { realtime: since, monotonic: since } },
  timed,
});

describe("idleness is due", () => {
  const busy = part(false, 0n);
  const idle = part(true, 100n);
  const touched = part(false, 300n, true);
  test.each<[string, IdlePart[], bigint, bigint, ReturnType<typeof idleDue>]>([
    ["after nobody has logged in", [], 10n, 5n, { at: 15n, idle: true, since: 0n }],
    [
      "after the last session turned idle",
      [idle, part(true, 50n)],
      0n,
      5n,
      { at: 105n, idle: true, since: 100n },
    ],
    ["not before it could begin", [idle], 200n, 5n, { at: 205n, idle: true, since: 100n }],
    ["never while somebody is busy", [idle, busy], 0n, 5n, undefined],
    ["to be seen when a terminal turns idle", [idle, touched], 0n, 5n, { at: 320n, idle: false }],
    ["never while another is busy", [busy, touched], 0n, 5n, undefined],
    ["never if the span is for ever", [idle], 0n, NEVER, undefined],
  ])("%s", (_what, parts, from, span, due) => {
    expect(idleDue(parts, from, span, 20n)).toEqual(due);
  });

  test("for a session that has been idle, and for a terminal untouched, for so long", () => {
    expect(stopDue(idle, 7n)).toBe(107n);
    expect(stopDue(busy, 7n)).toBeUndefined();
    expect(stopDue(touched, 7n)).toBe(307n);
    expect(stopDue(idle, NEVER)).toBeUndefined();
  });

  test("for a terminal after the shorter of the two spans", () => {
    expect(ttyIdleAfter(configOf())).toBe(30n * MINUTE);
    expect(ttyIdleAfter(configOf("StopIdleSessionSec=1min"))).toBe(MINUTE);
    expect(ttyIdleAfter(configOf("IdleActionSec=0", "StopIdleSessionSec=2min"))).toBe(2n * MINUTE);
    expect(ttyIdleAfter(configOf("IdleActionSec=0"))).toBe(NEVER);
  });
});

describe("over the bus", () => {
  let power: PowerWorld;
  const held: number[] = [];
  const FILE = "run/lainos/logind.conf.d/50-test.conf";
  beforeAll(async () => {
    power = await PowerWorld.create(`
      mkdir -p /run/fake/power
      mount --bind /run/fake/power /sys/power
    `);
  });
  afterAll(() => power.end());
  beforeEach(async () => {
    power.write("run/fake/power/state", "freeze mem\n");
    power.remove(FILE);
    await power.reset();
  });
  afterEach(() => {
    for (const fd of held.splice(0)) close(fd);
    power.remove("dev/ttyS9");
  });
  const configure = async (...lines: string[]) => {
    power.write(FILE, ["[Login]", ...lines, ""].join("\n"));
    await power.call("Reload");
  };
  const logged = (line: string) =>
    power.world.until(`the line: ${line}`, () => power.world.log.includes(line));
  const ran = (command: string) =>
    power.world.until(command, () => power.commands.includes(command));
  async function login(options: Partial<CreateOptions> = {}) {
    const leader = await power.world.leader();
    const made = await createSession(power.bus, { uid: USER, leader: leader.pid, ...options });
    held.push(made.fd);
    const idle = (hint: boolean) => callSession(power.bus, made.path, "SetIdleHint", "b", [hint]);
    return { ...made, leader, idle };
  }
  /** A session on a terminal that was touched so long ago, in seconds. */
  function terminal(ago: number) {
    const path = join(power.world.root, "dev/ttyS9");
    writeFileSync(path, "");
    const at = Date.now() / 1000 - ago;
    utimesSync(path, at, at);
    return login({ type: "tty", tty: "ttyS9" });
  }
  const gone = (id: string) =>
    power.world.until("the session is gone", () => !power.exists(`run/systemd/sessions/${id}`));

  test("the machine powers off when all have been idle for so long, and not before", async () => {
    const one = await login();
    const two = await login();
    await configure("IdleAction=poweroff", "IdleActionSec=400ms");
    expect(await power.property("IdleAction")).toBe("poweroff");
    expect(await power.property("IdleActionUSec")).toBe(400_000n);
    await one.idle(true);
    expect(await power.property("IdleHint")).toBe(false);
    const before = now().monotonic;
    await two.idle(true);
    await ran("openrc-shutdown --poweroff now");
    expect(now().monotonic - before >= 400_000n).toBe(true);
    await logged("nobody has used the machine for 0.4 s: poweroff\n");
  });

  test("an inhibitor of idleness keeps from it, and it begins anew when that ends", async () => {
    const fd = await power.inhibit("idle", "block");
    const { idle } = await login();
    await idle(true);
    expect(await power.property("IdleHint")).toBe(false);
    await configure("IdleAction=reboot", "IdleActionSec=300ms");
    // What would be due by now is seen to be held back before the inhibitor ends.
    await quietFor(400, "it sleeps again");
    expect(power.commands).toEqual([]);
    const before = now().monotonic;
    close(fd);
    await ran("openrc-shutdown --reboot now");
    expect(now().monotonic - before >= 300_000n).toBe(true);
    expect(await power.property("IdleHint")).toBe(true);
  });

  const sleeps = () => power.signals.filter((signal) => signal === "PrepareForSleep false").length;
  const lines = (line: string) => power.world.log.split(line).length - 1;

  test("it is done again for as long as nobody uses the machine, whatever has woken it up", async () => {
    const { idle } = await login();
    await configure("IdleAction=suspend", "IdleActionSec=100ms");
    await idle(true);
    await power.world.until("it has slept three times", () => sleeps() >= 3);
    await configure("IdleAction=suspend", "IdleActionSec=1h");
  });

  test("it is done also where nobody has logged in, and again", async () => {
    await configure("IdleAction=suspend", "IdleActionSec=100ms");
    await power.world.until("it has slept three times", () => sleeps() >= 3);
  });

  test("what an inhibitor refuses is tried again, and told once", async () => {
    const sleep = await power.inhibit("sleep", "block");
    const refused = "for 0.1 s: suspend is refused: sleep is inhibited by test";
    const before = lines(refused);
    const { idle } = await login();
    await idle(true);
    await configure("IdleAction=suspend", "IdleActionSec=100ms");
    await power.world.until("it is refused", () => lines(refused) > before);
    await quietFor(350, "it is told again, or it sleeps");
    expect(lines(refused)).toBe(before + 1);
    expect(sleeps()).toBe(0);
    close(sleep);
    await power.world.until("it sleeps", () => sleeps() > 0);
  });

  test("somebody who has used the machine meanwhile is told again", async () => {
    held.push(await power.inhibit("sleep", "block"));
    const refused = "for 0.2 s: suspend is refused: sleep is inhibited by test";
    const before = lines(refused);
    const { idle } = await login();
    await configure("IdleAction=suspend", "IdleActionSec=200ms");
    for (const times of [1, 2]) {
      await idle(true);
      await power.world.until("it is refused", () => lines(refused) === before + times);
      await idle(false);
    }
  });

  test("it locks once for each idleness", async () => {
    const { idle } = await login();
    const locked = "for 0.1 s: lock\n";
    const before = lines(locked);
    await configure("IdleAction=lock", "IdleActionSec=100ms");
    await idle(true);
    await power.world.until("it locks", () => lines(locked) > before);
    await quietFor(350, "it locks again");
    expect(lines(locked)).toBe(before + 1);
    await idle(false);
    await idle(true);
    await power.world.until("it locks again", () => lines(locked) === before + 2);
  });

  test("a terminal that nobody touches counts", async () => {
    await terminal(3600);
    await configure("IdleAction=halt", "IdleActionSec=2h");
    expect(await power.property("IdleHint")).toBe(false);
    expect(power.commands).toEqual([]);
    await configure("IdleAction=halt", "IdleActionSec=200ms");
    expect(await power.property("IdleHint")).toBe(true);
    await ran("openrc-shutdown --halt now");
  });

  test("a login that has got its terminal since, and said so to nobody, counts", async () => {
    const { id, leader } = await login({ type: "tty", service: "sshd", remote: true });
    await configure("IdleAction=halt", "IdleActionSec=200ms");
    await quietFor(300, "the machine halts before anybody knows where to look");
    expect(power.commands).toEqual([]);
    const { world } = power;
    const child = Bun.spawn(
      world.inside(["script", "-qec", "exec cat", "/dev/null"], { cgroup: scopeOf(USER, id) }),
      {
        stdin: "pipe",
        stdout: "ignore",
        stderr: "inherit",
        env: { ...process.env, SHELL: "/bin/sh" },
      },
    );
    await ran("openrc-shutdown --halt now");
    expect(leader.exitCode).toBeNull();
    await endAll(child);
  });

  // A terminal is its user's, and so is the time of its last use.
  test.each([
    "1960-01-01",
    "@-9223372036854775808",
    "@9223372036854775807",
    "@18446744073709.551615",
  ])(
    "a terminal that was touched at %s is not idle, and everything can still be asked for",
    async (moment) => {
      const session = await terminal(0);
      const touched = await power.world.run(["touch", "-a", "-d", moment, "/dev/ttyS9"]);
      expect(touched.stderr).toBe("");
      for (const [path, kind] of [
        [session.path, "Session"],
        ["/org/freedesktop/login1/user/_65534", "User"],
        ["/org/freedesktop/login1", "Manager"],
      ] as const) {
        const all = ["busctl", "get-property", "org.freedesktop.login1", path];
        const name = `org.freedesktop.login1.${kind}`;
        expect((await power.world.run([...all, name, "IdleHint", "IdleSinceHint"])).stdout).toBe(
          "b false\nt 18446744073709551615\n",
        );
        const { code, stdout } = await power.world.run([
          ...["busctl", "call", "org.freedesktop.login1", path],
          ...["org.freedesktop.DBus.Properties", "GetAll", "s", name],
        ]);
        expect([code, stdout.includes("IdleSinceHintMonotonic")]).toEqual([0, true]);
      }
    },
  );

  test("a terminal's last use is known to the microsecond", async () => {
    const session = await terminal(0);
    await power.world.run(["touch", "-a", "-d", "@1796000000.123456789", "/dev/ttyS9"]);
    const since = await getProperty(power.bus, session.path, "Session", "IdleSinceHint");
    expect(since).toBe(1_796_000_000_123_456n);
  });

  test("the machine is idle since login1's start at the earliest", async () => {
    const hint = async () => [
      await power.property("IdleHint"),
      await power.property("IdleSinceHint"),
      await power.property("IdleSinceHintMonotonic"),
    ];
    const before = now();
    await power.reset();
    const [idle, since, monotonic] = await hint();
    expect(idle).toBe(true);
    expect(since).toBeGreaterThanOrEqual(before.realtime);
    expect(monotonic).toBeGreaterThanOrEqual(before.monotonic);
    // As with logind an inhibitor says nothing of since when, and a session that was never idle 0.
    const fd = await power.inhibit("idle", "block");
    expect(await hint()).toEqual([false, since, monotonic]);
    const session = await login();
    expect(await hint()).toEqual([false, 0n, 0n]);
    close(fd);
    await session.idle(true);
    await power.world.until("it is idle", async () => (await hint())[0] === true);
    expect((await hint())[2]).toBeGreaterThan(monotonic as bigint);
  });

  test("StopIdleSessionSec ends the sessions that are idle, and no others", async () => {
    const graphical = await login();
    const busy = await login();
    const greeter = await login({ class: "greeter" });
    await configure("StopIdleSessionSec=200ms");
    expect(await power.property("StopIdleSessionUSec")).toBe(200_000n);
    await greeter.idle(true);
    await graphical.idle(true);
    await gone(graphical.id);
    await logged(`session ${graphical.id} of nobody was idle for 0.2 s\n`);
    const tty = await terminal(0);
    await gone(tty.id);
    for (const { id } of [busy, greeter]) {
      expect(power.exists(`run/systemd/sessions/${id}`)).toBe(true);
    }
  });

  test("a shutdown without a time is due at the designated one", async () => {
    expect(await power.property("DesignatedMaintenanceTime")).toBe("");
    await configure("DesignatedMaintenanceTime=Sun 03:00 UTC");
    expect(await power.property("DesignatedMaintenanceTime")).toBe("Sun *-*-* 03:00:00 UTC");
    await power.call("ScheduleShutdown", "st", "reboot", NEVER);
    const [way, due] = (await power.property("ScheduledShutdown")) as [string, bigint];
    const at = new Date(Number(due / 1000n));
    expect([way, at.getUTCDay(), at.getUTCHours(), at.getUTCMinutes()]).toEqual([
      ...["reboot", 0, 3, 0],
    ] as never);
    expect(due > now().realtime && due <= now().realtime + 8n * 24n * 60n * MINUTE).toBe(true);
    expect(await power.ask("CancelScheduledShutdown")).toBe(true);
  });

  test("people are told of a shutdown unless WallMessages says no", async () => {
    expect(await power.property("EnableWallMessages")).toBe(false);
    await configure("WallMessages=yes");
    expect(await power.property("EnableWallMessages")).toBe(true);
    await power.call("Reboot", "b", false);
    await ran("wall -- About to reboot the machine now.");
  });

  test("Sleep takes the first of SleepOperation that there is, in logind's order", async () => {
    await configure("SleepOperation=hibernate suspend");
    expect(await power.property("SleepOperation")).toEqual(["suspend", "hibernate"]);
    expect(await power.ask("CanSleep")).toBe("yes");
    await power.call("Sleep", "t", 0n);
    await power.world.until("it sleeps", () => power.read("run/fake/power/state") === "mem");
    await configure("SleepOperation=", "SleepOperation=hibernate");
    expect(await power.ask("CanSleep")).toBe("na");
  });
});
