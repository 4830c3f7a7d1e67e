/**
 * A VT that is left and entered again before the bridge looks, and a stray signal of the kernel's kind:
 * the session in the foreground has its devices again. Only where no screen shows a console.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, test } from "bun:test";
import type { Connection } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { activeVt, switchVt } from "../../lib/login1/hardware/vt.ts";
import { callSession, createSession } from "../login1/support/client.ts";
import { consoleIsInvisible } from "../login1/support/console.ts";
import { NULL, takeableNull } from "../login1/support/null-device.ts";
import { World } from "../login1/support/world.ts";

const SESSION = "org.freedesktop.login1.Session";

describe.skipIf(!consoleIsInvisible)("the session on a VT", () => {
  const FIRST = 12;
  const SECOND = 13;
  let world: World;
  let bus: Connection;
  let before: number | undefined;
  const events: string[] = [];

  beforeAll(async () => {
    before = activeVt();
    switchVt(FIRST);
    world = await World.create({ vts: [0, FIRST, SECOND] });
    await takeableNull(world);
    bus = await world.connect();
    for (const member of ["PauseDevice", "ResumeDevice"]) {
      const match = { sender: "org.freedesktop.login1", interface: SESSION, member };
      await bus.onSignal(match, () => events.push(member));
    }
  });
  beforeEach(() => {
    switchVt(FIRST);
    events.length = 0;
  });
  afterEach(() => world.reset(bus));
  afterAll(async () => {
    bus.close();
    await world.end();
    if (before !== undefined) switchVt(before);
  });

  async function loginWithDevice() {
    const leader = await world.leader();
    const options = { uid: 65534, leader: leader.pid, seat: "seat0", vtnr: FIRST };
    const made = await createSession(bus, options);
    const call = (member: string, signature: string, body: unknown[]) =>
      callSession(bus, made.path, member, signature, body);
    await call("TakeControl", "b", [false]);
    const [device] = (await call("TakeDevice", "uu", NULL)) as [number];
    return { ...made, device };
  }

  /** The last that its controller was told is that it has the device. */
  const hasItsDevice = () =>
    world.until("the device is back", () => events.at(-1) === "ResumeDevice");

  test("has its devices after a signal that only looks like the kernel's", async () => {
    const { device, fd } = await loginWithDevice();
    process.kill(world.bridgePid, "SIGUSR2");
    await world.until("the device is paused", () => events.includes("PauseDevice"));
    await hasItsDevice();
    for (const one of [device, fd]) close(one);
  });

  test("has its devices when it is left and entered again at once, however often", async () => {
    const { device, fd } = await loginWithDevice();
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
});
