/** What ends with a user's last session, and what stays: processes, IPC, lingering, UserStopDelaySec. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, processStatus, userById } from "../../../lib/linux/index.ts";
import { escapeC, unescapeC } from "../../../lib/login1/vocabulary/c-escape.ts";
import { callManager, createSession } from "../support/client.ts";
import { endAll, scopeOf, World } from "../support/world.ts";

// An ordinary user as logind counts (above 999) and a system user.
const ALICE = 65534;
const DAEMON = 1;
const nameOf = (uid: number) => userById(uid)?.name ?? "";

let world: World;
let bus: Connection;
const events: string[] = [];
const outliving: Bun.Subprocess[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
  const sender = "org.freedesktop.login1";
  for (const member of ["UserNew", "UserRemoved"]) {
    const match = { sender, interface: "org.freedesktop.login1.Manager", member };
    await bus.onSignal(match, ([uid]) => void events.push(`${member} ${uid}`));
  }
  const match = {
    sender,
    interface: "org.freedesktop.DBus.Properties",
    member: "PropertiesChanged",
  };
  await bus.onSignal(match, ([, values], { path }) => {
    for (const [key, { value }] of Object.entries(values as Record<string, { value: unknown }>)) {
      events.push(`${path.split("/").at(-1)} ${key}=${value}`);
    }
  });
});
afterAll(async () => {
  bus.close();
  await world.end();
});
afterEach(async () => {
  await Promise.all(outliving.splice(0).map(end));
  for (const uid of [ALICE, DAEMON]) await linger(uid, false);
  rmSync(configFile(), { force: true });
  await callManager(bus, "Reload");
  await world.reset(bus);
  events.length = 0;
});

const configFile = () => join(world.root, "run/lainos/logind.conf.d/50-test.conf");
const configure = async (...lines: string[]) => {
  mkdirSync(dirname(configFile()), { recursive: true });
  writeFileSync(configFile(), `[Login]\n${lines.join("\n")}\n`);
  await callManager(bus, "Reload");
};
const linger = (uid: number, enable: boolean) =>
  callManager(bus, "SetUserLinger", "ubb", [uid, enable, false]);
const lingerFile = (uid: number) =>
  join(world.root, "var/lib/systemd/linger", escapeC(nameOf(uid)));
const runtimeDir = (uid: number) => join(world.root, "run/user", String(uid));
const stateOf = (uid: number) => world.stateOf("users", String(uid));
const loggedIn = async () =>
  ((await callManager(bus, "ListUsers"))[0] as [number][]).map(([uid]) => uid);
const restart = async () => {
  await world.endBridge("SIGKILL");
  await world.startBridge();
};

/** A session with its leader, and a second process that outlives it, as one under nohup does. */
async function session(uid: number, ignored = "HUP") {
  const leader = await world.leader();
  const { id, fd } = await createSession(bus, { uid, leader: leader.pid });
  const options = { user: uid, cgroup: scopeOf(uid, id) };
  const command = ["sh", "-c", `trap '' ${ignored}; echo up; exec sleep infinity`];
  const left = Bun.spawn(world.inside(command, options), {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  outliving.push(left);
  await left.stdout.getReader().read();
  const logOut = async () => {
    leader.kill("SIGKILL");
    await leader.exited;
  };
  const gone = async () => {
    await world.until(
      `session ${id} is gone`,
      () => !existsSync(join(world.root, "run/systemd/sessions", id)),
    );
    // Its user's file follows in the same turn of the bridge, which answers after that.
    await loggedIn();
  };
  return { id, fd, leader, left, logOut, gone };
}

const end = async (child: Bun.Subprocess) => {
  child.kill("SIGKILL");
  await child.exited;
};

describe("KillUserProcesses", () => {
  test("no, which is the default, lets what is left run out", async () => {
    const { id, fd, left, logOut, gone } = await session(ALICE);
    await logOut();
    await world.until("it is closing", () => stateOf(ALICE).STATE === "closing");
    expect(processStatus(left.pid)?.state).not.toBe("Z");
    expect(left.exitCode).toBeNull();
    await end(left);
    await gone();
    expect(id).not.toBe("");
    close(fd);
  });

  test("yes ends it with its leader, but nobody's of KillExcludeUsers", async () => {
    await configure("KillUserProcesses=yes", `KillExcludeUsers=${nameOf(DAEMON)}`);
    const killed = await session(ALICE);
    const spared = await session(DAEMON);
    await killed.logOut();
    await spared.logOut();
    await killed.left.exited;
    expect(killed.left.signalCode).toBe("SIGTERM");
    await killed.gone();
    expect(spared.left.exitCode).toBeNull();
    await end(spared.left);
    await spared.gone();
    for (const { fd } of [killed, spared]) close(fd);
  });

  test("KillOnlyUsers ends the processes of those whom it names, and of nobody else", async () => {
    await configure(`KillOnlyUsers=${nameOf(DAEMON)}`);
    const killed = await session(DAEMON);
    const spared = await session(ALICE);
    await spared.logOut();
    await killed.logOut();
    await killed.left.exited;
    expect(killed.left.signalCode).toBe("SIGTERM");
    expect(spared.left.exitCode).toBeNull();
    await end(spared.left);
    for (const { fd } of [killed, spared]) close(fd);
  });

  test("a leader that releases its session finishes that before the rest is ended", async () => {
    await configure("KillUserProcesses=yes");
    const { id, fd, leader, left, logOut, gone } = await session(ALICE);
    await callManager(bus, "ReleaseSession", "s", [id]);
    await world.until("it is closing", () => stateOf(ALICE).STATE === "closing");
    expect([leader.exitCode, left.exitCode]).toEqual([null, null]);
    await logOut();
    await left.exited;
    expect(left.signalCode).toBe("SIGTERM");
    await gone();
    close(fd);
  });

  test("what was left when the bridge was killed is ended by the next one", async () => {
    await configure("KillUserProcesses=yes");
    const { fd, left, logOut, gone } = await session(ALICE);
    await world.endBridge("SIGKILL");
    await logOut();
    expect(left.exitCode).toBeNull();
    await world.startBridge();
    await left.exited;
    await gone();
    close(fd);
  });
});

describe("TerminateSession", () => {
  test("kills what heeds no SIGTERM, also by the next bridge if this one is killed meanwhile", async () => {
    const { id, fd, left, gone } = await session(ALICE, "HUP TERM");
    await callManager(bus, "TerminateSession", "s", [id]);
    await world.endBridge("SIGKILL");
    expect(left.exitCode).toBeNull();
    // As if the ten seconds that it has were nearly over.
    const file = join(world.root, "run/systemd/sessions", id);
    const state = readFileSync(file, "utf8");
    expect(state).toMatch(/^TERMINATED=\d+$/m);
    writeFileSync(file, state.replace(/^TERMINATED=\d+$/m, "TERMINATED=1"));
    await world.startBridge();
    await left.exited;
    expect(left.signalCode).toBe("SIGKILL");
    await gone();
    close(fd);
  });
});

describe("UserStopDelaySec", () => {
  test("keeps the user and the runtime directory, across a restart and into the next login", async () => {
    await configure("UserStopDelaySec=1h");
    const first = await session(ALICE);
    writeFileSync(join(runtimeDir(ALICE), "kept"), "");
    await end(first.left);
    await first.logOut();
    await first.gone();
    expect(await loggedIn()).toEqual([ALICE]);
    expect(stateOf(ALICE).STATE).toBe("closing");
    await restart();
    expect(await loggedIn()).toEqual([ALICE]);
    expect(readdirSync(runtimeDir(ALICE))).toEqual(["kept"]);
    events.length = 0;
    const second = await session(ALICE);
    expect(stateOf(ALICE).STATE).toBe("active");
    expect(readdirSync(runtimeDir(ALICE))).toEqual(["kept"]);
    await configure("UserStopDelaySec=0");
    await end(second.left);
    await second.logOut();
    await world.until("the user is gone", () => events.includes(`UserRemoved ${ALICE}`));
    expect(events).not.toContain(`UserNew ${ALICE}`);
    expect(existsSync(runtimeDir(ALICE))).toBe(false);
    for (const { fd } of [first, second]) close(fd);
  });

  test("lets go when the delay is over", async () => {
    await configure("UserStopDelaySec=1ms");
    const { fd, left, logOut } = await session(ALICE);
    await end(left);
    await logOut();
    await world.until("the user is gone", () => events.includes(`UserRemoved ${ALICE}`));
    expect(existsSync(runtimeDir(ALICE))).toBe(false);
    close(fd);
  });

  test("is over for what ended while the bridge was away", async () => {
    await configure("UserStopDelaySec=infinity");
    const { fd, left, logOut, gone } = await session(ALICE);
    await end(left);
    await logOut();
    await gone();
    expect(await loggedIn()).toEqual([ALICE]);
    await configure("UserStopDelaySec=1us");
    await restart();
    await world.until("the user is gone", () => !existsSync(runtimeDir(ALICE)));
    expect(await loggedIn()).toEqual([]);
    close(fd);
  });
});

describe("lingering", () => {
  test("brings a user who is not logged in, keeps one who was, and lets go when it ends", async () => {
    expect(existsSync(lingerFile(ALICE))).toBe(false);
    await linger(ALICE, true);
    expect(existsSync(lingerFile(ALICE))).toBe(true);
    expect(await loggedIn()).toEqual([ALICE]);
    expect(existsSync(runtimeDir(ALICE))).toBe(true);
    expect(stateOf(ALICE).STATE).toBe("lingering");
    const shown = await world.run(["loginctl", "show-user", String(ALICE), "-pLinger", "-pState"]);
    expect(shown.stdout).toBe("State=lingering\nLinger=yes\n");
    const { fd, left, logOut, gone } = await session(ALICE);
    expect(stateOf(ALICE).STATE).toBe("active");
    await end(left);
    await logOut();
    await gone();
    expect(stateOf(ALICE).STATE).toBe("lingering");
    expect(stateOf(ALICE).STOPPING).toBe("0");
    events.length = 0;
    await linger(ALICE, false);
    await world.until("the user is gone", () => events.includes(`UserRemoved ${ALICE}`));
    expect(existsSync(lingerFile(ALICE))).toBe(false);
    expect(existsSync(runtimeDir(ALICE))).toBe(false);
    expect(await loggedIn()).toEqual([]);
    close(fd);
  });

  test("is told of one who is logged in, and does not end the session", async () => {
    const { fd, left, logOut } = await session(ALICE);
    events.length = 0;
    await linger(ALICE, true);
    await world.until("the news", () => events.includes(`_${ALICE} Linger=true`));
    await linger(ALICE, true);
    await linger(ALICE, false);
    await world.until("the news", () => events.includes(`_${ALICE} Linger=false`));
    expect(events.filter((event) => event.includes("Linger"))).toHaveLength(2);
    expect(stateOf(ALICE).STATE).toBe("active");
    await end(left);
    await logOut();
    close(fd);
  });

  test("ends with TerminateUser, until the next login", async () => {
    await linger(ALICE, true);
    await callManager(bus, "TerminateUser", "u", [ALICE]);
    expect(await loggedIn()).toEqual([]);
    expect(existsSync(lingerFile(ALICE))).toBe(true);
    const { fd, left, logOut, gone } = await session(ALICE);
    await end(left);
    await logOut();
    await gone();
    expect(stateOf(ALICE).STATE).toBe("lingering");
    close(fd);
  });

  test("is what the user does beside a session of a service manager's", async () => {
    const leader = await world.leader();
    const asked = { uid: ALICE, leader: leader.pid, class: "manager" };
    const { id, fd } = await createSession(bus, asked);
    expect(stateOf(ALICE).STATE).toBe("online");
    await linger(ALICE, true);
    expect(stateOf(ALICE).STATE).toBe("lingering");
    await linger(ALICE, false);
    await endAll(leader);
    await world.gone(bus, id);
    close(fd);
  });

  test("comes back with the bridge from the file alone, as after a boot", async () => {
    await world.endBridge("SIGKILL");
    mkdirSync(dirname(lingerFile(ALICE)), { recursive: true });
    writeFileSync(lingerFile(ALICE), "");
    writeFileSync(join(dirname(lingerFile(ALICE)), "no-such-user"), "");
    await world.startBridge();
    expect(world.log).toContain("no-such-user is to linger, but there is no such user");
    expect(await loggedIn()).toEqual([ALICE]);
    expect(existsSync(runtimeDir(ALICE))).toBe(true);
    await restart();
    expect(await loggedIn()).toEqual([ALICE]);
    rmSync(join(dirname(lingerFile(ALICE)), "no-such-user"));
  });

  test("is one's own to say, for another root's, and for nobody who does not exist", async () => {
    const say = (user: number, uid: number) =>
      world.run(
        [
          ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
          ...["org.freedesktop.login1.Manager", "SetUserLinger", "ubb", String(uid), "1", "0"],
        ],
        { user },
      );
    expect(await say(ALICE, ALICE)).toMatchObject({ code: 0 });
    expect(existsSync(lingerFile(ALICE))).toBe(true);
    expect((await say(ALICE, DAEMON)).stderr).toContain("Access denied");
    expect(existsSync(lingerFile(DAEMON))).toBe(false);
    // Who is in nobody's slice has no own user to mean.
    expect((await say(ALICE, 0xffffffff)).stderr).toContain("is in no user's slice");
    await expect(linger(4_000_000, true)).rejects.toThrow("no user with the UID 4000000");
    const { id, fd, left, logOut } = await session(DAEMON);
    const own = await world.run(["loginctl", "enable-linger"], {
      user: DAEMON,
      cgroup: scopeOf(DAEMON, id),
    });
    expect(own).toMatchObject({ code: 0, stderr: "" });
    expect(existsSync(lingerFile(DAEMON))).toBe(true);
    await end(left);
    await logOut();
    close(fd);
  });

  test("nothing is left of it where the runtime directory cannot be made", async () => {
    writeFileSync(runtimeDir(ALICE), "in the way");
    await expect(linger(ALICE, true)).rejects.toThrow("is not a directory");
    expect(existsSync(lingerFile(ALICE))).toBe(false);
    expect(await loggedIn()).toEqual([]);
    rmSync(runtimeDir(ALICE));
  });

  test("a name is in the file system as logind writes it", () => {
    for (const [name, file] of [
      ["alice", "alice"],
      ["DOMAIN\\bob", "DOMAIN\\\\bob"],
      ["zoë", "zo\\303\\253"],
      ["a'b", "a\\'b"],
    ] as const) {
      expect(escapeC(name)).toBe(file);
      expect(unescapeC(file)).toBe(name);
    }
  });
});

describe("RemoveIPC", () => {
  /** Leaves one of each behind, by programs of the user's. */
  const leave = async (uid: number) => {
    const made = await world.run(
      [
        ...["sh", "-c"],
        "ipcmk -M 4096 && ipcmk -S 1 && ipcmk -Q && cd /dev/shm && echo x > shm-$0 && mkdir dir-$0 && echo x > dir-$0/in && touch /dev/mqueue/mq-$0",
        String(uid),
      ],
      { user: uid },
    );
    expect(made).toMatchObject({ code: 0, stderr: "" });
  };
  /** The uid stands four times in a line of /proc/sysvipc: owner and creator, user and group. */
  const countOf = async (uid: number) => {
    const { stdout } = await world.run([
      "cat",
      ...["shm", "sem", "msg"].map((kind) => `/proc/sysvipc/${kind}`),
    ]);
    const lines = stdout.split("\n").filter((line) => new RegExp(`(?: +${uid}){4} `).test(line));
    const files = ["shm", "mqueue"].flatMap((folder) =>
      readdirSync(join(world.root, "dev", folder)),
    );
    return lines.length + files.filter((file) => file.endsWith(`-${uid}`)).length;
  };
  const comeAndGo = async (uid: number) => {
    const { fd, left, logOut } = await session(uid);
    await leave(uid);
    expect(await countOf(uid)).toBe(6);
    await end(left);
    await logOut();
    await world.until("the user is gone", () => events.includes(`UserRemoved ${uid}`));
    close(fd);
  };
  afterEach(async () => {
    // ipcrm of util-linux 2.42 takes /dev/shm too, and stops at a folder in it.
    const all = "rm -rf /dev/shm/* /dev/mqueue/* && ipcrm --all";
    expect(await world.run(["sh", "-c", all])).toMatchObject({ code: 0, stderr: "" });
  });

  test("takes what an ordinary user left, and nothing of a system user's or root's", async () => {
    await leave(DAEMON);
    await world.run(["sh", "-c", "ipcmk -M 4096; echo x > /dev/shm/root-0"]);
    await comeAndGo(ALICE);
    // The removal goes on after the news.
    await world.until("all of it is gone", async () => (await countOf(ALICE)) === 0);
    expect(await countOf(DAEMON)).toBe(6);
    expect(existsSync(join(world.root, "dev/shm/root-0"))).toBe(true);
    expect((await world.run(["ipcs", "-m"])).stdout).toContain("root");
  });

  test("no leaves it", async () => {
    await configure("RemoveIPC=no");
    await comeAndGo(ALICE);
    expect(await countOf(ALICE)).toBe(6);
  });

  test("follows no link out of /dev/shm", async () => {
    const { fd, left, logOut } = await session(ALICE);
    const outside = join(world.root, "run/outside");
    await world.run(["install", "-d", "-o", String(ALICE), "/run/outside"]);
    await world.run(["sh", "-c", "echo x > /run/outside/file; ln -s /run/outside /dev/shm/link"], {
      user: ALICE,
    });
    await end(left);
    await logOut();
    await world.until("the user is gone", () => events.includes(`UserRemoved ${ALICE}`));
    await world.until("the link is gone", () => {
      return readdirSync(join(world.root, "dev/shm")).length === 0;
    });
    expect(readdirSync(outside)).toEqual(["file"]);
    rmSync(outside, { recursive: true });
    close(fd);
  });
});

describe("a run that is killed in the middle", () => {
  /** Nobody else on this machine has processes of this uid. */
  const STRANGER = 54_321;
  const slice = `/user.slice/user-${STRANGER}.slice`;
  const folder = (path: string) => `${world.root}/sys/fs/cgroup${path}`;
  const restart = async () => {
    await world.endBridge("SIGKILL");
    await world.startBridge();
  };
  const makeRuntimeDir = `mkdir /run/user/${STRANGER} && mount -t tmpfs tmpfs /run/user/${STRANGER}`;

  test("leaves no scope, slice or runtime directory that nobody is in", async () => {
    mkdirSync(folder(`${slice}/session-c70.scope/leader`), { recursive: true });
    expect(await world.run(["sh", "-c", makeRuntimeDir])).toMatchObject({ code: 0, stderr: "" });
    await restart();
    expect(existsSync(folder(slice))).toBe(false);
    await world.until("it is gone", () => !existsSync(`${world.root}/run/user/${STRANGER}`));
  });

  test("leaves alone what processes are in until they end, and gives nobody its id", async () => {
    mkdirSync(folder(`${slice}/session-c1.scope/leader`), { recursive: true });
    expect(await world.run(["sh", "-c", makeRuntimeDir])).toMatchObject({ code: 0, stderr: "" });
    const cgroup = `${slice}/session-c1.scope/leader`;
    const command = ["sh", "-c", "echo up; exec sleep infinity"];
    const member = Bun.spawn(world.inside(command, { user: STRANGER, cgroup }), { stdout: "pipe" });
    outliving.push(member);
    await member.stdout.getReader().read();
    await restart();
    expect(existsSync(`${world.root}/run/user/${STRANGER}`)).toBe(true);
    const leader = await world.leader();
    const { id, fd } = await createSession(bus, { uid: DAEMON, leader: leader.pid });
    expect(id).not.toBe("c1");
    close(fd);
    await end(member);
    await world.until("the slice is gone", () => !existsSync(folder(slice)));
    await world.run(["umount", `/run/user/${STRANGER}`]);
    rmdirSync(`${world.root}/run/user/${STRANGER}`);
  });
});
