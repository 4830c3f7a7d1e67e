import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createLogger } from "../../../lib/cli/index.ts";
import { BusError, type Connection, type Request, Variant } from "../../../lib/dbus/index.ts";
import { close, processStatus, userById } from "../../../lib/linux/index.ts";
import { ACTIONS } from "../../../lib/login1/permission/actions.ts";
import { DEFAULTS } from "../../../lib/login1/permission/default-policy.ts";
import { Polkit } from "../../../lib/login1/permission/polkit.ts";
import { readContract } from "../../../testbed/members/contract.ts";
import {
  ACTIVE,
  CALLS,
  call,
  ELSEWHERE,
  MANAGER,
  OTHER,
  OWNER,
  type People,
  type Result,
  RULED,
  SEATED,
  spares,
} from "../support/calls.ts";
import { callManager, createSession } from "../support/client.ts";
import { hasPolkit, startPolkitd } from "../support/polkitd.ts";
import { addCommands } from "../support/power-world.ts";
import { buildCreateSession, compile } from "../support/probe.ts";
import { scopeOf, World } from "../support/world.ts";

const POLICY = resolve(
  import.meta.dir,
  "../../../files/usr/share/polkit-1/actions/org.freedesktop.login1.policy",
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

test("every method that changes something is asked for by everybody", async () => {
  const changing = (await readContract())
    .filter(({ kind, name }) => kind === "method" && !/^(Get|List|Can(?!cel))/.test(name))
    .map((member) => `${member.interface}.${member.name}`)
    .filter((name) => !ELSEWHERE.some(({ methods }) => methods.test(name)));
  expect(Object.keys(CALLS).filter((name) => !name.includes(" "))).toEqual(
    expect.arrayContaining(changing),
  );
});

/** Makes three sessions on seat0, the last of them in the foreground, and calls everything. */
async function checkAll(world: World, bus: Connection, withPolkit: boolean): Promise<void> {
  const make = async (uid: number) =>
    createSession(bus, { uid, leader: (await world.leader()).pid, seat: "seat0" });
  const owned = await make(OWNER);
  const background = await make(OTHER);
  const foreground = await make(ACTIVE);
  const people: People = { world, bus, owned };
  for (const [
    name,
    { words, results, alone = results, owner = OWNER, passes, rootElsewhere },
  ] of Object.entries(CALLS)) {
    // The owner calls from outside, as a cron job would: it is not the session that counts for it.
    const callers: { user?: number; cgroup?: string }[] = [
      {},
      { user: owner },
      { user: ACTIVE, cgroup: scopeOf(ACTIVE, foreground.id) },
      { user: OTHER, cgroup: scopeOf(OTHER, background.id) },
      { user: OTHER },
    ];
    const check = async (index: number) => {
      const [path, member, ...rest] = await words(people);
      const caller = callers[index] ?? {};
      const result = await call(people, path, member, rest, caller, passes);
      expect({ name, index, result }).toEqual({ name, index, result: wanted(index) });
    };
    const wanted = (index: number): Result => {
      const result = (withPolkit ? results : alone)[index] ?? "denied";
      return result === "password" && !withPolkit ? "denied" : result;
    };
    const asked = [...callers.keys()].filter((index) => index !== 0 || !rootElsewhere);
    // Those that are refused change nothing, for each other either.
    await Promise.all(asked.filter((index) => wanted(index) !== "yes").map(check));
    for (const index of asked.filter((one) => wanted(one) === "yes")) {
      await check(index);
      // All else as it was, for the next caller.
      if (results === SEATED) await callManager(bus, "ActivateSession", "s", [foreground.id]);
      if (name.includes("Shutdown")) await callManager(bus, "CancelScheduledShutdown");
      if (name.includes("Wall")) await callManager(bus, "SetWallMessage", "sb", ["", true]);
    }
  }
  for (const { fd } of [owned, background, foreground]) close(fd);
  for (const fd of spares.splice(0)) close(fd);
}

describe("without polkit", () => {
  let world: World;
  let bus: Connection;
  beforeAll(async () => {
    world = await World.create();
    await addCommands(world);
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
  }, 300_000);

  test("a session by pidfd is root's to make, and nobody else's", async () => {
    const folder = mkdtempSync(join(tmpdir(), "p7-create-"));
    try {
      chmodSync(folder, 0o755);
      const program = await buildCreateSession(folder);
      const denied = await world.run([program], { user: OWNER });
      expect(denied.stdout).toBe("org.freedesktop.DBus.Error.AccessDenied\n");
      expect(await callManager(bus, "ListSessions")).toEqual([[]]);
      // The session goes with the program.
      expect((await world.run([program])).stdout).toBe("none\n");
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

const LOGIN1 = ["org.freedesktop.login1", MANAGER];

/** Makes the one who calls it the password prompt of a process. */
function registerAgent(pid: number, uid: number): Request {
  const subject = {
    pid: new Variant("u", pid),
    "start-time": new Variant("t", processStatus(pid)?.startTime),
    uid: new Variant("i", uid),
  };
  return {
    destination: "org.freedesktop.PolicyKit1",
    path: "/org/freedesktop/PolicyKit1/Authority",
    interface: "org.freedesktop.PolicyKit1.Authority",
    member: "RegisterAuthenticationAgent",
    signature: "(sa{sv})ss",
    body: [["unix-process", subject], "C", "/agent"],
  };
}

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
    await addCommands(world);
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
  }, 300_000);

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
      cgroup: scopeOf(RULED, own.id),
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
      const cgroup = scopeOf(ACTIVE, own.id);
      const child = Bun.spawn(world.inside(wait, { user: ACTIVE, cgroup }), {
        stdin: "pipe",
        stdout: "pipe",
        stderr: "pipe",
      });
      await child.stdout.getReader().read();
      await agent.call(registerAgent(child.pid, ACTIVE));
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

  test("one user's silent prompts are few, and keep nobody else from being answered", async () => {
    const folder = mkdtempSync(join(tmpdir(), "p7-questions-"));
    const program = await compile(
      join(import.meta.dir, "../support/questions.c"),
      "-lsystemd",
      folder,
    );
    const owned = await createSession(bus, { uid: OWNER, leader: (await world.leader()).pid });
    const seated = await createSession(bus, {
      uid: ACTIVE,
      leader: (await world.leader()).pid,
      seat: "seat0",
    });
    const agent = await world.connect();
    let prompts = 0;
    agent.onCall(({ member }) => {
      if (member === "BeginAuthentication") prompts++;
    });
    const child = Bun.spawn(world.inside([program, "140", owned.id], { user: OTHER }), {
      stdin: "pipe",
      stdout: "pipe",
      stderr: "inherit",
    });
    const answers: string[] = [];
    const reading = (async () => {
      for await (const chunk of child.stdout) {
        answers.push(...Buffer.from(chunk).toString().trim().split("\n"));
      }
    })();
    try {
      await world.until("it is there", () => answers.includes("up"));
      await agent.call(registerAgent(child.pid, OTHER));
      child.stdin.write("go\n");
      child.stdin.flush();
      const cgroup = scopeOf(ACTIVE, seated.id);
      const asks = () =>
        world.run(["busctl", "call", ...LOGIN1, "org.freedesktop.login1.Manager", "CanPowerOff"], {
          user: ACTIVE,
          cgroup,
        });
      await world.until("all of them have come", () => answers.length + prompts >= 140);
      expect(await asks()).toMatchObject({ stdout: 's "yes"\n' });
      const refused = answers.filter((line) => line.endsWith(".LimitsExceeded")).length;
      expect({ prompts, refused }).toEqual({ prompts: 16, refused: 140 - 16 });
      // It may still ask what nobody is prompted for, and once the others are gone, again.
      const alone = await world.run(
        ["busctl", "call", ...LOGIN1, "org.freedesktop.login1.Manager", "CanPowerOff"],
        { user: OTHER },
      );
      expect(alone).toMatchObject({ stdout: 's "challenge"\n' });
      child.stdin.end();
      await child.exited;
      await reading;
      const people: People = { world, bus, owned };
      await world.until("its questions are taken back", async () => {
        const again = await call(people, MANAGER, "LockSession", ["s", owned.id], { user: OTHER });
        return again === "password";
      });
    } finally {
      child.kill("SIGKILL");
      agent.close();
      for (const { fd } of [owned, seated]) close(fd);
      rmSync(folder, { recursive: true });
    }
  });

  test("one that does not answer in time denies, and the next call is answered again", async () => {
    const log = createLogger("test");
    const patience = { alone: 50, withPerson: 50 };
    const polkit = new Polkit(bus, log, patience);
    const subject = bus.uniqueName;
    expect(await new Polkit(bus, log).check(subject, 0, ACTIONS.manage, false)).toBe("yes");
    polkitd.kill("SIGSTOP");
    try {
      expect(await polkit.check(subject, 0, ACTIONS.manage, false)).toBe("late");
    } finally {
      polkitd.kill("SIGCONT");
    }
    expect(await new Polkit(bus, log).check(subject, 0, ACTIONS.manage, false)).toBe("yes");
  });

  test("what it answers with an error is a denial", async () => {
    const polkit = new Polkit(bus, createLogger("test"));
    expect(await polkit.check(":1.99999", 0, ACTIONS.manage, false)).not.toBe("yes");
    expect(await polkit.check(bus.uniqueName, 0, "org.example.none", false)).toBe("failed");
  });
});
