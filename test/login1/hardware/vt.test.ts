/**
 * Sessions on virtual terminals. VTs are the machine's: these tests switch them
 * for real, and so run only where no screen shows a console (the kernel's dummy one).
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { activeVt, switchVt, vtNumber } from "../../../lib/login1/hardware/vt.ts";
import { callManager, createSession } from "../support/client.ts";
import { consoleIsInvisible, goToVt, holdVts } from "../support/console.ts";
import { World } from "../support/world.ts";

describe.skipIf(!consoleIsInvisible)("on VTs", () => {
  const FIRST = 8;
  const SECOND = 9;
  let world: World;
  let bus: Connection;
  let giveBack: () => void;

  beforeAll(async () => {
    giveBack = await holdVts();
    await goToVt(FIRST);
    world = await World.create({ vts: [0, FIRST, SECOND] });
    bus = await world.connect();
  });
  beforeEach(() => goToVt(FIRST));
  afterEach(() => world.reset(bus));
  afterAll(async () => {
    bus.close();
    await world.end();
    giveBack();
  });

  /** A session whose descriptor the test holds. */
  const login = async (vtnr: number, options = {}) => {
    const leader = await world.leader();
    const made = await createSession(bus, {
      uid: 65534,
      leader: leader.pid,
      seat: "seat0",
      vtnr,
      ...options,
    });
    return { ...made, leader };
  };

  test("the VT in the foreground says which session is active, and a switch moves it", async () => {
    const one = await login(FIRST);
    const two = await login(SECOND);
    expect(world.stateOf("seats", "seat0")).toMatchObject({ ACTIVE: one.id, CAN_TTY: "1" });
    expect(world.stateOf("sessions", two.id)).toMatchObject({
      STATE: "online",
      VTNR: String(SECOND),
    });
    switchVt(SECOND);
    await world.until(
      "the second is active",
      () => world.stateOf("seats", "seat0").ACTIVE === two.id,
    );
    await callManager(bus, "ActivateSession", "s", [one.id]);
    await world.until(
      "the first is active",
      () => world.stateOf("seats", "seat0").ACTIVE === one.id,
    );
    expect(activeVt()).toBe(FIRST);
    expect(world.stateOf("sessions", two.id).ACTIVE).toBe("0");
    for (const { fd } of [one, two]) close(fd);
  });

  test("a tty's name gives seat and VT; a wrong pair and an occupied VT are refused", async () => {
    const one = await login(0, { seat: "", tty: `/dev/tty${SECOND}`, type: "tty" });
    expect(one).toMatchObject({ seat: "seat0", vtnr: SECOND });
    expect(world.stateOf("sessions", one.id)).toMatchObject({ TTY: `tty${SECOND}`, TYPE: "tty" });
    await expect(login(FIRST, { tty: `tty${SECOND}` })).rejects.toThrow("do not match");
    await expect(login(0)).rejects.toThrow("out of range");
    await expect(login(SECOND)).rejects.toMatchObject({
      errorName: "org.freedesktop.login1.SessionBusy",
    });
    close(one.fd);
  });

  test("a greeter's VT is taken over by the login that follows", async () => {
    const greeter = await login(FIRST, { class: "greeter" });
    const user = await login(FIRST);
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(user.id);
    user.leader.kill("SIGKILL");
    await world.until(
      "the greeter is back",
      () => world.stateOf("seats", "seat0").ACTIVE === greeter.id,
    );
    for (const { fd } of [greeter, user]) close(fd);
  });

  test("a restart finds the VT that is active by then", async () => {
    const one = await login(FIRST);
    const two = await login(SECOND);
    await world.endBridge("SIGKILL");
    await goToVt(SECOND);
    await world.startBridge();
    expect(world.stateOf("seats", "seat0").ACTIVE).toBe(two.id);
    for (const { fd } of [one, two]) close(fd);
  });
});

test("only a VT's own name has a number", () => {
  expect(vtNumber("tty7")).toBe(7);
  expect(vtNumber("/dev/tty63")).toBe(63);
  for (const name of ["tty0", "tty64", "ttyS0", "pts/7", "tty", "tty07", ""]) {
    expect(vtNumber(name)).toBeUndefined();
  }
});
