import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createLogger } from "../../lib/cli/index.ts";
import { BusError, type Connection, Variant } from "../../lib/dbus/index.ts";
import { close, processStatus, userById } from "../../lib/linux/index.ts";
import { ACTIONS } from "../../lib/login1/permission.ts";
import { DEFAULTS } from "../../lib/login1/policy.ts";
import { Polkit } from "../../lib/login1/polkit.ts";
import { hasPolkit, startPolkitd } from "./polkitd.ts";
import { type Created, callManager, createSession, World } from "./world.ts";

// Accounts that every Debian and Arch system has.
const OWNER = 65534;
const ACTIVE = 1;
const OTHER = 2;
const RULED = 8;

const POLICY = resolve(
  import.meta.dir,
  "../../files/usr/share/polkit-1/actions/org.freedesktop.login1.policy",
);

describe("the policy file", () => {
  test("has every action that a call asks for, with the defaults that hold without polkit", () => {
    const text = readFileSync(POLICY, "utf8");
    const found = [...text.matchAll(/<action id="([^"]+)">([\s\S]*?)<\/action>/g)].map(
      ([, id, body = ""]) => {
        const word = (tag: string) =>
          new RegExp(`<${tag}>(.*)</${tag}>`).exec(body)?.[1]?.replace("auth_admin_keep", "auth");
        return [id, [word("allow_any"), word("allow_inactive"), word("allow_active")]];
      },
    );
    expect(Object.fromEntries(found)).toEqual(DEFAULTS);
    expect(Object.keys(DEFAULTS).sort()).toEqual(Object.values(ACTIONS).sort());
  });
});

interface People {
  world: World;
  bus: Connection;
  owned: Created;
}

/** How a call went: "yes", or the end of the error's name that the message stands for. */
type Result = "yes" | "denied" | "password";

async function call(
  { world }: People,
  path: string,
  member: string,
  words: string[],
  options: { user?: number; cgroup?: string },
): Promise<Result> {
  const kind = path.includes("/session/")
    ? "Session"
    : path.includes("/seat/")
      ? "Seat"
      : "Manager";
  const { code, stderr } = await world.run(
    [
      ...["busctl", "--allow-interactive-authorization=no", "call"],
      ...["org.freedesktop.login1", path, `org.freedesktop.login1.${kind}`, member, ...words],
    ],
    options,
  );
  if (code === 0) return "yes";
  if (stderr.includes("Interactive authentication")) return "password";
  if (stderr.includes("Access denied")) return "denied";
  throw new Error(`${member}: ${stderr}`);
}

const MANAGER = "/org/freedesktop/login1";

/** Who may: root, the owner, the user in the foreground, one in the background, one without a session. */
type Row = [Result, Result, Result, Result, Result];

/**
 * What each call answers to each of them. `password` where polkit could ask for
 * one, which without polkit is `denied`. The signal is SIGCONT, of which nobody dies.
 */
const CALLS: [string, (people: People) => [string, string, ...string[]], Row][] = [
  [
    "LockSession",
    ({ owned }) => [MANAGER, "LockSession", "s", owned.id],
    ["yes", "yes", "password", "password", "password"],
  ],
  [
    "UnlockSession",
    ({ owned }) => [MANAGER, "UnlockSession", "s", owned.id],
    ["yes", "yes", "password", "password", "password"],
  ],
  [
    "LockSessions",
    () => [MANAGER, "LockSessions"],
    ["yes", "password", "password", "password", "password"],
  ],
  [
    "KillSession",
    ({ owned }) => [MANAGER, "KillSession", "ssi", owned.id, "leader", "18"],
    ["yes", "yes", "password", "password", "password"],
  ],
  [
    "KillUser",
    () => [MANAGER, "KillUser", "ui", String(OWNER), "18"],
    ["yes", "yes", "password", "password", "password"],
  ],
  [
    "TerminateSeat",
    () => [MANAGER, "TerminateSeat", "s", "seat0"],
    ["yes", "password", "password", "password", "password"],
  ],
  [
    "ActivateSession",
    ({ owned }) => [MANAGER, "ActivateSession", "s", owned.id],
    ["yes", "password", "yes", "yes", "password"],
  ],
  [
    "Session.Activate",
    ({ owned }) => [owned.path, "Activate"],
    ["yes", "password", "yes", "yes", "password"],
  ],
  [
    "Seat.ActivateSession",
    ({ owned }) => ["/org/freedesktop/login1/seat/seat0", "ActivateSession", "s", owned.id],
    ["yes", "password", "yes", "yes", "password"],
  ],
  [
    "Session.SetLockedHint",
    ({ owned }) => [owned.path, "SetLockedHint", "b", "true"],
    ["yes", "yes", "denied", "denied", "denied"],
  ],
  [
    "ReleaseSession",
    () => [MANAGER, "ReleaseSession", "s", "nobody"],
    ["yes", "denied", "denied", "denied", "denied"],
  ],
];

/** Makes three sessions on seat0, the last of them in the foreground, and calls everything. */
async function checkAll(world: World, bus: Connection, withPolkit: boolean): Promise<void> {
  const make = async (uid: number) =>
    createSession(bus, { uid, leader: (await world.leader()).pid, seat: "seat0" });
  const owned = await make(OWNER);
  const background = await make(OTHER);
  const foreground = await make(ACTIVE);
  const people: People = { world, bus, owned };
  const scope = (uid: number, { id }: Created) =>
    `/user.slice/user-${uid}.slice/session-${id}.scope`;
  // The owner calls from outside, as a cron job would: it is not the session that counts for it.
  const callers: { user?: number; cgroup?: string }[] = [
    {},
    { user: OWNER },
    { user: ACTIVE, cgroup: scope(ACTIVE, foreground) },
    { user: OTHER, cgroup: scope(OTHER, background) },
    { user: OTHER },
  ];
  for (const [name, toCall, expected] of CALLS) {
    const [path, member, ...words] = toCall(people);
    for (const [index, caller] of callers.entries()) {
      // Root ends or hides what the others are asked about, and has its own test.
      if (index === 0) continue;
      const result = await call(people, path, member, words, caller);
      const wanted = expected[index];
      const plain = wanted === "password" && !withPolkit ? "denied" : wanted;
      expect({ name, index, result }).toEqual({ name, index, result: plain as Result });
      if (result === "yes" && member.startsWith("Activate")) {
        await callManager(bus, "ActivateSession", "s", [foreground.id]);
      }
    }
  }
  for (const [name, toCall] of CALLS) {
    const [path, member, ...words] = toCall(people);
    if (name === "TerminateSeat" || name === "ReleaseSession") continue;
    expect({ name, root: await call(people, path, member, words, {}) }).toEqual({
      name,
      root: "yes",
    });
  }
  for (const { fd } of [owned, background, foreground]) close(fd);
}

describe("without polkit", () => {
  let world: World;
  let bus: Connection;
  beforeAll(async () => {
    world = await World.create();
    bus = await world.connect();
  });
  afterAll(async () => {
    bus.close();
    await world.end();
  });
  afterEach(() => world.reset(bus));

  test("root, the owner and whom logind's defaults let may; nobody else", async () => {
    expect(await hasPolkit(bus)).toBe(false);
    await checkAll(world, bus, false);
  });
});

describe("with polkit", () => {
  let world: World;
  let bus: Connection;
  let polkitd: Bun.Subprocess;
  const NAME = userById(RULED)?.name;
  const rule = (when: string, result: string) =>
    `polkit.addRule(function(action, subject) { if (${when}) return polkit.Result.${result}; });\n`;
  const RULES =
    rule(
      `action.id == "org.freedesktop.login1.lock-sessions" && subject.user == "${NAME}"`,
      "YES",
    ) + rule(`action.id == "org.freedesktop.login1.chvt" && subject.user == "${NAME}"`, "NO");

  beforeAll(async () => {
    world = await World.create();
    bus = await world.connect();
    polkitd = await startPolkitd(world, bus, RULES);
  });
  afterAll(async () => {
    bus.close();
    await world.end();
  });
  afterEach(() => world.reset(bus));

  test("the shipped policy gives what the defaults give, and a password elsewhere", async () => {
    await checkAll(world, bus, true);
  });

  test("a rule of the administrator's gives and takes", async () => {
    const leader = await world.leader();
    const owned = await createSession(bus, { uid: OWNER, leader: leader.pid, seat: "seat0" });
    const own = await createSession(bus, {
      uid: RULED,
      leader: (await world.leader()).pid,
      seat: "seat0",
    });
    const caller = {
      user: RULED,
      cgroup: `/user.slice/user-${RULED}.slice/session-${own.id}.scope`,
    };
    const people: People = { world, bus, owned };
    expect(await call(people, MANAGER, "LockSession", ["s", owned.id], caller)).toBe("yes");
    expect(await call(people, MANAGER, "ActivateSession", ["s", owned.id], caller)).toBe("denied");
    for (const { fd } of [owned, own]) close(fd);
  });

  test("a caller who says so is asked for a password, and nobody else is", async () => {
    const owned = await createSession(bus, { uid: OWNER, leader: (await world.leader()).pid });
    const own = await createSession(bus, {
      uid: ACTIVE,
      leader: (await world.leader()).pid,
      seat: "seat0",
    });
    const agent = await world.connect();
    const asked: unknown[] = [];
    let answers = true;
    const refusal = new BusError("org.freedesktop.PolicyKit1.Error.Cancelled", "no");
    agent.onCall((request) => {
      if (request.member === "CancelAuthentication") asked.push("taken back");
      else asked.push(request.body[0]);
      if (answers) agent.fail(request, refusal);
    });
    /** Calls as the user in the foreground, whose password prompt the agent is. */
    const start = async (interactive: string, ...member: string[]) => {
      const words = [
        ...["busctl", `--allow-interactive-authorization=${interactive}`, "call"],
        ...["org.freedesktop.login1", MANAGER, "org.freedesktop.login1.Manager", ...member],
      ];
      const wait = ["sh", "-c", 'echo up; read -r _; exec "$@"', "sh", ...words];
      const cgroup = `/user.slice/user-${ACTIVE}.slice/session-${own.id}.scope`;
      const child = Bun.spawn(world.inside(wait, { user: ACTIVE, cgroup }), {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
      });
      await child.stdout.getReader().read();
      const subject = {
        pid: new Variant("u", child.pid),
        "start-time": new Variant("t", processStatus(child.pid)?.startTime),
        uid: new Variant("i", ACTIVE),
      };
      await agent.call({
        destination: "org.freedesktop.PolicyKit1",
        path: "/org/freedesktop/PolicyKit1/Authority",
        interface: "org.freedesktop.PolicyKit1.Authority",
        member: "RegisterAuthenticationAgent",
        signature: "(sa{sv})ss",
        body: [["unix-process", subject], "C", "/agent"],
      });
      child.stdin.write("go\n");
      child.stdin.end();
      return child;
    };
    const errors = async (...words: [string, ...string[]]) =>
      new Response((await start(...words)).stderr).text();
    const lock = ["LockSession", "s", owned.id];
    expect(await errors("no", ...lock)).toContain("Interactive authentication is required to lock");
    expect(asked).toEqual([]);
    expect(await errors("yes", ...lock)).toContain("Access denied");
    expect(asked.splice(0)).toEqual([ACTIONS.lock]);
    // Some methods have an argument of their own for it, from before there was the flag.
    const linger = ["SetUserLinger", "ubb", String(OWNER), "true"];
    expect(await errors("no", ...linger, "false")).toContain("Interactive authentication");
    expect(asked).toEqual([]);
    expect(await errors("no", ...linger, "true")).toContain("Access denied");
    expect(asked.splice(0)).toEqual([ACTIONS.setUserLinger]);
    // Nobody is left to type a password for a caller who has gone.
    answers = false;
    const leaves = await start("yes", ...lock);
    await world.until("the prompt", () => asked.length === 1);
    leaves.kill("SIGKILL");
    await leaves.exited;
    await world.until("the prompt is taken back", () => asked.at(-1) === "taken back");
    agent.close();
    for (const { fd } of [owned, own]) close(fd);
  });

  test("one that does not answer in time denies, and the next call is answered again", async () => {
    const log = createLogger("test");
    const patience = { alone: 50, withPerson: 50 };
    const polkit = new Polkit(bus, log, patience);
    const subject = bus.uniqueName;
    expect(await new Polkit(bus, log).check(subject, ACTIONS.manage, false)).toBe("yes");
    polkitd.kill("SIGSTOP");
    try {
      expect(await polkit.check(subject, ACTIONS.manage, false)).toBe("late");
    } finally {
      polkitd.kill("SIGCONT");
    }
    expect(await new Polkit(bus, log).check(subject, ACTIONS.manage, false)).toBe("yes");
  });

  test("what it answers with an error is a denial", async () => {
    const polkit = new Polkit(bus, createLogger("test"));
    expect(await polkit.check(":1.99999", ACTIONS.manage, false)).not.toBe("yes");
    expect(await polkit.check(bus.uniqueName, "org.example.none", false)).toBe("failed");
  });
});
