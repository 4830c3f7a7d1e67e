/**
 * io.systemd.Login beside systemd-logind's, asked by systemd's own varlinkctl: the same definition, the
 * same replies and errors. What TEST-35-LOGIN of systemd asks by varlink is among the calls.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { LogindWorld } from "../support/logind.ts";
import { scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const BOB = 1;
const SOCKET = "/run/systemd/io.systemd.Login";
const NAMES = { alice: ALICE, bob: BOB };

type Who = keyof typeof NAMES;

/** A login1 with a session of Alice's on a terminal and a remote one of Bob's. */
interface Side {
  world: World;
  /** By the user's name. */
  session: Record<Who, string>;
  leader: Record<Who, number>;
}

let logind: LogindWorld;
let ourWorld: World;
let ours: Side;
let theirs: Side;
const children: Bun.Subprocess[] = [];

beforeAll(async () => {
  [logind, ourWorld] = await Promise.all([LogindWorld.create(), World.create({ ownPids: true })]);
  [ours, theirs] = await Promise.all([fill(ourWorld), fill(logind.world)]);
});
afterAll(async () => {
  await Promise.all([logind.end(), ourWorld.end()]);
  await Promise.all(children.map((child) => child.exited));
});

/** A process of the world that goes on, and the first line that it prints. */
async function start(world: World, script: string, options: { cgroup?: string } = {}) {
  const child = Bun.spawn(world.inside(["sh", "-c", script], options), {
    ...{ stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  });
  children.push(child);
  const { value } = await child.stdout.getReader().read();
  return Buffer.from(value ?? [])
    .toString()
    .trim();
}

async function fill(world: World): Promise<Side> {
  const side: Side = { world, session: { alice: "", bob: "" }, leader: { alice: 0, bob: 0 } };
  const facts = {
    alice: { Type: "tty", Class: "user", Service: "login", TTY: "pts/3", Desktop: "sway" },
    bob: {
      ...{ Type: "wayland", Class: "user_early", RemoteHost: "example.org", RemoteUser: "bob" },
      ...{ Display: ":7", ExtraDeviceAccess: ["render"] },
    },
  };
  for (const who of ["alice", "bob"] as const) {
    const pid = Number(await start(world, "echo $$; exec sleep infinity"));
    const given = JSON.stringify({ UID: NAMES[who], PID: { pid }, ...facts[who] });
    const words = ["varlinkctl", "call", "-j", SOCKET, "io.systemd.Login.CreateSession", given];
    const made = await world.run(words);
    if (made.code !== 0) throw new Error(made.stderr);
    side.session[who] = JSON.parse(made.stdout).Id;
    side.leader[who] = pid;
  }
  return side;
}

/** Words in which NAME.session and NAME.leader stand for what those are on this side. */
const forSide = (text: string, { session, leader }: Side) =>
  text
    .replaceAll(/(alice|bob)\.session/g, (_, who: Who) => session[who])
    .replaceAll(/"(alice|bob)\.leader"/g, (_, who: Who) => String(leader[who]));

/** A reply without what differs from one side to the other: ids, pids, inodes and times. */
function steady(value: unknown, side: Side, key = ""): unknown {
  if (Array.isArray(value)) {
    const items = value.map((item) => steady(item, side, key));
    return items.toSorted((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
  }
  if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value).map(([name, item]) => [name, steady(item, side, name)]);
    return Object.fromEntries(entries);
  }
  if (["realtime", "monotonic", "pidfdId", "pid"].includes(key)) return Number(value) > 0;
  if (typeof value !== "string") return value;
  for (const who of ["alice", "bob"] as const) {
    if (value === side.session[who]) return `${who}'s`;
    if (value === `session-${side.session[who]}.scope`) return `${who}'s scope`;
  }
  return key === "Id" && /^\d+$/.test(value) ? "a number" : value;
}

/** The replies in varlinkctl's output, in an order of their own. */
function replies(stdout: string, side: Side): unknown {
  const all = stdout
    .replaceAll("\x1e", "")
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
  // Nobody manages services of a user here.
  for (const reply of all) if (reply.context?.Name !== undefined) delete reply.context.Service;
  return steady(all, side);
}

interface Call {
  method: string;
  given: unknown;
  more?: boolean;
  /** In whose session's cgroup the caller is. */
  inside?: Who;
  user?: number;
}

async function call(side: Side, { method, given, more, inside, user }: Call) {
  const words = ["varlinkctl", "call", "-j", ...(more ? ["--more"] : []), SOCKET];
  const cgroup = inside && scopeOf(NAMES[inside], side.session[inside]);
  const done = await side.world.run(
    [...words, `io.systemd.Login.${method}`, forSide(JSON.stringify(given), side)],
    { ...(user !== undefined && { user }), ...(cgroup && { cgroup }) },
  );
  return { code: done.code, replies: replies(done.stdout, side), stderr: done.stderr };
}

/** Expects the same of both sides, and returns it. */
async function same(asked: Call) {
  const [own, systemds] = await Promise.all([call(ours, asked), call(theirs, asked)]);
  expect({ asked, ...own }).toEqual({ asked, ...systemds });
  return own;
}

/** A definition without its comments and spaces. */
const bare = (definition: string) => definition.replaceAll(/#.*/g, "").replaceAll(/\s/g, "");

test("the definition is the same but for its comments", async () => {
  const definition = async ({ world }: Side) => {
    const { stdout } = await world.run(["varlinkctl", "introspect", SOCKET, "io.systemd.Login"]);
    // Each type, method and error by itself: their order means nothing.
    return bare(stdout)
      .split(/(?=type[A-Z]|method[A-Z]|error[A-Z])/)
      .toSorted();
  };
  const own = await definition(ours);
  expect(own).toEqual(await definition(theirs));
  expect(own.length).toBeGreaterThan(25);
});

describe.each([false, true])("asked with more: %p", (more) => {
  test.each([
    {},
    { Id: "alice.session" },
    { Id: "bob.session" },
    { Id: "nonexistent" },
    { Id: "a/b" },
    ...[{ Id: "" }, { Id: "self" }, { Id: "auto" }, { Id: 5 }, { Id: "x".repeat(300) }],
    { PID: { pid: "alice.leader" } },
    { Id: "alice.session", PID: { pid: "alice.leader" } },
    ...[
      { Id: "alice.session", PID: { pid: "bob.leader" } },
      { Id: "alice.session", PID: { pid: 1 } },
    ],
    ...[{ PID: { pid: 1 } }, { PID: { pid: 99999 } }, { PID: {} }, { PID: { pid: 0 } }],
    ...[{ PID: { pid: -1 } }, { PID: "alice.leader" }, { PID: [1] }, { PID: { pid: 2 ** 31 } }],
    { PID: { pid: 1, other: 1 } },
    { PID: { pid: "alice.leader", bootId: "0123456789abcdef0123456789abcdef" } },
    ...[{ PID: { pid: "alice.leader", bootId: "x" } }, { PID: null }, { other: 1 }],
  ])("ListSessions %j", async (given) => {
    await same({ method: "ListSessions", given, more });
  });

  test.each([
    ...[{}, { UID: ALICE }, { UID: BOB }, { UID: 77 }, { UID: 4294967294 }, { UID: 4294967295 }],
    ...[{ UID: -1 }, { UID: "65534" }, { UID: "x" }, { UID: 1.5 }, { UID: null }, { UID: [] }],
    ...[{ PID: { pid: "alice.leader" } }, { UID: ALICE, PID: { pid: "alice.leader" } }],
    ...[
      { UID: BOB, PID: { pid: "alice.leader" } },
      { UID: ALICE, PID: { pid: 1 } },
    ],
    ...[{ UID: 77, PID: { pid: "alice.leader" } }, { PID: { pid: 1 } }, { PID: { pid: 99999 } }],
    ...[{ Id: "alice.session" }, { Name: "nobody" }],
  ])("ListUsers %j", async (given) => {
    await same({ method: "ListUsers", given, more });
  });

  test.each([
    ...[{}, { Id: "seat0" }, { Id: "seat-nonexistent" }, { Id: "nope" }, { Id: "seat" }],
    ...[
      { Id: "" },
      { Id: "self" },
      { Id: "auto" },
      { Id: "seat0/x" },
      { Id: 1 },
      { PID: { pid: 1 } },
    ],
  ])("ListSeats %j", async (given) => {
    await same({ method: "ListSeats", given, more });
  });

  test.each([{}, { Id: "1" }])("ListInhibitors %j", async (given) => {
    await same({ method: "ListInhibitors", given, more });
  });

  test("from inside of a session its own are meant", async () => {
    for (const inside of ["alice", "bob"] as const) {
      for (const user of [0, NAMES[inside]]) {
        for (const Id of ["self", "auto", ""]) {
          const asked = { given: { Id }, more, inside, user };
          expect((await same({ method: "ListSessions", ...asked })).code).toBe(0);
          await same({ method: "ListSeats", ...asked });
        }
      }
    }
    // A user who is in no session of theirs.
    await same({ method: "ListSessions", given: { Id: "auto" }, more, user: ALICE });
  });

  test("ReleaseSession ends nothing from outside", async () => {
    for (const given of [
      {},
      { Id: "alice.session" },
      { Id: "nope" },
      { Id: "a/b" },
      { Id: "self" },
    ]) {
      expect((await same({ method: "ReleaseSession", given, more })).code).toBe(1);
    }
    const given = { Id: "bob.session" };
    await same({ method: "ReleaseSession", given, more, inside: "alice", user: ALICE });
  });
});

test("a process that is not the one that is named is in no session, where logind does not look", async () => {
  const given = { PID: { pid: "alice.leader", pidfdId: 5 } };
  const asked = { method: "ListSessions", given };
  expect((await call(theirs, asked)).code).toBe(0);
  const own = await call(ours, asked);
  expect(own).toMatchObject({ code: 1, stderr: expect.stringContaining("NoSuchSession") });
});

test.each([
  ...[{}, { UID: null }, { UID: -1 }, { UID: 4294967295 }, { UID: 65535 }, { UID: "x" }],
  ...[
    { UID: ALICE, Type: "tty" },
    { Type: "tty", Class: "user" },
  ],
  ...[
    { Type: "gui" },
    { Type: "" },
    { Class: "none" },
    { Class: "users" },
    { Class: "user-early" },
  ],
  ...[{ Seat: "seat9" }, { Seat: "" }, { Seat: 1 }, { Seat: "seat0", VTNr: 3 }, { VTNr: -1 }],
  ...[{ VTNr: "x" }, { PID: 1 }, { PID: {} }, { PID: { pid: 0 } }, { PID: { pid: 99999 } }],
  ...[{ PID: { pid: "alice.leader" } }, { PID: { pid: "bob.leader", pidfdId: 5 } }],
  { PID: { pid: "bob.leader", bootId: "0123456789abcdef0123456789abcdef" } },
  ...[{ TTY: "tty3", VTNr: 4 }, { Remote: "no" }, { Service: 1 }, { other: 1 }, { Desktop: 5 }],
  ...[{ ExtraDeviceAccess: "render" }, { ExtraDeviceAccess: [1] }],
])("CreateSession refuses %j", async (wrong) => {
  const right = { UID: ALICE, Type: "tty", Class: "user", PID: { pid: "alice.leader" } };
  const given = { ...right, ...wrong };
  expect((await same({ method: "CreateSession", given })).code).toBe(1);
});

test("inhibitors are listed with who holds them", async () => {
  const held = async (side: Side) => {
    for (const words of [
      ["--what=shutdown", "--who=varlink-test", "--why=testing varlink", "--mode=block"],
      ["--what=sleep:handle-lid-switch:idle", "--who=x", "--why=", "--mode=block-weak"],
      ["--what=sleep", "--who=y", "--why=z", "--mode=delay"],
    ]) {
      const command = ["systemd-inhibit", ...words, "sh", "-c", "echo up; exec sleep infinity"];
      await start(side.world, command.map((word) => `'${word}'`).join(" "));
    }
  };
  await Promise.all([held(ours), held(theirs)]);
  const listed = await same({ method: "ListInhibitors", given: {}, more: true });
  expect(listed.replies).toHaveLength(3);
  expect(JSON.stringify(listed.replies)).toContain('"What":["shutdown"]');
});
