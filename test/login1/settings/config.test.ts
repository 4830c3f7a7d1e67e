import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import type { Logger } from "../../../lib/cli/index.ts";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import {
  killsProcessesOf,
  readConfig,
  userTasks,
} from "../../../lib/login1/settings/logind-conf.ts";
import { forbiddenBy, readSleepConfig } from "../../../lib/login1/settings/sleep-conf.ts";
import {
  NEVER,
  readBoolean,
  readBound,
  readSize,
  readSizeOf,
  readTime,
  readWords,
} from "../../../lib/login1/settings/values.ts";
import { callManager, createSession } from "../support/client.ts";
import { configOf } from "../support/settings.ts";
import { World } from "../support/world.ts";

const SHIPPED = resolve(import.meta.dir, "../../../files/etc/lainos");

describe("values", () => {
  test("times are as systemd.time(7) has them", () => {
    const second = 1_000_000n;
    for (const [text, value] of [
      ["5", 5n * second],
      ["0", 0n],
      ["1min 30s", 90n * second],
      ["1h30", 3630n * second],
      ["1.5h", 5400n * second],
      ["2 d", 172_800n * second],
      ["250ms", 250_000n],
      ["1M", 2_629_800n * second],
      ["infinity", NEVER],
      ["", undefined],
      ["5 parsecs", undefined],
      ["-1", undefined],
      ["s", undefined],
      ["99999999999999999999y", undefined],
    ] as const) {
      expect([text, readTime(text)]).toEqual([text, value]);
    }
  });

  test("sizes count to the base 1024, and a part of the memory has its sign", () => {
    expect(readSize("64M")).toBe(64n << 20n);
    expect(readSize("1.5G")).toBe(3n << 29n);
    expect(readSize("4096")).toBe(4096n);
    expect(readSize("64MB")).toBeUndefined();
    expect(readSize("99E")).toBeUndefined();
    expect(readSizeOf("12.5%", 1000n)).toBe(125n);
    expect(readSizeOf("5‰", 1000n)).toBe(5n);
    expect(readSizeOf("100%", 1000n)).toBe(1000n);
    expect(readSizeOf("101%", 1000n)).toBeUndefined();
    expect(readSizeOf("0", 1000n)).toBeUndefined();
  });

  test("bounds are numbers or parts, and a part of nothing is none", () => {
    expect(readBound("4096")).toEqual({ count: 4096n });
    expect(readBound("33%")).toEqual({ millionths: 330_000n });
    expect(readBound("12.5%")).toEqual({ millionths: 125_000n });
    expect(readBound("5‰")).toEqual({ millionths: 5000n });
    expect(readBound("infinity")).toBe("infinity");
    for (const text of ["0", "0%", "101%", "-1", "4K", "", "many"]) {
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
    // An empty value is the default again.
    expect(userTasks(configOf("UserTasksMax=100", "UserTasksMax="), most)).toBe(10_813n);
  });

  test("booleans and lists", () => {
    expect(["Yes", "1", "on", "t"].map(readBoolean)).toEqual([true, true, true, true]);
    expect(["no", "0", "OFF", "maybe", ""].map(readBoolean)).toEqual([
      false,
      false,
      false,
      undefined,
      undefined,
    ]);
    expect(readWords('a  "b c" d')).toEqual(["a", "b c", "d"]);
    expect(readWords('a "b')).toBeUndefined();
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
    expect(config.KillExcludeUsers).toEqual(["root"]);
    expect(config.HandleLidSwitch).toBe("suspend");
    expect(config.UserStopDelaySec).toBe(0n);
    expect(warnings).toEqual([]);
  });

  test("the shipped files say the defaults, also when their lines are made to count", () => {
    const both = () => [read(), readSleep()];
    const defaults = both();
    for (const name of ["logind.conf", "sleep.conf"]) {
      const text = readFileSync(join(SHIPPED, name), "utf8");
      write(`etc/${name}`, text.replace(/^#(?=[A-Z]\w+=)/gm, ""));
    }
    expect(both()).toEqual(defaults);
    expect(warnings).toEqual([]);
  });

  test("sleep.conf is as systemd has it, and an empty list is the default", () => {
    expect(readSleep().HibernateDelaySec).toBe(7_200_000_000n);
    expect(readSleep().SuspendState).toEqual(["mem", "standby", "freeze"]);
    const lines = ["HibernateDelaySec=20s", "HibernateMode=shutdown", "SuspendState=freeze"];
    write("etc/sleep.conf", ["[Sleep]", ...lines, "SuspendState=", "AllowSuspend=0"].join("\n"));
    write("lib/sleep.conf.d/a.conf", "[Sleep]\nHibernateOnACPower=no\nSuspendState=mem ../disk\n");
    const config = readSleep();
    expect(config.HibernateDelaySec).toBe(20_000_000n);
    expect(config.HibernateMode).toEqual(["shutdown"]);
    expect(config.SuspendState).toEqual(["mem", "standby", "freeze"]);
    expect(forbiddenBy("hibernate", config)).toBeUndefined();
    expect(forbiddenBy("suspend-then-hibernate", config)).toBe("AllowSuspend");
    expect(warnings.map((line) => line.replace(/, but.*/, ""))).toEqual([
      "lib/sleep.conf.d/a.conf:2: HibernateOnACPower= is obeyed by nothing: neither charger nor battery is looked at before hibernating",
      "lib/sleep.conf.d/a.conf:3: SuspendState= is 'mem ../disk'",
    ]);
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

  test("an empty value goes back to the default, and empties a list", () => {
    write("etc/logind.conf", "[Login]\nSessionsMax=3\nSessionsMax=\nKillExcludeUsers=\n");
    const config = read();
    expect(config.SessionsMax).toBe(8192n);
    expect(config.KillExcludeUsers).toEqual([]);
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

  test("obeys the new values after Reload, which is root's", async () => {
    configure("SessionsMax=1", "RuntimeDirectorySize=1M", "RuntimeDirectoryInodesMax=64");
    const first = await world.leader();
    const before = await createSession(bus, { uid: 1, leader: first.pid });
    const reload = [
      ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
      ...["org.freedesktop.login1.Manager", "Reload"],
    ];
    expect((await world.run(reload, { user: 1 })).stderr).toContain("Access denied");
    expect(await property("SessionsMax")).toBe("t 8192");
    expect((await world.run(reload)).code).toBe(0);
    expect(await property("SessionsMax")).toBe("t 1");
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
