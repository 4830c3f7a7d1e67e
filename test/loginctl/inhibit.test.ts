/** systemd-inhibit beside systemd's, on a login1 of the test's own and on the bridge. */
import {
  afterAll,
  afterEach,
  beforeAll,
  describe,
  expect,
  setDefaultTimeout,
  test,
} from "bun:test";
import { readdirSync } from "node:fs";
import { BusError, type Connection } from "../../lib/dbus/index.ts";
import { close, socketPair, waitForHangUp } from "../../lib/linux/index.ts";
import { World } from "../login1/support/world.ts";
import { readUntil } from "../support/read-until.ts";
import { ours, theirs } from "./both.ts";
import { StandIn } from "./stand-in.ts";

setDefaultTimeout(60_000);

let standIn: StandIn;
/** Our ends of the inhibitors that were handed out: each hangs up when its holder lets go. */
const held: number[] = [];

beforeAll(async () => {
  standIn = await StandIn.start();
  standIn.answers.set("Inhibit", () => {
    const [mine, given] = socketPair();
    held.push(mine);
    return { signature: "h", body: [given] };
  });
});
afterEach(() => {
  for (const fd of held.splice(0)) close(fd);
});
afterAll(() => standIn?.stop());

const letGo = (fd: number | undefined) => fd !== undefined && waitForHangUp(fd, 0);
/** The bus may have a descriptor a moment longer than the command that it was for. */
const allLetGo = () => standIn.world.until("all is let go", () => held.every(letGo));

describe("the command that is run", () => {
  test("gives its exit status, and both say and ask the same", async () => {
    for (const words of [
      ...[["true"], ["sh", "-c", "exit 3"], ["sh", "-c", "exit 255"]],
      ...[["--what=sleep", "--who=me", "--why=because", "--mode=delay", "echo", "a  b", "--list"]],
      ...[["--what", "idle:handle-lid-switch", "--wh", "x", "--why", "", "true"]],
      ...[
        ["--", "echo", "--who=x"],
        ["--no-ask-password", "--json=short", "true"],
      ],
    ]) {
      const own = await standIn.run(...ours("systemd-inhibit"), ...words);
      const called = [...standIn.calls];
      const systemds = await standIn.run(...theirs("systemd-inhibit"), ...words);
      expect({ words, ...own, called }).toEqual({ words, ...systemds, called: standIn.calls });
      await allLetGo();
    }
  });

  test("that is not there is named, and is a failure", async () => {
    for (const name of [
      "/nonexistent/program",
      "no-such-program-anywhere",
      "/etc/passwd",
      "/etc",
    ]) {
      const own = await standIn.run(...ours("systemd-inhibit"), name, "x");
      const systemds = await standIn.run(...theirs("systemd-inhibit"), name, "x");
      expect({ name, ...own }).toEqual({ name, ...systemds });
      expect(own).toMatchObject({ code: 1, stderr: expect.stringContaining(name) });
      await allLetGo();
    }
  });

  test("that a signal ends is a failure", async () => {
    const words = ["sh", "-c", "kill -TERM $$"];
    const own = await standIn.run(...ours("systemd-inhibit"), ...words);
    expect(own).toEqual(await standIn.run(...theirs("systemd-inhibit"), ...words));
    expect(own.code).toBe(1);
  });

  test("has the inhibitor held as long as it runs, and not in its own hands", async () => {
    const { world } = standIn;
    const child = Bun.spawn(
      world.inside([
        ...[...ours("systemd-inhibit"), "sh", "-c"],
        "echo up; ls -l /proc/self/fd | grep -c socket; read answer; exit 7",
      ]),
      { stdin: "pipe", stdout: "pipe", stderr: "ignore" },
    );
    const said = await readUntil(child.stdout, /up\n\d/);
    // Its standard input and output are sockets or pipes of ours; nothing else came along.
    expect(Number(said.split("\n")[1])).toBeLessThanOrEqual(2);
    expect(held).toHaveLength(1);
    expect(letGo(held[0])).toBe(false);
    child.stdin.write("done\n");
    await child.stdin.end();
    expect(await child.exited).toBe(7);
    await allLetGo();
  });

  test("gets the limit of open files and the signals that the caller has, not Bun's", async () => {
    // A shell that stays, since it is by the parent that the limit is known.
    const limited = ["sh", "-c", 'ulimit -Sn 321; "$@"; exit', "sh", ...ours("systemd-inhibit")];
    const report = "ulimit -Sn; grep -E '^Sig(Ign|Blk)' /proc/self/status";
    const { stdout } = await standIn.run(...limited, "sh", "-c", report);
    expect(stdout).toMatch(/^321\n(Sig\w+:\t0+\n){2}$/);
  });

  test("ends when systemd-inhibit is ended", async () => {
    const { world } = standIn;
    const command = [...ours("systemd-inhibit"), "sh", "-c", "echo $$; exec sleep infinity"];
    const child = Bun.spawn(world.inside(command), {
      ...{ stdin: "ignore", stdout: "pipe", stderr: "ignore" },
    });
    const { value } = await child.stdout.getReader().read();
    const pid = Buffer.from(value ?? [])
      .toString()
      .trim();
    expect(pid).toMatch(/^\d+$/);
    child.kill("SIGTERM");
    await child.exited;
    expect(child.signalCode).toBe("SIGTERM");
    await allLetGo();
    await world.until("the command is gone", () => !readdirSync("/proc").includes(pid));
  });
});

describe("what is refused", () => {
  test("in the same words, with exit status 1, and nothing is run", async () => {
    const { answers } = standIn;
    const inhibit = answers.get("Inhibit");
    if (!inhibit) throw new Error("no answer to Inhibit");
    for (const error of [
      new BusError("org.freedesktop.DBus.Error.InvalidArgs", "Invalid what specification x"),
      new BusError("org.freedesktop.DBus.Error.AccessDenied", "no"),
    ]) {
      answers.set("Inhibit", () => error);
      const own = await standIn.run(...ours("systemd-inhibit"), "--what=x", "echo", "ran");
      const systemds = await standIn.run(...theirs("systemd-inhibit"), "--what=x", "echo", "ran");
      expect(own).toEqual(systemds);
      expect(own).toMatchObject({ code: 1, stdout: "" });
    }
    answers.set("Inhibit", inhibit);
    for (const words of [
      ...[["--bogus"], ["--mode"], ["-x"], ["--list=x"], ["--w=x"], ["--no"], ["--json=x"]],
    ]) {
      const own = await standIn.run(...ours("systemd-inhibit"), ...words);
      expect({ words, ...own }).toEqual({
        words,
        ...(await standIn.run(...theirs("systemd-inhibit"), ...words)),
      });
      expect(own.code).toBe(1);
    }
  });

  test("--help and --version work without a bus", async () => {
    const env = { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: "unix:path=/nonexistent/bus" };
    const help = Bun.spawnSync([...ours("systemd-inhibit"), "-h"], { env });
    expect(help.exitCode).toBe(0);
    const theirHelp = Bun.spawnSync([...theirs("systemd-inhibit"), "-h"]).stdout.toString();
    for (const [option] of theirHelp.matchAll(/(?<=\s)--[a-z-]+/g)) {
      expect(help.stdout.toString()).toContain(option);
    }
    const version = Bun.spawnSync([...ours("systemd-inhibit"), "--version"], { env });
    expect(version.stdout.toString()).toMatch(/^systemd-inhibit \d+\.\d+\.\d+\n$/);
    const list = Bun.spawnSync([...ours("systemd-inhibit")], { env });
    expect(list.exitCode).toBe(1);
    expect(list.stderr.toString()).toMatch(
      /^Failed to connect to system scope bus via local transport: .*\n$/,
    );
  });
});

test("the list has the same columns, order and legend", async () => {
  const rows: [string, string, string, string, number, number][] = [
    ["sleep", "swayidle", "so that it locks", "delay", 65534, process.pid],
    ["shutdown:sleep", "b", "z", "block", 0, 1],
    ["idle", "a", "y", "block", 0, 0x7ffffffe],
    ["idle", "a", "x", "block", 0, 1],
    ["handle-lid-switch", "ünïcode 字", "", "block", 4242, 1],
    ["sleep", "a long command line ".repeat(5), "w".repeat(200), "block", 1, 1],
    ["sleep", "x字".repeat(30), "two\nlines", "block", 1, 1],
    ["sleep", "three\nlines\nof it", "y\n", "block", 2, 1],
  ];
  for (const list of [rows, []]) {
    standIn.answers.set("ListInhibitors", () => ({ signature: "a(ssssuu)", body: [list] }));
    for (const words of [
      ...[[], ["--list"], ["--no-legend"], ["--list", "--mode=delay"], ["--no-pager", "--list"]],
      ...[["--list", "true"], ["--mode", "block", "--no-l"], ["--mode=none"]],
      ...[
        ["--what=sleep"],
        ["--what="],
        ["--what=sleep:x"],
        ["--what=sleep:"],
        ["--what=sleep:shutdown"],
        ["--list", "--who=a"],
        ["--why=x", "--who=a"],
      ],
      ...[["--json=short"], ["--json=pretty"], ["--json=off"], ["--json=short", "--who=nobody"]],
      ...[["--json=help"], ["--json", "short", "--what=idle"]],
    ]) {
      const own = await standIn.run(...ours("systemd-inhibit"), ...words);
      const systemds = await standIn.run(...theirs("systemd-inhibit"), ...words);
      expect({ words, ...own }).toEqual({ words, ...systemds });
      expect(own.code).toBe(0);
    }
  }
});

test("what strangers say of themselves cannot drive the terminal, and JSON has it as it is", async () => {
  const evil = "\x1b]0;title\x07\x1b[2Jx\u202e";
  const body = [[["sleep", evil, `${evil}\nand more`, "block", 1, 1]]];
  standIn.answers.set("ListInhibitors", () => ({ signature: "a(ssssuu)", body }));
  const { stdout } = await standIn.run(...ours("systemd-inhibit"), "--list");
  expect(stdout).not.toMatch(/[^\n\x20-\x7e]/);
  expect(stdout).toContain("\\x1b]0;title\\x07\\x1b[2Jx\\u{202e}");
  expect(stdout).toMatch(/^ +and more *$/m);
  const json = await standIn.run(...ours("systemd-inhibit"), "--list", "--json=short");
  expect(JSON.parse(json.stdout)[0].who).toBe(evil);
  const blocked = ["env", "TERM=dumb", ...ours("loginctl"), "suspend"].join(" ");
  const told = await standIn.run("script", "-qec", blocked, "/dev/null");
  expect(told.stdout).toContain('Operation inhibited by "\\x1b]0;title\\x07');
  expect(told.stdout.replaceAll("\r", "")).not.toMatch(/[^\n\x20-\x7e]/);
});

describe("with the bridge", () => {
  let world: World;
  let bus: Connection;
  /** Only a bridge that does not have inhibitors yet is passed over. */
  beforeAll(async () => {
    world = await World.create();
    bus = await world.connect();
  });
  afterAll(async () => {
    bus?.close();
    await world?.end();
  });

  test("the inhibitor is there as long as the command runs", async () => {
    const words = ["--what=sleep", "--who=test", "--why=to see", "--mode=block"];
    const list = `${theirs("systemd-inhibit")} --list --no-legend`;
    const run = [...ours("systemd-inhibit"), ...words, "sh", "-c", list];
    const during = await world.run(run);
    expect(during).toMatchObject({ code: 0, stderr: "" });
    expect(during.stdout).toMatch(/^test 0 +root \d+ +\S+ +sleep to see block *\n$/);
    await world.until("it is let go", async () => {
      const after = await world.run([...ours("systemd-inhibit"), "--list", "--no-legend"]);
      return after.stdout === "";
    });
    const wrong = [...ours("systemd-inhibit"), "--what=nonsense", "true"];
    expect(await world.run(wrong)).toEqual(
      await world.run([...theirs("systemd-inhibit"), "--what=nonsense", "true"]),
    );
  });
});
