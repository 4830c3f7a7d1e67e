/** The session start for real: the compiled executable becomes a stand-in for a compositor. */
import { beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Variant } from "../../lib/dbus/index.ts";
import {
  allProcesses,
  changeOwner,
  close,
  listenStream,
  openFilesLimit,
  processStatus,
} from "../../lib/linux/index.ts";
import {
  type Answer,
  asNobody,
  BusError,
  cleanUp,
  compile,
  ended,
  finish,
  folder,
  lainosInit,
  nobody,
  runtimeFolder,
  scripts,
  standInForLogin1,
  systemBus,
  untilReady,
} from "./support.ts";

cleanUp();

/** Says what it got, then stays. `exec` keeps the process that lainos-init was. */
const COMPOSITOR = `
echo "args: $*"
cat /proc/self/status
for fd in /proc/$$/fd/[0-9] /proc/$$/fd/[0-9][0-9]; do
  [ -e "$fd" ] && [ "$(readlink "$fd")" != "$0" ] && echo "fd: \${fd##*/}"
done
grep -H flags /proc/$$/fdinfo/[012] | sed 's/.*fdinfo/flags: /'
env
echo ready
exec sleep 60`;

const desktops = () => scripts({ sway: COMPOSITOR, "openbox-session": COMPOSITOR });

let init = "";
beforeAll(async () => {
  init = await lainosInit();
});

interface Setting {
  run: string;
  environment: Record<string, string>;
}

function setting(changes: Record<string, string> = {}): Setting {
  const run = runtimeFolder();
  return {
    run,
    environment: {
      PATH: `${desktops()}:/usr/bin:/bin`,
      XDG_RUNTIME_DIR: run,
      // Nobody is there: what this machine's own system bus says must not matter.
      DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nowhere/system_bus_socket",
      ...changes,
    },
  };
}

/** The lines NAME=VALUE of a report. */
function environmentIn(report: string): Record<string, string> {
  const entries = [...report.matchAll(/^([A-Z_0-9]+)=(.*)$/gm)];
  return Object.fromEntries(entries.map(([, name = "", value = ""]) => [name, value]));
}

/** The pid of the dbus-daemon that is a child of a process. */
function busOf(pid: number): number {
  const children = allProcesses().filter((other) => processStatus(other)?.parent === pid);
  const bus = children.filter((other) => processStatus(other)?.command === "dbus-daemon");
  expect(bus).toHaveLength(1);
  return bus[0] ?? 0;
}

/** Asks a bus for its own id, as any client would. */
async function busId(address: string): Promise<string> {
  const call = asNobody(
    [
      "gdbus",
      "call",
      `--address=${address}`,
      "--dest=org.freedesktop.DBus",
      "--object-path=/org/freedesktop/DBus",
      "--method=org.freedesktop.DBus.GetId",
    ],
    { PATH: "/usr/bin:/bin" },
  );
  const [out, err, status] = await Promise.all([
    call.stdout.text(),
    call.stderr.text(),
    call.exited,
  ]);
  expect({ err, status }).toEqual({ err: "", status: 0 });
  return /'([0-9a-f]{32})'/.exec(out)?.[1] ?? "";
}

describe("becoming the desktop", () => {
  test("the same process goes on as sway, clean, with its arguments and environment", async () => {
    const { run, environment } = setting({
      LANG: "C.UTF-8",
      LC_TIME: "C",
      XMODIFIERS: "@im=ibus",
      XKB_DEFAULT_LAYOUT: "at",
      PAM_TTY: "tty1",
      GREETD_SOCK: "/run/greetd.sock",
      BUN_OPTIONS: "--silent",
      XDG_SESSION_CLASS: "greeter",
    });
    const child = asNobody([init, "sway", "--", "-V", "--print-env", "a b"], environment);
    const report = await untilReady(child);

    expect(report).toContain("args: -V --print-env a b\n");
    // Which signals are blocked, ignored and caught; the shell that reads them catches none.
    expect(report).toContain("SigBlk:\t0000000000000000\n");
    expect(report).toContain("SigIgn:\t0000000000000000\n");
    expect(report).toContain("SigCgt:\t0000000000000000\n");
    expect(report.match(/^fd: .*$/gm)).toEqual(["fd: 0", "fd: 1", "fd: 2"]);
    // O_NONBLOCK on a shared terminal would break every program that reads it.
    for (const [, flags] of report.matchAll(/^flags: .*\t(\d+)$/gm)) {
      expect(Number.parseInt(flags ?? "", 8) & 0o4000).toBe(0);
    }
    expect(openFilesLimit(child.pid)?.soft).toBe(openFilesLimit(process.pid)?.soft ?? 0);

    const got = environmentIn(report);
    expect(got).toMatchObject({
      XDG_RUNTIME_DIR: run,
      XDG_SESSION_TYPE: "wayland",
      XDG_SESSION_CLASS: "user",
      XDG_CURRENT_DESKTOP: "sway",
      XDG_SESSION_DESKTOP: "sway",
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${run}/bus`,
      LANG: "C.UTF-8",
      LC_TIME: "C",
      XMODIFIERS: "@im=ibus",
      XKB_DEFAULT_LAYOUT: "at",
      USER: nobody.name,
    });
    for (const name of ["PAM_TTY", "GREETD_SOCK", "BUN_OPTIONS", "XDG_VTNR", "XDG_SESSION_ID"]) {
      expect(got).not.toHaveProperty(name);
    }
  });

  test("Bun's raised limit of open files is not handed on", async () => {
    const { environment } = setting();
    const limited = ["sh", "-c", 'ulimit -Sn 321; "$0" sway & echo "pid $!"; wait', init];
    const child = asNobody(limited, environment);
    const report = await untilReady(child);
    const pid = Number(/^pid (\d+)$/m.exec(report)?.[1]);
    expect(openFilesLimit(pid)?.soft).toBe(321);
    process.kill(pid, "SIGKILL");
    await finish(child);
  });

  test("openbox under X is an X11 session, whatever the login was registered as", async () => {
    const { environment } = setting({
      DISPLAY: ":77",
      XAUTHORITY: "/nowhere",
      WAYLAND_DISPLAY: "wayland-9",
      XDG_SESSION_TYPE: "wayland",
    });
    const got = environmentIn(await untilReady(asNobody([init, "openbox"], environment)));
    expect(got).toMatchObject({
      DISPLAY: ":77",
      XAUTHORITY: "/nowhere",
      XDG_SESSION_TYPE: "x11",
      XDG_SESSION_DESKTOP: "openbox",
    });
    expect(got).not.toHaveProperty("WAYLAND_DISPLAY");
  });

  test("the desktop ends with the login manager's process that started it", async () => {
    const { environment } = setting();
    const login = ["sh", "-c", '"$0" sway & echo "pid $!"; wait', init];
    const child = asNobody(login, environment);
    const pid = Number(/^pid (\d+)$/m.exec(await untilReady(child))?.[1]);
    const bus = busOf(pid);
    child.kill("SIGKILL");
    await Promise.all([ended(pid), ended(bus)]);
  });

  test("a desktop that cannot be executed is named", async () => {
    const { environment } = setting();
    const broken = folder();
    writeFileSync(join(broken, "sway"), "#!/no/such/shell\n", { mode: 0o755 });
    environment.PATH = `${broken}:${environment.PATH}`;
    const { err, status } = await finish(asNobody([init, "sway"], environment));
    expect(err).toContain(`lainos-init: ${broken}/sway cannot be executed: `);
    expect(status).toBe(1);
  });
});

describe("refusals", () => {
  test("root", async () => {
    const child = Bun.spawn([init, "sway"], { stdout: "pipe", stderr: "pipe" });
    const { err, out, status } = await finish(child as ReturnType<typeof asNobody>);
    expect(err).toMatch(/^lainos-init: a desktop does not run as root, .* ordinary user, .*\n$/);
    expect({ out, status }).toEqual({ out: "", status: 1 });
  });

  test("a runtime folder that others may enter", async () => {
    const { environment } = setting({ XDG_RUNTIME_DIR: runtimeFolder(0o770) });
    const { err, status } = await finish(asNobody([init, "sway"], environment));
    expect(err).toContain("has mode 0770, not 0700 (is lainos-dbus-bridge running?");
    expect(status).toBe(1);
  });

  test("a desktop that is not installed, and a second one", async () => {
    const { environment } = setting({ DISPLAY: ":0" });
    // The host may have one.
    const nowhere = `PATH=${scripts({})}`;
    const missing = await finish(asNobody(["env", nowhere, init, "openbox"], environment));
    expect(missing.err).toContain("the desktop openbox is not installed");
    expect(missing.status).toBe(1);
    const two = await finish(asNobody([init, "sway", "openbox"], environment));
    expect(two.err).toContain("openbox is one argument too many");
    expect(two.status).toBe(2);
  });
});

describe("the session bus", () => {
  test("is started, answers, knows the environment, and ends with the desktop", async () => {
    const { run, environment } = setting({ GTK_IM_MODULE: "ibus" });
    const child = asNobody([init, "sway"], environment);
    await untilReady(child);
    const bus = busOf(child.pid);
    expect(await busId(`unix:path=${run}/bus`)).toHaveLength(32);
    // Nothing in it is ignored or a pipe that nobody reads, for it starts other programs.
    expect(readdirSync(`/proc/${bus}/fd`).length).toBeGreaterThan(3);
    const started = await Bun.file(`/proc/${bus}/environ`).text();
    expect(started).toContain(`DBUS_SESSION_BUS_ADDRESS=unix:path=${run}/bus\0`);
    expect(started).toContain("GTK_IM_MODULE=ibus\0");
    child.kill("SIGKILL");
    await ended(bus);
  });

  test("is the one that answers already", async () => {
    const { run, environment } = setting();
    const first = asNobody([init, "sway"], environment);
    await untilReady(first);
    const id = await busId(`unix:path=${run}/bus`);
    const second = asNobody([init, "sway"], environment);
    await untilReady(second);
    expect(await busId(`unix:path=${run}/bus`)).toBe(id);

    const elsewhere = runtimeFolder();
    const other = {
      ...environment,
      XDG_RUNTIME_DIR: elsewhere,
      DBUS_SESSION_BUS_ADDRESS: `unix:path=${run}/bus`,
    };
    const report = await untilReady(asNobody([init, "sway"], other));
    expect(report).toContain(`DBUS_SESSION_BUS_ADDRESS=unix:path=${run}/bus\n`);
    expect(existsSync(join(elsewhere, "bus"))).toBe(false);
  });

  test("replaces a dead one's socket, and an address where nobody answers", async () => {
    const { run, environment } = setting({ DBUS_SESSION_BUS_ADDRESS: "unix:path=/nowhere" });
    close(listenStream(join(run, "bus")));
    changeOwner(join(run, "bus"), nobody.uid, nobody.gid);
    const report = await untilReady(asNobody([init, "sway"], environment));
    expect(report).toContain(`DBUS_SESSION_BUS_ADDRESS=unix:path=${run}/bus\n`);
    expect(await busId(`unix:path=${run}/bus`)).toHaveLength(32);
  });

  test("is one for two logins in the same moment", async () => {
    const { environment } = setting();
    const logins = [1, 2, 3].map(() => asNobody([init, "sway"], environment));
    await Promise.all(logins.map((login) => untilReady(login)));
    const pids = new Set(logins.map(({ pid }) => pid));
    const buses = allProcesses()
      .map(processStatus)
      .filter((status) => status?.command === "dbus-daemon" && pids.has(status.parent));
    expect(buses).toHaveLength(1);
  });

  test("that cannot be started is a warning, and the login goes on", async () => {
    const { run, environment } = setting();
    const broken = scripts({ "dbus-daemon": "exit 7" });
    environment.PATH = `${broken}:${environment.PATH}`;
    const child = asNobody([init, "sway"], environment);
    expect(await untilReady(child)).not.toContain("DBUS_SESSION_BUS_ADDRESS=");
    child.kill("SIGKILL");
    const { err } = await finish(child);
    expect(err).toContain("going on without a session bus: dbus-daemon ended with status 7");
    expect(existsSync(join(run, "bus"))).toBe(false);
  });
});

describe("which session", () => {
  const path = "/org/freedesktop/login1/session/c7";
  const properties = {
    Id: new Variant("s", "c7"),
    User: new Variant("(uo)", [nobody.uid, "/org/freedesktop/login1/user/_65534"]),
    Seat: new Variant("(so)", ["seat0", "/org/freedesktop/login1/seat/seat0"]),
    VTNr: new Variant("u", 3),
    Type: new Variant("s", "tty"),
    Class: new Variant("s", "user"),
    Leader: new Variant("u", 1),
  };
  const answers: Record<string, Answer> = {
    GetSessionByPID: () => ["o", [path]],
    GetAll: () => ["a{sv}", [properties]],
  };

  test("login1 says, asked by the pid", async () => {
    const address = await systemBus();
    const { calls } = await standInForLogin1(address, answers);
    const { environment } = setting({ DBUS_SYSTEM_BUS_ADDRESS: address, XDG_SESSION_ID: "c1" });
    const child = asNobody([init, "sway"], environment);
    expect(environmentIn(await untilReady(child))).toMatchObject({
      XDG_SESSION_ID: "c7",
      XDG_SEAT: "seat0",
      XDG_VTNR: "3",
      XDG_SESSION_TYPE: "wayland",
      XDG_SESSION_CLASS: "user",
    });
    expect(calls).toEqual([
      { member: "GetSessionByPID", body: [child.pid] },
      { member: "GetAll", body: ["org.freedesktop.login1.Session"] },
      { member: "AnnounceDesktop", body: ["wayland", "sway", ""] },
    ]);
    child.kill("SIGKILL");
    expect((await finish(child)).err).toBe("");
  });

  test("a session without a seat and a terminal has neither", async () => {
    const address = await systemBus();
    const seatless = {
      ...properties,
      Seat: new Variant("(so)", ["", "/"]),
      VTNr: new Variant("u", 0),
    };
    await standInForLogin1(address, { ...answers, GetAll: () => ["a{sv}", [seatless]] });
    const { environment } = setting({ DBUS_SYSTEM_BUS_ADDRESS: address, XDG_VTNR: "1" });
    const got = environmentIn(await untilReady(asNobody([init, "sway"], environment)));
    expect(got).toMatchObject({ XDG_SESSION_ID: "c7" });
    expect(got).not.toHaveProperty("XDG_SEAT");
    expect(got).not.toHaveProperty("XDG_VTNR");
  });

  test.each<[string, Record<string, Answer> | undefined, string]>([
    ["nobody answers for login1", undefined, "org.freedesktop.login1"],
    [
      "login1 knows none",
      {
        GetSessionByPID: () => {
          throw new BusError("org.freedesktop.login1.NoSessionForPID", "none");
        },
      },
      "login1 knows no session of this process",
    ],
    [
      "it is another user's",
      {
        ...answers,
        GetAll: () => ["a{sv}", [{ ...properties, User: new Variant("(uo)", [4711, "/"]) }]],
      },
      "this process is in the session of uid 4711",
    ],
    [
      "login1 answers nonsense",
      { ...answers, GetAll: () => ["a{sv}", [{ Id: new Variant("s", "../x") }]] },
      "no id or no user",
    ],
  ])("%s: one line, and the login goes on", async (_, given, reason) => {
    const address = await systemBus();
    if (given) await standInForLogin1(address, given);
    const { environment } = setting({
      DBUS_SYSTEM_BUS_ADDRESS: address,
      XDG_SESSION_ID: "c5",
      XDG_VTNR: "4",
    });
    const child = asNobody([init, "sway"], environment);
    const got = environmentIn(await untilReady(child));
    expect(got).toMatchObject({ XDG_SESSION_ID: "c5", XDG_VTNR: "4" });
    child.kill("SIGKILL");
    const { err } = await finish(child);
    expect(err).toStartWith("lainos-init: warning: taking session c5 from its traces: ");
    expect(err).toContain(reason);
    expect(err.trimEnd().split("\n")).toHaveLength(1);
  });

  test("a login1 that does not answer in time keeps nobody from logging in", async () => {
    const address = await systemBus();
    const { calls } = await standInForLogin1(address, {});
    // The stand-in's process is this one: while it is busy in a synchronous wait, nobody answers.
    const { environment } = setting({ DBUS_SYSTEM_BUS_ADDRESS: address });
    const child = asNobody([init, "sway"], environment);
    Bun.sleepSync(5500);
    await untilReady(child);
    child.kill("SIGKILL");
    expect((await finish(child)).err).toContain("did not answer GetSessionByPID in time");
    expect(calls.length).toBeLessThanOrEqual(1);
  });

  test("login1 says, though it does not take what desktop starts", async () => {
    const address = await systemBus();
    const refused = {
      ...answers,
      AnnounceDesktop: () => {
        throw new BusError("org.freedesktop.DBus.Error.NoReply", "busy");
      },
    };
    const { calls } = await standInForLogin1(address, refused);
    const { environment } = setting({ DBUS_SYSTEM_BUS_ADDRESS: address, XDG_SESSION_ID: "c1" });
    const child = asNobody([init, "sway"], environment);
    expect(environmentIn(await untilReady(child))).toMatchObject({
      XDG_SESSION_ID: "c7",
      XDG_SEAT: "seat0",
    });
    expect(calls.map(({ member }) => member)).toContain("AnnounceDesktop");
    child.kill("SIGKILL");
    expect((await finish(child)).err).toBe(
      "lainos-init: warning: login1 does not learn that sway starts: busy\n",
    );
  });

  test("another user's session is not told what desktop starts", async () => {
    const address = await systemBus();
    const others = { ...properties, User: new Variant("(uo)", [4711, "/"]) };
    const { calls } = await standInForLogin1(address, {
      ...answers,
      GetAll: () => ["a{sv}", [others]],
    });
    const { environment } = setting({ DBUS_SYSTEM_BUS_ADDRESS: address, XDG_SESSION_ID: "c5" });
    await untilReady(asNobody([init, "sway"], environment));
    expect(calls.map(({ member }) => member)).toEqual(["GetSessionByPID", "GetAll"]);
  });
});

describe("the sound", () => {
  test("is started beside the desktop, never in its way, and ends with it", async () => {
    const start = await compile(join(import.meta.dir, "fixtures/start.ts"));
    const audio = scripts({
      audio: 'cat /proc/self/status\necho "audio $$"\nexec sleep 60',
    });
    const { environment } = setting({ TEST_AUDIO: join(audio, "audio") });
    const child = asNobody([start], environment);
    const report = await untilReady(child, /^(audio \d+$[\s\S]*^ready|ready$[\s\S]*^audio \d+)$/m);
    const pid = Number(/^audio (\d+)$/m.exec(report)?.[1]);
    expect(processStatus(pid)?.parent).toBe(child.pid);
    expect(report.match(/^SigIgn:.*$/gm)).toEqual([
      "SigIgn:\t0000000000000000",
      "SigIgn:\t0000000000000000",
    ]);
    child.kill("SIGKILL");
    await ended(pid);
  });
});

describe("--print-env", () => {
  test("prints what would be set and executed, and starts nothing", async () => {
    const { run, environment } = setting({ PAM_TTY: "tty1", XDG_SEAT: "it's" });
    const child = asNobody([init, "sway", "--print-env", "--", "-d", "a b"], environment);
    const { out, status } = await finish(child);
    expect(status).toBe(0);
    expect(out).toContain("unset PAM_TTY\n");
    expect(out).toContain("unset XDG_VTNR\n");
    expect(out).toContain(`export DBUS_SESSION_BUS_ADDRESS=unix:path=${run}/bus\n`);
    expect(out).toContain("# a session bus would be started");
    expect(out).toMatch(/\nexec \/\S+\/sway -d 'a b'\n$/);
    expect(readdirSync(run)).toEqual([]);
    // A shell reads it as it is meant.
    const checked = Bun.spawnSync(["sh", "-n"], { stdin: Buffer.from(out) });
    expect(checked.exitCode).toBe(0);
  });
});

test("--version does not load D-Bus, and needs no session", async () => {
  const { out, status } = await finish(asNobody([init, "--version"], {}));
  expect(out).toMatch(/^lainos-init \d+\.\d+\.\d+\n$/);
  expect(status).toBe(0);
});
