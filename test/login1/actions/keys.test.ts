/** Keys and switches: what each comes to, and from the event node to the bus and init. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { close, parseInputEvents } from "../../../lib/linux/index.ts";
import { type Ability, decide } from "../../../lib/login1/actions/action-handler.ts";
import type { ActionEvent } from "../../../lib/login1/actions/event.ts";
import { Keys, wantedKeys } from "../../../lib/login1/actions/keys.ts";
import { lidAction } from "../../../lib/login1/actions/lid.ts";
import type { HandleAction, Settings } from "../../../lib/login1/settings/logind-conf.ts";
import { until } from "../../support/until.ts";
import { createSession } from "../support/client.ts";
import { INPUT_SET_UP, InputDevice } from "../support/input-world.ts";
import { PowerWorld } from "../support/power-world.ts";
import { configOf } from "../support/settings.ts";
import { scopeOf } from "../support/world.ts";

const POWER = 116;
const RESTART = 0x198;
const SLEEP = 142;
const SUSPEND = 205;
const [CTRL, ALT, SHIFT, ESCAPE] = [29, 100, 42, 1] as const;
const LID = 0;
const DOCK = 5;
const USER = 65534;

describe("what an action comes to", () => {
  const machine = (...possible: string[]): Ability => ({
    impossible: (way) => (possible.includes(way) ? undefined : `no ${way}`),
    sleep: possible.includes("suspend") ? "suspend" : undefined,
  });
  const all = ["poweroff", "reboot", "halt", "kexec", "suspend", "hibernate", "hybrid-sleep"];
  test.each<[HandleAction, string[], object]>([
    ["ignore", all, { does: "nothing" }],
    ["lock", [], { does: "lock" }],
    ["secure-attention-key", [], { does: "secure-attention-key" }],
    ["poweroff", all, { does: "go", way: "poweroff" }],
    ["poweroff", [], { does: "refuse", why: "no poweroff" }],
    ["kexec", ["reboot", "suspend"], { does: "refuse", why: "no kexec" }],
    ["suspend", all, { does: "go", way: "suspend" }],
    ["sleep", all, { does: "go", way: "suspend" }],
    ["sleep", [], { does: "refuse", why: "no way of SleepOperation is possible" }],
    ["hibernate", all, { does: "go", way: "hibernate" }],
    ["hibernate", ["suspend"], { does: "go", way: "suspend", instead: "no hibernate" }],
    ["hybrid-sleep", ["poweroff"], { does: "refuse", why: "no hybrid-sleep" }],
  ])("%s where there is %p", (action, possible, decision) => {
    expect(decide(action, machine(...possible))).toEqual(decision as ReturnType<typeof decide>);
  });
  test.each<HandleAction>(["soft-reboot", "factory-reset"])("%s is refused", (action) => {
    expect(decide(action, machine(...all)).does).toBe("refuse");
  });
});

test("the lid's action depends on where the laptop stands", () => {
  const where = (lines: string[]) => {
    const config = configOf(...lines);
    return [false, true].flatMap((docked) =>
      [false, true].map((externalPower) => lidAction(config, { docked, externalPower })),
    );
  };
  expect(where([])).toEqual(["suspend", "suspend", "ignore", "ignore"]);
  expect(where(["HandleLidSwitchExternalPower=lock"])).toEqual([
    ...["suspend", "lock", "ignore", "ignore"],
  ] as HandleAction[]);
  expect(where(["HandleLidSwitch=halt", "HandleLidSwitchDocked=poweroff"])).toEqual([
    ...["halt", "halt", "poweroff", "poweroff"],
  ] as HandleAction[]);
});

test("events are taken from the bytes of the kernel's structure, and half of one is none", () => {
  const bytes = new Uint8Array(24 * 2 + 7);
  const view = new DataView(bytes.buffer);
  for (const [at, type, code, value] of [
    [0, 1, 0x164, 1],
    [24, 5, 5, -1],
  ] as const) {
    view.setUint16(at + 16, type, true);
    view.setUint16(at + 18, code, true);
    view.setInt32(at + 20, value, true);
  }
  expect([...parseInputEvents(bytes)]).toEqual([
    { type: 1, code: 0x164, value: 1 },
    { type: 5, code: 5, value: -1 },
  ]);
});

describe("keys", () => {
  const device = { name: "test", seat: "seat-left" };
  const other = { name: "other", seat: "seat0" };
  const set = (lines: string[], longPress: number) => {
    const acts: string[] = [];
    const settings = { config: configOf(...lines) } as Settings;
    const act = (action: HandleAction, { because }: ActionEvent) =>
      acts.push(`${because}: ${action}`);
    const keys = new Keys(settings, act, longPress);
    return { acts, keys };
  };
  const FOR_EVER = 2 ** 30;

  test("act when pressed, and when let go if a long press means something", () => {
    const { acts, keys } = set(["HandleSuspendKeyLongPress=ignore"], FOR_EVER);
    for (const code of [POWER, SLEEP, SUSPEND]) keys.key(device, code, true);
    expect(acts).toEqual([
      "the power key was pressed: poweroff",
      "the suspend key was pressed: suspend",
      "the hibernate key was pressed: hibernate",
    ]);
    keys.key(device, RESTART, true);
    expect(acts).toHaveLength(3);
    keys.key(device, RESTART, false);
    keys.key(device, RESTART, false);
    expect(acts.slice(3)).toEqual(["the reboot key was pressed: reboot"]);
  });

  test("act when pressed where a long press means the same", () => {
    const { acts, keys } = set(
      ["HandlePowerKey=suspend", "HandlePowerKeyLongPress=suspend", "HandleRebootKey=poweroff"],
      FOR_EVER,
    );
    for (const code of [POWER, RESTART]) {
      keys.key(device, code, true);
      keys.key(device, code, false);
    }
    expect(acts).toEqual([
      "the power key was pressed: suspend",
      "the reboot key was pressed: poweroff",
    ]);
  });

  test("that are held act otherwise, once", async () => {
    const { acts, keys } = set([], 10);
    keys.key(device, RESTART, true);
    keys.key(device, RESTART, true);
    await until("the key is held for long", () => acts.length > 0);
    keys.key(device, RESTART, false);
    expect(acts).toEqual(["the reboot key was pressed for long: poweroff"]);
  });

  test("of a device that is pulled out do nothing", () => {
    const { acts, keys } = set(["HandlePowerKeyLongPress=halt"], FOR_EVER);
    keys.key(device, POWER, true);
    keys.forget(other);
    keys.forget(device);
    keys.key(device, POWER, false);
    expect(acts).toEqual([]);
  });

  test("for secure attention count together, on one keyboard", () => {
    const { acts, keys } = set([], FOR_EVER);
    for (const code of [CTRL, ALT]) keys.key(device, code, true);
    keys.key(other, SHIFT, true);
    keys.key(device, ESCAPE, true);
    keys.key(device, SHIFT, true);
    expect(acts).toEqual([]);
    keys.key(device, ESCAPE, false);
    keys.key(device, ESCAPE, true);
    expect(acts).toEqual(["Ctrl+Alt+Shift+Esc was pressed on seat-left: secure-attention-key"]);
    keys.key(device, CTRL, false);
    keys.key(device, ESCAPE, true);
    expect(acts).toHaveLength(1);
  });

  test("of the keyboard are asked for only if they mean something", () => {
    expect(wantedKeys(configOf())).toContain(ESCAPE);
    expect(wantedKeys(configOf("HandleSecureAttentionKey=ignore"))).not.toContain(ESCAPE);
  });
});

describe("from the event node", () => {
  let power: PowerWorld;
  let devices: InputDevice[] = [];
  const held: number[] = [];
  const attention: string[] = [];
  beforeAll(async () => {
    power = await PowerWorld.create(`
      mkdir -p /run/fake/power
      mount --bind /run/fake/power /sys/power
      ${INPUT_SET_UP}
    `);
    const sender = "org.freedesktop.login1";
    const match = { sender, interface: `${sender}.Manager`, member: "SecureAttentionKey" };
    await power.bus.onSignal(match, (values) => attention.push(values.join(" ")));
  });
  afterAll(() => power.end());
  beforeEach(async () => {
    power.write("run/fake/power/state", "freeze mem\n");
    power.write("run/lainos/logind.conf.d/50-test.conf", "[Login]\nHoldoffTimeoutSec=0\n");
    attention.length = 0;
    await power.reset();
  });
  afterEach(() => {
    for (const device of devices) device.remove();
    devices = [];
    for (const fd of held.splice(0)) close(fd);
    power.remove(
      ...["sys/class/power_supply/AC", "sys/class/power_supply/BAT0"],
      "sys/class/drm/card0-HDMI-A-1",
    );
  });

  const logged = (line: string) =>
    power.world.until(`the line: ${line}`, () => since().includes(line));
  let start = 0;
  const since = () => power.world.log.slice(start);
  const configure = async (...lines: string[]) => {
    const text = ["[Login]", "HoldoffTimeoutSec=0", ...lines, ""].join("\n");
    power.write("run/lainos/logind.conf.d/50-test.conf", text);
    await power.call("Reload");
  };
  async function plug(number: number, has: ConstructorParameters<typeof InputDevice>[2]) {
    start = power.world.log.length;
    const device = new InputDevice(power.world, number, has);
    devices.push(device);
    await logged(`the power keys and switches of ${device.name} (/dev/input/event${number})`);
    return device;
  }
  const ran = (command: string) =>
    power.world.until(command, () => power.commands.includes(command));
  const slept = () =>
    power.world.until("the machine sleeps", () => power.read("run/fake/power/state") === "mem");
  async function login(seat = "seat0") {
    const leader = await power.world.leader();
    const made = await createSession(power.bus, { uid: USER, leader: leader.pid, seat });
    held.push(made.fd);
    return { ...made, cgroup: scopeOf(USER, made.id) };
  }

  test("the power key powers off, as announced", async () => {
    const device = await plug(3, { keys: [POWER] });
    device.press(POWER);
    await ran("openrc-shutdown --poweroff now");
    await power.world.until("the news", () => power.signals.includes("PrepareForShutdown true"));
    await logged("the power key was pressed: poweroff\n");
    device.letGo(POWER);
    device.press(POWER);
    await logged("the power key was pressed: poweroff is refused: poweroff is under way");
    expect(power.commands).toHaveLength(1);
  });

  test("every key does what the file says, as the properties say too", async () => {
    await configure(
      ...["HandlePowerKey=lock", "HandleRebootKey=halt", "HandleRebootKeyLongPress=ignore"],
      ...["HandleHibernateKey=soft-reboot", "HandleSuspendKey=kexec"],
      "HandleSuspendKeyLongPress=ignore",
    );
    expect(await power.property("HandlePowerKey")).toBe("lock");
    expect(await power.property("HandleRebootKeyLongPress")).toBe("ignore");
    const { path } = await login();
    const locks: string[] = [];
    const match = { interface: "org.freedesktop.login1.Session", member: "Lock" };
    await power.bus.onSignal({ sender: "org.freedesktop.login1", ...match }, (_, { path: from }) =>
      locks.push(from),
    );
    const device = await plug(3, { keys: [POWER, RESTART, SLEEP, SUSPEND] });
    device.press(POWER);
    await power.world.until("the lock", () => locks.includes(path));
    device.press(SUSPEND);
    await logged("the hibernate key was pressed: soft-reboot is refused: OpenRC cannot start");
    device.press(SLEEP);
    await logged("the suspend key was pressed: kexec is refused: no kernel is loaded");
    expect(power.commands).toEqual([]);
    device.press(RESTART);
    await ran("openrc-shutdown --halt now");
  });

  test("hibernation that is impossible becomes suspension", async () => {
    const device = await plug(3, { keys: [SUSPEND] });
    device.press(SUSPEND);
    await slept();
    await logged(
      "the hibernate key was pressed: suspend, since hibernate is impossible: the kernel cannot",
    );
  });

  test("an inhibitor of shutdown keeps from it, unless the key is to pass it over", async () => {
    held.push(await power.inhibit("shutdown", "block"));
    const device = await plug(3, { keys: [POWER] });
    device.press(POWER);
    await logged("the power key was pressed: poweroff is refused: shutdown is inhibited by test");
    await configure("PowerKeyIgnoreInhibited=yes");
    device.press(POWER);
    await ran("openrc-shutdown --poweroff now");
  });

  test("a desktop in the foreground takes a key over, and one in the background does not", async () => {
    await configure("PowerKeyIgnoreInhibited=yes");
    const { cgroup, id } = await login();
    const inhibitor = Bun.spawn(
      power.world.inside(
        [
          ...["env", "-u", "BUN_OPTIONS", process.execPath],
          new URL("../../../cmd/systemd-inhibit.ts", import.meta.url).pathname,
          ...["--what=handle-power-key", "--who=desktop", "sleep", "infinity"],
        ],
        { cgroup },
      ),
      { stdin: "ignore", stdout: "ignore", stderr: "inherit" },
    );
    await power.world.until("it inhibits", async () =>
      String(await power.property("BlockInhibited")).includes("handle-power-key"),
    );
    const device = await plug(3, { keys: [POWER] });
    device.press(POWER);
    await logged("the power key was pressed: left to desktop (uid 0");
    expect(power.commands).toEqual([]);
    const second = await login();
    await power.world.until("the first is in the background", async () =>
      power.read(`run/systemd/sessions/${id}`).includes("ACTIVE=0"),
    );
    expect(second.id).not.toBe(id);
    device.press(POWER);
    await ran("openrc-shutdown --poweroff now");
    inhibitor.kill();
    await inhibitor.exited;
  });

  test("Ctrl+Alt+Shift+Esc is told with the keyboard's seat", async () => {
    const device = await plug(3, { keys: [CTRL, ALT, SHIFT, ESCAPE], seat: "seat0" });
    device.press(CTRL, ALT, SHIFT, ESCAPE);
    await power.world.until("the signal", () => attention.length > 0);
    expect(attention).toEqual(["seat0 /org/freedesktop/login1/seat/seat0"]);
    await logged("Ctrl+Alt+Shift+Esc was pressed on seat0: secure-attention-key");
  });

  test("Ctrl+Alt+Shift+Esc passes inhibitors over", async () => {
    held.push(await power.inhibit("shutdown", "block"));
    await configure("HandleSecureAttentionKey=reboot");
    const device = await plug(3, { keys: [CTRL, ALT, SHIFT, ESCAPE] });
    device.press(CTRL, ALT, SHIFT, ESCAPE);
    await ran("openrc-shutdown --reboot now");
  });

  test("a keyboard is left alone when none of its keys is wanted any more", async () => {
    await configure("HandleSecureAttentionKey=ignore");
    expect(await power.property("HandleSecureAttentionKey")).toBe("ignore");
    devices.push(new InputDevice(power.world, 4, { keys: [CTRL, ALT, SHIFT, ESCAPE] }));
    await plug(5, { keys: [POWER] });
    expect(power.world.log.slice(start)).not.toContain("event4");
  });

  test("a device that is pulled out is let go of, and one that comes is heard", async () => {
    const device = await plug(3, { keys: [POWER] });
    devices = [];
    device.remove();
    await logged("Test 3 is gone");
    const again = await plug(3, { keys: [POWER] });
    again.press(POWER);
    await ran("openrc-shutdown --poweroff now");
  });

  test("the lid suspends when it is closed, and is told of", async () => {
    const lid = await plug(6, { switches: [LID] });
    await logged("how the switches of Test 6 stand is known when they move: ioctl");
    lid.switch(LID, true);
    await slept();
    expect(await power.property("LidClosed")).toBe(true);
    await logged("the lid was closed\n");
    await logged("the lid is closed, on external power: suspend\n");
    lid.switch(LID, false);
    await logged("the lid was opened");
    expect(await power.property("LidClosed")).toBe(false);
  });

  test("a lid that stays closed suspends when the laptop is taken out of its dock", async () => {
    const lid = await plug(6, { switches: [LID, DOCK] });
    lid.switch(DOCK, true);
    await logged("the machine was docked");
    expect(await power.property("Docked")).toBe(true);
    lid.switch(LID, true);
    await logged("the lid is closed, docked, on external power: ignore");
    lid.switch(DOCK, false);
    await slept();
    expect(await power.property("Docked")).toBe(false);
  });

  test("a display makes it docked, and a charger has an action of its own", async () => {
    await configure("HandleLidSwitchExternalPower=lock");
    power.write("sys/class/power_supply/AC/type", "Mains\n");
    power.write("sys/class/power_supply/AC/online", "1\n");
    power.write("sys/class/drm/card0-HDMI-A-1/status", "connected\n");
    power.write("sys/class/drm/card0-HDMI-A-1/enabled", "enabled\n");
    expect(await power.property("OnExternalPower")).toBe(true);
    const lid = await plug(6, { switches: [LID] });
    lid.switch(LID, true);
    await logged("the lid is closed, docked, on external power: ignore");
    lid.switch(LID, false);
    power.remove("sys/class/drm/card0-HDMI-A-1");
    lid.switch(LID, true);
    await logged("the lid is closed, on external power: lock");
    lid.switch(LID, false);
    power.write("sys/class/power_supply/AC/online", "0\n");
    power.write("sys/class/power_supply/BAT0/type", "Battery\n");
    power.write("sys/class/power_supply/BAT0/status", "Discharging\n");
    lid.switch(LID, true);
    await slept();
  });

  test("a closed lid is looked at again when its inhibitor ends", async () => {
    const fd = await power.inhibit("handle-lid-switch", "block");
    const lid = await plug(6, { switches: [LID] });
    lid.switch(LID, true);
    await logged("left to test (uid 0");
    expect(power.read("run/fake/power/state")).toBe("freeze mem\n");
    close(fd);
    await slept();
  });

  test("the lid passes an inhibitor of sleep over, unless it is not to", async () => {
    await configure("LidSwitchIgnoreInhibited=no");
    held.push(await power.inhibit("sleep", "block"));
    const lid = await plug(6, { switches: [LID] });
    lid.switch(LID, true);
    await logged("suspend is refused: sleep is inhibited by test");
    await configure();
    await slept();
  });

  test("the lid waits until HoldoffTimeoutSec is over", async () => {
    await power.world.endBridge("SIGTERM");
    power.write("run/lainos/logind.conf.d/50-test.conf", "[Login]\nHoldoffTimeoutSec=3s\n");
    await power.world.startBridge();
    expect(await power.property("HoldoffTimeoutUSec")).toBe(3_000_000n);
    const lid = await plug(6, { switches: [LID] });
    lid.switch(LID, true);
    await logged("the lid was closed");
    expect(since()).not.toContain("the lid is closed");
    await slept();
  });
});
