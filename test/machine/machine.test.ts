/** protocol7-core on real devices: a kernel of its own, DRM, evdev, VTs, ACPI and RTC, all QEMU's. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout } from "bun:test";
import { dirname } from "node:path";
import { LIVE_USER } from "../../testbed/live/index.ts";
import type { Machine } from "../../testbed/machine/index.ts";
import {
  awaitBridge,
  awaitForeground,
  awaitLogged,
  BOOT_TIMEOUT,
  background,
  bootMachine,
  calling,
  drawAnew,
  drmMasters,
  endSession,
  ensureDesktop,
  HID_DEVICE,
  HOSTILE,
  hold,
  inSession,
  leaveAndReturn,
  letGo,
  login1,
  login1Later,
  loginOn,
  MANAGER,
  must,
  nodes,
  onMachine,
  SWITCHES,
  sessionOn,
  sh,
  show,
  switchTo,
  TEST_TIMEOUT,
  takeDevices,
  XORG_LOG,
} from "./system.ts";

setDefaultTimeout(TEST_TIMEOUT);

/** Somebody beside the live user. */
const GUEST = "guest";

const SOUND_CARD = "/sys/class/sound/card0";

let machine: Machine;

beforeAll(async () => {
  machine = await bootMachine();
}, BOOT_TIMEOUT);

afterAll(() => machine?.stop());

const test = (name: string, run: () => Promise<void>) => onMachine(name, () => machine, run);

describe("the boot", () => {
  test("OpenRC is the first process, on a kernel of its own", async () => {
    expect(await must(machine, ["cat", "/proc/1/comm"])).toBe("openrc-init\n");
    expect(await must(machine, ["uname", "-r"])).not.toBe(await Bun.$`uname -r`.text());
    // Its status is 1 where none has crashed.
    expect((await machine.exec(["rc-status", "--nocolor", "--crashed"])).stdout.trim()).toBe("");
  });

  test("the sessions' cgroups have the controllers that are given to them", async () => {
    const controllers = (await sh(machine, "cat /sys/fs/cgroup/user.slice/cgroup.controllers"))
      .trim()
      .split(" ");
    for (const controller of ["cpu", "io", "memory", "pids"])
      expect(controllers).toContain(controller);
    const user = "/sys/fs/cgroup/user.slice/user-1000.slice";
    expect(Number(await sh(machine, `cat ${user}/pids.current`))).toBeGreaterThan(1);
    expect(Number(await sh(machine, `cat ${user}/memory.current`))).toBeGreaterThan(1 << 20);
  });

  test("a user's processes are bounded, by a third of all or as configured", async () => {
    const folder = "/etc/lainos/logind.conf.d";
    const property = () => sh(machine, `busctl get-property ${MANAGER} UserTasksMax`);
    const user = "bomber";
    await sh(machine, `useradd --create-home --shell /bin/bash ${user}`);
    const slice = (uid: string) => `/sys/fs/cgroup/user.slice/user-${uid}.slice`;
    const read = async (path: string) => (await sh(machine, `cat ${path}`)).trim();
    const limits = await sh(machine, "cat /proc/sys/kernel/pid_max /proc/sys/kernel/threads-max");
    const third = Math.floor((Math.min(...limits.trim().split("\n").map(Number)) * 33) / 100);
    expect(await property()).toBe(`t ${third}\n`);
    expect(await read(`${slice("1000")}/pids.max`)).toBe(String(third));
    try {
      const line = "[Login]\\nUserTasksMax=60\\n";
      await sh(machine, `mkdir -p ${folder} && printf '${line}' >${folder}/50-tasks.conf`);
      await sh(machine, "rc-service lainos-dbus-bridge reload");
      await machine.waitFor(async () => (await property()) === "t 60\n", "the new bound");
      const uid = (await sh(machine, `id -u ${user}`)).trim();
      await background(
        machine,
        `exec su -l ${user} -c "b() { b | b & sleep 0.1; b; }; b"`,
        "/run/bomb.log",
      );
      const refused = async () => !(await read(`${slice(uid)}/pids.events`)).endsWith("max 0");
      await machine.waitFor(
        async () => (await machine.exec(["test", "-d", slice(uid)])).code === 0 && refused(),
        "a process too many",
      );
      expect(Number(await read(`${slice(uid)}/pids.current`))).toBeLessThanOrEqual(60);
      // Others do not notice it.
      expect(
        await must(
          machine,
          ["sh", "-c", "for i in 1 2 3; do sleep 0 & done; wait; echo done"],
          LIVE_USER,
        ),
      ).toBe("done\n");
      expect(await must(machine, ["loginctl", "show-user", "--property=Name", user])).toBe(
        `Name=${user}\n`,
      );
      await must(machine, ["loginctl", "terminate-user", user]);
      await machine.waitFor(
        async () => (await machine.exec(["test", "-d", slice(uid)])).code !== 0,
        "the end of all of it",
      );
    } finally {
      await sh(machine, `rm -f ${folder}/50-tasks.conf; rc-service lainos-dbus-bridge reload`);
      await sh(machine, `userdel --remove ${user} 2>&1`);
    }
    await machine.waitFor(async () => (await property()) === `t ${third}\n`, "the old bound");
  });
});

describe("AppArmor", () => {
  test("has a profile for each daemon that runs, and enforces it", async () => {
    const profiles = await must(machine, ["rc-service", "lainos-apparmor", "status"]);
    for (const name of ["dbus-bridge", "ghost-units", "net-init", "notifyd", "pam-session"]) {
      expect(profiles).toContain(`lainos-${name} (enforce)`);
    }
    for (const name of ["dbus-bridge", "notifyd"]) {
      const look = `cat /proc/$(pgrep -ox ${`lainos-${name}`.slice(0, 15)})/attr/current`;
      expect(await sh(machine, look)).toBe(`lainos-${name} (enforce)\n`);
    }
  });

  test("alone refuses a root daemon in its sandbox the passwords of the system", async () => {
    const inSandbox = ["/usr/libexec/lainos/sandbox", "dbus-bridge"];
    const read = ["grep", "--max-count=1", "--only-matching", "^root:", "/etc/shadow"];
    expect(await must(machine, [...inSandbox, ...read])).toBe("root:\n");
    // In the sandbox no program can change its profile: /proc is read-only.
    const confined = ["aa-exec", "--profile=lainos-dbus-bridge", "--"];
    const refused = await machine.exec([...confined, ...read]);
    expect({ code: refused.code, stdout: refused.stdout }).toEqual({ code: 2, stdout: "" });
    expect(refused.stderr).toContain("Permission denied");
  });
});

describe("the file descriptors of strangers", () => {
  test("are refused by the kernel where nothing takes any", async () => {
    const program = `import array, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendmsg([b"{}"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [0]))])`;
    for (const path of ["/run/systemd/io.systemd.Login", "/run/lainos/fdstore"]) {
      const sent = await machine.exec(["python3", "-c", program, path], { user: LIVE_USER });
      expect({ path, code: sent.code }).toEqual({ path, code: 1 });
      expect(sent.stderr).toContain("PermissionError: [Errno 1]");
    }
  });

  test("have lainos-notifyd's filter in the kernel drop their user's words until they close", async () => {
    await ensureDesktop(machine);
    const sends = `python3 ${HOSTILE} /run/systemd/notify dgram STATUS=x 300`;
    // At the end of its input it lets go of them.
    await inSession(machine, `${sends} </dev/null >/tmp/hostile.log 2>&1`);
    const logged = (text: string) => awaitLogged(machine, text, "lainos-notifyd");
    await logged("uid 1000 is not heard until its file descriptors close");
    await logged("uid 1000 is heard again");
  });
});

describe("the seat", () => {
  test("is graphical by the card that udev marks as its master", async () => {
    const { CanGraphical, CanTTY } = await show(machine, "seat", "seat0");
    expect({ CanGraphical, CanTTY }).toEqual({ CanGraphical: "yes", CanTTY: "yes" });
    const status = await must(machine, ["loginctl", "--no-pager", "seat-status", "seat0"]);
    expect(status).toMatch(/\[MASTER\] drm:card0/);
    expect(status).toMatch(/input:input\d+ "QEMU Virtio Keyboard"/);
  });

  test("has the greeter's login on a real VT", async () => {
    const id = await ensureDesktop(machine);
    expect(await show(machine, "session", id)).toMatchObject({
      Active: "yes",
      Class: "user",
      Name: LIVE_USER,
      Remote: "no",
      Seat: "seat0",
      State: "active",
      TTY: "tty1",
      Type: "wayland",
      VTNr: "1",
    });
    expect((await show(machine, "seat", "seat0")).ActiveSession).toBe(id);
  });
});

describe("Sway on the card", () => {
  test("has its devices from login1 and is the card's master", async () => {
    const id = await ensureDesktop(machine);
    const record = await must(machine, ["cat", `/run/systemd/sessions/${id}`]);
    expect(record).toMatch(/^CONTROLLER=:1\.\d+$/m);
    const taken = /^DEVICES="(.*)"$/m.exec(record)?.[1]?.split(" ") ?? [];
    expect(taken).toContain("226:0");
    // Two virtio devices and the power button at least.
    expect(taken.filter((device) => device.startsWith("13:")).length).toBeGreaterThan(2);
    expect((await drmMasters(machine)).some(({ master }) => master)).toBe(true);
  });

  test("draws on the screen, and leaves it to the console of another VT", async () => {
    await ensureDesktop(machine);
    await leaveAndReturn(machine);
  });
});

describe("kill -9 of the bridge", () => {
  test("leaves Sway its card, and the bridge what it takes the card away by", async () => {
    const id = await ensureDesktop(machine);
    const devices = /^DEVICES="(.*)"$/m;
    const record = ["cat", `/run/systemd/sessions/${id}`];
    const before = devices.exec(await must(machine, record))?.[1];
    await sh(machine, "kill -9 $(pgrep -o -x lainos-dbus-bri)");
    const isAway = async () => (await machine.exec(["loginctl"])).code !== 0;
    await machine.waitFor(isAway, "the bridge is away");
    await awaitBridge(machine);
    expect(devices.exec(await must(machine, record))?.[1]).toBe(before as string);
    const status = "/usr/libexec/lainos/lainos-notifyd status lainos-dbus-bridge --json";
    const [kept] = JSON.parse(await sh(machine, status));
    expect(kept.fds).toBe(before?.split(" ").length);
    const isMaster = async () => (await drmMasters(machine)).some(({ master }) => master);
    expect(await isMaster()).toBe(true);
    await switchTo(machine, 6);
    await machine.waitFor(async () => !(await isMaster()), "nobody is the card's master");
    await switchTo(machine, 1);
    await machine.waitFor(isMaster, "the card's master");
  });
});

describe("a switch of VTs", () => {
  test("by the keyboard takes the card and the keyboard from Sway, and gives them back", async () => {
    const id = await ensureDesktop(machine);
    await machine.press("ctrl", "alt", "f3");
    await awaitForeground(machine, 3);
    await machine.waitFor(
      async () => (await show(machine, "session", id)).State === "online",
      "the desktop in the background",
    );
    expect((await drmMasters(machine)).filter(({ master }) => master)).toEqual([]);
    // Now the kernel's own keyboard driver hears it.
    await machine.press("ctrl", "alt", "f1");
    await awaitForeground(machine, 1);
    await machine.waitFor(
      async () => (await show(machine, "session", id)).State === "active",
      "the desktop in the foreground",
    );
    await machine.waitFor(
      async () => (await drmMasters(machine)).some(({ master }) => master),
      "the card's master",
    );
  });

  test("revokes the event nodes of the session that leaves", async () => {
    const id = await loginOn(machine, 2, LIVE_USER);
    const events = await nodes(machine, "/dev/input/event*");
    const devices = ["/dev/dri/card0", ...events.slice(0, 3)];
    const { said, end } = await takeDevices(machine, id, devices);
    await said("taken active /dev/dri/card0 -", `taken active ${events[0]} EAGAIN`);
    await switchTo(machine, 1);
    await said("pause force /dev/dri/card0 -", `pause force ${events[0]} ENODEV`);
    await switchTo(machine, 2);
    const lines = await said("resume /dev/dri/card0 -", `resume ${events[0]} EAGAIN`);
    expect(lines).toHaveLength(devices.length * 3);
    await end();
    await endSession(machine, id, 2);
  });

  test("revokes a hidraw node", async () => {
    const node = "/dev/hidraw0";
    await background(machine, `modprobe uhid; exec ${HID_DEVICE}`, "/run/hid-device.log");
    const isThere = async () => (await machine.exec(["test", "-c", node])).code === 0;
    await machine.waitFor(isThere, node);
    // Its sandbox has the nodes that are there when it starts.
    await sh(machine, "rc-service lainos-dbus-bridge restart");
    await awaitBridge(machine);
    const id = await loginOn(machine, 2, LIVE_USER);
    const { said, end } = await takeDevices(machine, id, [node]);
    await said(`taken active ${node} EAGAIN`);
    await switchTo(machine, 1);
    await said(`pause force ${node} ENODEV`);
    await switchTo(machine, 2);
    await said(`resume ${node} EAGAIN`);
    await sh(machine, "pkill -x hid-device");
    await said(`pause gone ${node} Input/output error`);
    await end();
    await endSession(machine, id, 2);
  });
});

test("the sound card and the graphics card are open to whoever is in the foreground of their seat", async () => {
  await ensureDesktop(machine);
  await sh(machine, `useradd --create-home --shell /bin/bash ${GUEST} && passwd --delete ${GUEST}`);
  // In none of the groups that may open them anyway.
  expect((await must(machine, ["id", "-Gn", GUEST])).trim()).toBe(GUEST);
  const mayOpen = async (...nodes: string[]) => {
    const line = "for node; do test -w $node && test -r $node || exit 1; done";
    return (await machine.exec(["sh", "-c", line, "sh", ...nodes], { user: GUEST })).code === 0;
  };
  const screen = () => mayOpen("/dev/dri/card0");
  const sound = () => mayOpen("/dev/snd/controlC0", "/dev/snd/pcmC0D0p");
  const both = async () => (await screen()) && (await sound());
  expect([await screen(), await sound()]).toEqual([false, false]);
  const id = await loginOn(machine, 4, GUEST);
  await machine.waitFor(both, "the devices for who came");
  const seatOfSound = async () =>
    /^E: ID_SEAT=(.*)$/m.exec(await must(machine, ["udevadm", "info", SOUND_CARD]))?.[1];
  await must(machine, ["loginctl", "attach", "seat-left", SOUND_CARD]);
  await machine.waitFor(async () => !(await sound()), "the sound card for another seat");
  expect(await seatOfSound()).toBe("seat-left");
  expect(await screen()).toBe(true);
  await must(machine, ["loginctl", "flush-devices"]);
  await machine.waitFor(both, "the sound card for the first seat again");
  expect(await seatOfSound()).toBeUndefined();
  await switchTo(machine, 1);
  await machine.waitFor(
    async () => !(await screen()) && !(await sound()),
    "the devices for who is back",
  );
  await endSession(machine, id, 4);
  await sh(machine, `userdel --remove ${GUEST} 2>&1`);
});

test("a login by the keyboard on a getty is a tty session", async () => {
  const id = await loginOn(machine, 4, LIVE_USER);
  expect(await show(machine, "session", id)).toMatchObject({
    Class: "user",
    Name: LIVE_USER,
    Seat: "seat0",
    State: "active",
    TTY: "tty4",
    Type: "tty",
    VTNr: "4",
  });
  await machine.type("exit\n");
  await machine.waitFor(async () => (await sessionOn(machine, 4)) === undefined, "the logout");
  await ensureDesktop(machine);
});

test("Xorg has card and input from login1, and Sway and it take turns at being master", async () => {
  await ensureDesktop(machine);
  const id = await loginOn(machine, 5, LIVE_USER);
  await machine.type("start-x\n");
  const logged = (...texts: string[]) =>
    machine.waitFor(
      async () => {
        const { stdout } = await machine.exec(["cat", XORG_LOG]);
        return texts.every((text) => stdout.includes(`systemd-logind: ${text}`));
      },
      `${texts.join(", ")} in ${XORG_LOG}`,
    );
  // Both were opened by login1, so they are told apart by their place in the kernel's list. The lease
  // that Sway's wlroots makes of its own card counts as master whenever that does.
  const master = (who: string, isIt: (place: number) => boolean) =>
    machine.waitFor(async () => {
      const clients = await drmMasters(machine);
      const places = clients.flatMap(({ command, master }, place) =>
        master && command !== "sway" ? [place] : [],
      );
      const [place] = places;
      return place !== undefined && places.length === 1 && isIt(place) && { place };
    }, `${who} as the card's one master`);
  await logged(
    "took control of session",
    "got fd for /dev/dri/card0",
    "got fd for /dev/input/event",
  );
  const xorg = await master("Xorg", () => true);
  const record = await must(machine, ["cat", `/run/systemd/sessions/${id}`]);
  expect(record).toMatch(/^DEVICES="(?=.*\b226:0\b)(?=.*\b13:)/m);
  await switchTo(machine, 1);
  await logged("got pause for 13:");
  await master("Sway", (place) => place !== xorg.place);
  // It has given the card up itself (PauseDeviceComplete) before it let the kernel leave its VT.
  expect(await must(machine, ["cat", XORG_LOG])).not.toContain("got pause for 226:0");
  await switchTo(machine, 5);
  await logged("got resume for 226:0", "got resume for 13:");
  await master("Xorg", (place) => place === xorg.place);
  await endSession(machine, id, 5);
  await switchTo(machine, 1);
  await master("Sway", () => true);
});

test("offers hibernation once the swap that resume= names is in use", async () => {
  const offers = () => login1(machine, "CanHibernate");
  expect(await offers()).toBe('s "na"\n');
  const refused = await machine.exec(["sh", "-c", calling("Hibernate", "b", "false")]);
  expect(refused.stderr).toContain("what resume names is missing or is no swap in use");
  await sh(machine, "swapon /dev/vdc");
  expect(await offers()).toBe('s "yes"\n');
  // It takes the machine's clock to wake it up in between.
  expect(await login1(machine, "CanSuspendThenHibernate")).toBe('s "yes"\n');
  await sh(machine, "swapoff /dev/vdc");
});

describe("sleep", () => {
  /** A background of the desktop for each kind of sleep. */
  const COLOURS = {
    suspend: "#2a6f3c",
    hibernate: "#6f2a3c",
    "suspend-then-hibernate": "#3c2a6f",
  } as const;
  type Kind = keyof typeof COLOURS;

  /** Sleeps by login1, wakes up by `through`, and looks at hooks, announcements and the screen. */
  async function sleep(method: string, kind: Kind, through: (before: number) => Promise<void>) {
    await ensureDesktop(machine);
    await sh(machine, "rm -f /run/sleep-hooks");
    const log = `/run/announced-${kind}.log`;
    const match = "type=signal,member=PrepareForSleep";
    await background(machine, `exec dbus-monitor --system ${match}`, log);
    await machine.waitFor(async () => (await sh(machine, `cat ${log}`)) !== "", "dbus-monitor");
    const before = machine.events.length;
    await login1Later(machine, method);
    await through(before);
    const announced = async () => await sh(machine, `grep -o "boolean .*" ${log} || :`);
    await machine.waitFor(async () => (await announced()).includes("false"), "the end of sleep");
    expect(await announced()).toBe("boolean true\nboolean false\n");
    expect(await sh(machine, "cat /run/sleep-hooks")).toBe(`pre ${kind}\npost ${kind}\n`);
    await sh(machine, "pkill -x dbus-monitor");
    await drawAnew(machine, COLOURS[kind]);
    await leaveAndReturn(machine);
  }

  test("suspends until the machine is woken", async () => {
    expect(await login1(machine, "CanSuspend")).toBe('s "yes"\n');
    await sleep("Suspend", "suspend", async (before) => {
      await machine.awaitEvent("SUSPEND", before);
      await machine.wake();
      await machine.awaitEvent("WAKEUP", before);
    });
  });

  test("of a closed lid waits for who holds it and for the dock, and a bridge that starts knows it is closed", async () => {
    const FIFO = "/run/switches";
    const move = (what: "lid" | "dock", on: 0 | 1) => sh(machine, `echo ${what} ${on} >${FIFO}`);
    const manager = async (name: string) =>
      (await sh(machine, `busctl get-property ${MANAGER} ${name}`)).trim();
    const logged = (text: string) => awaitLogged(machine, text);
    await machine.waitFor(() => sessionOn(machine, 1), "the desktop's session");
    const before = machine.events.length;
    const slept = () => machine.events.slice(before).some(({ event }) => event === "SUSPEND");
    await background(machine, `modprobe uinput; exec ${SWITCHES} ${FIFO}`, "/run/switches.log");
    await logged("the power keys and switches of Lid and Dock (/dev/input/");
    expect([await manager("LidClosed"), await manager("Docked")]).toEqual(["b false", "b false"]);

    await hold(machine, "handle-lid-switch");
    await move("lid", 1);
    await logged("the lid is closed, on external power: left to desktop");
    expect(await manager("LidClosed")).toBe("b true");

    await move("dock", 1);
    await logged("the machine was docked");
    expect(await manager("Docked")).toBe("b true");
    await letGo(machine);
    await move("lid", 0);
    await logged("the lid was opened");
    await move("lid", 1);
    await logged("the lid is closed, docked, on external power: ignore");
    // It would have slept before it answered.
    expect(await manager("LidClosed")).toBe("b true");
    expect(slept()).toBe(false);

    await move("dock", 0);
    await machine.awaitEvent("SUSPEND", before);
    await machine.wake();
    await machine.awaitEvent("WAKEUP", before);
    await logged("the lid is closed, on external power: suspend");

    await sh(machine, "rc-service lainos-dbus-bridge restart");
    await machine.waitFor(
      async () =>
        (await machine.exec(["sh", "-c", `busctl get-property ${MANAGER} LidClosed`])).stdout ===
        "b true\n",
      "the lid, as the kernel has it",
    );
    await move("lid", 0);
    const open = async () => (await manager("LidClosed")) === "b false";
    await machine.waitFor(open, "the open lid");
    await sh(machine, "pkill -x switches");
  });

  test("hibernates: the power goes off, and the next boot goes on with the same sessions", async () => {
    const sessions = await machine.sessions();
    const boot = await sh(machine, "cat /proc/sys/kernel/random/boot_id");
    await sh(machine, "swapon /dev/vdc");
    await sleep("Hibernate", "hibernate", async () => {
      await machine.ended();
      await machine.start("hibernated");
    });
    expect(await sh(machine, "cat /proc/sys/kernel/random/boot_id")).toBe(boot);
    expect(await machine.sessions()).toEqual(sessions);
    await sh(machine, "swapoff /dev/vdc");
  });

  test("suspends until the clock wakes the machine, which then hibernates", async () => {
    const sessions = await machine.sessions();
    const boot = await sh(machine, "cat /proc/sys/kernel/random/boot_id");
    await sh(machine, "swapon /dev/vdc");
    const config = "/run/lainos/sleep.conf.d/test.conf";
    const text = "[Sleep]\\nHibernateDelaySec=20s\\n";
    await sh(machine, `mkdir -p ${dirname(config)} && printf '${text}' >${config}`);
    await sh(machine, "rc-service lainos-dbus-bridge reload");
    await sleep("SuspendThenHibernate", "suspend-then-hibernate", async (before) => {
      await machine.awaitEvent("SUSPEND", before);
      await machine.awaitEvent("WAKEUP", before);
      await machine.ended();
      await machine.start("hibernated");
    });
    expect(await sh(machine, "cat /proc/sys/kernel/random/boot_id")).toBe(boot);
    expect(await machine.sessions()).toEqual(sessions);
    await sh(machine, `rm ${config}; swapoff /dev/vdc`);
    await sh(machine, "rc-service lainos-dbus-bridge reload");
  });
});

describe("the end of the machine", () => {
  test("the power button is left to who holds it, and else switches the machine off", async () => {
    await hold(machine, "handle-power-key");
    await machine.powerButton();
    await awaitLogged(machine, "the power key was pressed: left to");
    await letGo(machine);
    await machine.powerButton();
    await machine.ended();
  });

  test("Reboot resets the machine", async () => {
    const before = machine.events.length;
    await login1Later(machine, "Reboot");
    const { data } = await machine.awaitEvent("RESET", before);
    expect(data).toMatchObject({ guest: true, reason: "guest-reset" });
  });

  test("PowerOff by who sits at it switches the machine off", async () => {
    await ensureDesktop(machine);
    await inSession(machine, calling("PowerOff", "b", "false"));
    const { data } = await machine.awaitEvent("SHUTDOWN");
    expect(data).toMatchObject({ guest: true, reason: "guest-shutdown" });
    await machine.ended();
  });
});
