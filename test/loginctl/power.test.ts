/**
 * The verbs by which elogind's loginctl has the machine go down or to sleep. elogind took them from
 * systemctl, so systemd's systemctl stands beside ours: the same words to login1, and to the person.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { BusError, Variant } from "../../lib/dbus/index.ts";
import { close } from "../../lib/linux/index.ts";
import { createSession } from "../login1/support/client.ts";
import { PowerWorld } from "../login1/support/power-world.ts";
import { ours } from "./both.ts";
import { StandIn } from "./stand-in.ts";

const NOBODY = 65534;
const DAEMON = 1;

const VERBS = [
  ...["halt", "poweroff", "reboot", "kexec"],
  ...["sleep", "suspend", "hibernate", "hybrid-sleep", "suspend-then-hibernate"],
];

/** What systemctl says, as loginctl has to say it. */
const asLoginctl = (text: string) => text.replaceAll("systemctl", "loginctl");

describe("beside systemctl, with a login1 that notes what it is asked", () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await StandIn.start();
    // Without this systemctl does nothing.
    mkdirSync(`${standIn.world.root}/run/systemd/system`, { recursive: true });
    // Not every kernel says whether another is loaded, and none lets itself be told.
    const hide = ["mount", "-t", "tmpfs", "tmpfs", "/sys/kernel"];
    expect(await standIn.world.run(hide)).toMatchObject({ code: 0, stderr: "" });
  });
  afterAll(() => standIn.stop());
  beforeEach(() => {
    kexec("1");
    standIn.answers.clear();
    standIn.answers.set("Get", () => scheduled("poweroff"));
    standIn.answers.set("GetAll", () => scheduled("poweroff", true));
  });

  /** Whether a kernel is loaded to go on with; without one systemctl would look for one to load. */
  function kexec(loaded: string): void {
    writeFileSync(`${standIn.world.root}/sys/kernel/kexec_loaded`, `${loaded}\n`);
  }

  /** The property ScheduledShutdown, alone or among all. */
  function scheduled(type: string, all = false) {
    const value = new Variant("(st)", [type, 1_800_000_000_000_000n]);
    return all
      ? { signature: "a{sv}", body: [{ ScheduledShutdown: value }] }
      : { signature: "v", body: [value] };
  }

  /** Runs both; how each asks for a property is its own. */
  async function both(...words: string[]) {
    const asked = () =>
      standIn.calls.filter(({ member }) => !["Get", "GetAll", "Ping"].includes(member));
    const own = await standIn.run(...ours("loginctl"), ...words);
    const ownCalls = asked();
    const systemds = await standIn.run("systemctl", ...words);
    return {
      own: { words, ...own, calls: ownCalls },
      systemds: { words, ...systemds, stderr: asLoginctl(systemds.stderr), calls: asked() },
    };
  }

  test("each verb calls the same methods with the same flags", async () => {
    for (const verb of VERBS) {
      for (const more of [
        [],
        ["-i"],
        ["--ignore-inhibitors", "--no-wall"],
        ["--no-ask-password"],
      ]) {
        const { own, systemds } = await both(verb, ...more);
        expect(own).toEqual(systemds);
        expect(own).toMatchObject({ code: 0, stderr: "" });
        expect(own.calls.at(-1)?.member).toStartWith(verb === "kexec" ? "Reboot" : "");
      }
    }
    expect((await both("soft-reboot")).own.stderr).toStartWith("Unknown command verb");
  });

  test("--when schedules it, shows it and calls it off, with a verb and without", async () => {
    for (const words of [
      ...[
        ["poweroff", "--when=2027-01-02 03:04"],
        ["reboot", "--when=@1800000000"],
      ],
      ...[["kexec", "--when=auto"], ["halt", "--when", "2030-01-01"], ["--when=show"]],
      ...[["--when=cancel"], ["--when="], ["poweroff", "--when=@1800000000", "--no-wall", "-i"]],
    ]) {
      const { own, systemds } = await both(...words);
      expect(own).toEqual(systemds);
      expect(own.code).toBe(0);
    }
    for (const words of [["-c"], ["poweroff", "-c"], ["reboot", "--when=cancel"]]) {
      const { code, stderr } = await standIn.run(...ours("loginctl"), ...words);
      expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: "" });
      const members = standIn.calls.map(({ member }) => member);
      expect(members).toEqual(["SetWallMessage", "CancelScheduledShutdown"]);
    }
    standIn.answers.set("Get", () => scheduled(""));
    standIn.answers.set("GetAll", () => scheduled("", true));
    const none = await both("--when=show");
    expect(none.own).toEqual(none.systemds);
    expect(none.own).toMatchObject({ code: 1, stderr: "No scheduled shutdown.\n" });
  });

  test("what the next boot is to be is said before", async () => {
    for (const words of [
      ...[
        ["reboot", "--firmware-setup"],
        ["poweroff", "--boot-loader-menu=30s"],
      ],
      ...[
        ["halt", "--boot-loader-entry=arch.conf", "--boot-loader-menu=0", "--firmware-setup"],
        ["kexec", "--firmware-setup"],
        ["suspend", "--firmware-setup"],
      ],
    ]) {
      const { own, systemds } = await both(...words);
      expect(own).toEqual(systemds);
      expect(own.code).toBe(0);
    }
    const member = "SetRebootParameter";
    await standIn.run(...ours("loginctl"), "reboot", "--reboot-argument=x");
    expect(standIn.calls.find((call) => call.member === member)?.body).toEqual(["x"]);
    const refusal = new BusError("org.freedesktop.DBus.Error.NotSupported", "no such thing");
    for (const [method, words] of [
      ["SetRebootToFirmwareSetup", ["--firmware-setup"]],
      ["SetRebootToBootLoaderMenu", ["--boot-loader-menu=5"]],
      ["SetRebootToBootLoaderEntry", ["--boot-loader-entry=x"]],
    ] as const) {
      standIn.answers.set(method, () => refusal);
      const { own, systemds } = await both("reboot", ...words);
      expect(own).toEqual(systemds);
      expect(own).toMatchObject({ code: 1, stderr: expect.stringContaining("no such thing") });
      standIn.answers.delete(method);
    }
  });

  test("the boot loader's entries are listed", async () => {
    for (const entries of [["a.conf", "b.conf"], []]) {
      const value = new Variant("as", entries);
      standIn.answers.set("Get", () => ({ signature: "v", body: [value] }));
      standIn.answers.set("GetAll", () => ({
        ...{ signature: "a{sv}", body: [{ BootLoaderEntries: value }] },
      }));
      const { own, systemds } = await both("--boot-loader-entry=help");
      expect(own).toEqual(systemds);
      expect(own.stdout).toBe(entries.map((entry) => `${entry}\n`).join(""));
    }
  });

  test("wrong times are refused, and sleep is not scheduled", async () => {
    for (const words of [
      ...[
        ["poweroff", "--when=x"],
        ["reboot", "--when=2027-02-30x"],
        ["halt", "--when=@0"],
      ],
      ...[
        ["reboot", "--boot-loader-menu=x"],
        ["poweroff", "x"],
        ["suspend", "x"],
      ],
    ]) {
      const { own, systemds } = await both(...words);
      expect(own).toEqual(systemds);
      expect(own).toMatchObject({ code: 1, calls: [] });
    }
    for (const words of [
      ["suspend", "--when=+5min"],
      ["sleep", "-c"],
      ["hibernate", "--when=show"],
    ]) {
      const done = await standIn.run(...ours("loginctl"), ...words);
      expect(done.code).toBe(1);
      expect(done.stderr).toStartWith("Scheduling not supported for this action");
      expect(standIn.calls).toEqual([]);
    }
  });

  test("a refusal is said in the same words, and an older login1 asked by the older methods", async () => {
    const denied = new BusError("org.freedesktop.DBus.Error.AccessDenied", "nope");
    const members = ["PowerOff", "Reboot", "Halt", "Suspend", "Hibernate", "HybridSleep"];
    for (const member of [...members, "SuspendThenHibernate"]) {
      standIn.answers.set(`${member}WithFlags`, () => denied);
    }
    standIn.answers.set("Sleep", () => denied);
    for (const verb of VERBS) {
      const { own, systemds } = await both(verb);
      expect(own).toEqual(systemds);
      expect(own).toMatchObject({ code: 1, stderr: expect.stringContaining("Access denied") });
    }
    const unknown = new BusError("org.freedesktop.DBus.Error.UnknownMethod", "not known");
    for (const member of [...members, "SuspendThenHibernate"]) {
      standIn.answers.set(`${member}WithFlags`, () => unknown);
    }
    standIn.answers.delete("Sleep");
    for (const verb of VERBS) {
      const { own, systemds } = await both(verb, "-i");
      expect(own).toEqual(systemds);
      expect(own.code).toBe(0);
    }
    standIn.answers.clear();
    const invalid = new BusError("org.freedesktop.DBus.Error.InvalidArgs", "which flag?");
    standIn.answers.set("SuspendWithFlags", ({ body }) =>
      body[0] === 0n ? { signature: "", body: [] } : invalid,
    );
    const { own, systemds } = await both("suspend", "-i");
    expect(own).toEqual(systemds);
    expect(own).toMatchObject({ code: 0, stderr: "" });
    standIn.answers.set("SetWallMessage", () => denied);
    const wall = await both("suspend");
    expect(wall.own).toEqual(wall.systemds);
    expect(wall.own.stderr).toStartWith("Failed to set wall message, ignoring");
  });

  test("--dry-run asks nothing of login1 and says what it would ask", async () => {
    for (const verb of VERBS) {
      const done = await standIn.run(...ours("loginctl"), verb, "--dry-run");
      expect(done).toMatchObject({ code: 0, stdout: "" });
      expect(done.stderr).toMatch(
        /^Would execute org\.freedesktop\.login1\.Manager \w+ dbus call\.\n$/,
      );
      expect(standIn.calls).toEqual([]);
    }
  });

  test("--force passes over inhibitors; a reboot goes by kexec unless told not to", async () => {
    const flags = async (...words: string[]) => {
      await standIn.run(...words);
      return standIn.calls.at(-1)?.body[0];
    };
    expect(await flags(...ours("loginctl"), "poweroff", "-f")).toBe(0x10n);
    expect(await flags(...ours("loginctl"), "suspend", "--force")).toBe(0x10n);
    expect(await flags(...ours("loginctl"), "reboot")).toBe(2n);
    const skip = ["env", "LOGINCTL_SKIP_AUTO_KEXEC=1"];
    expect(await flags(...skip, ...ours("loginctl"), "reboot")).toBe(0n);
  });

  test("kexec without a kernel is refused with the remedy, and with --force a plain reboot", async () => {
    kexec("0");
    const done = await standIn.run(...ours("loginctl"), "kexec");
    expect(done).toMatchObject({ code: 1, stderr: expect.stringContaining("kexec --load") });
    expect(standIn.calls).toEqual([]);
    expect((await standIn.run(...ours("loginctl"), "kexec", "-f")).code).toBe(0);
    expect(standIn.calls.at(-1)).toMatchObject({ member: "RebootWithFlags", body: [0x12n] });
  });

  test("list is list-sessions, and daemon-reload has login1 read its files again", async () => {
    standIn.answers.set("ListSessionsEx", () => ({ signature: "a(sussussbto)", body: [[]] }));
    const done = await standIn.run(...ours("loginctl"), "list");
    expect(done).toEqual(await standIn.run(...ours("loginctl"), "list-sessions"));
    expect(await standIn.run(...ours("loginctl"), "daemon-reload")).toMatchObject({ code: 0 });
    expect(standIn.calls).toMatchObject([{ member: "Reload", body: [] }]);
  });

  test("the entries of Openbox's menu do what they are named for", async () => {
    const menu = join(import.meta.dir, "../../airootfs/etc/skel/.config/openbox/root-menu.sh");
    const entries = [...readFileSync(menu, "utf8").matchAll(/item '?([\w ]+)'? 'loginctl (.*)'/g)];
    const asked: Record<string, string | undefined> = {};
    for (const [, label = "", words = ""] of entries) {
      const done = await standIn.run(...ours("loginctl"), ...words.split(" "));
      expect({ words, ...done }).toEqual({ words, code: 0, stdout: "", stderr: "" });
      asked[label] = standIn.calls.at(-1)?.member;
    }
    expect(asked).toEqual({
      Lock: "Lock",
      Suspend: "SuspendWithFlags",
      Restart: "RebootWithFlags",
      "Power off": "PowerOffWithFlags",
    });
  });

  test("a verb of these is named to who has it slightly wrong", async () => {
    for (const [written, meant] of [
      ["supend", "suspend"],
      ["power-off", "poweroff"],
      ["lists", "list"],
    ]) {
      const { code, stderr } = await standIn.run(...ours("loginctl"), String(written));
      expect(code).toBe(1);
      expect(stderr).toBe(`Unknown command verb '${written}', did you mean '${meant}'?\n`);
    }
  });

  test("a cut name means systemd's option, and one of these only where that has none", async () => {
    standIn.answers.set("ListSeats", () => ({ signature: "a(so)", body: [[["seat0", "/a"]]] }));
    for (const words of [["--f", "list-seats"], ["--no-p", "list-seats"], ["--no"]]) {
      const own = await standIn.run(...ours("loginctl"), ...words);
      expect({ words, ...own }).toEqual({ words, ...(await standIn.run("loginctl", ...words)) });
    }
    expect((await standIn.run(...ours("loginctl"), "suspend", "--ign")).code).toBe(0);
    expect(standIn.calls.at(-1)?.body).toEqual([0x10n]);
  });
});

describe("with our login1", () => {
  let power: PowerWorld;
  beforeAll(async () => {
    power = await PowerWorld.create();
    mkdirSync(`${power.world.root}/run/systemd/system`, { recursive: true });
  });
  afterAll(() => power.end());
  afterEach(() => power.reset());

  /** Runs loginctl on a terminal of its own. */
  async function onTerminal(command: string, uid = 0) {
    const user = `setpriv --reuid=${uid} --regid=${uid} --clear-groups`;
    const words = ["script", "-qec", `TERM=dumb ${user} ${command}`, "/dev/null"];
    const done = await power.world.run(words);
    return { ...done, stdout: asLoginctl(done.stdout) };
  }

  test.each([
    ["poweroff", "openrc-shutdown --poweroff now"],
    ["reboot", "openrc-shutdown --reboot now"],
    ["halt", "openrc-shutdown --halt now"],
  ])("%s has OpenRC do it", async (verb, command) => {
    expect(await power.world.run([...ours("loginctl"), verb])).toMatchObject({
      code: 0,
      stderr: "",
    });
    await power.world.until(command, () => power.commands.includes(command));
  });

  test("a shutdown is scheduled, shown and called off", async () => {
    const run = (...words: string[]) => power.world.run([...ours("loginctl"), ...words]);
    const made = await run("poweroff", "--when=2030-01-02 03:04 UTC");
    expect(made).toMatchObject({ code: 0 });
    expect(made.stderr).toMatch(
      /^Shutdown scheduled for Wed 2030-01-02 .*--when=cancel' to cancel\.\n$/,
    );
    expect(await power.property("ScheduledShutdown")).toEqual(["poweroff", 1893553440000000n]);
    expect((await run("--when=show")).stderr).toBe(made.stderr);
    expect(await run("-c")).toMatchObject({ code: 0, stderr: "" });
    expect(await run("--when=show")).toMatchObject({ code: 1, stderr: "No scheduled shutdown.\n" });
  });

  test("what OpenRC has not is refused by login1, in one line", async () => {
    const done = await power.world.run([...ours("loginctl"), "reboot", "--reboot-argument=x"]);
    expect(done).toMatchObject({ code: 1, stdout: "" });
    expect(done.stderr).toMatch(/^Cannot set reboot argument 'x': OpenRC passes .*\n$/);
    expect(power.commands).toEqual([]);
  });

  test("an inhibitor is named to a person, and passed over by -i", async () => {
    const fd = await power.inhibit("shutdown:sleep", "block");
    for (const verb of VERBS) {
      const own = await onTerminal(`${ours("loginctl").join(" ")} ${verb}`);
      expect({ verb, ...own }).toEqual({ verb, ...(await onTerminal(`systemctl ${verb}`)) });
      expect(own.stdout).toContain('Operation inhibited by "test" (PID ');
    }
    expect(power.commands).toEqual([]);
    const blocked = await power.world.run([...ours("loginctl"), "poweroff"]);
    expect(blocked).toMatchObject({ code: 1, stderr: expect.stringContaining("inhibit") });
    expect((await power.world.run([...ours("loginctl"), "poweroff", "-i"])).code).toBe(0);
    await power.world.until("it goes down", () => power.commands.length > 0);
    close(fd);
  });

  test("other users who are logged in are named to a user, and not to root", async () => {
    const bus = power.bus;
    const leader = await power.world.leader();
    await createSession(bus, { uid: NOBODY, leader: leader.pid, type: "tty", tty: "pts/7" });
    const graphical = await power.world.leader();
    await createSession(bus, { uid: NOBODY, leader: graphical.pid, seat: "seat0" });
    const mine = await power.world.leader();
    await createSession(bus, { uid: DAEMON, leader: mine.pid, type: "tty", tty: "pts/8" });
    for (const verb of ["poweroff", "suspend"]) {
      const own = await onTerminal(`${ours("loginctl").join(" ")} ${verb}`, DAEMON);
      expect(own).toEqual(await onTerminal(`systemctl ${verb}`, DAEMON));
      expect(own.stdout).toContain("User nobody is logged in on pts/7.");
      expect(own.stdout).not.toContain("daemon");
    }
    expect(power.commands).toEqual([]);
    expect((await onTerminal(`${ours("loginctl").join(" ")} poweroff`)).code).toBe(0);
    await power.world.until("it goes down", () => power.commands.length > 0);
  });
});

describe("--force twice", () => {
  /** Runs loginctl beside the first process of a pid namespace, which is what the kernel ends there. */
  function inNamespace(words: string[]) {
    const shell = ["sh", "-c", '"$@" 2>&1; sleep infinity', "sh", ...ours("loginctl"), ...words];
    return Bun.spawn(["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", ...shell], {
      stdout: "pipe",
      stderr: "inherit",
    });
  }

  test.each([
    // As reboot(2) has it: who waits for that process sees it killed by one or the other.
    ["poweroff", "Powering off.\n", "SIGINT"],
    ["halt", "Halting.\n", "SIGINT"],
    ["reboot", "Rebooting.\n", "SIGHUP"],
  ] as const)("%s is the kernel's alone, without a bus", async (verb, said, signal) => {
    const child = inNamespace([verb, "-ff"]);
    expect(await child.stdout.text()).toBe(said);
    await child.exited;
    expect(child.signalCode).toBe(signal);
  });

  test("is for root", async () => {
    const words = ["setpriv", "--reuid=65534", "--clear-groups", ...ours("loginctl")];
    const done = Bun.spawnSync([...words, "poweroff", "-ff", "--dry-run"]);
    expect(done.stderr.toString()).toBe("Need to be root.\n");
    expect(done.exitCode).toBe(1);
  });
});
