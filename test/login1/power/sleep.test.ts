import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { BusError } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { createSession } from "../support/client.ts";
import { errorOf, FAKE_KERNEL, PowerWorld } from "../support/power-world.ts";
import { scopeOf } from "../support/world.ts";

const USER = 65534;
const OTHER = 1;
const HOOK_FOLDERS = [
  "usr/lib/systemd/system-sleep",
  "usr/lib/elogind/system-sleep",
  "etc/lainos/sleep.d",
];
const DEVICE = "7:201";

/** Files in the place of the kernel's, which would put this machine to sleep. */
const SET_UP = `
${FAKE_KERNEL}for folder in /usr/lib /etc; do
  mkdir -p /run/over$folder/up /run/over$folder/work
  mount -t overlay -o lowerdir=$folder,upperdir=/run/over$folder/up,workdir=/run/over$folder/work overlay $folder
done
`;

let power: PowerWorld;
beforeAll(async () => {
  power = await PowerWorld.create(SET_UP);
});
afterAll(() => power.end());

/** A kernel that can do all, started with resume= on a large swap. */
function machine({
  state = "freeze mem disk",
  cmdline = "quiet resume=/dev/swap-disk",
  swaps = "/dev/swap-disk partition 1000000 0 -2",
  resume = DEVICE,
  offset = "0",
} = {}): void {
  power.write("run/fake/power/state", `${state}\n`);
  power.write("run/fake/power/disk", "[platform] shutdown reboot suspend test_resume\n");
  power.write("run/fake/power/mem_sleep", "s2idle [deep]\n");
  power.write("run/fake/power/resume", `${resume}\n`);
  power.write("run/fake/power/resume_offset", `${offset}\n`);
  power.write("run/fake/cmdline", `${cmdline}\n`);
  power.write("run/fake/swaps", `Filename Type Size Used Priority\n${swaps}\n`);
  power.write("run/fake/meminfo", "MemTotal: 900000 kB\nActive(anon): 500000 kB\n");
}

beforeEach(async () => {
  power.remove(...HOOK_FOLDERS, "run/lainos/sleep.conf");
  await power.reset();
  machine();
});

const hook = (folder: number, name: string, body: string) =>
  power.write(
    `${HOOK_FOLDERS[folder]}/${name}`,
    `#!/bin/sh\necho "${folder} ${name} $*" >> /run/commands\n${body}\n`,
    0o755,
  );
const file = (name: string) => power.read(`run/fake/power/${name}`);
const told = (count: number) =>
  power.world.until(`${count} signals`, () => power.signals.length === count);

describe("sleep", () => {
  test.each([
    ["Suspend", "suspend", "mem", "[platform] shutdown reboot suspend test_resume\n"],
    ["Hibernate", "hibernate", "disk", "platform"],
    ["HybridSleep", "hybrid-sleep", "disk", "suspend"],
  ])("by %s is announced around what the kernel is told", async (member, way, state, disk) => {
    hook(1, "b", "");
    hook(0, "z", "exit 1");
    hook(2, "a", "");
    hook(0, "a", "");
    power.write(`${HOOK_FOLDERS[0]}/not-executable`, "#!/bin/sh\nexit 1\n");
    expect(await power.ask(`Can${member}`)).toBe("yes");
    await power.call(member, "b", false);
    await told(2);
    expect(power.signals).toEqual(["PrepareForSleep true", "PrepareForSleep false"]);
    expect([file("state"), file("disk"), file("resume")]).toEqual([state, disk, `${DEVICE}\n`]);
    const hooks = ["0 a", "0 z", "1 b", "2 a"];
    expect(power.commands).toEqual([
      ...hooks.map((name) => `${name} pre ${way}`),
      ...hooks.map((name) => `${name} post ${way}`),
    ]);
    expect(await power.property("PreparingForSleep")).toBe(false);
    expect(power.exists("run/systemd/operation")).toBe(false);
  });

  test.each([
    ["Suspend", "mem"],
    ["Hibernate", "disk"],
    ["HybridSleep", "disk"],
  ])("by %sWithFlags is the same", async (member, state) => {
    await power.call(`${member}WithFlags`, "t", 0n);
    await told(2);
    expect(power.signals).toEqual(["PrepareForSleep true", "PrepareForSleep false"]);
    expect(file("state")).toBe(state);
  });

  test("that somebody else sees to is told of by SendPrepareForSleep", async () => {
    await power.call("SendPrepareForSleep", "b", true);
    await power.call("SendPrepareForSleep", "b", false);
    await told(2);
    expect(power.signals).toEqual(["PrepareForSleep true", "PrepareForSleep false"]);
    expect(file("state")).toBe("freeze mem disk\n");
    const user = await power.busctl(["SendPrepareForSleep", "b", "true"], { user: USER });
    expect(user.output).toContain("Access denied");
    // One of ours is told of already.
    const fd = await power.inhibit("sleep", "delay");
    await power.call("Suspend", "b", false);
    await told(3);
    const again = power.call("SendPrepareForSleep", "b", true);
    expect(await errorOf(again)).toBe("OperationInProgress");
    close(fd);
    await told(4);
    expect(power.signals.slice(2)).toEqual(["PrepareForSleep true", "PrepareForSleep false"]);
  });

  test("is called off by a hook of ours: nobody is told but the caller, and why", async () => {
    hook(0, "first", "");
    hook(2, "no", "exit 7");
    hook(2, "zz", "");
    const refusal = await power.call("SuspendWithFlags", "t", 0n).catch((error) => error);
    expect(refusal).toBeInstanceOf(BusError);
    expect(refusal.message).toBe(
      "suspend was called off: /etc/lainos/sleep.d/no failed with exit status 7",
    );
    expect(power.commands).toEqual([
      "0 first pre suspend",
      "2 no pre suspend",
      "0 first post suspend",
      "2 no post suspend",
      "2 zz post suspend",
    ]);
    expect(file("state")).toBe("freeze mem disk\n");
    expect(await power.property("PreparingForSleep")).toBe(false);
    // The reply to this comes after any signal that was sent before it.
    expect(power.signals).toEqual([]);
    power.remove(HOOK_FOLDERS[2] ?? "");
    await power.call("Suspend", "b", false);
    await told(2);
  });

  test("waits for delay inhibitors, and is one at a time", async () => {
    const fd = await power.inhibit("sleep", "delay");
    await power.call("Suspend", "b", false);
    await told(1);
    expect(await power.property("PreparingForSleep")).toBe(true);
    expect(await errorOf(power.call("Hibernate", "b", false))).toBe("OperationInProgress");
    expect(await errorOf(power.call("PowerOff", "b", false))).toBe("OperationInProgress");
    expect(await errorOf(power.inhibit("sleep", "delay"))).toBe("OperationInProgress");
    expect(file("state")).toBe("freeze mem disk\n");
    close(fd);
    await told(2);
    expect(file("state")).toBe("mem");
  });

  test("that waits goes on after the bridge's end", async () => {
    hook(2, "a", "");
    const fd = await power.inhibit("sleep", "delay");
    await power.call("Suspend", "b", false);
    await power.world.endBridge("SIGKILL");
    await power.world.startBridge();
    expect(await power.property("PreparingForSleep")).toBe(true);
    close(fd);
    await power.world.until("the sleep", () => file("state") === "mem");
    await power.world.until("the hooks", () => power.commands.length === 2);
    expect(power.commands).toEqual(["2 a pre suspend", "2 a post suspend"]);
  });

  test("during which the bridge ended is over when it starts again", async () => {
    hook(2, "a", "");
    await power.world.endBridge("SIGKILL");
    power.write("run/systemd/operation", "WAY=suspend\nSTAGE=doing\n");
    await power.world.startBridge();
    await power.world.until("the news", () => power.signals.length === 1);
    expect(power.signals).toEqual(["PrepareForSleep false"]);
    expect(power.commands).toEqual(["2 a post suspend"]);
    expect(file("state")).toBe("freeze mem disk\n");
  });

  test("that the kernel refuses is over, and told so", async () => {
    hook(2, "a", "rm /run/fake/power/state; mkdir /run/fake/power/state");
    await power.call("Suspend", "b", false);
    await told(2);
    expect(power.signals).toEqual(["PrepareForSleep true", "PrepareForSleep false"]);
    await power.world.until("it is logged", () => power.world.log.includes("suspend failed: "));
    power.remove("run/fake/power/state");
  });

  test("tries the next state where the kernel lacks the best", async () => {
    machine({ state: "freeze" });
    expect(await power.ask("CanHibernate")).toBe("na");
    await power.call("Sleep", "t", 0n);
    await told(2);
    expect(file("state")).toBe("freeze");
  });
});

describe("hibernation", () => {
  const can = async () => [await power.ask("CanHibernate"), await power.ask("CanHybridSleep")];
  const why = async () =>
    (await power.call("Hibernate", "b", false).catch((error) => error)) as BusError;

  test.each([
    ["resume= is missing", { cmdline: "quiet", resume: "0:0" }, /without resume=/],
    ["noresume is set", { cmdline: "resume=/dev/swap-disk noresume" }, /noresume/],
    [
      "resume= names no device",
      { cmdline: "resume=UUID=0", resume: "0:0" },
      /missing or is no swap/,
    ],
    ["the device is no swap in use", { swaps: "" }, /missing or is no swap/],
    ["the swap is in memory", { swaps: "/dev/zram0 partition 1000000 0 100" }, /no swap/],
    ["the swap is too small", { swaps: "/dev/swap-disk partition 510000 5000 -2" }, /needed/],
    ["an offset has no device", { resume: "0:0", offset: "8192" }, /resume_offset is set/],
    ["the kernel cannot", { state: "freeze mem" }, /cannot hibernate/],
  ])("is not to be had where %s", async (_what, options, reason) => {
    machine(options);
    expect(await can()).toEqual(["na", "na"]);
    const error = await why();
    expect(error.errorName).toBe("org.freedesktop.login1.SleepVerbNotSupported");
    expect(error.message).toMatch(reason);
    expect(power.signals).toEqual([]);
    expect(await power.ask("CanSuspend")).toBe("yes");
  });

  test("into a swap file needs its offset, and tells the kernel of both", async () => {
    const swaps = "/run/swap-file file 1000000 0 -2";
    power.write("run/swap-file", "");
    const { stdout } = await power.world.run(["mountpoint", "-d", "/run"]);
    const device = stdout.trim();
    const node = ["/dev/file-disk", "b", ...device.split(":")];
    expect(await power.world.run(["mknod", ...node])).toMatchObject({ code: 0 });
    const cmdline = "resume=/dev/file-disk";
    machine({ swaps, cmdline, resume: "0:0" });
    expect(await can()).toEqual(["na", "na"]);
    machine({ swaps, cmdline: `${cmdline} resume_offset=4096`, resume: "0:0" });
    expect(await can()).toEqual(["yes", "yes"]);
    await power.call("Hibernate", "b", false);
    await told(2);
    expect([file("resume"), file("resume_offset")]).toEqual([device, "4096"]);
    power.remove("run/swap-file", "dev/file-disk");
  });

  test("tells the kernel of the device first where nobody has", async () => {
    machine({ resume: "0:0" });
    expect(await can()).toEqual(["yes", "yes"]);
    await power.call("Hibernate", "b", false);
    await told(2);
    expect([file("resume"), file("state")]).toEqual([DEVICE, "disk"]);
  });
});

describe("sleep.conf", () => {
  const configure = async (...lines: string[]) => {
    power.write("run/lainos/sleep.conf", `[Sleep]\n${lines.join("\n")}\n`);
    await power.call("Reload");
  };
  const POWER_VERBS = ["Suspend", "Hibernate", "HybridSleep"];
  const can = async () => await Promise.all(POWER_VERBS.map((way) => power.ask(`Can${way}`)));

  test("forbids ways to sleep, and those that are made of them unless they are allowed", async () => {
    await configure("AllowHibernation=no");
    expect(await can()).toEqual(["yes", "no", "no"]);
    const error = await power.call("Hibernate", "b", false).catch((refusal) => refusal);
    expect(error.errorName).toBe("org.freedesktop.login1.SleepVerbNotSupported");
    expect(error.message).toContain("AllowHibernation=no in sleep.conf");
    expect(await power.ask("CanSuspendThenHibernate")).toBe("no");
    await configure("AllowSuspend=no", "AllowHybridSleep=yes");
    expect(await can()).toEqual(["no", "yes", "yes"]);
    await configure("AllowHybridSleep=no");
    expect(await can()).toEqual(["yes", "yes", "no"]);
    expect(power.signals).toEqual([]);
  });

  // What systemd-logind 262 answers on the same machine.
  test.each<[string[], string[]]>([
    [
      ["AllowSuspend=no", "AllowSuspend="],
      ["yes", "yes", "yes"],
    ],
    [["SuspendState=standby"], ["na", "yes", "yes"]],
    [["SuspendState=disk"], ["na", "yes", "yes"]],
    [["SuspendState=disk mem"], ["yes", "yes", "yes"]],
    [["SuspendState=../disk"], ["na", "yes", "yes"]],
    [
      ["SuspendState=freeze", "SuspendState="],
      ["yes", "yes", "yes"],
    ],
    [["HibernateMode=none"], ["yes", "na", "yes"]],
    [
      ["HibernateMode=shutdown", "HibernateMode=none"],
      ["yes", "na", "yes"],
    ],
    [
      ["HibernateMode=none", "HibernateMode="],
      ["yes", "yes", "yes"],
    ],
    [["HibernateMode=[platform]"], ["yes", "na", "yes"]],
    [["MemorySleepMode=shallow"], ["na", "yes", "na"]],
    [["MemorySleepMode=shallow s2idle"], ["yes", "yes", "yes"]],
    [
      ["MemorySleepMode=s2idle", "MemorySleepMode=shallow"],
      ["na", "yes", "na"],
    ],
    [
      ["MemorySleepMode=shallow", "SuspendState=freeze"],
      ["yes", "yes", "na"],
    ],
    [
      ["MemorySleepMode=shallow", "MemorySleepMode="],
      ["yes", "yes", "yes"],
    ],
  ])("%p: what can be done", async (lines, answers) => {
    await configure(...lines);
    expect(await can()).toEqual(answers);
  });

  test("leaves the way to hibernate to the kernel if it names none", async () => {
    await configure("HibernateMode=");
    await power.call("Hibernate", "b", false);
    await told(2);
    expect(file("state")).toBe("disk");
    expect(file("disk")).toStartWith("[platform] shutdown");
  });

  test("says what the kernel is told, of what it knows", async () => {
    await configure("SuspendState=standby freeze", "MemorySleepMode=s2idle");
    await power.call("Suspend", "b", false);
    await told(2);
    expect([file("state"), file("mem_sleep")]).toEqual(["freeze", "s2idle [deep]\n"]);
    machine();
    await configure("HibernateMode=reboot", "MemorySleepMode=s2idle");
    await power.call("Hibernate", "b", false);
    await told(4);
    expect([file("state"), file("disk")]).toEqual(["disk", "reboot"]);
    machine();
    await power.call("Suspend", "b", false);
    await told(6);
    expect([file("state"), file("mem_sleep")]).toEqual(["mem", "s2idle"]);
  });
});

test("a machine that cannot sleep says so, and one that can", async () => {
  for (const way of ["Suspend", "Hibernate", "HybridSleep", "Sleep"]) {
    expect(await power.ask(`Can${way}`)).toBe("yes");
  }
  machine({ state: "" });
  for (const way of ["Suspend", "Hibernate", "HybridSleep", "SuspendThenHibernate", "Sleep"]) {
    expect(await power.ask(`Can${way}`)).toBe("na");
    const call = power.call(way === "Sleep" ? way : `${way}WithFlags`, "t", 0n);
    expect(await errorOf(call)).toBe("SleepVerbNotSupported");
  }
});

/** Whether the kernel has a clock that wakes the machine, which can be given to no namespace. */
const wakes = (() => {
  const CLOCK_BOOTTIME_ALARM = 9;
  const ask = `import time; time.clock_gettime(${CLOCK_BOOTTIME_ALARM})`;
  return Bun.spawnSync(["python3", "-c", ask], { stderr: "ignore" }).exitCode === 0;
})();

test.skipIf(wakes)("SuspendThenHibernate is refused without a clock that wakes", async () => {
  expect(await power.ask("CanSuspendThenHibernate")).toBe("na");
  const call = power.call("SuspendThenHibernate", "b", false);
  expect(await errorOf(call)).toBe("SleepVerbNotSupported");
  const withFlags = power.call("SuspendThenHibernateWithFlags", "t", 0n);
  expect(await errorOf(withFlags)).toBe("SleepVerbNotSupported");
  expect(power.signals).toEqual([]);
  expect(file("state")).toBe("freeze mem disk\n");
});

test.skipIf(!wakes).each(["SuspendThenHibernate", "SuspendThenHibernateWithFlags"])(
  "%s suspends first, with a clock that wakes",
  async (member) => {
    expect(await power.ask("CanSuspendThenHibernate")).toBe("yes");
    if (member.endsWith("WithFlags")) await power.call(member, "t", 0n);
    else await power.call(member, "b", false);
    await told(2);
    // It came back at once, long before it was time to hibernate.
    expect(file("state")).toBe("mem");
  },
);

test("Sleep prefers what suspends first, which is told by SleepOperation", async () => {
  expect(await power.property("SleepOperation")).toEqual([
    ...["suspend-then-hibernate", "suspend", "hibernate"],
  ]);
  await power.call("Sleep", "t", 0n);
  await told(2);
  expect(file("state")).toBe("mem");
});

describe("who may", () => {
  test.each([
    ["PowerOff", true, "PrepareForShutdownWithMetadata true poweroff"],
    ["Reboot", true, "PrepareForShutdownWithMetadata true reboot"],
    ["Halt", false, ""],
    ["Suspend", true, "PrepareForSleep true"],
    ["Hibernate", true, "PrepareForSleep true"],
    ["HybridSleep", true, "PrepareForSleep true"],
    ["Sleep", true, "PrepareForSleep true"],
  ])("%s: the user in the foreground, and no other: %p", async (member, active, signal) => {
    const held: number[] = [];
    const login = async (uid: number) => {
      const leader = await power.world.leader();
      const made = await createSession(power.bus, { uid, leader: leader.pid, seat: "seat0" });
      held.push(made.fd);
      return { user: uid, cgroup: scopeOf(uid, made.id) };
    };
    const background = await login(OTHER);
    const foreground = await login(USER);
    const plain = member === "Sleep" ? ["Sleep", "t", "0"] : [member, "b", "false"];
    const ways = member === "Sleep" ? [plain] : [plain, [`${member}WithFlags`, "t", "0"]];
    for (const words of ways) {
      for (const options of [background, { user: USER }]) {
        expect((await power.busctl(words, options)).output).toContain("Access denied");
      }
    }
    expect([power.signals, power.commands, file("state")]).toEqual([[], [], "freeze mem disk\n"]);
    const own = await power.busctl(plain, foreground);
    expect(own).toMatchObject(active ? { code: 0, output: "" } : { code: 1 });
    if (active) await power.world.until("the news", () => power.signals[0] === signal);
    else expect([power.signals, power.commands]).toEqual([[], []]);
    for (const fd of held) close(fd);
  });

  test("the active user, not one without a session, and nobody against a block", async () => {
    const words = ["Suspend", "b", "false"];
    expect((await power.busctl(["CanSuspend"], { user: USER })).output).toBe('s "no"');
    expect((await power.busctl(words, { user: USER })).code).not.toBe(0);
    const leader = await power.world.leader();
    const made = await createSession(power.bus, { uid: USER, leader: leader.pid, seat: "seat0" });
    const cgroup = scopeOf(USER, made.id);
    const fd = await power.inhibit("sleep", "block");
    expect(await errorOf(power.call("Suspend", "b", false))).toBe("BlockedByInhibitorLock");
    const blocked = await power.busctl(["CanSuspend"], { user: USER, cgroup });
    expect(blocked.output).toBe('s "inhibitor-blocked"');
    close(fd);
    expect(file("state")).toBe("freeze mem disk\n");
    expect((await power.busctl(words, { user: USER, cgroup })).output).toBe("");
    await told(2);
    expect(file("state")).toBe("mem");
    close(made.fd);
  });
});
