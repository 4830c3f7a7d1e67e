/** loginctl beside systemd's: the same words, the same bytes out, the same exit status. */
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { BusError, type Connection, Variant } from "../../lib/dbus/index.ts";
import { VERBS } from "../../lib/loginctl/verbs.ts";
import { createSession } from "../login1/support/client.ts";
import { scopeOf, World } from "../login1/support/world.ts";
import { ours, steady, theirs } from "./both.ts";
import { StandIn } from "./stand-in.ts";

// Each test runs many short commands, which takes its time on a busy machine.
setDefaultTimeout(60_000);

const NOBODY = 65534;
/** Has the bus read its configuration again. */
const RELOAD = [
  ...["org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "ReloadConfig"],
];
const DAEMON = 1;

let world: World;
let bus: Connection;
/** A graphical session of nobody on seat0, with processes in cgroups of its own. */
let first: string;
/** A remote one of daemon on a terminal. */
let second: string;

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const [one, two] = [await world.leader(), await world.leader()];
  first = (
    await createSession(bus, {
      ...{ uid: NOBODY, leader: one.pid, seat: "seat0", service: "greetd", desktop: "sway" },
    })
  ).id;
  second = (
    await createSession(bus, {
      ...{ uid: DAEMON, leader: two.pid, type: "tty", tty: "pts/3", service: "sshd" },
      ...{ remote: true, remoteHost: "example.org", remoteUser: "bob" },
    })
  ).id;
  await fillScope();
  fillUdev();
});
afterAll(async () => {
  bus?.close();
  await world?.end();
});

/** Processes in cgroups within the first session's scope, one with a long command line. */
async function fillScope(): Promise<void> {
  const scope = scopeOf(NOBODY, first);
  for (const [cgroup, word] of [
    ["", "x".repeat(200)],
    ["/app.slice/b.scope", "y"],
    ["/aa", "z"],
  ]) {
    mkdirSync(`${world.root}/sys/fs/cgroup${scope}${cgroup}`, { recursive: true });
    const child = Bun.spawn(
      world.inside(["sh", "-c", "echo up; exec sleep infinity", word ?? ""], {
        cgroup: `${scope}${cgroup}`,
      }),
      { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
    );
    await child.stdout.getReader().read();
  }
}

/** udev's database as it is where udev runs, with devices that every kernel has. */
function fillUdev(): void {
  const folder = `${world.root}/run/udev`;
  for (const name of ["tags/seat", "tags/master-of-seat", "tags/seat1", "data"]) {
    mkdirSync(`${folder}/${name}`, { recursive: true });
  }
  const device = (id: string, tags: string[], more = "") => {
    for (const tag of tags) writeFileSync(`${folder}/tags/${tag}/${id}`, "");
    const lines = tags.flatMap((tag) => [`G:${tag}`, `Q:${tag}`]).join("\n");
    writeFileSync(`${folder}/data/${id}`, `I:1\n${more}${lines}\nV:1\n`);
  };
  device("c1:3", ["seat", "master-of-seat"]);
  device("c1:5", ["seat"], "E:ID_SEAT=seat0\n");
  device("c1:7", ["seat", "seat1"], "E:ID_SEAT=seat1\n");
  device("c5:0", ["seat"]);
  device("n1", ["seat"]);
  device("+cpu:cpu0", ["seat"]);
  device("+cpu:cpu9999", ["seat"]);
}

/** What both commands make of the same words, in the world. */
async function both(words: string[], options: { user?: number; cgroup?: string } = {}) {
  const own = await world.run([...ours("loginctl"), ...words], options);
  const systemds = await world.run([...theirs("loginctl"), ...words], options);
  return { own: steady(own), systemds: steady(systemds) };
}

/** Expects the same outcome, and returns it. */
async function same(words: string[], options: { user?: number; cgroup?: string } = {}) {
  const { own, systemds } = await both(words, options);
  expect({ words, ...own }).toEqual({ words, ...systemds });
  return own;
}

describe("what is listed and shown", () => {
  test("lists have the same columns, order, legend and JSON", async () => {
    const listed = await same([]);
    expect(listed.stdout).toContain("2 sessions listed.");
    for (const verb of ["list-sessions", "list-users", "list-seats"]) {
      await same([verb]);
      await same([verb, "--no-legend"]);
      for (const mode of ["short", "pretty", "off"]) await same([verb, `--json=${mode}`]);
      await same(["-j", verb]);
      await same([verb, "-o", "json"]);
    }
  });

  test("a user whose bus knows of no ListSessionsEx has the list all the same", async () => {
    const config = `${world.root}/run/bus.conf`;
    const before = readFileSync(config, "utf8");
    // As the policy of an older login1 has it: a user may call what it names, and nothing else.
    const manager = 'send_interface="org.freedesktop.login1.Manager"';
    const deny = `<deny ${manager} send_member="ListSessionsEx"/>`;
    const policy = `<policy context="mandatory">${deny}</policy></busconfig>`;
    const reload = async (text: string) => {
      writeFileSync(config, text);
      expect(await world.run(["busctl", "call", ...RELOAD])).toMatchObject({ code: 0, stderr: "" });
    };
    const listed = await world.run([...ours("loginctl")], { user: NOBODY });
    await reload(before.replace("</busconfig>", policy));
    try {
      const systemds = await world.run([...theirs("loginctl")], { user: NOBODY });
      expect(systemds).toMatchObject({
        code: 1,
        stderr: "Failed to list sessions: Access denied\n",
      });
      expect(await world.run([...ours("loginctl")], { user: NOBODY })).toEqual(listed);
    } finally {
      await reload(before);
    }
  });

  test("properties of sessions, users, seats and the manager are the same lines", async () => {
    const shown = await same(["show-session", first, second]);
    expect(shown.stdout).toContain("Service=greetd");
    for (const words of [
      ...[["show-session"], ["show-session", "-a"], ["show-session", "-a", second]],
      ...[["show-session", first, "-p", "Id", "--property=Seat", "-pUser", "--value"]],
      ...[
        ["show-session", first, "-P", "Timestamp"],
        ["show-session", first, "-p", ""],
      ],
      ...[
        ["show-session", first, second, "-P", "Display"],
        ["--value", "show-session", first],
      ],
      ...[["show-user", "nobody", "1"], ["show-user", "-a", "nobody"], ["show-user"]],
      ...[["show-user", "nobody", "-p", "Sessions", "--value"]],
      ...[["show-seat", "seat0"], ["show-seat", "-a", "seat0"], ["show-seat"]],
      ...[
        ["show-seat", "seat0", "-p", "NoSuch"],
        ["-a", "-P", "ScheduledShutdown", "show-seat"],
      ],
    ]) {
      expect((await same(words)).code).toBe(0);
    }
  });

  test("status has the processes by cgroup, and the seat its devices by udev's database", async () => {
    const session = await same(["session-status", first, second]);
    expect(session.stdout).toMatch(/app\.slice\n.*└─b\.scope\n.*sleep infinity/);
    expect((await same(["user-status", "nobody", "daemon"])).stdout).toContain("Sessions: *");
    const seat = await same(["seat-status", "seat0"]);
    expect(seat.stdout).toContain("[MASTER] mem:null");
    for (const verb of ["session-status", "user-status", "seat-status"]) await same([verb]);
  });

  test("a session is found without being named, from inside of it", async () => {
    const cgroup = scopeOf(NOBODY, first);
    const { own, systemds } = await both(["session-status", "self"], { cgroup });
    // The command is among the session's processes, and that is where the two differ.
    const others = ({ stdout }: { stdout: string }) =>
      stdout.split("\n").filter((line) => !line.endsWith("session-status self"));
    expect(others(own)).toEqual(others(systemds));
    expect(own.stdout).toContain(`${first} - `);
    expect((await same(["show-session", "auto", "-P", "Id"], { cgroup })).stdout).toBe(
      `${first}\n`,
    );
    await same(["activate"], { cgroup });
    await same(["show-session", "self"]);
  });
});

describe("what is refused", () => {
  test("wrong words give the same line and exit status 1", async () => {
    for (const words of [
      ...[["bogus"], ["--bogus"], ["-x"], ["-p"], ["--property"], ["list-sess"]],
      ...[["--no"], ["--no=1"], ["--no-legend=1"], ["--="], ["--pr"], ["-lx"]],
      ...[["--kill-who=x", "y"], ["activate", "a", "b"], ["--json=bla"], ["--json="]],
      ...[["-o", "bla"], ["--output="], ["-n", "x"], ["-n", "-1"], ["-nlist-users"]],
      ...[
        ["-n", ""],
        ["-n", "08"],
        ["-n", "0x"],
        ["-n", "4294967296"],
        ["-n", "5 "],
      ],
      // The last one is closest to two verbs, and nothing is close to the one before.
      ...[["activat"], ["show"], ["LIST-SEATS"], [""], ["ativate"], ["zzzzzzzzzzzzz"], ["list-"]],
      ...[["flsuh-devcies"], ["kil-sessoin"], ["ttach"], ["emable-lingr"], ["sessions"]],
      ...[
        ["-s", "BLA"],
        ["-s", "0"],
        ["-s", "RTMIN+65"],
        ["-s", ""],
        ["-s", "-1"],
        ["-s", "65"],
      ],
      ...[
        ["list-users", "x"],
        ["lock-sessions", "x"],
        ["attach", "seat0"],
        ["flush-devices", "x"],
      ],
      ...Object.entries(VERBS).flatMap(([name, { least }]) => (least > 0 ? [[name]] : [])),
    ]) {
      const { code, stdout } = await same(words);
      expect({ words, code, stdout }).toEqual({ words, code: 1, stdout: "" });
    }
  });

  test("what login1 does not know or allow is said in the same words", async () => {
    for (const words of [
      ...[
        ["show-session", "nope"],
        ["session-status", "nope"],
        ["show-seat", "nope"],
      ],
      ...[
        ["show-user", "nosuch"],
        ["show-user", "4242424"],
        ["user-status", "0"],
      ],
      ...[
        ["show-user", ""],
        ["show-user", "007"],
        ["show-user", "4294967295"],
      ],
      ...[
        ["kill-session", "nope"],
        ["terminate-seat", "nope"],
        ["activate", "nope"],
      ],
      ...[
        ["kill-session", first, "--kill-whom=foo"],
        ["kill-user", "nosuch"],
      ],
      ...[
        ["terminate-user", "0"],
        ["disable-linger", "nosuch"],
        ["lock-session", "nope"],
      ],
    ]) {
      expect((await same(words)).code).toBe(1);
    }
    // It shows what it can before it fails.
    expect((await same(["show-session", first, "--", "-x"])).stdout).toContain("Id=");
    for (const words of [
      ...[["kill-session", first], ["terminate-session", first], ["lock-sessions"]],
      ...[
        ["terminate-user", "nobody"],
        ["terminate-seat", "seat0"],
        ["activate", first],
      ],
    ]) {
      expect((await same(words, { user: 2 })).stderr).toContain("Access denied");
    }
  });

  test("another host or a container is refused in one line", async () => {
    for (const [words, mend] of [
      [["-H", "example.org"], "ssh example.org loginctl"],
      [["--machine=box"], "inside of it"],
    ] as const) {
      const done = await world.run([...ours("loginctl"), ...words]);
      expect({ code: done.code, stdout: done.stdout }).toEqual({ code: 1, stdout: "" });
      expect(done.stderr).toContain(mend);
      expect(done.stderr.split("\n")).toHaveLength(2);
    }
    await same(["-M", ".host"]);
  });

  test("an answer of another form than login1's is an error in one line", async () => {
    const standIn = await StandIn.start();
    try {
      for (const [member, words] of [
        ["ListSessionsEx", []],
        ["ListUsers", ["list-users"]],
        ["ListSeats", ["list-seats"]],
        ["GetSession", ["show-session", "1"]],
        ["GetUser", ["user-status", "nobody"]],
        ["GetSeat", ["seat-status"]],
        ["GetAll", ["show-session"]],
      ] as const) {
        for (const answer of [
          { signature: "", body: [] },
          { signature: "as", body: [["x"]] },
        ]) {
          standIn.answers.set(member, () => answer);
          const done = await standIn.run(...ours("loginctl"), ...words);
          expect(done).toMatchObject({ code: 1, stdout: "" });
          expect(done.stderr).toContain(`${member} answers '${answer.signature}' where it is '`);
          expect(done.stderr.split("\n")).toHaveLength(2);
        }
        standIn.answers.delete(member);
      }
      const wrong = { signature: "s", body: ["x"] };
      for (const member of ["ListInhibitors", "Inhibit"]) standIn.answers.set(member, () => wrong);
      for (const words of [["--list"], ["true"]]) {
        const done = await standIn.run(...ours("systemd-inhibit"), ...words);
        expect(done).toMatchObject({ code: 1, stdout: "" });
        expect(done.stderr).toContain("answers 's' where it is '");
      }
    } finally {
      await standIn.stop();
    }
  });

  test("without login1 or a bus it fails with the reason", async () => {
    const standIn = await StandIn.start();
    try {
      standIn.answers.set("ListSessions", () => new BusError("org.example.No", "not now"));
      standIn.answers.set("ListSessionsEx", () => new BusError("org.example.No", "not now"));
      const own = await standIn.run(...ours("loginctl"));
      expect(own).toEqual(await standIn.run(...theirs("loginctl")));
      expect(own).toEqual({ code: 1, stdout: "", stderr: "Failed to list sessions: not now\n" });
      await standIn.leave();
      const nobody = await standIn.run(...ours("loginctl"));
      expect(nobody).toEqual(await standIn.run(...theirs("loginctl")));
      expect(nobody.stderr).toStartWith(
        "Failed to list sessions: The name org.freedesktop.login1 ",
      );
    } finally {
      await standIn.stop();
    }
    const alone = Bun.spawnSync(ours("loginctl"), {
      env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nonexistent/bus" },
    });
    expect(alone.exitCode).toBe(1);
    expect(alone.stderr.toString()).toMatch(
      /^Failed to connect to system scope bus via local transport: .*\/nonexistent\/bus.*\n$/,
    );
  });
});

describe("options", () => {
  test("help, lists of words and the version come before all else", async () => {
    for (const words of [
      ["-s", "list"],
      ["-s", "help"],
      ["-o", "help"],
      ["-shelp", "--bogus"],
    ]) {
      expect((await same(words)).code).toBe(0);
    }
    const help = await world.run([...ours("loginctl"), "--help", "--bogus"]);
    expect(help.code).toBe(0);
    for (const name of Object.keys(VERBS)) expect(help.stdout).toContain(`  ${name}`);
    expect((await world.run([...ours("loginctl"), "help"])).stdout).toBe(help.stdout);
    const theirHelp = (await world.run([...theirs("loginctl"), "--help"])).stdout;
    for (const [option] of theirHelp.matchAll(/(?<=\s)--?[a-zA-Z][a-z-]*/g)) {
      expect(help.stdout).toContain(option);
    }
    for (const [, name = ""] of theirHelp.matchAll(/^ {2}([a-z][a-z-]+)/gm)) {
      expect(Object.keys(VERBS)).toContain(name);
    }
    expect((await world.run([...ours("loginctl"), "--version", "-x"])).stdout).toMatch(
      /^loginctl \d+\.\d+\.\d+\n$/,
    );
  });

  test("they may stand anywhere, be cut short, and be given in one word", async () => {
    for (const words of [
      ...[["--no-leg"], ["list-users", "--no-l"], ["-lan5", "list-seats"], ["-oshort"]],
      ...["0x10", "0b11", "0o7", "010", "+5", " 5", "4294967295"].map((lines) => ["-n", lines]),
      ...[
        ["show-session", first, "--prop", "Id", "--val"],
        ["show-session", "--", first],
      ],
      ...[
        ["-aP", "Id", "show-session", first],
        ["--lines=7", "--full", "list-seats"],
      ],
    ]) {
      expect((await same(words)).code).toBe(0);
    }
  });
});

describe("what a login1 may answer", () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await StandIn.start();
    for (const member of ["GetSession", "GetUser", "GetSeat"]) {
      standIn.answers.set(member, () => ({ signature: "o", body: ["/object"] }));
    }
    await standIn.connection.requestName("org.freedesktop.systemd1");
    standIn.answers.set("Get", () => ({ signature: "v", body: [new Variant("s", "/cgroup")] }));
    const processes = [
      ["/cgroup", 4711, "daemon --now"],
      ["/cgroup/a", 5, "x".repeat(200)],
    ];
    standIn.answers.set("GetUnitProcesses", () => ({ signature: "a(sus)", body: [processes] }));
  });
  afterAll(() => standIn.stop());

  /** Has every object have these properties, by name with their signature. */
  type Properties = Record<string, readonly [signature: string, value: unknown]>;
  const have = (properties: Properties) => {
    const all = Object.entries(properties).map(
      ([name, [signature, value]]) => [name, new Variant(signature, value)] as const,
    );
    const answer = { signature: "a{sv}", body: [Object.fromEntries(all)] };
    standIn.answers.set("GetAll", () => answer);
  };
  /** Runs both, and expects the same but for how long ago something was. */
  async function alike(...words: string[]) {
    const own = steady(await standIn.run(...ours("loginctl"), ...words));
    const systemds = steady(await standIn.run(...theirs("loginctl"), ...words));
    expect({ words, ...own }).toEqual({ words, ...systemds });
    return own;
  }
  const lists = async () => {
    for (const words of [[], ["--json=short"], ["--json=pretty"], ["--no-legend"]]) {
      await alike(...words);
      await alike("list-users", ...words);
      await alike("list-seats", ...words);
    }
  };

  test("a list without rows, and rows with values that are not set", async () => {
    for (const [sessions, users, seats] of [
      [[], [], []],
      [
        [
          ["1", 0, "root", "", 77, "user", "", false, 0n, "/a"],
          ["3", 3, "two\nlines", "seat0", 4, "user", "tty2\nand more", false, 0n, "/g"],
          ["10", 1, "", "seat0", 0, "", "tty1", true, 0xffffffffffffffffn, "/b"],
          ["c2", 4242, "daemon", "seat0", 123456, "greeter", "", true, 1n, "/c"],
        ],
        [
          [1000, "", "/d"],
          [0, "root", "/e"],
        ],
        [["seat0", "/f"]],
      ],
    ]) {
      const answers = {
        ListSessionsEx: { signature: "a(sussussbto)", body: [sessions] },
        ListUsers: { signature: "a(uso)", body: [users] },
        ListSeats: { signature: "a(so)", body: [seats] },
      };
      for (const [member, answer] of Object.entries(answers)) {
        standIn.answers.set(member, () => answer);
      }
      have({});
      await lists();
      have({ Linger: ["b", true], State: ["s", "closing"] });
      await lists();
      for (const name of ["UnknownObject", "Failed"]) {
        standIn.answers.set(
          "GetAll",
          () => new BusError(`org.freedesktop.DBus.Error.${name}`, "no"),
        );
        await lists();
      }
    }
  });

  test("sessions of a login1 without ListSessionsEx, by each one's properties", async () => {
    const unknown = new BusError("org.freedesktop.DBus.Error.UnknownMethod", "no such method");
    standIn.answers.set("ListSessionsEx", () => unknown);
    standIn.answers.set("ListSessions", () => ({
      signature: "a(susso)",
      body: [
        [
          ["c2", 1, "daemon", "seat0", "/a"],
          ["1", 0, "root", "", "/b"],
        ],
      ],
    }));
    have({
      ...{ Leader: ["u", 5], Class: ["s", "user"], TTY: ["s", "tty3"], IdleHint: ["b", true] },
      IdleSinceHintMonotonic: ["t", 1n],
    });
    expect((await alike()).stdout).toContain("2 sessions listed.");
    await alike("--json=short");
    have({});
    await alike();
    // The bus of an older login1 lets a user ask for no more than that has; systemd's gives up there.
    const { stdout } = await alike();
    const denied = new BusError("org.freedesktop.DBus.Error.AccessDenied", "not in the policy");
    standIn.answers.set("ListSessionsEx", () => denied);
    const listed = await standIn.run(...ours("loginctl"));
    expect(listed).toEqual({ code: 0, stdout, stderr: "" });
    standIn.answers.set("ListSessionsEx", () => unknown);
    standIn.answers.set("GetAll", () => new BusError("org.example.No", "not now"));
    expect((await alike()).stderr).toContain("session c2, ignoring: not now");
    standIn.answers.set("ListSessions", () => new BusError("org.example.No", "not now"));
    expect((await alike()).code).toBe(1);
  });

  test("status leaves out what is not set, and wraps a long line of sessions", async () => {
    const times = {
      Timestamp: ["t", 1_700_000_000_000_000n],
      TimestampMonotonic: ["t", 1n],
    } as const;
    const session = {
      ...times,
      ...{ Id: ["s", "c1"], Name: ["s", "nobody"], User: ["(uo)", [65534, "/u"]] },
      ...{ Seat: ["(so)", ["seat0", "/s"]], VTNr: ["u", 3], TTY: ["s", "tty3"] },
      ...{
        Display: ["s", ":0"],
        Remote: ["b", true],
        RemoteHost: ["s", ""],
        RemoteUser: ["s", ""],
      },
      ...{ Service: ["s", "x"], Type: ["s", "tty"], Class: ["s", "user"], Desktop: ["s", ""] },
      ...{ State: ["s", "online"], Scope: ["s", ""], Leader: ["u", 0], IdleHint: ["b", true] },
      ...{ IdleSinceHint: ["t", 1_700_000_000_000_000n], IdleSinceHintMonotonic: ["t", 2n] },
    } as unknown as Properties;
    for (const change of [
      ...[
        {},
        { TTY: ["s", ""], RemoteUser: ["s", "bob"] },
        { VTNr: ["u", 0], Scope: ["s", "x.scope"] },
      ],
      ...[{ RemoteHost: ["s", "h"], Remote: ["b", false] }, { Seat: ["(so)", ["", "/"]] }],
      ...[{ RemoteHost: ["s", "h"], RemoteUser: ["s", "bob"], Desktop: ["s", "sway"] }],
      ...[
        {
          IdleHint: ["b", false],
          Remote: ["b", false],
          Timestamp: ["t", 0n],
          TimestampMonotonic: ["t", 0n],
        },
      ],
      ...[
        { Service: ["s", ""], Type: ["s", ""], Class: ["s", ""], State: ["s", ""], TTY: ["s", ""] },
      ],
    ] as unknown as Properties[]) {
      have({ ...session, ...change });
      expect((await alike("session-status", "c1")).code).toBe(0);
    }
    have({ ...session, Scope: ["s", "x.scope"] });
    for (const member of ["GetUnitProcesses", "Get"]) {
      const answer = standIn.answers.get(member);
      standIn.answers.set(member, () => new BusError("org.example.No", "not now"));
      const { code, stderr } = await alike("session-status", "c1");
      expect({ member, code }).toEqual({ member, code: 0 });
      expect(stderr).toEndWith(": not now\n");
      if (answer) standIn.answers.set(member, answer);
    }
    const sessions = Array.from({ length: 40 }, (_, at) => [`session${at}`, "/s"]);
    const user = { ...times, Name: ["s", "nobody"], UID: ["u", 65534], State: ["s", "active"] };
    for (const change of [
      { Display: ["(so)", ["session3", "/s"]], Sessions: ["a(so)", sessions] },
      { Display: ["(so)", ["", "/"]], Sessions: ["a(so)", []], Slice: ["s", "user-1.slice"] },
      { Display: ["(so)", ["", "/"]], Sessions: ["a(so)", [["1", "/s"]]], Linger: ["b", true] },
    ]) {
      have({ ...user, ...change } as unknown as Properties);
      expect((await alike("user-status", "nobody")).code).toBe(0);
    }
    have({ ...session, Scope: ["s", "x.scope"], Desktop: ["s", "x".repeat(100)] });
    const environments = [
      ...["COLUMNS=20", "COLUMNS=40", "COLUMNS=60", "COLUMNS=60 LC_ALL=C", "LC_ALL=C.UTF-8"],
      ...[
        "SYSTEMD_COLORS=1",
        "SYSTEMD_COLORS=16",
        "SYSTEMD_COLORS=24bit",
        "SYSTEMD_COLORS=auto-256",
      ],
      ...["LC_ALL= LANG=POSIX", "LC_ALL=C SYSTEMD_UTF8=1", "SYSTEMD_UTF8=0", "LC_ALL=nosuch.UTF-8"],
    ];
    for (const environment of environments) {
      const outcomes: object[] = [];
      for (const command of [ours("loginctl"), theirs("loginctl")]) {
        const words = `env TERM=xterm SYSTEMD_COLORS=0 ${environment} ${command.join(" ")}`;
        const line = `${words} --no-pager session-status c1`;
        outcomes.push(steady(await standIn.run("script", "-qec", line, "/dev/null")));
      }
      expect({ environment, ...outcomes[0] }).toEqual({ environment, ...outcomes[1] });
    }
    have({
      ...{ Id: ["s", "seat0"], ActiveSession: ["(so)", ["session9", "/s"]] },
      Sessions: ["a(so)", sessions],
    });
    for (const columns of ["20", "60", "100", "x"]) {
      const own = await standIn.run(
        "env",
        `COLUMNS=${columns}`,
        ...ours("loginctl"),
        "seat-status",
      );
      const command = ["env", `COLUMNS=${columns}`, ...theirs("loginctl"), "seat-status"];
      expect({ columns, ...own }).toEqual({ columns, ...(await standIn.run(...command)) });
    }
  });
});

describe("verbs that change something", () => {
  let standIn: StandIn;
  beforeAll(async () => {
    standIn = await StandIn.start();
  });
  afterAll(() => standIn.stop());

  test("call the same methods with the same arguments", async () => {
    for (const words of [
      ...[["activate"], ["activate", "1"], ["lock-session"], ["lock-session", "1", "c2"]],
      ...[["unlock-session"], ["unlock-session", "1"], ["lock-sessions"], ["unlock-sessions"]],
      ...[
        ["terminate-session", "1", "2"],
        ["kill-session", "1", "2"],
      ],
      ...[
        ["kill-session", "1", "--kill-whom=leader", "-s", "HUP"],
        ["kill-session", "1", "-s9"],
      ],
      ...[["kill-session", "1", "--kill-who", "all", "--signal", "SIGRTMIN+3"]],
      ...[
        ["kill-session", "1", "-s", "RTMAX-1"],
        ["kill-session", "1", "-s", "RTMIN"],
      ],
      ...[["enable-linger"], ["enable-linger", "nobody", "1"], ["disable-linger"]],
      ...[
        ["enable-linger", ""],
        ["terminate-user", ""],
        ["kill-user", "", "daemon"],
      ],
      ...[
        ["disable-linger", "daemon"],
        ["terminate-user", "nobody", "1"],
      ],
      ...[
        ["kill-user", "nobody", "-s", "USR1"],
        ["attach", "seat1", "/sys/a", "/sys/b"],
      ],
      ...[["flush-devices"], ["terminate-seat", "seat0", "seat1"]],
      ...[
        ["--no-ask-password", "lock-sessions"],
        ["--no-ask-password", "activate", "1"],
      ],
    ]) {
      const own = await standIn.run(...ours("loginctl"), ...words);
      const called = [...standIn.calls];
      const systemds = await standIn.run(...theirs("loginctl"), ...words);
      expect({ words, ...own, called }).toEqual({ words, ...systemds, called: standIn.calls });
      expect(called.length).toBeGreaterThan(0);
    }
  });

  test("say in the same words what could not be done, and stop there", async () => {
    const failing = [
      ...["ActivateSession", "LockSession", "LockSessions", "TerminateSession", "KillSession"],
      ...["SetUserLinger", "TerminateUser", "KillUser", "AttachDevice", "FlushDevices"],
      ...["TerminateSeat", "UnlockSessions", "Lock"],
    ];
    for (const member of failing) {
      standIn.answers.set(member, () => new BusError("org.example.No", `no ${member}`));
    }
    try {
      for (const words of [
        ...[["activate", "1"], ["lock-session", "1", "2"], ["lock-sessions"], ["lock-session"]],
        ...[["unlock-sessions"], ["terminate-session", "1"], ["kill-session", "1", "2"]],
        ...[
          ["enable-linger", "1"],
          ["disable-linger", "1"],
          ["terminate-user", "1"],
        ],
        ...[["kill-user", "1"], ["attach", "a", "b"], ["flush-devices"], ["terminate-seat", "s"]],
      ]) {
        const own = await standIn.run(...ours("loginctl"), ...words);
        expect(standIn.calls).toHaveLength(1);
        const systemds = await standIn.run(...theirs("loginctl"), ...words);
        expect({ words, ...own }).toEqual({ words, ...systemds });
        expect(own.code).toBe(1);
      }
    } finally {
      for (const member of failing) standIn.answers.delete(member);
    }
  });

  test("have their effect: a signal reaches the session's leader", async () => {
    const leader = await world.leader();
    const made = await createSession(bus, { uid: DAEMON, leader: leader.pid });
    const words = ["kill-session", "--kill-whom=leader", "-s", "USR1", made.id];
    const done = await world.run([...ours("loginctl"), ...words]);
    expect(done).toEqual({ code: 0, stdout: "", stderr: "" });
    await leader.exited;
    expect(leader.signalCode).toBe("SIGUSR1");
  });
});

describe("on a terminal", () => {
  /** Runs loginctl on a pseudo-terminal, by script(1). */
  async function onTerminal(words: string[], environment: string) {
    const command = [...ours("loginctl"), ...words].join(" ");
    const done = await world.run(["script", "-qec", `${environment} ${command}`, "/dev/null"]);
    return done.stdout.replaceAll("\r\n", "\n");
  }
  const plain = "TERM=xterm SYSTEMD_COLORS=0";

  test("the pager is $SYSTEMD_PAGER, then $PAGER, and none if empty, cat or unwanted", async () => {
    const { stdout } = await same([]);
    const marked = (mark: string) => stdout.replace(/^/gm, mark).slice(0, -mark.length);
    const secure = "SYSTEMD_PAGERSECURE=0";
    const sed = (mark: string) => `"sed s/^/${mark}/"`;
    const one = `${plain} ${secure} SYSTEMD_PAGER=${sed("A:")} PAGER=${sed("B:")}`;
    expect(await onTerminal([], one)).toBe(marked("A:"));
    const two = `${plain} ${secure} -u SYSTEMD_PAGER PAGER=${sed("B:")}`;
    expect(
      await onTerminal([], `env -u SYSTEMD_PAGER ${two.replace("-u SYSTEMD_PAGER ", "")}`),
    ).toBe(marked("B:"));
    expect(await onTerminal(["--no-pager"], one)).toBe(stdout);
    for (const none of ["", "cat"]) {
      expect(await onTerminal([], `${plain} ${secure} SYSTEMD_PAGER="${none}"`)).toBe(stdout);
    }
    expect(await onTerminal([], `TERM=dumb ${secure} SYSTEMD_PAGER=${sed("A:")}`)).toBe(stdout);
  });

  test("with rights that the login does not have only less is used, and told to run nothing", async () => {
    // This process is root outside of any session: who is at the terminal is unknown.
    const less = `${world.root}/run/bin/less`;
    mkdirSync(`${world.root}/run/bin`, { recursive: true });
    writeFileSync(less, '#!/bin/sh\necho "less $LESSSECURE $LESS $LESSCHARSET"\ncat\n', {
      mode: 0o755,
    });
    const environment = `${plain} PATH=/run/bin:$PATH SYSTEMD_PAGER="sed s/^/A:/"`;
    const { stdout } = await same([]);
    expect(await onTerminal([], environment)).toBe(`less 1 FRSXMK utf-8\n${stdout}`);
  });

  test("the pager is the one that systemd's takes, with the same environment", async () => {
    const folder = `${world.root}/run/pagers`;
    mkdirSync(folder, { recursive: true });
    const show = '"[$*]" "$LESS" "$LESSCHARSET" "$LESSSECURE" "$SYSTEMD_PAGERSECURE"';
    for (const name of ["pager", "less", "more", "most"]) {
      writeFileSync(`${folder}/${name}`, `#!/bin/sh\necho ${name} ${show}\ncat\n`, { mode: 0o755 });
    }
    // Root at its own terminal, and root by the rights of somebody else's.
    const cgroup = `/user.slice/user-0.slice/session-test.scope`;
    mkdirSync(`${world.root}/sys/fs/cgroup${cgroup}`, { recursive: true });
    for (const place of [{}, { cgroup }]) {
      for (const chosen of [
        ...["", "SYSTEMD_PAGER=most", "PAGER=most", "PAGER=most SYSTEMD_PAGERSECURE=0"],
        ...["SYSTEMD_PAGER='most -x' PAGER=more SYSTEMD_PAGERSECURE=1", "SYSTEMD_PAGERSECURE=1"],
        ...["PAGER=most SYSTEMD_PAGERSECURE=x", "SYSTEMD_PAGERSECURE=0", "SYSTEMD_PAGER="],
        ...["SYSTEMD_PAGER=nosuch SYSTEMD_PAGERSECURE=1", "SYSTEMD_PAGER=cat", "LC_ALL=C"],
        ...["SYSTEMD_PAGER=nosuch SYSTEMD_PAGERSECURE=0", "SYSTEMD_LESS=X SYSTEMD_LESSCHARSET=y"],
      ]) {
        const outputs = [];
        for (const command of [ours("loginctl"), theirs("loginctl")]) {
          const environment = `${plain} PATH=/run/pagers:$PATH ${chosen}`;
          const words = `env -u SYSTEMD_PAGER -u PAGER ${environment} ${command.join(" ")} list-seats`;
          const done = await world.run(["script", "-qec", words, "/dev/null"], place);
          // systemd's ends its own lines on a terminal with one more of these.
          outputs.push(done.stdout.replaceAll("\r", ""));
        }
        expect({ place, chosen, output: outputs[0] }).toEqual({
          place,
          chosen,
          output: outputs[1],
        });
      }
    }
  });

  test("colours, JSON and the width of columns are those of systemd's", async () => {
    const environments = [
      ...["SYSTEMD_COLORS=1", "SYSTEMD_COLORS=16", "SYSTEMD_COLORS=24bit", "NO_COLOR="],
      ...["SYSTEMD_COLORS=auto-16", "COLORTERM=truecolor", "TERM=linux", "TERM=dumb", ""],
      ...["COLUMNS=40", "COLUMNS=25", "COLUMNS=10", "COLUMNS=3", "COLUMNS=30 LC_ALL=C"],
    ];
    const lines = [
      ...["--no-pager", "--no-pager -j", "--no-pager --json=short", "list-users --no-pager"],
      ...["list-seats --no-pager --json=pretty", "show-session nope", "--no-pager --no-legend"],
      "--signal=list",
    ];
    for (const environment of environments) {
      for (const line of lines) {
        const [own, systemds] = await Promise.all(
          [ours("loginctl"), theirs("loginctl")].map(async (command) => {
            const words = `env TERM=xterm LC_ALL=C.UTF-8 ${environment} ${command.join(" ")} ${line}`;
            const { stdout } = await world.run(["script", "-qec", words, "/dev/null"]);
            return stdout.replaceAll("\r", "");
          }),
        );
        expect({ environment, line, stdout: own }).toEqual({ environment, line, stdout: systemds });
      }
    }
  });

  test("what is piped away in part has no colours", async () => {
    for (const end of ["2>/dev/null", "| cat", "2>&1 | cat"]) {
      const outputs = [ours("loginctl"), theirs("loginctl")].map(async (command) => {
        const words = `env TERM=xterm SYSTEMD_COLORS= ${command.join(" ")} --no-pager -j ${end}`;
        return (await world.run(["script", "-qec", words, "/dev/null"])).stdout;
      });
      const [own, systemds] = await Promise.all(outputs);
      expect({ end, own }).toEqual({ end, own: systemds });
    }
  });

  test("lines are cut to its width without a pager, and not with -l", async () => {
    const narrow = `${plain} COLUMNS=50`;
    const words = ["--no-pager", "session-status", first];
    const cut = (await onTerminal(words, narrow)).split("\n").filter((line) => line.includes("…"));
    const command = `${narrow} loginctl ${words.join(" ")}`;
    const systemds = (await world.run(["script", "-qec", command, "/dev/null"])).stdout;
    expect(systemds.replaceAll("\r\n", "\n").split("\n")).toEqual(expect.arrayContaining(cut));
    expect(await onTerminal([...words, "-l"], narrow)).not.toContain("…");
    const list = await onTerminal(["--no-pager", "-l"], `${plain} COLUMNS=12`);
    expect(list).toContain("SESSION   UID USER ");
  });
});
