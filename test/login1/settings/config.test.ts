import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { type Logger, NEVER, parseBoolean, parseTimeSpan } from "../../../lib/cli/index.ts";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import {
  type Config,
  killsProcessesOf,
  readConfig,
  userTasks,
} from "../../../lib/login1/settings/logind-conf.ts";
import { forbiddenBy, readSleepConfig } from "../../../lib/login1/settings/sleep-conf.ts";
import {
  readBound,
  readNumber,
  readSize,
  readSizeOf,
  readWords,
} from "../../../lib/login1/settings/values.ts";
import { UINT64_MAX } from "../../../lib/sd-login/index.ts";
import { callManager, createSession } from "../support/client.ts";
import { configOf } from "../support/settings.ts";
import { World } from "../support/world.ts";

const SHIPPED = resolve(import.meta.dir, "../../../files/etc/lainos");

/** What systemd-logind 262 makes of these; `beside-logind.test.ts` tries others. */
describe("values", () => {
  const second = 1_000_000n;
  test.each<[string, bigint | undefined]>([
    ["5", 5n * second],
    ["0", 0n],
    ["3us", 3n],
    ["+5", 5n * second],
    ["010", 10n * second],
    ["1min 30s", 90n * second],
    ["1h30", 3630n * second],
    ["1.5h", 5400n * second],
    [".5s", 500_000n],
    ["1 .5", 1_500_000n],
    ["12.34 .56", 12_900_000n],
    ["2 d", 172_800n * second],
    ["30d", 2_592_000n * second],
    ["250ms", 250_000n],
    ["10.25us", 10n],
    ["0.999999999min", 59_999_994n],
    ["1M", 2_629_800n * second],
    ["2µs 3μs", 5n],
    ["infinity", NEVER],
    ["9223372036854775807us", 2n ** 63n - 1n],
    ["18446744073708s", 18_446_744_073_708n * second],
    ...[
      ...[
        "",
        "5 parsecs",
        "-1",
        "-0",
        "s",
        "5.",
        "5.s",
        "5. h",
        "5.+1s",
        "12.34.56",
        "0x10",
        "1 -1",
        "5\u00a0",
      ],
      ...["Infinity", "infinity 1", "1 infinity", "+ 5", "+-5", "+.5", "18446744073709s"],
      ...["9223372036854775808us", "99999999999999999999y"],
    ].map((text): [string, undefined] => [text, undefined]),
  ])("the time span '%s' is %p", (text, value) => {
    expect(parseTimeSpan(text)).toEqual(value);
  });

  test.each<[string, bigint | undefined]>([
    ["10", 10n],
    ["010", 8n],
    ["0x10", 16n],
    ["0XfF", 255n],
    ["0b11", 3n],
    ["0o17", 15n],
    ["0o+7", 7n],
    ["+5", 5n],
    ["+0x10", 16n],
    ["-0", 0n],
    ["18446744073709551615", UINT64_MAX],
    ["0xffffffffffffffff", UINT64_MAX],
    ...[
      "",
      "08",
      "0b2",
      "+0b11",
      "-0o0",
      "0x",
      "0b",
      "-1",
      "5 ",
      "5k",
      "1.0",
      "1e3",
      "18446744073709551616",
    ].map((text): [string, undefined] => [text, undefined]),
  ])("the number '%s' is %p", (text, value) => {
    expect(readNumber(text)).toEqual(value);
  });

  test.each<[string, bigint | undefined]>([
    ["64M", 64n << 20n],
    ["1.5G", 3n << 29n],
    ["1G 5M", (1n << 30n) + (5n << 20n)],
    ["3.5M  9.25", 3_670_025n],
    ["1K5", 1029n],
    ["10.M", 10n << 20n],
    ["+5 K", 5n << 10n],
    ["010", 10n],
    ["4096", 4096n],
    ["0", 0n],
    ["7.7777777T", 8_551_757_019_406n],
    ...[
      "",
      "64MB",
      "64k",
      "5M 1G",
      "5M 5M",
      "5 5",
      "99E",
      "16E",
      "15.5E",
      "-5",
      "+-5",
      "1,5G",
      ".5G",
      "0x10",
    ].map((text): [string, undefined] => [text, undefined]),
  ])("the size '%s' is %p", (text, value) => {
    expect(readSize(text)).toEqual(value);
  });

  test.each<[string, bigint | undefined]>([
    ["12.5%", 12_500n],
    ["5‰", 500n],
    ["5.5‰", 550n],
    ["7‱", 70n],
    ["12.34%", 12_340n],
    ["100%", 100_000n],
    ["0x10%", 16_000n],
    ["0.01%", 10n],
    ["1", 10n],
    ["11", 20n],
    ...["0", "0%", "101%", "100.01%", "1.234%", "1.23‰", "1.2‱", "1.%", "-1%", "5 %", "%"].map(
      (text): [string, undefined] => [text, undefined],
    ),
  ])("'%s' of 10000 pages of 10 bytes are %p", (text, value) => {
    expect(readSizeOf(text, 10_000n, 10n)).toEqual(value);
  });

  test("bounds are numbers or parts, and a part of nothing is none", () => {
    expect(readBound("4096")).toEqual({ count: 4096n });
    expect(readBound("0x10")).toEqual({ count: 16n });
    expect(readBound("33%")).toEqual({ share: 3300n });
    expect(readBound("12.5%")).toEqual({ share: 1250n });
    expect(readBound("5‰")).toEqual({ share: 50n });
    expect(readBound("infinity")).toBe("infinity");
    for (const text of ["0", "0%", "101%", "-1", "4K", "", "many", "18446744073709551615"]) {
      expect([text, readBound(text)]).toEqual([text, undefined]);
    }
  });

  test("a user may have a third of all processes, or as many as UserTasksMax says", () => {
    const most = 32_768n;
    expect(userTasks(configOf(), most)).toBe(10_813n);
    expect(userTasks(configOf("UserTasksMax=50%"), most)).toBe(16_384n);
    expect(userTasks(configOf("UserTasksMax=100"), most)).toBe(100n);
    expect(userTasks(configOf("UserTasksMax=1‰"), 10n)).toBe(1n);
    expect(userTasks(configOf("UserTasksMax=infinity"), most)).toBeUndefined();
  });

  test("booleans and lists", () => {
    expect(["Yes", "1", "on", "t"].map(parseBoolean)).toEqual([true, true, true, true]);
    expect(["no", "0", "OFF", "maybe", ""].map(parseBoolean)).toEqual([
      false,
      false,
      false,
      undefined,
      undefined,
    ]);
    expect(readWords('a  "b c" d')).toEqual(["a", "b c", "d"]);
    expect(readWords("a'b'c \"d\"\"e\" '' ")).toEqual(["abc", "de", ""]);
    expect(readWords("a\\ b\\x20c")).toEqual(["a\\", "b\\x20c"]);
    for (const open of ['a "b', "it's", '"']) expect(readWords(open)).toBeUndefined();
  });
});

describe("files", () => {
  let folder: string;
  const warnings: string[] = [];
  const log: Logger = {
    debug: () => {},
    info: () => {},
    warning: (message) => warnings.push(message.replaceAll(`${folder}/`, "")),
    error: () => {},
  };
  const write = (path: string, text: string) => {
    mkdirSync(dirname(join(folder, path)), { recursive: true });
    writeFileSync(join(folder, path), text);
  };
  const read = () => readConfig(log, [join(folder, "etc"), join(folder, "lib")]);
  const defined = (config: Config) =>
    Object.fromEntries(Object.entries(config).filter(([, value]) => value !== undefined));
  const readSleep = () => readSleepConfig(log, [join(folder, "etc"), join(folder, "lib")]);
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "p7-config-"));
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
    mkdirSync(folder);
    warnings.length = 0;
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  test("what is not configured is as logind has it", () => {
    const config = read();
    expect(config.KillExcludeUsers).toBeUndefined();
    expect(config.SleepOperation).toEqual(["suspend-then-hibernate", "suspend", "hibernate"]);
    expect(config.HandleLidSwitch).toBe("suspend");
    expect(config.UserStopDelaySec).toBe(0n);
    expect(warnings).toEqual([]);
  });

  test("the shipped files say the defaults, also when their lines are made to count", () => {
    const both = () => [{ KillExcludeUsers: ["root"], ...defined(read()) }, readSleep()];
    const defaults = both();
    for (const name of ["logind.conf", "sleep.conf"]) {
      const text = readFileSync(join(SHIPPED, name), "utf8");
      write(`etc/${name}`, text.replace(/^#(?=[A-Z]\w+=)/gm, ""));
    }
    expect(both()).toEqual(defaults);
    expect(warnings).toEqual([]);
  });

  test("sleep.conf is as systemd has it", () => {
    expect(readSleep().HibernateDelaySec).toBe(7_200_000_000n);
    expect(readSleep().SuspendState).toEqual(["mem", "standby", "freeze"]);
    const lines = ["HibernateDelaySec=20s", "HibernateMode=shutdown", "SuspendState=freeze"];
    write("etc/sleep.conf", ["[Sleep]", ...lines, "SuspendState=", "AllowSuspend=0"].join("\n"));
    write("lib/sleep.conf.d/a.conf", "[Sleep]\nHibernateOnACPower=no\nHibernateMode='a\n");
    const config = readSleep();
    expect(config.HibernateDelaySec).toBe(20_000_000n);
    expect(config.HibernateMode).toEqual(["shutdown"]);
    expect(config.SuspendState).toEqual(["mem", "standby", "freeze"]);
    expect(forbiddenBy("hibernate", config)).toBeUndefined();
    expect(forbiddenBy("suspend-then-hibernate", config)).toBe("AllowSuspend");
    expect(warnings.map((line) => line.replace(/, but.*/, ""))).toEqual([
      "lib/sleep.conf.d/a.conf:2: HibernateOnACPower= is obeyed by nothing: neither charger nor battery is looked at before hibernating",
      "lib/sleep.conf.d/a.conf:3: HibernateMode= is ''a'",
    ]);
  });

  test.each<[string[], Partial<ReturnType<typeof readSleepConfig>>]>([
    [["SuspendState=standby", "SuspendState='fre'eze"], { SuspendState: ["standby", "freeze"] }],
    [["SuspendState=mem", "SuspendState=", "SuspendState=freeze"], { SuspendState: ["freeze"] }],
    [["HibernateMode=a b", "HibernateMode=[c]"], { HibernateMode: ["[c]"] }],
    [["HibernateMode=a", "HibernateMode="], { HibernateMode: [] }],
    [["MemorySleepMode=a", "MemorySleepMode=b c"], { MemorySleepMode: ["b", "c"] }],
    [["MemorySleepMode=a", "MemorySleepMode="], { MemorySleepMode: [] }],
    [["AllowSuspend=no", "AllowSuspend="], { AllowSuspend: true }],
    [["AllowHybridSleep=no", "AllowHybridSleep="], { AllowHybridSleep: undefined }],
  ])("sleep.conf's %p", (lines, values) => {
    write("etc/sleep.conf", ["[Sleep]", ...lines].join("\n"));
    expect(readSleep()).toMatchObject(values);
    expect(warnings).toEqual([]);
  });

  test.each<[string[], string[], string[]]>([
    [["suspend hibernate"], ["suspend", "hibernate"], []],
    [["hibernate", "hybrid-sleep"], ["hybrid-sleep"], []],
    [["hibernate", ""], ["suspend-then-hibernate", "suspend", "hibernate"], []],
    [["nap hibernate sleep"], ["hibernate"], ["nap", "sleep"]],
    [["hibernate", "nap"], ["suspend-then-hibernate", "suspend", "hibernate"], ["nap"]],
    [["hibernate", "suspend '"], ["hibernate"], ["suspend '"]],
  ])("SleepOperation %p is %p, and %p wrong", (lines, ways, wrong) => {
    write(
      "etc/logind.conf",
      ["[Login]", ...lines.map((line) => `SleepOperation=${line}`)].join("\n"),
    );
    expect<string[]>(read().SleepOperation).toEqual(ways);
    expect(warnings.map((line) => /= is '(.*)', but/.exec(line)?.[1])).toEqual(wrong);
  });

  test("drop-ins come after the main file by name, /etc hides /usr/lib, and a list adds up", () => {
    write("lib/logind.conf", "[Login]\nSessionsMax=1\n");
    write("etc/logind.conf", "[Login]\nUserStopDelaySec=1min\nKillExcludeUsers=alice\n");
    write("lib/logind.conf.d/10-a.conf", "[Login]\nUserStopDelaySec=2min\n");
    write("lib/logind.conf.d/20-b.conf", "[Login]\nRemoveIPC=no\n");
    write("etc/logind.conf.d/20-b.conf", "[Login]\nKillExcludeUsers=bob \\\n# between\n  carol\n");
    write("lib/logind.conf.d/30-c.conf", "[Login]\nSessionsMax=7\n");
    symlinkSync("/dev/null", join(folder, "etc/logind.conf.d/30-c.conf"));
    const config = read();
    expect(config.SessionsMax).toBe(8192n);
    expect(config.UserStopDelaySec).toBe(120_000_000n);
    expect(config.RemoveIPC).toBe(true);
    expect(config.KillExcludeUsers).toEqual(["alice", "bob", "carol"]);
    expect(warnings).toEqual([]);
  });

  test("an empty value empties a list, and is no value of other keys", () => {
    const lines = ["IdleAction=lock", "IdleAction=", "SessionsMax=3", "SessionsMax="];
    write("etc/logind.conf", ["[Login]", ...lines, "KillExcludeUsers="].join("\n"));
    const config = read();
    expect(config.IdleAction).toBe("lock");
    expect(config.SessionsMax).toBe(3n);
    expect(config.KillExcludeUsers).toEqual([]);
    expect(warnings.map((line) => line.replace(/, but.*/, ""))).toEqual([
      "etc/logind.conf:3: IdleAction= is ''",
      "etc/logind.conf:5: SessionsMax= is ''",
    ]);
  });

  test("lines end and go on as systemd has it", () => {
    const users = (text: string) => {
      write("etc/logind.conf", `[Login]\n${text}`);
      return read().KillOnlyUsers;
    };
    expect(users("KillOnlyUsers=a \\\n  b\\\nc\n")).toEqual(["a", "b", "c"]);
    expect(users("KillOnlyUsers=a \\\r\n# not this\r\n b\r\n")).toEqual(["a", "b"]);
    // A space behind the backslash, or another before it.
    expect(users("KillOnlyUsers=a \\ \nSessionsMax=5\n")).toEqual(["a", "\\"]);
    expect(users("KillOnlyUsers=a \\\\\nSessionsMax=5\n")).toEqual(["a", "\\\\"]);
    expect(users("KillOnlyUsers=a\\")).toEqual(["a"]);
    expect(users("  KillOnlyUsers \t=  a ; b # c  \rSessionsMax=5\0SessionsMax=6")).toEqual([
      ...["a", ";", "b", "#", "c"],
    ]);
    expect(warnings).toEqual([]);
  });

  test("a line that goes on in each of a whole file's is read as any other", () => {
    const all = `[Login]\nSessionsMax=5\nKillOnlyUsers=a \\\n${"\\\n".repeat(150_000)}b\\\\\\\nc\n`;
    write("etc/logind.conf", all);
    expect(read()).toMatchObject({ SessionsMax: 5n, KillOnlyUsers: ["a", "b\\\\", "c"] });
    expect(warnings).toEqual([]);
  });

  test("what is other programs' own is passed over, and what is no UTF-8 is named", () => {
    const own = "X-Other=1\n[X-Section]\nSessionsMax=1\n[Login]\n";
    const bytes = Buffer.concat([
      Buffer.from(`[Login]\n${own}KillOnlyUsers=`),
      Buffer.of(0xff, 0x0a),
    ]);
    mkdirSync(join(folder, "etc"), { recursive: true });
    writeFileSync(join(folder, "etc/logind.conf"), bytes);
    expect(read()).toMatchObject({ SessionsMax: 8192n, KillOnlyUsers: [] });
    expect(warnings).toEqual(["etc/logind.conf:6: it is not UTF-8; it is ignored"]);
  });

  test("what is unknown, wrong or obeyed by nothing is named with its line, and the rest counts", () => {
    write(
      "etc/logind.conf",
      [
        "stray=1",
        "[Login]",
        "; a comment",
        "Nonsense=1",
        "SessionsMax=many",
        "constructor=1",
        "no key",
        "[Manager]",
        "SessionsMax=5",
        "[Login]",
        "ReserveVT=4",
        "SessionsMax=12",
      ].join("\n"),
    );
    expect(read().SessionsMax).toBe(12n);
    expect(warnings.map((line) => line.replace(/;.*|,.*/, ""))).toEqual([
      "etc/logind.conf:1: it stands before the first [section]",
      "etc/logind.conf:7: there is no Key= in 'no key'",
      "etc/logind.conf:4: there is no key Nonsense=",
      "etc/logind.conf:5: SessionsMax= is 'many'",
      "etc/logind.conf:6: there is no key constructor=",
      "etc/logind.conf:9: SessionsMax= is in [Manager]",
      "etc/logind.conf:11: ReserveVT= is obeyed by nothing: which VT has a login prompt is said by OpenRC's agetty services",
    ]);
  });

  test("a file that cannot be read is named, and the others count", () => {
    mkdirSync(join(folder, "etc/logind.conf.d/10-folder.conf"), { recursive: true });
    write("etc/logind.conf", "[Login]\nSessionsMax=9\n");
    expect(read().SessionsMax).toBe(9n);
    expect(warnings).toHaveLength(1);
    expect(warnings[0]).toStartWith("etc/logind.conf.d/10-folder.conf: ");
  });

  test("the lists of users come before KillUserProcesses", () => {
    const kills = (text: string) => {
      write("etc/logind.conf", `[Login]\n${text}\n`);
      const config = read();
      return ["root", "alice", "bob"].filter((user) => killsProcessesOf(config, user));
    };
    expect(kills("")).toEqual([]);
    expect(kills("KillUserProcesses=yes")).toEqual(["alice", "bob"]);
    expect(kills("KillUserProcesses=yes\nKillExcludeUsers=")).toEqual(["root", "alice", "bob"]);
    expect(kills("KillUserProcesses=yes\nKillExcludeUsers=alice")).toEqual(["root", "bob"]);
    expect(kills("KillOnlyUsers=alice")).toEqual(["alice"]);
    expect(kills("KillOnlyUsers=alice root\nKillExcludeUsers=alice")).toEqual(["root"]);
  });
});

describe("the bridge", () => {
  let world: World;
  let bus: Connection;
  const file = () => join(world.root, "run/lainos/logind.conf.d/50-test.conf");
  const configure = (...lines: string[]) => {
    mkdirSync(dirname(file()), { recursive: true });
    writeFileSync(file(), `[Login]\n${lines.join("\n")}\n`);
  };
  const property = async (name: string) => {
    const shown = await world.run([
      ...["busctl", "get-property", "org.freedesktop.login1", "/org/freedesktop/login1"],
      ...["org.freedesktop.login1.Manager", name],
    ]);
    return shown.stdout.trim();
  };
  const optionsOf = (uid: number) =>
    readFileSync(`/proc/${world.bridgePid}/mountinfo`, "utf8")
      .split("\n")
      .find((line) => line.includes(` /run/user/${uid} `));
  beforeAll(async () => {
    world = await World.create();
    bus = await world.connect();
  });
  afterAll(async () => {
    bus.close();
    await world.end();
  });
  afterEach(async () => {
    rmSync(file(), { force: true });
    await callManager(bus, "Reload");
    await world.reset(bus);
  });

  test("obeys the new values after Reload and ReloadConfig, which are root's", async () => {
    configure("SessionsMax=1", "RuntimeDirectorySize=1M", "RuntimeDirectoryInodesMax=64");
    const first = await world.leader();
    const before = await createSession(bus, { uid: 1, leader: first.pid });
    const reload = (member: string) => [
      ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
      ...["org.freedesktop.login1.Manager", member],
    ];
    for (const member of ["Reload", "ReloadConfig"]) {
      expect((await world.run(reload(member), { user: 1 })).stderr).toContain("Access denied");
    }
    expect(await property("SessionsMax")).toBe("t 8192");
    expect((await world.run(reload("ReloadConfig"))).code).toBe(0);
    expect(await property("SessionsMax")).toBe("t 1");
    configure("SessionsMax=2");
    expect((await world.run(reload("Reload"))).code).toBe(0);
    expect(await property("SessionsMax")).toBe("t 2");
    configure("SessionsMax=1", "RuntimeDirectorySize=1M", "RuntimeDirectoryInodesMax=64");
    expect((await world.run(reload("Reload"))).code).toBe(0);
    const second = await world.leader();
    await expect(createSession(bus, { uid: 65534, leader: second.pid })).rejects.toMatchObject({
      errorName: "org.freedesktop.DBus.Error.LimitsExceeded",
    });
    first.kill("SIGKILL");
    await world.until("the first is gone", async () => optionsOf(1) === undefined);
    const after = await createSession(bus, { uid: 65534, leader: second.pid });
    expect(optionsOf(65534)).toContain("size=1024k");
    expect(optionsOf(65534)).toContain("nr_inodes=64");
    for (const { fd } of [before, after]) close(fd);
  });

  test("lets people log in with the largest values that there are", async () => {
    const most = "18446744073709551615";
    configure(
      ...["RuntimeDirectorySize", "RuntimeDirectoryInodesMax", "SessionsMax", "InhibitorsMax"].map(
        (key) => `${key}=${most}`,
      ),
      ...["UserStopDelaySec", "InhibitDelayMaxSec", "IdleActionSec", "StopIdleSessionSec"].map(
        (key) => `${key}=18446744073708s`,
      ),
      "UserTasksMax=18446744073709551614",
    );
    await callManager(bus, "Reload");
    expect(await property("RuntimeDirectorySize")).toBe(`t ${most}`);
    expect(await property("RuntimeDirectoryInodesMax")).toBe(`t ${most}`);
    expect(await property("InhibitorsMax")).toBe(`t ${most}`);
    expect(await property("StopIdleSessionUSec")).toBe("t 18446744073708000000");
    const leader = await world.leader();
    const { fd } = await createSession(bus, { uid: 1, leader: leader.pid });
    expect(optionsOf(1)).toContain("nr_inodes=9007199254740992");
    expect(world.stateOf("users", "1").STATE).toBe("active");
    close(fd);
    configure("UserStopDelaySec=0");
    await callManager(bus, "Reload");
  });

  test("reads it again on SIGHUP, says what it does not understand, and stays", async () => {
    configure("RemoveIPC=perhaps", "KillOnlyUsers=alice bob", "HandlePowerKey=reboot");
    const { log } = world;
    process.kill(world.bridgePid, "SIGHUP");
    await world.until("it was read", () => world.log.slice(log.length).includes("read again"));
    expect(world.log).toContain("50-test.conf:2: RemoveIPC= is 'perhaps', but must be yes or no");
    expect(await property("KillOnlyUsers")).toBe('as 2 "alice" "bob"');
    expect(await property("RemoveIPC")).toBe("b true");
    expect(await property("HandlePowerKey")).toBe('s "reboot"');
  });
});
