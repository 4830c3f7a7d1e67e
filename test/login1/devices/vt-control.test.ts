/**
 * What control of a session does to its VT, and a switch of VTs to its devices.
 * As in vt.test.ts, only where no screen shows a console. /dev/null stands for an
 * input device, as in devices-bus.test.ts.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { statSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, ioctlBytes, O_NOCTTY, O_RDWR, open } from "../../../lib/linux/index.ts";
import { activeVt, switchVt } from "../../../lib/login1/hardware/vt.ts";
import { type CreateOptions, callSeat, callSession, createSession } from "../support/client.ts";
import { consoleIsInvisible, goToVt, holdVts } from "../support/console.ts";
import { takeableNull } from "../support/null-device.ts";
import { scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const SESSION = "org.freedesktop.login1.Session";
const MUTED = { graphics: true, keyboardOff: true, asks: true };
const FREE = { graphics: false, keyboardOff: false, asks: false };

/** What the kernel says of a VT: see console_ioctl(2). */
function modeOf(number: number) {
  const fd = open(`/dev/tty${number}`, O_RDWR | O_NOCTTY);
  const get = (request: number, name: string) => {
    const bytes = new Uint8Array(8);
    ioctlBytes(fd, request, bytes, name);
    return bytes;
  };
  const mode = {
    graphics: get(0x4b3b, "KDGETMODE")[0] === 1,
    keyboardOff: get(0x4b44, "KDGKBMODE")[0] === 4,
    asks: get(0x5601, "VT_GETMODE")[0] === 1,
  };
  close(fd);
  return mode;
}

describe.skipIf(!consoleIsInvisible)("control of a session on a VT", () => {
  const FIRST = 10;
  const SECOND = 11;
  let world: World;
  let bus: Connection;
  let giveBack: () => void;
  const events: string[] = [];
  /** What each session's controller was told last of its device. */
  const last = new Map<string, string>();

  beforeAll(async () => {
    giveBack = await holdVts();
    await goToVt(FIRST);
    world = await World.create({ vts: [0, FIRST, SECOND] });
    await takeableNull(world);
    // What it has open is kept over a restart.
    await world.startNotifyd();
    await world.endBridge("SIGKILL");
    await world.startBridge();
    bus = await world.connect();
    for (const member of ["PauseDevice", "ResumeDevice"]) {
      const match = { sender: "org.freedesktop.login1", interface: SESSION, member };
      await bus.onSignal(match, ([, , how], { path }) => {
        last.set(path, member);
        events.push(typeof how === "string" ? `${member} ${how} on VT ${activeVt()}` : member);
      });
    }
  });
  beforeEach(async () => {
    await goToVt(FIRST);
    events.length = 0;
  });
  afterEach(() => world.reset(bus));
  afterAll(async () => {
    bus.close();
    await world.end();
    giveBack();
  });

  const owner = (number: number) => statSync(`${world.root}/dev/tty${number}`).uid;
  const login = async (vtnr: number, options: Partial<CreateOptions> = {}) => {
    const leader = await world.leader();
    const asked = { uid: ALICE, leader: leader.pid, seat: "seat0", vtnr, ...options };
    const made = await createSession(bus, asked);
    const call = (connection: Connection, member: string, signature = "", body: unknown[] = []) =>
      callSession(connection, made.path, member, signature, body);
    return { ...made, leader, call };
  };
  const seat = (member: string, signature = "", body: unknown[] = []) =>
    callSeat(bus, "seat0", member, signature, body);

  test("mutes the VT and gives it to the user, and its end takes that back", async () => {
    const { call, fd } = await login(FIRST);
    expect(modeOf(FIRST)).toEqual(FREE);
    await call(bus, "TakeControl", "b", [false]);
    expect(modeOf(FIRST)).toEqual(MUTED);
    expect(owner(FIRST)).toBe(ALICE);
    await call(bus, "ReleaseControl");
    expect(modeOf(FIRST)).toEqual(FREE);
    expect(owner(FIRST)).toBe(0);
    const holder = await world.connect();
    await call(holder, "TakeControl", "b", [false]);
    expect(modeOf(FIRST)).toEqual(MUTED);
    holder.close();
    await world.until("the VT is free", () => !modeOf(FIRST).asks);
    expect(modeOf(FIRST)).toEqual(FREE);
    close(fd);
  });

  test("ends with the session", async () => {
    const { leader, call, fd } = await login(FIRST);
    await call(bus, "TakeControl", "b", [false]);
    leader.kill("SIGKILL");
    await world.until("the VT is free", () => !modeOf(FIRST).graphics);
    expect(modeOf(FIRST)).toEqual(FREE);
    close(fd);
  });

  test("ends with the login though processes are left, and the next one has the VT", async () => {
    const { id, leader, call, fd } = await login(FIRST);
    const inside = { cgroup: scopeOf(ALICE, id) };
    const left = Bun.spawn(world.inside(["cat"], inside), { stdin: "pipe" });
    await call(bus, "TakeControl", "b", [false]);
    leader.kill("SIGKILL");
    await world.until("the VT is free", () => !modeOf(FIRST).asks);
    expect(modeOf(FIRST)).toEqual(FREE);
    expect(owner(FIRST)).toBe(0);
    const next = await login(FIRST);
    await next.call(bus, "TakeControl", "b", [false]);
    expect(modeOf(FIRST)).toEqual(MUTED);
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(next.id);
    left.stdin.end();
    await world.gone(bus, id);
    expect(modeOf(FIRST)).toEqual(MUTED);
    for (const each of [fd, next.fd]) close(each);
  });

  test("has the devices paused before the VT is left, and back when it is", async () => {
    const one = await login(FIRST);
    const two = await login(SECOND);
    await one.call(bus, "TakeControl", "b", [false]);
    const [device] = (await one.call(bus, "TakeDevice", "uu", [1, 3])) as [number];
    await seat("SwitchTo", "u", [SECOND]);
    await world.until(
      "the second is active",
      () => world.stateOf("seats", "seat0").ACTIVE === two.id,
    );
    expect(activeVt()).toBe(SECOND);
    await seat("SwitchToPrevious");
    await world.until("the devices are back", () => events.includes("ResumeDevice"));
    expect(activeVt()).toBe(FIRST);
    expect(events.map((event) => event.split(" on ")[0])).toEqual([
      "PauseDevice force",
      "ResumeDevice",
    ]);
    for (const fd of [device, one.fd, two.fd]) close(fd);
  });

  test("outlives a restart of the bridge, which the kernel asks from then on", async () => {
    const one = await login(FIRST);
    const two = await login(SECOND);
    await one.call(bus, "TakeControl", "b", [false]);
    const [device] = (await one.call(bus, "TakeDevice", "uu", [1, 3])) as [number];
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(modeOf(FIRST)).toEqual(MUTED);
    await two.call(bus, "Activate");
    await world.until(
      "the second is active",
      () => world.stateOf("seats", "seat0").ACTIVE === two.id,
    );
    await world.until("the news", () => events.length > 0);
    expect(events[0]).toStartWith("PauseDevice force");
    for (const fd of [device, one.fd, two.fd]) close(fd);
  });

  test("a switch while the bridge is away pauses what it took, and one back resumes it", async () => {
    const one = await login(FIRST);
    await one.call(bus, "TakeControl", "b", [false]);
    const [device] = (await one.call(bus, "TakeDevice", "uu", [1, 3])) as [number];
    await world.endBridge("SIGKILL");
    switchVt(SECOND);
    await world.until("the kernel switches", () => activeVt() === SECOND);
    await world.startBridge();
    await world.until("the pause", () => events.length > 0);
    expect(events).toEqual([`PauseDevice force on VT ${SECOND}`]);
    switchVt(FIRST);
    await world.until("the devices are back", () => events.includes("ResumeDevice"));
    for (const fd of [device, one.fd]) close(fd);
  });

  test("a controller that ends while the kernel waits does not keep its VT", async () => {
    const { fd, path } = await login(FIRST);
    for (let round = 0; round < 10; round++) {
      switchVt(FIRST);
      await world.until("the VT is there", () => activeVt() === FIRST);
      const holder = await world.connect();
      await callSession(holder, path, "TakeControl", "b", [false]);
      process.kill(world.bridgePid, "SIGSTOP");
      switchVt(SECOND);
      holder.close();
      process.kill(world.bridgePid, "SIGCONT");
      await world.until("the kernel switches", () => activeVt() === SECOND);
      await world.until("the VT is free", () => !modeOf(FIRST).asks);
      expect(modeOf(FIRST)).toEqual(FREE);
    }
    close(fd);
  });

  test("a VT without a session can be switched to, and none beyond the last", async () => {
    await seat("SwitchTo", "u", [SECOND]);
    await world.until("it is there", () => activeVt() === SECOND);
    await expect(seat("SwitchTo", "u", [64])).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.InvalidArgs",
    });
  });

  test("a greeter takes a VT over, whose session is refused to all others", async () => {
    const busy = { errorName: "org.freedesktop.login1.SessionBusy" };
    const ACTIVE = () => world.stateOf("seats", "seat0").ACTIVE;
    const one = await login(FIRST);
    await one.call(bus, "TakeControl", "b", [false]);
    await expect(login(FIRST)).rejects.toMatchObject(busy);
    await expect(login(FIRST, { class: "lock-screen" })).rejects.toMatchObject(busy);
    await expect(login(FIRST, { seat: "" })).rejects.toMatchObject(busy);
    const greeter = await login(FIRST, { class: "greeter" });
    expect(ACTIVE()).toBe(greeter.id);
    await greeter.call(bus, "TakeControl", "b", [false]);
    // What the first one gives back is the greeter's by now.
    await one.call(bus, "ReleaseControl");
    expect(modeOf(FIRST)).toEqual(MUTED);
    const next = await login(FIRST);
    expect(ACTIVE()).toBe(next.id);
    await expect(login(FIRST)).rejects.toMatchObject(busy);
    next.leader.kill("SIGKILL");
    await world.gone(bus, next.id);
    expect(ACTIVE()).toBe(greeter.id);
    greeter.leader.kill("SIGKILL");
    await world.gone(bus, greeter.id);
    expect(modeOf(FIRST)).toEqual(FREE);
    expect(ACTIVE()).toBe(one.id);
    for (const { fd } of [one, greeter, next]) close(fd);
  });

  test("two controllers on one VT are both asked before it is left", async () => {
    const one = await login(FIRST);
    await one.call(bus, "TakeControl", "b", [false]);
    const greeter = await login(FIRST, { class: "greeter" });
    await greeter.call(bus, "TakeControl", "b", [false]);
    const [device] = (await greeter.call(bus, "TakeDevice", "uu", [1, 3])) as [number];
    events.length = 0;
    await seat("SwitchTo", "u", [SECOND]);
    await world.until("the VT is left", () => activeVt() === SECOND);
    await world.until("the pause", () => events.length > 0);
    await seat("SwitchTo", "u", [FIRST]);
    await world.until("the device is back", () => events.at(-1) === "ResumeDevice");
    expect(events.map((event) => event.split(" on ")[0])).toEqual([
      "PauseDevice force",
      "ResumeDevice",
    ]);
    for (const fd of [device, one.fd, greeter.fd]) close(fd);
  });

  /** The session on the first VT, whose controller has the device. */
  const withDevice = async () => {
    const one = await login(FIRST);
    await one.call(bus, "TakeControl", "b", [false]);
    const [device] = (await one.call(bus, "TakeDevice", "uu", [1, 3])) as [number];
    return { ...one, device };
  };
  /** The last that its controller was told is that it has the device. */
  const hasItsDevice = () =>
    world.until("the device is back", () => events.at(-1) === "ResumeDevice");

  test("has its devices after a signal that only looks like the kernel's", async () => {
    const { device, fd } = await withDevice();
    process.kill(world.bridgePid, "SIGUSR2");
    await world.until("the device is paused", () =>
      events.some((event) => event.startsWith("PauseDevice")),
    );
    await hasItsDevice();
    for (const one of [device, fd]) close(one);
  });

  test("has its devices when it is left and entered again at once, however often", async () => {
    const { device, fd } = await withDevice();
    for (let round = 0; round < 25; round++) {
      events.length = 0;
      switchVt(SECOND);
      // Without a pause: the bridge may not have looked by then.
      while (activeVt() !== SECOND) await Bun.sleep(0);
      switchVt(FIRST);
      await world.until("the VT is back", () => activeVt() === FIRST);
      await hasItsDevice();
    }
    for (const one of [device, fd]) close(one);
  });

  test("of two controllers the one in the foreground has its devices, however they were switched", async () => {
    const { path, device, fd } = await withDevice();
    switchVt(SECOND);
    await world.until("the first has paused", () => last.get(path) === "PauseDevice");
    const two = await login(SECOND);
    await two.call(bus, "TakeControl", "b", [false]);
    const [second] = (await two.call(bus, "TakeDevice", "uu", [1, 3])) as [number];
    for (let round = 0; round < 25; round++) {
      // Nobody waits for a switch here: the kernel makes some of them, and signals come late.
      for (const number of [FIRST, SECOND, FIRST]) {
        switchVt(number);
        process.kill(world.bridgePid, "SIGUSR2");
      }
      const target = round % 2 === 0 ? FIRST : SECOND;
      const [there, away] = target === FIRST ? [path, two.path] : [two.path, path];
      await world.until("each has what is its", () => {
        // The switch before may be made only now.
        if (activeVt() !== target) switchVt(target);
        const isThere = last.get(there) !== "PauseDevice" && last.get(away) === "PauseDevice";
        return isThere && activeVt() === target;
      });
    }
    for (const one of [device, second, fd, two.fd]) close(one);
  });
});
