/**
 * Every method of login1, called over the bus, for what it does and not for its answer alone. Those
 * that other files do so for are in coverage.ts; a method that is in neither fails here.
 */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close } from "../../../lib/linux/index.ts";
import { readContract } from "../../../testbed/members/contract.ts";
import { type CreateOptions, callObject, createSession } from "../support/client.ts";
import { isCalled, TESTED_ELSEWHERE } from "../support/coverage.ts";
import { errorOf } from "../support/power-world.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const BOB = 1;
const NAME = "org.freedesktop.login1";
const MANAGER = "/org/freedesktop/login1";
const SEAT0 = `${MANAGER}/seat/seat0`;

let world: World;
let bus: Connection;
const signals: string[] = [];
const held: number[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  for (const member of ["Lock", "Unlock"]) {
    const match = { sender: NAME, interface: `${NAME}.Session`, member };
    await bus.onSignal(match, (_body, { path }) => {
      signals.push(`${member} ${path}`);
    });
  }
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  signals.length = 0;
});
afterEach(async () => {
  for (const fd of held.splice(0)) close(fd);
  await world.reset(bus);
});

/** Calls `Manager.GetSession` and its like on an object. */
function call(path: string, method: string, signature = "", ...body: unknown[]) {
  const [kind, member = ""] = method.split(".");
  return callObject(bus, path, kind ?? "", member, signature, body);
}
async function login(options: Partial<CreateOptions> = {}) {
  const leader = await world.leader();
  const made = await createSession(bus, { uid: ALICE, leader: leader.pid, ...options });
  held.push(made.fd);
  return { ...made, leader };
}
const activeOnSeat = () => world.stateOf("seats", "seat0").ACTIVE;
const told = (signal: string) => world.until(signal, () => signals.includes(signal));
const userPath = (uid: number) => `${MANAGER}/user/_${uid}`;
/** Another process in a session, which no signal but those that are sent to it ends. */
async function helper({ id, uid }: { id: string; uid: number }) {
  const cgroup = scopeOf(uid, id);
  const child = Bun.spawn(world.inside(["sh", "-c", "echo up; exec sleep 60"], { cgroup }), {
    stdout: "pipe",
  });
  await child.stdout.getReader().read();
  return child;
}
const endedBy = async (child: Bun.Subprocess) => {
  await child.exited;
  return child.signalCode;
};
/** The session is gone, its file and its scope. */
const gone = (id: string) =>
  world.until(`${id} is gone`, () => !existsSync(`${world.root}/run/systemd/sessions/${id}`));

/** Two sessions on seat0, of which the second is in the foreground; `activate` is to change that. */
async function brings(activate: (first: { id: string; path: string }) => Promise<unknown>) {
  const first = await login({ seat: "seat0" });
  const second = await login({ uid: BOB, seat: "seat0" });
  expect(activeOnSeat()).toBe(second.id);
  await activate(first);
  expect(activeOnSeat()).toBe(first.id);
  expect(world.stateOf("sessions", second.id)).toMatchObject({ ACTIVE: "0", STATE: "online" });
}

/** One session is to be asked to lock or unlock, and another one not. */
async function asks(signal: string, send: (one: { id: string; path: string }) => Promise<unknown>) {
  const one = await login();
  const other = await login({ uid: BOB });
  await send(one);
  await told(`${signal} ${one.path}`);
  expect(signals).not.toContain(`${signal} ${other.path}`);
}

/** Every session is to be asked but what has no lock screen. */
async function asksAll(signal: string, member: string) {
  const [one, other] = [await login(), await login({ uid: BOB, type: "tty" })];
  const background = await login({ uid: BOB, class: "background" });
  await call(MANAGER, member);
  await told(`${signal} ${one.path}`);
  await told(`${signal} ${other.path}`);
  expect(signals).not.toContain(`${signal} ${background.path}`);
}

/** A session is to be ended with all in it, and another user's to stay. */
async function ends(terminate: (one: { id: string; path: string }) => Promise<unknown>) {
  const one = await login({ seat: "seat0" });
  const child = await helper(one);
  const other = await login({ uid: BOB });
  await terminate(one);
  expect(await endedBy(one.leader)).toBe("SIGTERM");
  expect(await endedBy(child)).toBe("SIGTERM");
  await gone(one.id);
  await world.until("the directory is gone", () => !existsSync(`${world.root}/run/user/${ALICE}`));
  expect(world.stateOf("sessions", other.id).STATE).toBe("active");
  expect(other.leader.exitCode).toBeNull();
}

/** A signal to a session's leader and not to what else is in it, then one to all. */
async function signalsSession(
  send: (one: { id: string; path: string }, whom: string, signal: number) => Promise<unknown>,
) {
  const one = await login();
  const child = await helper(one);
  expect(await errorOf(send(one, "leader", 65))).toBe("InvalidArgs");
  expect(await errorOf(send(one, "cat", 9))).toBe("InvalidArgs");
  await send(one, "leader", 10);
  expect(await endedBy(one.leader)).toBe("SIGUSR1");
  expect(child.exitCode).toBeNull();
  await endAll(child);
  const two = await login();
  await send(two, "all", 12);
  expect(await endedBy(two.leader)).toBe("SIGUSR2");
}

/** A signal to all that a user has, and to nobody else. */
async function signalsUser(send: (uid: number, signal: number) => Promise<unknown>) {
  const [one, two] = [await login(), await login()];
  const child = await helper(two);
  const other = await login({ uid: BOB });
  expect(await errorOf(send(ALICE, 0))).toBe("InvalidArgs");
  await send(ALICE, 10);
  for (const process of [one.leader, two.leader, child]) {
    expect(await endedBy(process)).toBe("SIGUSR1");
  }
  expect(other.leader.exitCode).toBeNull();
}

/** What each method does. */
const HERE: Readonly<Record<string, () => Promise<void>>> = {
  async "Manager.GetSession"() {
    const { id, path } = await login();
    expect(await call(MANAGER, "Manager.GetSession", "s", id)).toEqual([path]);
    expect(await errorOf(call(MANAGER, "Manager.GetSession", "s", "c99"))).toBe("NoSuchSession");
    const self = call(MANAGER, "Manager.GetSession", "s", "self");
    expect(await errorOf(self)).toBe("NoSessionForPID");
  },
  async "Manager.GetSessionByPID"() {
    const { path, leader } = await login();
    expect(await call(MANAGER, "Manager.GetSessionByPID", "u", leader.pid)).toEqual([path]);
    const other = call(MANAGER, "Manager.GetSessionByPID", "u", 1);
    expect(await errorOf(other)).toBe("NoSessionForPID");
  },
  async "Manager.GetUser"() {
    await login();
    expect(await call(MANAGER, "Manager.GetUser", "u", ALICE)).toEqual([userPath(ALICE)]);
    expect(await errorOf(call(MANAGER, "Manager.GetUser", "u", BOB))).toBe("NoSuchUser");
    // Root has no session: there is nobody whom "my user" could mean.
    expect(await errorOf(call(MANAGER, "Manager.GetUser", "u", 0xffffffff))).toBe("NoUserForPID");
  },
  async "Manager.GetUserByPID"() {
    const { leader } = await login();
    expect(await call(MANAGER, "Manager.GetUserByPID", "u", leader.pid)).toEqual([userPath(ALICE)]);
    expect(await errorOf(call(MANAGER, "Manager.GetUserByPID", "u", 1))).toBe("NoUserForPID");
  },
  async "Manager.GetSeat"() {
    expect(await call(MANAGER, "Manager.GetSeat", "s", "seat0")).toEqual([SEAT0]);
    expect(await errorOf(call(MANAGER, "Manager.GetSeat", "s", "seat9"))).toBe("NoSuchSeat");
    const { id } = await login();
    const inside = { cgroup: scopeOf(ALICE, id) };
    const words = ["gdbus", "call", "--system", "--dest", NAME, "--object-path", MANAGER];
    const seat = [...words, "--method", `${NAME}.Manager.GetSeat`, "self"];
    expect((await world.run(seat, inside)).stderr).toContain(`${NAME}.NoSuchSeat`);
  },
  async "Manager.ListSessions"() {
    const { id, path } = await login({ seat: "seat0" });
    const [sessions] = await call(MANAGER, "Manager.ListSessions");
    expect(sessions).toEqual([[id, ALICE, "nobody", "seat0", path]]);
  },
  async "Manager.ListSessionsEx"() {
    const { id, path, leader } = await login({ seat: "seat0", class: "greeter" });
    const [before] = await call(MANAGER, "Manager.ListSessionsEx");
    const named = [id, ALICE, "nobody", "seat0", leader.pid, "greeter", ""];
    expect(before).toEqual([[...named, false, 0n, path]]);
    await call(path, "Session.SetIdleHint", "b", true);
    const [after] = (await call(MANAGER, "Manager.ListSessionsEx")) as [[unknown[]]];
    expect(after[0]).toEqual([...named, true, expect.any(BigInt), path]);
    expect(after[0]?.[8]).toBeGreaterThan(0n);
  },
  async "Manager.ListUsers"() {
    await login();
    const [users] = await call(MANAGER, "Manager.ListUsers");
    expect(users).toEqual([[ALICE, "nobody", userPath(ALICE)]]);
  },
  async "Manager.ActivateSession"() {
    await brings(({ id }) => call(MANAGER, "Manager.ActivateSession", "s", id));
  },
  async "Manager.ActivateSessionOnSeat"() {
    await brings(({ id }) => call(MANAGER, "Manager.ActivateSessionOnSeat", "ss", id, "seat0"));
    const { id } = await login();
    const elsewhere = call(MANAGER, "Manager.ActivateSessionOnSeat", "ss", id, "seat0");
    expect(await errorOf(elsewhere)).toBe("SessionNotOnSeat");
  },
  async "Session.Activate"() {
    await brings(({ path }) => call(path, "Session.Activate"));
    const { path } = await login();
    expect(await errorOf(call(path, "Session.Activate"))).toBe("NotSupported");
  },
  async "Seat.ActivateSession"() {
    await brings(({ id }) => call(SEAT0, "Seat.ActivateSession", "s", id));
    const { id } = await login();
    expect(await errorOf(call(SEAT0, "Seat.ActivateSession", "s", id))).toBe("SessionNotOnSeat");
  },
  async "Manager.LockSession"() {
    await asks("Lock", ({ id }) => call(MANAGER, "Manager.LockSession", "s", id));
    const { id } = await login({ class: "background" });
    expect(await errorOf(call(MANAGER, "Manager.LockSession", "s", id))).toBe("NotSupported");
  },
  async "Manager.UnlockSession"() {
    await asks("Unlock", ({ id }) => call(MANAGER, "Manager.UnlockSession", "s", id));
  },
  async "Session.Lock"() {
    await asks("Lock", ({ path }) => call(path, "Session.Lock"));
    const { path } = await login({ class: "greeter" });
    expect(await errorOf(call(path, "Session.Lock"))).toBe("NotSupported");
  },
  async "Session.Unlock"() {
    await asks("Unlock", ({ path }) => call(path, "Session.Unlock"));
  },
  async "Manager.LockSessions"() {
    await asksAll("Lock", "Manager.LockSessions");
  },
  async "Manager.UnlockSessions"() {
    await asksAll("Unlock", "Manager.UnlockSessions");
  },
  async "Session.SetLockedHint"() {
    const { id, path } = await login();
    await call(path, "Session.SetLockedHint", "b", true);
    expect(world.stateOf("sessions", id).LOCKED_HINT).toBe("1");
    await call(path, "Session.SetLockedHint", "b", false);
    expect(world.stateOf("sessions", id).LOCKED_HINT).toBe("0");
    const greeter = await login({ class: "greeter" });
    const set = call(greeter.path, "Session.SetLockedHint", "b", true);
    expect(await errorOf(set)).toBe("NotSupported");
  },
  async "Manager.TerminateSession"() {
    await ends(({ id }) => call(MANAGER, "Manager.TerminateSession", "s", id));
  },
  async "Session.Terminate"() {
    await ends(({ path }) => call(path, "Session.Terminate"));
  },
  async "Manager.TerminateUser"() {
    await ends(() => call(MANAGER, "Manager.TerminateUser", "u", ALICE));
    expect(await errorOf(call(MANAGER, "Manager.TerminateUser", "u", ALICE))).toBe("NoSuchUser");
  },
  async "User.Terminate"() {
    await ends(() => call(userPath(ALICE), "User.Terminate"));
  },
  async "Manager.TerminateSeat"() {
    await ends(() => call(MANAGER, "Manager.TerminateSeat", "s", "seat0"));
    expect(await errorOf(call(MANAGER, "Manager.TerminateSeat", "s", "x"))).toBe("NoSuchSeat");
  },
  async "Seat.Terminate"() {
    await ends(() => call(SEAT0, "Seat.Terminate"));
  },
  async "Manager.KillSession"() {
    await signalsSession(({ id }, whom, signal) =>
      call(MANAGER, "Manager.KillSession", "ssi", id, whom, signal),
    );
  },
  async "Session.Kill"() {
    await signalsSession(({ path }, whom, signal) =>
      call(path, "Session.Kill", "si", whom, signal),
    );
  },
  async "Manager.KillUser"() {
    await signalsUser((uid, signal) => call(MANAGER, "Manager.KillUser", "ui", uid, signal));
  },
  async "User.Kill"() {
    await signalsUser((uid, signal) => call(userPath(uid), "User.Kill", "i", signal));
  },
};

describe("every method", () => {
  test("is in one of the tables, and the test that is named there calls it", async () => {
    const methods = (await readContract())
      .filter(({ kind }) => kind === "method")
      .map((member) => `${member.interface}.${member.name}`);
    const elsewhere = TESTED_ELSEWHERE.map(({ method }) => method);
    expect([...Object.keys(HERE), ...elsewhere].sort()).toEqual(methods.sort());
    expect(TESTED_ELSEWHERE.filter((tested) => !isCalled(tested))).toEqual([]);
  });

  test.each(Object.entries(HERE))("%s has its effect", (_name, check) => check());
});
