/**
 * The terminal of a login that had none when it was registered, as sshd's: by utmp, and where there is
 * none by the processes of the session; and when such a session is idle.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  chownSync,
  mkdirSync,
  renameSync,
  rmSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import type { Session } from "../../../lib/login1/model/objects.ts";
import type { SessionScopes } from "../../../lib/login1/sessions/scopes.ts";
import { SessionTerminals } from "../../../lib/login1/sessions/terminals.ts";
import { readUntil } from "../../support/read-until.ts";
import {
  type CreateOptions,
  createSession,
  getProperty,
  MANAGER,
  sessionIds,
} from "../support/client.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const BOB = 1;
const USER_PROCESS = 7;
const DEAD_PROCESS = 8;
const IDLE_SINCE = new Date("2020-02-02T02:02:02Z");

let world: World;
let bus: Connection;
const told: string[] = [];
const started: Bun.Subprocess[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const match = {
    sender: "org.freedesktop.login1",
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
  };
  await bus.onSignal(match, ([, values], { path }) => {
    const { TTY } = values as Record<string, { value: unknown } | undefined>;
    if (TTY) told.push(`${path.split("/").at(-1)} ${TTY.value}`);
  });
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  told.length = 0;
});
afterEach(async () => {
  await endAll(...started.splice(0));
  await world.reset(bus);
  rmSync(utmp(), { recursive: true, force: true });
});

const utmp = () => `${world.root}/run/utmp`;

/** A record as glibc writes it: see utmp(5). */
function record(pid: number, line: string, type = USER_PROCESS): Buffer {
  const bytes = Buffer.alloc(process.arch === "x64" ? 384 : 400);
  bytes.writeInt16LE(type, 0);
  bytes.writeInt32LE(pid, 4);
  bytes.write(line, 8, "latin1");
  return bytes;
}

async function login(options: Partial<CreateOptions> = {}) {
  const leader = await world.leader();
  const asked = { uid: ALICE, leader: leader.pid, type: "tty", service: "sshd", remote: true };
  const { fd, ...made } = await createSession(bus, { ...asked, ...options });
  close(fd);
  const get = (name: string) => getProperty(bus, made.path, "Session", name);
  return { ...made, leader, get };
}

/** The session stays, since its leader runs; its file says so of its terminal. */
const ttyOf = (id: string) => {
  const { TTY, TTY_VALIDITY } = world.stateOf("sessions", id);
  return [TTY, TTY_VALIDITY];
};
const until = (id: string, tty: string | undefined, validity: string) =>
  world.until(`the terminal of ${id}`, () => {
    const [is, by] = ttyOf(id);
    return is === tty && by === validity;
  });

describe("utmp", () => {
  test("says which terminal a login has got meanwhile, and whoever asks is told", async () => {
    writeFileSync(utmp(), record(1, "~"));
    const { id, get, leader } = await login();
    expect(ttyOf(id)).toEqual([undefined, undefined]);
    appendFileSync(utmp(), record(leader.pid, "pts/4242"));
    await until(id, "pts/4242", "from-utmp");
    expect(await get("TTY")).toBe("pts/4242");
    await world.until("the news", () => told.includes(`${id} pts/4242`));
    // The same again is no news.
    writeFileSync(utmp(), record(leader.pid, "/dev/pts/4242"));
    const second = await login();
    appendFileSync(utmp(), record(second.leader.pid, "pts/4243"));
    await until(second.id, "pts/4243", "from-utmp");
    await world.until("the news", () => told.length > 1);
    expect(told).toEqual([`${id} pts/4242`, `${second.id} pts/4243`]);
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect([ttyOf(id), await get("TTY")]).toEqual([["pts/4242", "from-utmp"], "pts/4242"]);
  });

  test("with two terminals of one login says nothing of it, from then on", async () => {
    const { id, leader } = await login();
    writeFileSync(utmp(), record(leader.pid, "pts/4242"));
    // It is looked for at each login.
    const second = await login();
    await until(id, "pts/4242", "from-utmp");
    appendFileSync(utmp(), record(leader.pid, "pts/4243"));
    await until(id, undefined, "utmp-inconsistent");
    writeFileSync(
      utmp(),
      Buffer.concat([record(leader.pid, "pts/4242"), record(second.leader.pid, "pts/1")]),
    );
    await until(second.id, "pts/1", "from-utmp");
    expect(ttyOf(id)).toEqual([undefined, "utmp-inconsistent"]);
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(ttyOf(id)).toEqual([undefined, "utmp-inconsistent"]);
  });

  test("is followed where another file takes its place, or it is removed and made anew", async () => {
    writeFileSync(utmp(), "");
    const one = await login();
    writeFileSync(`${utmp()}.new`, record(one.leader.pid, "pts/4242"));
    renameSync(`${utmp()}.new`, utmp());
    await until(one.id, "pts/4242", "from-utmp");
    const two = await login();
    appendFileSync(utmp(), record(two.leader.pid, "pts/4243"));
    await until(two.id, "pts/4243", "from-utmp");
    rmSync(utmp());
    const three = await login();
    writeFileSync(utmp(), record(three.leader.pid, "pts/4244"));
    await login();
    await until(three.id, "pts/4244", "from-utmp");
  });

  test("is not believed where it makes no sense, and never over what PAM said", async () => {
    writeFileSync(utmp(), "");
    const known = await login({ tty: "tty", remote: false });
    const window = await login({ type: "x11" });
    const last = await login();
    const { pid } = last.leader;
    const records = [
      record(known.leader.pid, "pts/1"),
      // A terminal window of a desktop writes itself down too.
      record(window.leader.pid, "pts/2"),
      record(pid, "pts/3", DEAD_PROCESS),
      record(pid, "../../etc/passwd"),
      record(pid, "pts/4\n"),
      record(pid, ""),
      record(-1, "pts/5"),
      record(process.pid, "pts/6"),
      record(pid, "pts/4242"),
      record(pid, "pts/7").subarray(0, 100),
    ];
    writeFileSync(utmp(), Buffer.concat(records));
    await until(last.id, "pts/4242", "from-utmp");
    expect([ttyOf(known.id), ttyOf(window.id)]).toEqual([
      ["tty", "from-pam"],
      [undefined, undefined],
    ]);
    await world.until("the news", () => told.length > 0);
    expect(told).toEqual([`${last.id} pts/4242`]);
  });

  test("that is no file, or one without end, is named, and login1 goes on", async () => {
    mkdirSync(utmp());
    const { id } = await login();
    await world.until("the warning", () =>
      world.log.includes("utmp is not read: /run/utmp is no plain file"),
    );
    expect(await sessionIds(bus)).toEqual([id]);
    rmSync(utmp(), { recursive: true });
    writeFileSync(utmp(), Buffer.alloc(2 ** 20 + 1));
    await login();
    await world.until("the warning", () => world.log.includes("/run/utmp is longer than"));
  });
});

/** Starts a program in a session at a terminal of its own, which is then a user's, as sshd does it; its name. */
async function terminal(id: string, owner: number): Promise<string> {
  const inside = { cgroup: scopeOf(ALICE, id) };
  const child = Bun.spawn(world.inside(["script", "-qec", "tty; exec cat", "/dev/null"], inside), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
    env: { ...process.env, SHELL: "/bin/sh" },
  });
  started.push(child);
  const said = await readUntil(child.stdout, /^\/dev\/pts\/\d+\r\n/m);
  const tty = said.trim().slice("/dev/".length);
  chownSync(`/dev/${tty}`, owner, 5);
  return tty;
}

describe("a login whose terminal nobody has told", () => {
  const idle = async ({ get }: Awaited<ReturnType<typeof login>>) => [
    await get("IdleHint"),
    await getProperty(bus, MANAGER, "Manager", "IdleHint"),
  ];

  test("is idle when nobody types at any terminal of its processes", async () => {
    const one = await login();
    const tty = await terminal(one.id, ALICE);
    expect(tty).toMatch(/^pts\/\d+$/);
    expect(await idle(one)).toEqual([false, false]);
    utimesSync(`/dev/${tty}`, IDLE_SINCE, IDLE_SINCE);
    expect(await idle(one)).toEqual([true, true]);
    expect(await one.get("IdleSinceHint")).toBe(BigInt(IDLE_SINCE.getTime()) * 1000n);
    const second = await terminal(one.id, ALICE);
    expect(await idle(one)).toEqual([false, false]);
    utimesSync(`/dev/${second}`, IDLE_SINCE, IDLE_SINCE);
    expect(await idle(one)).toEqual([true, true]);
    utimesSync(`/dev/${tty}`, new Date(), IDLE_SINCE);
    expect(await idle(one)).toEqual([false, false]);
  });

  test("also where utmp had told two, and not by a terminal that is another user's", async () => {
    const one = await login();
    const tty = await terminal(one.id, BOB);
    utimesSync(`/dev/${tty}`, IDLE_SINCE, IDLE_SINCE);
    // Its processes have the number of it from a container, say.
    expect(await idle(one)).toEqual([false, false]);
    const own = await terminal(one.id, ALICE);
    utimesSync(`/dev/${own}`, IDLE_SINCE, IDLE_SINCE);
    writeFileSync(utmp(), record(one.leader.pid, own));
    const second = await login({ class: "background" });
    await until(one.id, own, "from-utmp");
    expect(await idle(one)).toEqual([true, true]);
    appendFileSync(utmp(), record(one.leader.pid, tty));
    await until(one.id, undefined, "utmp-inconsistent");
    expect(await idle(one)).toEqual([true, true]);
    expect(await second.get("IdleHint")).toBe(false);
  });

  test("and that has many processes is looked at now and then, and not by each call", async () => {
    const one = await login();
    const tty = await terminal(one.id, ALICE);
    const procs = `${world.cgroupFolder}${scopeOf(ALICE, one.id)}/leader/cgroup.procs`;
    for (let count = 0; count < 20; count++) {
      const child = Bun.spawn(["sleep", "1000"]);
      started.push(child);
      writeFileSync(procs, String(child.pid));
    }
    utimesSync(`/dev/${tty}`, IDLE_SINCE, IDLE_SINCE);
    expect(await idle(one)).toEqual([true, true]);
    // What the terminals themselves say is asked each time.
    utimesSync(`/dev/${tty}`, new Date(), IDLE_SINCE);
    expect(await idle(one)).toEqual([false, false]);
    utimesSync(`/dev/${tty}`, IDLE_SINCE, IDLE_SINCE);
    await terminal(one.id, ALICE);
    await world.until("the new terminal is seen", async () => !(await one.get("IdleHint")));
  });

  test("and of many processes costs many calls no more than one", () => {
    let looks = 0;
    const many = Array.from({ length: 5000 }, () => process.pid);
    const scope = { processes: () => [++looks, ...many] };
    const scopes = { scopeOf: () => scope } as unknown as SessionScopes;
    const session = { tty: "", user: { uid: ALICE }, leader: { pid: process.pid } };
    const nothing = undefined as never;
    const terminals = new SessionTerminals(nothing, nothing, scopes, nothing);
    for (let call = 0; call < 100; call++) terminals.lastTouched(session as unknown as Session);
    expect(looks).toBeGreaterThan(0);
    expect(looks).toBeLessThan(50);
  });

  test("and that has no terminal at all is not idle: it may be copying something", async () => {
    expect(await idle(await login())).toEqual([false, false]);
  });
});
