import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, identityOfPid } from "../../../lib/linux/index.ts";
import { escapeC, unescapeC } from "../../../lib/login1/vocabulary/c-escape.ts";
import { callManager, createSession, getProperty, MANAGER } from "../support/client.ts";
import { errorOf } from "../support/power-world.ts";
import { scopeOf, World } from "../support/world.ts";

const USER = 65534;
const SENDER = "org.freedesktop.login1";

let world: World;
let bus: Connection;
const changes: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const match = {
    sender: SENDER,
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
    path: "/org/freedesktop/login1",
  };
  await bus.onSignal(match, ([, values]) => {
    for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
      if (key.includes("Inhibit")) changes.push(`${key}=${value}`);
    }
  });
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  changes.length = 0;
});
afterEach(async () => {
  await gone();
  await world.reset(bus);
});

type Listed = [string, string, string, string, number, number];
const list = async () => (await callManager(bus, "ListInhibitors"))[0] as Listed[];
const gone = () => world.until("no inhibitor is left", async () => (await list()).length === 0);
const inhibit = async (what: string, mode: string, who = "test", why = "reason") =>
  (await callManager(bus, "Inhibit", "ssss", [what, who, why, mode]))[0] as number;
const folder = () => join(world.root, "run/systemd/inhibit");

const property = (name: string) => getProperty(bus, MANAGER, "Manager", name);

describe("an inhibitor", () => {
  test("is listed, told of, and in its file while its descriptor is open", async () => {
    const fd = await inhibit("sleep:shutdown:sleep", "delay", 'a "b" é\n', "$why");
    expect(await list()).toEqual([
      ["shutdown:sleep", 'a "b" é\n', "$why", "delay", 0, process.pid],
    ]);
    expect(await property("DelayInhibited")).toBe("shutdown:sleep");
    expect(await property("BlockInhibited")).toBe("");
    expect(await property("NCurrentInhibitors")).toBe(1n);
    await world.until("the news", () => changes.length === 2);
    expect(changes.splice(0)).toEqual(["DelayInhibited=shutdown:sleep", "NCurrentInhibitors=1"]);
    const [id] = readdirSync(folder()).filter((name) => !name.includes("."));
    const file = readFileSync(join(folder(), id ?? ""), "utf8");
    const inode = identityOfPid(process.pid, 0)?.pidfdId ?? 0n;
    expect(file).toBe(
      [
        "# This is private data. Do not parse.",
        "WHAT=shutdown:sleep",
        "MODE=delay",
        "UID=0",
        `PID=${process.pid}`,
        // As systemd 262's has it, where the kernel gives pidfds inodes of their own.
        ...(inode > 0n ? [`PIDFDID=${inode}`] : []),
        String.raw`WHO="a \\\"b\\\" \\303\\251\\n"`,
        String.raw`WHY="\$why"`,
        `FIFO=/run/systemd/inhibit/${id}.ref`,
        "",
      ].join("\n"),
    );
    close(fd);
    await gone();
    await world.until("the news", () => changes.length === 2);
    expect(changes).toEqual(["DelayInhibited=", "NCurrentInhibitors=0"]);
    expect(readdirSync(folder())).toEqual([]);
  });

  test("of each mode is in a property of its own", async () => {
    const fds = [
      await inhibit("idle", "block"),
      await inhibit("handle-reboot-key:handle-lid-switch", "block"),
      await inhibit("sleep", "block-weak"),
    ];
    expect(await property("BlockInhibited")).toBe("idle:handle-lid-switch:handle-reboot-key");
    expect(await property("BlockWeakInhibited")).toBe("sleep");
    expect(await property("DelayInhibited")).toBe("");
    for (const fd of fds) close(fd);
  });

  test("outlives the bridge, unless its holder does not", async () => {
    const kept = await inhibit("sleep", "block", "kept");
    const dropped = await inhibit("sleep", "block", "dropped");
    await world.endBridge("SIGKILL");
    close(dropped);
    await world.startBridge();
    // From the first answer on.
    expect(await list()).toEqual([["sleep", "kept", "reason", "block", 0, process.pid]]);
    const next = await inhibit("idle", "block", "next");
    expect((await list()).map(([, who]) => who)).toEqual(["kept", "next"]);
    close(next);
    close(kept);
    await gone();
    expect(readdirSync(folder())).toEqual([]);
  });

  test("stays while its holder writes, which fills the fifo and is not read", async () => {
    const fd = await inhibit("idle", "block");
    const write = () => writeSync(fd, Buffer.alloc(4096));
    let refusal: unknown;
    for (let writes = 0; writes < 1000 && refusal === undefined; writes++) {
      try {
        write();
      } catch (error) {
        refusal = error;
      }
      // The bridge had its turn.
      if (writes % 8 === 0) expect((await list()).length).toBe(1);
    }
    expect(refusal).toMatchObject({ code: "EAGAIN" });
    expect((await list()).length).toBe(1);
    close(fd);
  });

  test("whose file makes no sense is named in the log and passed over", async () => {
    await world.endBridge("SIGTERM");
    await world.run(["sh", "-c", "echo WHAT=nonsense > /run/systemd/inhibit/77"]);
    await world.startBridge();
    expect(world.log).toContain("/run/systemd/inhibit/77 is not used");
    expect(existsSync(join(folder(), "77"))).toBe(false);
    expect(await list()).toEqual([]);
  });

  test("is refused where logind refuses it", async () => {
    expect(await errorOf(inhibit("", "block"))).toBe("InvalidArgs");
    expect(await errorOf(inhibit("sleep:nap", "block"))).toBe("InvalidArgs");
    expect(await errorOf(inhibit("sleep", "often"))).toBe("InvalidArgs");
    expect(await errorOf(inhibit("sleep:idle", "delay"))).toBe("InvalidArgs");
    expect(await errorOf(inhibit("handle-power-key", "delay"))).toBe("InvalidArgs");
    expect(await list()).toEqual([]);
  });
});

test("systemd-inhibit holds one while its command runs, and lists it", async () => {
  const { code, stdout, stderr } = await world.run([
    ...["systemd-inhibit", "--what=shutdown:sleep", "--mode=delay", "--who=me", "--why=a reason"],
    ...["systemd-inhibit", "--list", "--no-pager", "--no-legend"],
  ]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toMatch(/^me +0 +root +\d+ +systemd-inhibit +shutdown:sleep +a reason +delay/);
});

describe("who may", () => {
  const ask = (what: string, mode: string, cgroup = "") =>
    world.run(["systemd-inhibit", `--what=${what}`, `--mode=${mode}`, "true"], {
      user: USER,
      cgroup,
    });

  test("anybody may delay and keep from being idle, but not block", async () => {
    expect((await ask("shutdown:sleep", "delay")).code).toBe(0);
    expect((await ask("idle", "block")).code).toBe(0);
    for (const what of ["shutdown", "sleep", "idle:sleep", "handle-power-key"]) {
      const { code, stderr } = await ask(what, "block");
      expect(code).not.toBe(0);
      expect(stderr).toMatch(/only root may inhibit|access denied/i);
    }
  });

  test("a user in a session on a seat may block", async () => {
    const leader = await world.leader();
    const made = await createSession(bus, { uid: USER, leader: leader.pid, seat: "seat0" });
    const scope = scopeOf(USER, made.id);
    for (const what of ["shutdown", "sleep", "handle-power-key:handle-lid-switch"]) {
      expect((await ask(what, "block", scope)).stderr).toBe("");
    }
    close(made.fd);
  });
});

test("there are no more of them than InhibitorsMax says, and they all go", async () => {
  expect(await property("InhibitDelayMaxUSec")).toBe(5_000_000n);
  expect(await property("InhibitorsMax")).toBe(8192n);
  const fds: number[] = [];
  for (let batch = 0; batch < 64; batch++) {
    fds.push(...(await Promise.all(Array.from({ length: 128 }, () => inhibit("idle", "block")))));
  }
  expect(await errorOf(inhibit("idle", "block"))).toBe("LimitsExceeded");
  expect(await property("NCurrentInhibitors")).toBe(8192n);
  for (const fd of fds) close(fd);
  await gone();
  expect(readdirSync(folder())).toEqual([]);
}, 60_000);

test("text is escaped as C has it, and back", () => {
  for (const text of ["", "plain", "a\"b'c\\d", "tab\tbell\u0007", "äöü €𝄞", "\\101"]) {
    expect(escapeC(text)).toMatch(/^[ -~]*$/);
    expect(unescapeC(escapeC(text))).toBe(text);
  }
  expect(escapeC("é\n'")).toBe(String.raw`\303\251\n\'`);
});
