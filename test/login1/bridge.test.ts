import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  fstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close, openPidfd, pidfdInode } from "../../lib/linux/index.ts";
import { parseState } from "../../lib/login1/state/env-file.ts";
import {
  callManager,
  createSession,
  createSessionByPidfd,
  getProperty,
  World,
} from "./support/world.ts";

// Two accounts that every Debian and Arch system has.
const ALICE = { uid: 65534, name: "nobody" };
const BOB = { uid: 1, name: userName(1) };

function userName(uid: number): string {
  const line = readFileSync("/etc/passwd", "utf8")
    .split("\n")
    .find((entry) => entry.split(":")[2] === String(uid));
  return line?.split(":")[0] ?? "";
}

let world: World;
let bus: Connection;
const events: string[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  await listen(bus);
});
afterAll(async () => {
  bus.close();
  await world.end();
});
beforeEach(() => {
  events.length = 0;
});
afterEach(() => world.reset(bus));

/** Notes every signal of login1, as the state of its files was when it came. */
async function listen(connection: Connection): Promise<void> {
  const manager = "org.freedesktop.login1.Manager";
  const sender = "org.freedesktop.login1";
  for (const member of ["SessionNew", "SessionRemoved", "UserNew", "UserRemoved"]) {
    await connection.onSignal({ sender, interface: manager, member }, ([id]) => {
      const folder = member.startsWith("Session") ? "sessions" : "users";
      const there = existsSync(join(world.root, "run/systemd", folder, String(id)));
      events.push(`${member} ${id} ${there ? "file" : "no file"}`);
    });
  }
  for (const member of ["Lock", "Unlock"]) {
    const match = { sender, interface: "org.freedesktop.login1.Session", member };
    await connection.onSignal(match, (_body, { path }) => {
      events.push(`${member} ${path.split("/").at(-1)}`);
    });
  }
  const properties = {
    sender,
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
  };
  await connection.onSignal(properties, ([name, values], { path }) => {
    for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
      const kind = String(name).split(".").at(-1);
      events.push(`${kind} ${path.split("/").at(-1)} ${key}=${JSON.stringify(value)}`);
    }
  });
}

const stateOf = (folder: string, name: string) =>
  Object.fromEntries(
    parseState(readFileSync(join(world.root, "run/systemd", folder, name), "utf8")),
  );
const property = (path: string, kind: string, name: string) => getProperty(bus, path, kind, name);
const sessionIds = async () =>
  ((await callManager(bus, "ListSessions"))[0] as [string][]).map(([id]) => id);
const gone = (id: string) =>
  world.until(`session ${id} is gone`, async () => !(await sessionIds()).includes(id));
const userGone = (uid: number) =>
  world.until(`user ${uid} is gone`, () => !existsSync(`${world.root}/run/user/${uid}`));
const end = async (...children: Bun.Subprocess[]) => {
  for (const child of children) child.kill("SIGKILL");
  await Promise.all(children.map((child) => child.exited));
};

describe("a session", () => {
  test("exists in files, cgroup, runtime directory and on the bus, and all of it ends", async () => {
    const leader = await world.leader();
    const made = await createSession(bus, {
      uid: ALICE.uid,
      leader: leader.pid,
      service: "greetd",
      desktop: "sway",
      seat: "seat0",
    });
    expect(made).toMatchObject({
      path: `/org/freedesktop/login1/session/${made.id}`,
      runtimePath: `/run/user/${ALICE.uid}`,
      uid: ALICE.uid,
      seat: "seat0",
      vtnr: 0,
      existing: false,
    });
    await world.until("the news", () => events.some((event) => event.startsWith("Seat")));
    expect(events.filter((event) => /New/.test(event))).toEqual([
      `UserNew ${ALICE.uid} file`,
      `SessionNew ${made.id} file`,
    ]);
    expect(stateOf("sessions", made.id)).toMatchObject({
      UID: String(ALICE.uid),
      USER: ALICE.name,
      ACTIVE: "1",
      STATE: "active",
      TYPE: "wayland",
      CLASS: "user",
      SEAT: "seat0",
      DESKTOP: "sway",
      SERVICE: "greetd",
      LEADER: String(leader.pid),
      SCOPE: `session-${made.id}.scope`,
    });
    expect(stateOf("users", String(ALICE.uid))).toMatchObject({
      NAME: ALICE.name,
      STATE: "active",
      SESSIONS: made.id,
      ACTIVE_SESSIONS: made.id,
      DISPLAY: made.id,
    });
    expect(stateOf("seats", "seat0")).toMatchObject({
      ACTIVE: made.id,
      SESSIONS: made.id,
      UIDS: String(ALICE.uid),
    });
    const cgroup = readFileSync(`/proc/${leader.pid}/cgroup`, "utf8");
    const scope = `/user.slice/user-${ALICE.uid}.slice/session-${made.id}.scope`;
    expect(cgroup).toMatch(new RegExp(`^0::.*${scope}/leader$`, "m"));
    const runtime = statSync(`${world.root}/run/user/${ALICE.uid}`);
    expect([runtime.uid, runtime.mode & 0o7777]).toEqual([ALICE.uid, 0o700]);
    const mounts = await world.run(["findmnt", "-no", "FSTYPE,OPTIONS", `/run/user/${ALICE.uid}`]);
    expect(mounts.stdout).toMatch(/^tmpfs +rw,nosuid,nodev,/);

    // What another test's end brought late is behind us by now.
    events.length = 0;
    close(made.fd);
    await end(leader);
    await gone(made.id);
    await userGone(ALICE.uid);
    await world.until("the last news", () =>
      events.some((event) => event.startsWith("UserRemoved")),
    );
    expect(events.filter((event) => /Removed/.test(event))).toEqual([
      `SessionRemoved ${made.id} no file`,
      `UserRemoved ${ALICE.uid} no file`,
    ]);
    expect(existsSync(`${world.root}/sys/fs/cgroup/user.slice/user-${ALICE.uid}.slice`)).toBe(
      false,
    );
    expect(readdirSync(`${world.root}/run/systemd/sessions`)).toEqual([]);
    expect(stateOf("seats", "seat0").ACTIVE).toBeUndefined();
  });

  test("ends when its descriptor is closed, and waits for what still runs in it", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    close(fd);
    await world.until("it is closing", () => stateOf("sessions", id).STATE === "closing");
    expect(await sessionIds()).toContain(id);
    await world.until("the user's file says so", () => {
      return stateOf("users", String(ALICE.uid)).STATE === "closing";
    });
    await end(leader);
    await gone(id);
    await userGone(ALICE.uid);
  });

  test("made by pidfd, it ends with its leader and not with the descriptor", async () => {
    const leader = await world.leader();
    const made = await createSessionByPidfd(bus, openPidfd(leader.pid), { uid: ALICE.uid });
    close(made.fd);
    await Bun.sleep(100);
    expect(stateOf("sessions", made.id).STATE).toBe("active");
    await end(leader);
    await gone(made.id);
    await userGone(ALICE.uid);
  });

  test("whose leader is killed hangs up on what is left, and what ignores that may run out", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const cgroup = `/user.slice/user-${ALICE.uid}.slice/session-${id}.scope`;
    const inside = async (script: string) => {
      const command = ["sh", "-c", `${script}; echo up; exec sleep 60`];
      const child = Bun.spawn(world.inside(command, { cgroup }), { stdout: "pipe" });
      await child.stdout.getReader().read();
      return child;
    };
    const plain = await inside("true");
    const nohup = await inside("trap '' HUP");
    await end(leader);
    await plain.exited;
    expect(plain.signalCode).toBe("SIGHUP");
    expect(nohup.exitCode).toBeNull();
    expect(stateOf("sessions", id).STATE).toBe("closing");
    nohup.kill("SIGKILL");
    await nohup.exited;
    await gone(id);
    close(fd);
  });

  test("terminated, all that runs in it ends", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const outcome = await world.run(["loginctl", "terminate-session", id]);
    expect(outcome).toMatchObject({ code: 0, stderr: "" });
    await leader.exited;
    expect(leader.signalCode).toBe("SIGTERM");
    await gone(id);
    await userGone(ALICE.uid);
    close(fd);
  });

  test("of a user who is logged in twice leaves the other alone", async () => {
    const first = await world.leader();
    const second = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: first.pid, seat: "seat0" });
    const two = await createSession(bus, { uid: ALICE.uid, leader: second.pid, type: "tty" });
    expect(events.filter((event) => event.startsWith("UserNew"))).toHaveLength(1);
    expect(stateOf("users", String(ALICE.uid)).SESSIONS).toBe(`${one.id} ${two.id}`);
    expect(stateOf("users", String(ALICE.uid)).DISPLAY).toBe(one.id);
    writeFileSync(`${world.root}/run/user/${ALICE.uid}/kept`, "x");
    await end(first);
    await gone(one.id);
    expect(readdirSync(`${world.root}/run/user/${ALICE.uid}`)).toEqual(["kept"]);
    expect(stateOf("users", String(ALICE.uid))).toMatchObject({
      SESSIONS: two.id,
      DISPLAY: two.id,
      STATE: "active",
    });
    await end(second);
    await gone(two.id);
    await userGone(ALICE.uid);
    for (const fd of [one.fd, two.fd]) close(fd);
  });

  test("two users have a directory and a slice each", async () => {
    const first = await world.leader();
    const second = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: first.pid });
    const two = await createSession(bus, { uid: BOB.uid, leader: second.pid });
    expect(statSync(`${world.root}/run/user/${BOB.uid}`).uid).toBe(BOB.uid);
    const users = await callManager(bus, "ListUsers");
    expect((users[0] as unknown[]).length).toBe(2);
    const peek = await world.run(["ls", `/run/user/${BOB.uid}`], { user: ALICE.uid });
    expect(peek.code).not.toBe(0);
    await end(first, second);
    await gone(one.id);
    await gone(two.id);
    await userGone(BOB.uid);
    for (const fd of [one.fd, two.fd]) close(fd);
  });

  test("on a seat without VTs the newest is in the foreground, then the one before", async () => {
    const first = await world.leader();
    const second = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: first.pid, seat: "seat0" });
    const two = await createSession(bus, { uid: BOB.uid, leader: second.pid, seat: "seat0" });
    expect(stateOf("seats", "seat0").ACTIVE).toBe(two.id);
    expect(stateOf("sessions", one.id)).toMatchObject({ ACTIVE: "0", STATE: "online" });
    await callManager(bus, "ActivateSession", "s", [one.id]);
    expect(stateOf("seats", "seat0")).toMatchObject({
      ACTIVE: one.id,
      ACTIVE_UID: String(ALICE.uid),
    });
    await world.until("the change", () => events.includes(`Session ${two.id} Active=false`));
    await end(first);
    await gone(one.id);
    expect(stateOf("seats", "seat0").ACTIVE).toBe(two.id);
    await end(second);
    await gone(two.id);
    for (const fd of [one.fd, two.fd]) close(fd);
  });

  test("locks and unlocks by signal, and remembers what its locker says", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    await world.run(["loginctl", "lock-session", id]);
    await world.run(["loginctl", "unlock-sessions"]);
    await world.until("the signals", () => events.includes(`Unlock ${id}`));
    expect(events).toContain(`Lock ${id}`);
    await bus.call({
      destination: "org.freedesktop.login1",
      path: `/org/freedesktop/login1/session/${id}`,
      interface: "org.freedesktop.login1.Session",
      member: "SetLockedHint",
      signature: "b",
      body: [true],
    });
    await world.until("the hint", () => events.includes(`Session ${id} LockedHint=true`));
    close(fd);
    await end(leader);
    await gone(id);
  });

  test("signals go to the leader, to all, or to a user", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const scope = `/user.slice/user-${ALICE.uid}.slice/session-${id}.scope`;
    const other = Bun.spawn(
      world.inside(["sh", "-c", "trap '' HUP; echo up; exec sleep 60"], { cgroup: scope }),
      {
        stdout: "pipe",
      },
    );
    await other.stdout.getReader().read();
    expect(
      (await world.run(["loginctl", "kill-session", "--kill-who=leader", "-s9", id])).code,
    ).toBe(0);
    await leader.exited;
    expect(leader.signalCode).toBe("SIGKILL");
    expect(other.exitCode).toBeNull();
    await expect(callManager(bus, "KillUser", "ui", [ALICE.uid, 99])).rejects.toThrow("signal 99");
    await expect(callManager(bus, "KillSession", "ssi", [id, "cat", 9])).rejects.toThrow("'cat'");
    await callManager(bus, "KillUser", "ui", [ALICE.uid, 15]);
    await other.exited;
    expect(other.signalCode).toBe("SIGTERM");
    await gone(id);
    close(fd);
  });
});

describe("finding", () => {
  test("a process in a session finds it by pid, as self and as auto", async () => {
    const leader = await world.leader();
    const { id, path, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const cgroup = `/user.slice/user-${ALICE.uid}.slice/session-${id}.scope`;
    const inside = { user: ALICE.uid, cgroup };
    const manager = ["org.freedesktop.login1", "/org/freedesktop/login1"];
    const call = (...words: string[]) =>
      world.run(["busctl", "call", ...manager, "org.freedesktop.login1.Manager", ...words], inside);
    for (const words of [
      ["GetSession", "s", "self"],
      ["GetSession", "s", "auto"],
      ["GetSession", "s", ""],
      ["GetSession", "s", id],
      ["GetSessionByPID", "u", "0"],
      ["GetSessionByPID", "u", String(leader.pid)],
    ]) {
      expect((await call(...words)).stdout).toBe(`o "${path}"\n`);
    }
    const user = `o "/org/freedesktop/login1/user/_${ALICE.uid}"\n`;
    expect((await call("GetUser", "u", String(ALICE.uid))).stdout).toBe(user);
    expect((await call("GetUserByPID", "u", "0")).stdout).toBe(user);
    const self = "/org/freedesktop/login1/session/self";
    const property = ["org.freedesktop.login1.Session", "Id"];
    const got = await world.run(
      ["busctl", "get-property", "org.freedesktop.login1", self, ...property],
      inside,
    );
    expect(got.stdout).toBe(`s "${id}"\n`);
    // From outside of any session, auto is the user's display session.
    const outside = await world.run(
      ["busctl", "call", ...manager, "org.freedesktop.login1.Manager", "GetSession", "s", "auto"],
      { user: ALICE.uid },
    );
    expect(outside.stdout).toBe(`o "${path}"\n`);
    close(fd);
    await end(leader);
    await gone(id);
  });

  test("a leader is told from a later process of its number, also after a restart", async () => {
    const leader = await world.leader();
    const { id, path, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const pidfd = openPidfd(leader.pid);
    const inode = fstatSync(pidfd, { bigint: true }).ino;
    // Before Linux 6.9 all pidfds have one inode, which names nothing.
    const named = pidfdInode(pidfd) === undefined ? 0n : inode;
    close(pidfd);
    expect(await property(path, "Session", "LeaderPIDFDId")).toBe(named);
    expect(stateOf("sessions", id).LEADER_PIDFDID).toBe(named === 0n ? undefined : String(named));
    await world.endBridge("SIGKILL");
    await world.startBridge();
    expect(await property(path, "Session", "LeaderPIDFDId")).toBe(named);
    close(fd);
  });

  test("an obsolete property answers Get, and is in neither GetAll nor introspection", async () => {
    const manager = "/org/freedesktop/login1";
    const UNLIMITED = 0xffff_ffff_ffff_ffffn;
    expect(await property(manager, "Manager", "UserTasksMax")).toBe(UNLIMITED);
    expect(await property(`${manager}/seat/seat0`, "Seat", "CanMultiSession")).toBe(true);
    const words = ["org.freedesktop.login1", manager];
    const all = await world.run([
      ...["busctl", "call", ...words, "org.freedesktop.DBus.Properties", "GetAll"],
      ...["s", "org.freedesktop.login1.Manager"],
    ]);
    expect(all.stdout).toContain('"SessionsMax"');
    expect(all.stdout).not.toContain("UserTasksMax");
    const shown = await world.run(["busctl", "introspect", ...words]);
    expect(shown.stdout).toContain(".SessionsMax");
    expect(shown.stdout).not.toContain("UserTasksMax");
  });

  test("what does not exist has logind's error names", async () => {
    const error = (name: string) => ({ errorName: `org.freedesktop.login1.${name}` });
    const call = (member: string, signature: string, ...body: unknown[]) =>
      callManager(bus, member, signature, body);
    await expect(call("GetSession", "s", "c999")).rejects.toMatchObject(error("NoSuchSession"));
    await expect(call("GetSession", "s", "self")).rejects.toMatchObject(error("NoSessionForPID"));
    await expect(call("GetSessionByPID", "u", 1)).rejects.toMatchObject(error("NoSessionForPID"));
    await expect(call("GetUser", "u", 12345)).rejects.toMatchObject(error("NoSuchUser"));
    await expect(call("GetUserByPID", "u", 1)).rejects.toMatchObject(error("NoUserForPID"));
    await expect(call("GetSeat", "s", "seat9")).rejects.toMatchObject(error("NoSuchSeat"));
    await expect(call("TerminateSession", "s", "c999")).rejects.toMatchObject(
      error("NoSuchSession"),
    );
  });
});

describe("the desktop", () => {
  const announce = (user: number, cgroup: string, id: string, ...words: string[]) =>
    world.run(
      [
        ...["busctl", "call", "org.freedesktop.login1", `/org/freedesktop/login1/session/${id}`],
        ...["org.lainos.Session1", "AnnounceDesktop", "sss", ...words],
      ],
      { user, cgroup },
    );

  test("is announced from inside the session, and from nowhere else", async () => {
    const leader = await world.leader();
    const options = { uid: ALICE.uid, leader: leader.pid, type: "unspecified" };
    const { id, fd } = await createSession(bus, options);
    const scope = `/user.slice/user-${ALICE.uid}.slice/session-${id}.scope`;
    const good = ["wayland", "sway", ""];
    expect((await announce(ALICE.uid, "", id, ...good)).stderr).toContain("Access denied");
    expect((await announce(BOB.uid, scope, id, ...good)).stderr).toContain("Access denied");
    for (const bad of [
      ["tty", "sway", ""],
      ["x11", "openbox", ""],
      ["wayland", "a\nUID=0", ""],
    ]) {
      expect((await announce(ALICE.uid, scope, id, ...bad)).code).toBe(1);
    }
    expect(stateOf("sessions", id).TYPE).toBe("unspecified");
    expect(await announce(ALICE.uid, scope, id, ...good)).toMatchObject({ code: 0, stderr: "" });
    expect(stateOf("sessions", id)).toMatchObject({ TYPE: "wayland", DESKTOP: "sway" });
    await world.until("the news", () => events.includes(`Session ${id} Type="wayland"`));
    await announce(ALICE.uid, scope, id, "x11", "openbox", ":1");
    expect(stateOf("sessions", id)).toMatchObject({ TYPE: "x11", DISPLAY: ":1" });
    close(fd);
  });
});

describe("bad input", () => {
  const refused = async (name: string, options: Parameters<typeof createSession>[1]) => {
    const before = readdirSync(`${world.root}/run/systemd/sessions`);
    await expect(createSession(bus, options)).rejects.toMatchObject({ errorName: name });
    expect(readdirSync(`${world.root}/run/systemd/sessions`)).toEqual(before);
  };
  const INVALID = "org.freedesktop.DBus.Error.InvalidArgs";

  test("CreateSession refuses what makes no sense, and nothing is left of it", async () => {
    const leader = await world.leader();
    const fine = { uid: ALICE.uid, leader: leader.pid };
    await refused(INVALID, { ...fine, type: "hologram" });
    await refused(INVALID, { ...fine, class: "emperor" });
    await refused(INVALID, { ...fine, class: "none" });
    await refused(INVALID, { ...fine, leader: 1 });
    await refused(INVALID, { ...fine, leader: 4194300 });
    await refused(INVALID, { ...fine, uid: 4000000 });
    await refused(INVALID, { ...fine, seat: "seat0", vtnr: 3 });
    await refused(INVALID, { ...fine, vtnr: 3 });
    await refused(INVALID, { ...fine, tty: "../../etc/passwd" });
    await refused(INVALID, { ...fine, service: "a\nUID=0" });
    await refused("org.freedesktop.login1.NoSuchSeat", { ...fine, seat: "seat7" });
    expect(existsSync(`${world.root}/run/user/${ALICE.uid}`)).toBe(false);
    const busy = await createSession(bus, fine);
    await refused("org.freedesktop.login1.SessionBusy", fine);
    close(busy.fd);
    await end(leader);
    await gone(busy.id);
  });

  test("something in the place of the runtime directory is named, and nothing is half made", async () => {
    const path = `${world.root}/run/user/${BOB.uid}`;
    await userGone(BOB.uid);
    writeFileSync(path, "in the way");
    const leader = await world.leader();
    await expect(createSession(bus, { uid: BOB.uid, leader: leader.pid })).rejects.toThrow(
      `/run/user/${BOB.uid} is not a directory`,
    );
    expect(readFileSync(path, "utf8")).toBe("in the way");
    await world.run(["rm", `/run/user/${BOB.uid}`]);
    expect(await sessionIds()).toEqual([]);
    await end(leader);
  });

  test("values that a shell would split come through the state file whole", async () => {
    const leader = await world.leader();
    const desktop = 'my "own" $DESKTOP `x` \\ end';
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid, desktop });
    expect(stateOf("sessions", id).DESKTOP).toBe(desktop);
    const shown = await world.run(["loginctl", "show-session", id, "-pDesktop", "--value"]);
    expect(shown.stdout).toBe(`${desktop}\n`);
    close(fd);
    await end(leader);
    await gone(id);
  });
});

describe("permission", () => {
  test("only root makes and releases sessions; the owner ends them, another user does not", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const call = (user: number, member: string, ...words: string[]) =>
      world.run(
        [
          ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
          ...["org.freedesktop.login1.Manager", member, ...words],
        ],
        { user },
      );
    const denied = expect.objectContaining({
      code: 1,
      stderr: expect.stringContaining("Access denied"),
    });
    const words = ["uusssssussbssa(sv)", "1", "0", "x", "tty", "user"];
    const rest = ["", "", "0", "", "", "false", "", "", "0"];
    expect(await call(ALICE.uid, "CreateSession", ...words, ...rest)).toEqual(denied);
    expect(await call(ALICE.uid, "ReleaseSession", "s", id)).toEqual(denied);
    expect(await call(ALICE.uid, "TerminateSeat", "s", "seat0")).toEqual(denied);
    for (const [member, ...args] of [
      ["TerminateSession", "s", id],
      ["KillSession", "ssi", id, "all", "9"],
      ["LockSession", "s", id],
      ["TerminateUser", "u", String(ALICE.uid)],
      ["KillUser", "ui", String(ALICE.uid), "9"],
    ] as [string, ...string[]][]) {
      expect(await call(BOB.uid, member, ...args)).toEqual(denied);
    }
    expect(leader.exitCode).toBeNull();
    expect((await call(ALICE.uid, "LockSession", "s", id)).code).toBe(0);
    expect((await call(ALICE.uid, "TerminateSession", "s", id)).code).toBe(0);
    await leader.exited;
    await gone(id);
    close(fd);
  });

  test("nobody but root takes the name, and the name is taken once", async () => {
    const second = await world.run([...world.options.bridge]);
    expect(second.code).toBe(1);
    expect(second.stderr).toContain("org.freedesktop.login1 is taken");
    const asUser = await world.run([...world.options.bridge], { user: ALICE.uid });
    expect(asUser.code).toBe(1);
    expect(asUser.stderr).toContain("run as root");
  });
});

describe("a restart", () => {
  test("after kill -9 every session is there again, and those that ended meanwhile are not", async () => {
    const kept = await world.leader();
    const byFifo = await world.leader();
    const dies = await world.leader();
    const one = await createSession(bus, { uid: ALICE.uid, leader: kept.pid, seat: "seat0" });
    const two = await createSession(bus, { uid: BOB.uid, leader: byFifo.pid });
    const three = await createSession(bus, { uid: BOB.uid, leader: dies.pid });
    const stays = await world.leader();
    const closed = await createSession(bus, { uid: BOB.uid, leader: stays.pid });
    const before = stateOf("sessions", one.id);
    expect(await world.endBridge("SIGKILL")).toBe("SIGKILL");
    await end(dies);
    close(closed.fd);
    const length = world.log.length;
    await world.startBridge();
    // It is known before anybody can ask.
    const log = world.log.slice(length);
    const ends = log.indexOf(`session ${closed.id} of ${BOB.name} ends: its descriptor was closed`);
    expect(ends).toBeGreaterThan(-1);
    expect(ends).toBeLessThan(log.indexOf("3 sessions found from before"));
    expect(stateOf("sessions", closed.id).STATE).toBe("closing");
    await end(stays);
    await gone(closed.id);
    expect((await sessionIds()).sort()).toEqual([one.id, two.id].sort());
    expect(stateOf("sessions", one.id)).toEqual(before);
    expect(stateOf("seats", "seat0").ACTIVE).toBe(one.id);
    // The fifo still counts, and so does the leader.
    close(two.fd);
    await world.until("the fifo's end", () => stateOf("sessions", two.id).STATE === "closing");
    await end(byFifo);
    await gone(two.id);
    await userGone(BOB.uid);
    await end(kept);
    await gone(one.id);
    await userGone(ALICE.uid);
    const next = await world.leader();
    const four = await createSession(bus, { uid: ALICE.uid, leader: next.pid });
    expect([one.id, two.id, three.id]).not.toContain(four.id);
    for (const fd of [one.fd, three.fd, four.fd]) close(fd);
    await end(next);
    await gone(four.id);
  });

  test("a leader is known by its pidfd's inode, or when it started; a later process of its number is none", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    const file = `${world.root}/run/systemd/sessions/${id}`;
    await world.endBridge("SIGKILL");
    const text = readFileSync(file, "utf8");
    const inode = /^LEADER_PIDFDID=\d+$/m.test(text);
    expect(/^LEADER_START=\d+$/m.test(text)).toBe(!inode);
    // What says more counts.
    if (inode) writeFileSync(file, `${text}LEADER_START=1\n`);
    await world.startBridge();
    expect(await sessionIds()).toEqual([id]);
    await world.endBridge("SIGKILL");
    writeFileSync(file, text.replace(/^(LEADER_(?:PIDFDID|START))=\d+$/m, "$1=1"));
    await world.startBridge();
    await gone(id);
    close(fd);
  });

  test("SIGTERM gives the name back and leaves the sessions", async () => {
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: ALICE.uid, leader: leader.pid });
    expect(await world.endBridge("SIGTERM")).toBe(0);
    expect(existsSync(`${world.root}/run/systemd/sessions/${id}`)).toBe(true);
    await world.startBridge();
    expect(await sessionIds()).toEqual([id]);
    await end(leader);
    await gone(id);
    close(fd);
  });

  test("a state file that makes no sense is named and passed over", async () => {
    await world.endBridge("SIGTERM");
    mkdirSync(`${world.root}/run/systemd/sessions`, { recursive: true });
    writeFileSync(`${world.root}/run/systemd/sessions/bad`, "TYPE=hologram\nLEADER=1\n");
    const length = world.log.length;
    await world.startBridge();
    expect(world.log.slice(length)).toContain("/run/systemd/sessions/bad is not used");
    expect(await sessionIds()).toEqual([]);
    await world.run(["rm", "/run/systemd/sessions/bad"]);
  });
});

describe("loginctl and busctl", () => {
  test("show every session, user and seat with exit status 0", async () => {
    const leader = await world.leader();
    const options = { uid: ALICE.uid, leader: leader.pid, seat: "seat0", desktop: "sway" };
    const { id, fd } = await createSession(bus, options);
    const run = async (...words: string[]) => {
      const { code, stdout, stderr } = await world.run(["loginctl", "--no-pager", ...words]);
      expect({ words, code, stderr }).toEqual({ words, code: 0, stderr: "" });
      return stdout;
    };
    const row = new RegExp(`^ *${id} +${ALICE.uid} +${ALICE.name} +seat0`, "m");
    expect(await run("list-sessions")).toMatch(row);
    expect(await run("list-users")).toMatch(new RegExp(`^ *${ALICE.uid} +${ALICE.name}`, "m"));
    expect(await run("list-seats")).toContain("seat0");
    expect(await run("show-session", id)).toContain(`Leader=${leader.pid}\n`);
    expect(await run("show-user", ALICE.name)).toContain(`RuntimePath=/run/user/${ALICE.uid}\n`);
    expect(await run("show-seat", "seat0")).toContain(`ActiveSession=${id}\n`);
    expect(await run("show-session")).toContain("NCurrentSessions=1\n");
    const status = await run("session-status", id);
    expect(status).toContain("Desktop: sway");
    expect(status).toContain(`${leader.pid} sleep infinity`);
    const asUser = await world.run(["loginctl", "--no-pager", "session-status", id], {
      user: BOB.uid,
    });
    const timeless = (text: string) => text.replace(/; .* ago$/m, "");
    expect({ ...asUser, stdout: timeless(asUser.stdout) }).toEqual({
      code: 0,
      stdout: timeless(status),
      stderr: "",
    });
    const missing = await world.run([
      ...["busctl", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1"],
      ...["org.freedesktop.systemd1.Manager", "GetUnitProcesses", "s", "dbus.service"],
    ]);
    expect(missing.stderr).toContain("Unit dbus.service not loaded");
    expect(await run("user-status", ALICE.name)).toContain(`Sessions: *${id}`);
    expect(await run("seat-status", "seat0")).toContain(`Sessions: *${id}`);
    const tree = await world.run(["busctl", "tree", "--list", "org.freedesktop.login1"]);
    expect(tree.stdout.split("\n")).toContain(`/org/freedesktop/login1/session/${id}`);
    close(fd);
    await end(leader);
    await gone(id);
  });
});
