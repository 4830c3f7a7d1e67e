/** The PAM module in a real PAM, beside systemd's own: what a login finds, and what login1 is told. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { startTimeOf, userByName } from "../../lib/linux/index.ts";
import { buildPamModule, PAM_FLAGS, PAM_SOURCE } from "../../scripts/pam-module.ts";
import { FakeRoot, run } from "../files/run.ts";
import { consoleIsInvisible, holdVts } from "../login1/support/console.ts";
import { pamModule } from "../login1/support/pam-module.ts";
import { readUntil } from "../support/read-until.ts";
import { unusedDisplay } from "../support/x-display.ts";
import { installModule, PamWorld } from "./support.ts";

let pam: PamWorld;
beforeAll(async () => {
  const line = (module: string, words = "") => `session required ${module} ${words}\n`;
  pam = await PamWorld.create({
    "p7-login": line("@module@"),
    "p7-greeter": line("@module@", "class=greeter type=wayland desktop=ly debug"),
    "p7-none": line("@module@", "class=none"),
    "p7-theirs": line(pamModule()),
    "p7-theirs-greeter": line(pamModule(), "class=greeter type=wayland desktop=ly"),
    sshd: `${line("@module@")}`,
  });
});
afterAll(() => pam.end());

test("what a login finds in its environment, from the start of its session to the end", async () => {
  const login = await pam.logIn("sshd", "nobody", ["tty=ssh", "rhost=far.example", "EDITOR=vi"]);
  expect(login.status).toBe(0);
  const { XDG_SESSION_ID: id = "", ...others } = login.environment;
  expect(id).toMatch(/^c\d+$/);
  expect(others).toEqual({
    EDITOR: "vi",
    XDG_RUNTIME_DIR: "/run/user/65534",
    XDG_SESSION_CLASS: "user",
    XDG_SESSION_TYPE: "tty",
  });
  expect(await pam.session(id)).toMatchObject({
    ...{ Id: id, Leader: `${login.leader}`, Name: "nobody", Service: "sshd", Class: "user" },
    ...{ Remote: "yes", RemoteHost: "far.example", State: "active" },
  });
  expect(await login.logOut()).toBe(0);
  await pam.world.userGone(65534);
});

test("a desktop whose name is none for login1 keeps it", async () => {
  const login = await pam.logIn("p7-login", "nobody", ["XDG_SESSION_DESKTOP=My desktop"]);
  const { XDG_SESSION_ID: id = "", XDG_SESSION_DESKTOP: name } = login.environment;
  expect(name).toBe("My desktop");
  expect((await pam.session(id)).Desktop ?? "").toBe("");
  expect(await login.logOut()).toBe(0);
  await pam.world.userGone(65534);
});

test("the session's own bus is named where there is one", async () => {
  const first = await pam.logIn("p7-login", "nobody");
  const made = await pam.world.run([
    ...[
      "python3",
      "-c",
      'import socket; socket.socket(socket.AF_UNIX).bind("/run/user/65534/bus")',
    ],
  ]);
  expect(made).toMatchObject({ code: 0, stderr: "" });
  const second = await pam.logIn("p7-login", "nobody");
  expect(second.environment.DBUS_SESSION_BUS_ADDRESS).toBe("unix:path=/run/user/65534/bus");
  expect(first.environment.DBUS_SESSION_BUS_ADDRESS).toBeUndefined();
  for (const login of [first, second]) expect(await login.logOut()).toBe(0);
  await pam.world.userGone(65534);
});

test("a bus at which root may not look keeps nobody out", async () => {
  const first = await pam.logIn("p7-login", "nobody");
  const bus = "/run/user/65534/bus";
  // As fusermount3 does it for its user.
  const mount = `import ctypes, os
options = b"fd=%d,rootmode=100000,user_id=65534,group_id=65534" % os.open("/dev/fuse", os.O_RDWR)
exit(-ctypes.CDLL(None).mount(b"p7", b"${bus}", b"fuse", 0, options))`;
  await pam.must(["mknod", "/dev/fuse", "c", "10", "229"]);
  await pam.must(["touch", bus]);
  await pam.must(["python3", "-c", mount]);
  const second = await pam.logIn("p7-login", "nobody");
  const { XDG_SESSION_ID: id = "", ...others } = second.environment;
  expect(second.status).toBe(0);
  expect(others).toMatchObject({ XDG_RUNTIME_DIR: "/run/user/65534" });
  expect(others.DBUS_SESSION_BUS_ADDRESS).toBeUndefined();
  expect(await pam.session(id)).toMatchObject({ Name: "nobody", Leader: `${second.leader}` });
  await pam.must(["umount", bus]);
  for (const login of [first, second]) expect(await login.logOut()).toBe(0);
  await pam.world.userGone(65534);
});

test("many who log in at once each find their own session", async () => {
  const users = ["nobody", "root", "daemon", "bin"];
  const logins = await Promise.all(
    [...users, ...users, ...users].map(async (user) => ({
      user,
      login: await pam.logIn("p7-login", user, ["tty=pts/9"]),
    })),
  );
  for (const { user, login } of logins) {
    const { XDG_SESSION_ID: id = "", XDG_RUNTIME_DIR: folder } = login.environment;
    expect(folder).toBe(`/run/user/${userByName(user)?.uid}`);
    expect(await pam.session(id)).toMatchObject({ Name: user, Leader: `${login.leader}` });
  }
  const ids = logins.map(({ login }) => login.environment.XDG_SESSION_ID);
  expect(new Set(ids).size).toBe(logins.length);
  for (const { login } of logins) expect(await login.logOut()).toBe(0);
  await pam.world.userGone(65534);
});

test("a login in a session, as by su, has no second one and changes nothing", async () => {
  const outer = await pam.logIn("p7-login", "nobody");
  const { XDG_SESSION_ID: id = "" } = outer.environment;
  const scope = `/user.slice/user-65534.slice/session-${id}.scope/leader`;
  const script = `echo $$ >/sys/fs/cgroup${scope}/cgroup.procs && echo | "$@"`;
  const inside = (service: string) => pam.world.run(["sh", "-c", script, "sh", ...words(service)]);
  const words = (service: string) => [pam.program, service, "root", "XDG_SEAT=seat0"];
  for (const service of ["p7-login", "p7-theirs"]) {
    const { stdout } = await inside(service);
    const lines = stdout.split("\n").filter((line) => !line.startsWith("HOME="));
    expect(lines).toEqual(["open 0", "XDG_SEAT=seat0", "", "close 0", ""]);
  }
  expect((await pam.session(id)).State).toBe("active");
  expect(await outer.logOut()).toBe(0);
  await pam.world.userGone(65534);
});

test("class none, and a system without a login1, are no session and no error", async () => {
  const none = await pam.logIn("p7-none", "nobody");
  expect(none).toMatchObject({ status: 0, environment: {} });
  expect(await none.logOut()).toBe(0);
  const hidden = ["sh", "-c", 'mount -t tmpfs none /run/systemd && exec "$@"', "sh"];
  const login = [pam.program, "p7-login", "nobody"];
  const without = await pam.world.run([
    "unshare",
    "--mount",
    ...hidden,
    "sh",
    "-c",
    'echo | "$@"',
    "sh",
    ...login,
  ]);
  expect(without.stdout).toBe("open 0\n\nclose 0\n");
});

describe("beside systemd's module", () => {
  const greeter = { XDG_SESSION_CLASS: "greeter", XDG_SESSION_TYPE: "x11" };
  const cases: [string, string, string[], Record<string, string>][] = [
    ["a job", "nobody", [], {}],
    ["a terminal", "nobody", ["tty=/dev/pts/7", "ruser=root"], {}],
    ["root at a terminal", "root", ["tty=pts/7"], {}],
    ["root by cron", "root", ["tty=cron"], {}],
    ["a system user on a desktop", "daemon", ["XDG_SESSION_TYPE=wayland"], {}],
    ["ssh", "nobody", ["tty=ssh", "rhost=192.0.2.7"], {}],
    ["ssh from an address of this machine", "nobody", ["tty=ssh", "rhost=127.0.0.1"], {}],
    ["ssh from a name of this machine", "root", ["tty=ssh", "rhost=localhost"], {}],
    ["a display without a VT", "nobody", ["tty=:987654"], {}],
    ["a display of its own", "nobody", ["tty=:5", "xdisplay=:6"], {}],
    ["a terminal and a display", "nobody", ["tty=pts/1", "xdisplay=:6"], {}],
    ["another seat, which has no VT", "nobody", ["tty=:5", "XDG_SEAT=seat-none", "XDG_VTNR=3"], {}],
    ["the program's own environment", "nobody", ["tty=:5"], greeter],
    ["PAM's before the program's", "nobody", ["tty=:5", "XDG_SESSION_CLASS=lock-screen"], greeter],
    ["what is not complete", "bin", ["XDG_SESSION_CLASS=user", "XDG_SESSION_INCOMPLETE=1"], {}],
    [
      "the environment before the file",
      "nobody",
      ["XDG_SESSION_CLASS=user", "XDG_SESSION_TYPE=x11"],
      {},
    ],
    ["a variable that is empty", "nobody", ["XDG_SESSION_CLASS=", "XDG_SESSION_DESKTOP=sway"], {}],
    ["a manager", "nobody", ["XDG_SESSION_CLASS=manager"], {}],
    ["an early manager", "root", ["XDG_SESSION_CLASS=manager-early"], {}],
    ["class none", "nobody", ["XDG_SESSION_CLASS=none", "XDG_SEAT=seat0"], {}],
  ];
  const SAME = ["Type", "Class", "Seat", "VTNr", "TTY", "Display", "Remote", "RemoteHost"];
  const seen = async (
    service: string,
    user: string,
    given: string[],
    env: Record<string, string>,
  ) => {
    const login = await pam.logIn(service, user, given, env);
    // Systemd's sets HOME, which every login program does.
    const { XDG_SESSION_ID: id, HOME: _, ...environment } = login.environment;
    const all = id === undefined ? {} : await pam.session(id);
    const session = [...SAME, "RemoteUser", "Desktop", "User"].map((name) => all[name]);
    const ended = await login.logOut();
    return { isOpen: login.status === 0, isSession: id !== undefined, environment, session, ended };
  };

  test.each(cases)("%s", async (_, user, given, env) => {
    for (const kind of ["", "-greeter"]) {
      const theirs = await seen(`p7-theirs${kind}`, user, given, env);
      expect(await seen(`p7${kind || "-login"}`, user, given, env)).toEqual(theirs);
    }
  });
});

/** Displays are the machine's, and so are VTs: this one shows nothing, and nobody goes to it. */
const VT = 42;
describe.skipIf(!consoleIsInvisible)("beside systemd's module, with an X server on a VT", () => {
  let onVt: PamWorld;
  let server: Bun.Subprocess<"ignore", "pipe", "ignore">;
  let display: string;
  let giveBack: () => void;
  beforeAll(async () => {
    giveBack = await holdVts();
    const line = (module: string) => `session required ${module}\n`;
    const services = { xdm: line("@module@"), "p7-theirs": line(pamModule()) };
    onVt = await PamWorld.create(services, { vts: [0, VT] });
    display = unusedDisplay();
    const onTerminal = `exec setsid --ctty --wait Xvfb ${display} -displayfd 1 -nolisten tcp </dev/tty${VT}`;
    server = Bun.spawn(["sh", "-c", onTerminal], { stdio: ["ignore", "pipe", "ignore"] });
    await readUntil(server.stdout, /\n/);
  });
  afterAll(async () => {
    server.kill();
    await server.exited;
    await onVt.end();
    giveBack();
  });

  test.each([
    ["a display alone", (name: string) => [`tty=${name}`], `${VT}`],
    ["a display and the seat", (name: string) => [`tty=${name}`, "XDG_SEAT=seat0"], `${VT}`],
    [
      "a display beside a terminal's name",
      (name: string) => ["tty=x", `xdisplay=${name}`],
      `${VT}`,
    ],
    ["the seat alone", () => ["tty=:987654", "XDG_SEAT=seat0"], undefined],
  ])("%s", async (_, given, vt) => {
    const seen = async (service: string) => {
      const login = await onVt.logIn(service, "nobody", given(display));
      const { XDG_SESSION_ID: id, HOME: _, ...environment } = login.environment;
      const { VTNr, Seat, Display, Type, Class } = id ? await onVt.session(id) : {};
      const isOpen = login.status === 0;
      await login.logOut();
      await onVt.world.userGone(65534);
      return { isOpen, environment, session: { VTNr, Seat, Display, Type, Class } };
    };
    const ours = await seen("xdm");
    expect(ours.session.VTNr).toBe(vt);
    expect(ours).toEqual(await seen("p7-theirs"));
  });
});

describe("a login program", () => {
  test.each([
    "ignores-children",
    "reaps-children",
    "blocks-signals",
    "has-limits",
    "is-setuid",
    "closes-stdio",
  ])("that %s has its session", async (how) => {
    const login = await pam.logIn("p7-login", "nobody", [`+${how}`]);
    expect(login.status).toBe(0);
    expect(login.environment.XDG_RUNTIME_DIR).toBe("/run/user/65534");
    expect(await login.logOut()).toBe(0);
    await pam.world.userGone(65534);
  });

  test("has its session each time where a thread of it reaps what ends first", async () => {
    // Which of the two has the status is chance.
    for (let login = 0; login < 8; login++) {
      const { status, logOut } = await pam.logIn("p7-login", "nobody", ["+reaps-in-a-thread"]);
      expect({ status, ended: await logOut() }).toEqual({ status: 0, ended: 0 });
    }
    await pam.world.userGone(65534);
  });

  test("that is far away stays so, whatever is said of the host", async () => {
    const login = await pam.logIn("p7-login", "nobody", [
      ...["+huge", `rhost=${"x".repeat(5000)}`],
    ]);
    expect(login.status).toBe(0);
    const { XDG_SESSION_ID: id = "" } = login.environment;
    expect(await pam.session(id)).toMatchObject({ Remote: "yes", Name: "nobody" });
    expect(await login.logOut()).toBe(0);
    await pam.world.userGone(65534);
  });

  test("that is not root has none, and is told so", async () => {
    const login = await pam.logIn("p7-login", "nobody", ["+is-nobody"]);
    expect(login).toMatchObject({ status: expect.any(Number), environment: {} });
    expect(login.status).not.toBe(0);
  });

  test("that is setuid takes no word of its caller", async () => {
    const env = { XDG_SESSION_CLASS: "none", XDG_SESSION_TYPE: "wayland" };
    const own = await pam.logIn("p7-login", "nobody", ["tty=pts/1"], env);
    expect(own.environment.XDG_SESSION_ID).toBeUndefined();
    const login = await pam.logIn("p7-login", "nobody", ["tty=pts/1"], env, 65534);
    expect(login.environment.XDG_SESSION_TYPE).toBe("tty");
    for (const one of [own, login]) expect(await one.logOut()).toBe(0);
    await pam.world.userGone(65534);
  });
});

describe("what the module runs", () => {
  /** A world without a bridge is enough: the program is a script of ours. */
  const runs = async (
    script: string,
    given: string[] = [],
    { env = {}, seconds }: { env?: Record<string, string>; seconds?: number } = {},
  ) => {
    await using root = await FakeRoot.make();
    const helper = await root.write("helper", `#!/bin/sh\n${script}\n`, 0o755);
    const module = await installModule(root, helper, seconds);
    await root.write("pam.d/p7", `session required ${module} class=a\n`);
    const login = [pam.program, "p7", ...(given[0] === "+threads" ? [] : ["nobody"]), ...given];
    const inside =
      'mount --bind "$1" /etc/pam.d && mkdir -p /run/systemd/seats && shift && echo | exec "$@"';
    const words = ["unshare", "--mount", "sh", "-c", inside, "sh", `${root.path}/pam.d`];
    const assignments = Object.entries(env).map(([name, value]) => `${name}=${value}`);
    const said = await pam.world.run([...words, "env", ...assignments, ...login]);
    return said.stdout;
  };

  test("has what is named, and nothing of anybody's making", async () => {
    const hostile = Object.fromEntries(
      ["LD_DEBUG", "BASH_ENV", "ENV", "IFS", "BUN_OPTIONS", "DISPLAY", "PAM_TYPE", "PAM_HOST"].map(
        (name) => [name, "evil"],
      ),
    );
    const given = Object.entries(hostile).map(([name, value]) => `${name}=${value}`);
    const out = join(pam.root.path, "seen");
    const items = ["tty=tty9", "rhost=far", "ruser=me", "xdisplay=:9", "XDG_VTNR=9", "EDITOR=vi"];
    // The login program's own environment, too.
    const env = { BASH_ENV: "evil", BUN_OPTIONS: "evil", PAM_HOST: "evil" };
    const script = `env >${out}; echo "$*" >>${out}; id -u >>${out}; echo $PPID >>${out}`;
    await runs(script, [...given, ...items], { env });
    const lines = (await Bun.file(out).text()).trimEnd().split("\n");
    const own = /^(?:PWD|SHLVL|_|OLDPWD)=/;
    // Its parent, as the script has seen it.
    const leader = `PAM_LEADER=${lines.pop()}`;
    expect(lines.filter((line) => !own.test(line)).toSorted()).toEqual(
      [
        ...["PATH=/usr/bin:/bin:/usr/sbin:/sbin", "LC_ALL=C.UTF-8", "PAM_TYPE=open_session"],
        ...["PAM_USER=nobody", "PAM_SERVICE=p7", "PAM_TTY=tty9", "PAM_RHOST=far"],
        ...[leader, "PAM_RUSER=me", "PAM_XDISPLAY=:9", "XDG_VTNR=9", "class=a", "0"],
      ].toSorted(),
    );
  });

  test("sets variables and takes them away", async () => {
    const said = await runs("printf 'XDG_SEAT\\nXDG_VTNR\\nXDG_A=x = y\\n'", ["XDG_SEAT=seat0"]);
    expect(said).toBe("open 0\nXDG_A=x = y\n\nclose 0\n");
  });

  test("is ended with all that it has started where it takes too long", async () => {
    const out = join(pam.root.path, "stays");
    const script = `sleep infinity & echo $! $$ >${out}; wait`;
    expect(await runs(script, [], { seconds: 1 })).toMatch(/^open [1-9]\d*\n/);
    const pids = (await Bun.file(out).text()).trim().split(" ").map(Number);
    expect(pids).toHaveLength(2);
    await pam.world.until("their end", () => pids.every((pid) => startTimeOf(pid) === undefined));
  });

  test("is ended where it says no more, and stays", async () => {
    const out = join(pam.root.path, "stays");
    const script = `echo $$ >${out}; exec >&-; sleep infinity; :`;
    expect(await runs(script, [], { seconds: 1 })).toMatch(/^open [1-9]\d*\n/);
    const pid = Number(await Bun.file(out).text());
    await pam.world.until("its end", () => startTimeOf(pid) === undefined);
  });

  test("is waited for, and not what it leaves behind", async () => {
    const out = join(pam.root.path, "stays");
    const script = `echo XDG_A=b; sleep infinity & echo $! >>${out}.new`;
    // Longer than the test may take.
    expect(await runs(script, [], { seconds: 3600 })).toBe("open 0\nXDG_A=b\n\nclose 0\n");
    const pids = (await Bun.file(`${out}.new`).text()).trim().split("\n").map(Number);
    expect(pids).toHaveLength(1);
    for (const pid of pids) process.kill(pid, "SIGKILL");
  });

  test("takes away no end of a child of the login program's own", async () => {
    const script = `read -r children </proc/$PPID/task/$PPID/children
      for pid in $children; do
        [ $pid = $$ ] || kill $pid
        until [ $pid = $$ ] || grep -q '^State:.Z' /proc/$pid/status; do sleep 0.01; done
      done`;
    expect(await runs(script, ["+has-a-child"])).toBe("open 0\nTOLD=yes\n\nclose 0\n");
  });

  test("leaves the login program's handler where several log in at once", async () => {
    const folder = join(pam.root.path, "at-once");
    const script = `mkdir -p ${folder}; : >${folder}/$$
      until set -- ${folder}/* && [ $# = 8 ]; do sleep 0.01; done`;
    expect(await runs(script, ["+threads"])).toBe("the same\n");
  });

  test.each([
    ["fails", "echo XDG_A=b; exit 3"],
    ["dies", "kill -9 $$"],
    ["says no variable", "echo xdg=b"],
    ["says half a line", "printf 'XDG_A=b'"],
    ["says a NUL", "printf 'XDG_A=b\\0\\n'"],
    ["says too much", "yes XDG_A=b"],
  ])("fails the line, and no more, where it %s", async (_, script) => {
    const said = await runs(script);
    // The line is required here; PAM closes nothing that was not opened.
    expect(said).toMatch(/^open [1-9]\d*\n\nclose [1-9]\d*\n$/);
  });
});

test("the compiler's analyzer finds nothing in it, and the same bytes come of it each time", async () => {
  const look = ["-Werror", "-fanalyzer", "-c", "-o", "/dev/null", PAM_SOURCE];
  const analysed = await run([
    "gcc",
    ...PAM_FLAGS.filter((flag) => !/^-(?:s$|shared|Wl)/.test(flag)),
    ...look,
  ]);
  expect(analysed).toMatchObject({ exitCode: 0, stderr: "" });
  await using root = await FakeRoot.make();
  const [first, second] = [join(root.path, "a.so"), join(root.path, "elsewhere/b.so")];
  for (const output of [first, second]) await buildPamModule(output);
  expect(await run(["cmp", first, second])).toMatchObject({ exitCode: 0 });
});

test("it needs no newer C library than the oldest system that is supported has", async () => {
  const module = join(pam.root.path, "pam_systemd.so");
  const { stdout } = await run(["grep", "-aoE", "GLIBC_[0-9.]+", module]);
  const versions = stdout
    .trim()
    .split("\n")
    .map((name) => Number(name.replace("GLIBC_2.", "")));
  expect(Math.max(...versions)).toBeLessThanOrEqual(36);
});
