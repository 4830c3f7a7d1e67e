/** io.systemd.Login by varlink, and that it is the same as what the bus does. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, fstatSync, lstatSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Connection } from "../../../lib/dbus/index.ts";
import { close, openPidfd, userById } from "../../../lib/linux/index.ts";
import { hasVts } from "../../../lib/login1/hardware/vt.ts";
import { Client, type Message } from "../../varlink/client.ts";
import { callManager, createSession, sessionIds } from "../support/client.ts";
import { scopeOf, World } from "../support/world.ts";

const ALICE = 65534;
const BOB = 1;
const SOCKET = "/run/systemd/io.systemd.Login";
/** Not one below /root, which an ordinary user cannot run. */
const PYTHON = "/usr/bin/python3";

let world: World;
let bus: Connection;
const clients: Client[] = [];
const callers: Bun.Subprocess[] = [];

beforeAll(async () => {
  world = await World.create();
  bus = await world.connect();
});
afterAll(async () => {
  bus.close();
  await world.end();
});
afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  for (const caller of callers.splice(0)) {
    caller.kill("SIGKILL");
    await caller.exited;
  }
  await world.reset(bus);
});

/** Calls a method as this process, which is root and in no session. */
async function call(method: string, parameters: object = {}): Promise<Message | undefined> {
  const client = await Client.connect(world.root + SOCKET);
  clients.push(client);
  return client.call(`io.systemd.Login.${method}`, parameters);
}

/** What pam_systemd sends at least. */
const request = (pid: number, more: object = {}) => ({
  UID: ALICE,
  PID: { pid },
  Service: "test",
  Type: "wayland",
  Class: "user",
  Remote: false,
  ...more,
});

const invalid = (parameter: string) => ({
  error: "org.varlink.service.InvalidParameter",
  parameters: { parameter },
});
const refused = (name: string) => ({ error: `io.systemd.Login.${name}` });

/** A process inside that makes each call that it is given a line of, and prints the answer. */
const CALLER = `
import json, socket, sys
s = socket.socket(socket.AF_UNIX); s.connect("${SOCKET}")
print("up", flush=True)
for line in sys.stdin:
    s.sendall(line.strip().encode() + b"\\0")
    answer = b""
    while not answer.endswith(b"\\0"):
        part = s.recv(65536)
        if not part: sys.exit("closed")
        answer += part
    print(answer[:-1].decode(), flush=True)
`;

async function caller(options: { user?: number; cgroup?: string } = {}) {
  const child = Bun.spawn(world.inside([PYTHON, "-c", CALLER], options), {
    stdin: "pipe",
    stdout: "pipe",
  });
  callers.push(child);
  const reader = child.stdout.getReader();
  let text = "";
  const line = async () => {
    while (!text.includes("\n")) {
      const { value, done } = await reader.read();
      if (done) throw new Error("the caller ended");
      text += Buffer.from(value).toString();
    }
    const end = text.indexOf("\n");
    const first = text.slice(0, end);
    text = text.slice(end + 1);
    return first;
  };
  expect(await line()).toBe("up");
  return {
    pid: child.pid,
    async call(method: string, parameters: object = {}): Promise<Message> {
      child.stdin.write(
        `${JSON.stringify({ method: `io.systemd.Login.${method}`, parameters })}\n`,
      );
      child.stdin.flush();
      return JSON.parse(await line());
    },
    async end(): Promise<void> {
      child.kill("SIGKILL");
      await child.exited;
    },
  };
}

const stateFile = (id: string) => join(world.root, "run/systemd/sessions", id);
const stateOf = (id: string) => world.stateOf("sessions", id);
const gone = (id: string) => world.gone(bus, id);
const idOf = (message: Message | undefined) => String(message?.parameters?.Id);

describe("CreateSession", () => {
  test("makes the session that the bus, the files and the cgroups show", async () => {
    const leader = await world.leader();
    const answer = await call(
      "CreateSession",
      request(leader.pid, {
        Service: "greetd",
        Class: "user_early",
        Desktop: "sway",
        Seat: "seat0",
        RemoteUser: "them",
        RemoteHost: "there",
        Remote: false,
        Display: null,
        ExtraDeviceAccess: ["render", "accel"],
      }),
    );
    const id = idOf(answer);
    expect(answer).toEqual({
      parameters: {
        Id: id,
        RuntimePath: `/run/user/${ALICE}`,
        UID: ALICE,
        Seat: "seat0",
        Type: "wayland",
        Class: "user_early",
      },
    });
    expect(await sessionIds(bus)).toEqual([id]);
    expect(stateOf(id)).toMatchObject({
      UID: String(ALICE),
      STATE: "active",
      TYPE: "wayland",
      CLASS: "user-early",
      SEAT: "seat0",
      DESKTOP: "sway",
      SERVICE: "greetd",
      REMOTE: "0",
      REMOTE_HOST: "there",
      REMOTE_USER: "them",
      EXTRA_DEVICE_ACCESS: "render accel",
      LEADER: String(leader.pid),
    });
    expect(readFileSync(`/proc/${leader.pid}/cgroup`, "utf8")).toContain(
      `${scopeOf(ALICE, id)}/leader\n`,
    );
    expect(lstatSync(`${world.root}/run/user/${ALICE}`).uid).toBe(ALICE);
    const shown = await world.run(["loginctl", "show-session", id, "--property=Leader"]);
    expect(shown.stdout).toBe(`Leader=${leader.pid}\n`);
  });

  test("a remote session is on no seat, whatever its login asks for", async () => {
    const leader = await world.leader();
    const far = { Remote: true, RemoteHost: "there", Seat: "seat0", VTNr: 1, TTY: "tty1" };
    const answer = await call("CreateSession", request(leader.pid, far));
    expect(answer).toMatchObject({ parameters: { Type: "wayland" } });
    expect(answer?.parameters).not.toHaveProperty("Seat");
    const state = stateOf(idOf(answer));
    expect(state).toMatchObject({ REMOTE: "1", REMOTE_HOST: "there" });
    for (const key of ["SEAT", "VTNR"]) expect(state).not.toHaveProperty(key);
  });

  test("the session ends with its leader, and not with the connection", async () => {
    const leader = await world.leader();
    const id = idOf(await call("CreateSession", request(leader.pid)));
    for (const client of clients.splice(0)) client.close();
    // An answer that came after the close was seen.
    await call("ReleaseSession");
    expect(stateOf(id).STATE).toBe("active");
    expect(existsSync(`${stateFile(id)}.ref`)).toBe(false);
    leader.kill("SIGKILL");
    await leader.exited;
    await gone(id);
  });

  test("without a PID the caller is the leader", async () => {
    const own = await caller();
    const id = idOf(await own.call("CreateSession", { UID: ALICE, Type: "tty", Class: "user" }));
    expect(stateOf(id)).toMatchObject({ LEADER: String(own.pid), TYPE: "tty", REMOTE: "0" });
    await own.end();
    await gone(id);
  });

  test("a remote host without Remote makes it remote", async () => {
    const leader = await world.leader();
    const remote = request(leader.pid, { Remote: null, RemoteHost: "there" });
    expect(stateOf(idOf(await call("CreateSession", remote)))).toMatchObject({ REMOTE: "1" });
  });

  test("the leader may come with what only it can have, as pam_systemd sends it", async () => {
    const leader = await world.leader();
    const pidfd = openPidfd(leader.pid);
    const pidfdId = fstatSync(pidfd).ino;
    close(pidfd);
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const PID = { pid: leader.pid, pidfdId, bootId: boot.replaceAll("-", "") };
    for (const wrong of [{ pidfdId: pidfdId + 1 }, { bootId: "0".repeat(32) }, { other: 1 }]) {
      expect(await call("CreateSession", request(1, { PID: { ...PID, ...wrong } }))).toEqual(
        invalid("PID"),
      );
    }
    expect(await sessionIds(bus)).toEqual([]);
    const id = idOf(await call("CreateSession", request(1, { PID })));
    expect(stateOf(id).LEADER).toBe(String(leader.pid));
  });

  test("numbers may be written as text, as systemd's services take those of 64 bits", async () => {
    const leader = await world.leader();
    const [UID, PID] = [String(ALICE), { pid: String(leader.pid) }];
    const id = idOf(await call("CreateSession", request(1, { UID, PID })));
    expect(stateOf(id)).toMatchObject({ UID, LEADER: PID.pid });
  });

  test.each([
    ["UID", { UID: undefined }],
    ["UID", { UID: null }],
    ["UID", { UID: -1 }],
    ["UID", { UID: 0xffffffff }],
    ["UID", { UID: 0xffff }],
    ["UID", { UID: 64_999 }],
    ["UID", { UID: "65534x" }],
    ["PID", { PID: 0 }],
    ["PID", { PID: 4711 }],
    ["PID", { PID: { pid: 1 } }],
    ["PID", { PID: {} }],
    ["PID", { PID: { pid: 2 ** 40 } }],
    ["PID", { PID: { pid: 2 ** 22 + 1 } }],
    ["PID", { PID: [1] }],
    ["Type", { Type: undefined }],
    ["Type", { Type: "" }],
    ["Type", { Type: "gui" }],
    ["Class", { Class: undefined }],
    ["Class", { Class: "none" }],
    ["Class", { Class: "users" }],
    ["Service", { Service: 1 }],
    ["Desktop", { Desktop: "a\nb" }],
    ["VTNr", { Seat: "seat0", VTNr: 3 }],
    ["VTNr", { VTNr: -1 }],
    ["TTY", { TTY: "../shadow" }],
    ["VTNr", { TTY: "tty3", VTNr: 4 }],
    ["Remote", { Remote: "no" }],
    ["ExtraDeviceAccess", { ExtraDeviceAccess: ["../gpu"] }],
    ["ExtraDeviceAccess", { ExtraDeviceAccess: [1] }],
    ["Existing", { Existing: true }],
  ])("a wrong %s is named: %j", async (parameter, wrong) => {
    const leader = await world.leader();
    expect(await call("CreateSession", request(leader.pid, wrong))).toEqual(invalid(parameter));
    expect(await sessionIds(bus)).toEqual([]);
    expect(existsSync(`${world.root}/run/user/${ALICE}`)).toBe(false);
  });

  test("a seat that does not exist is NoSuchSeat", async () => {
    const leader = await world.leader();
    expect(await call("CreateSession", request(leader.pid, { Seat: "seat9" }))).toEqual(
      refused("NoSuchSeat"),
    );
  });

  test("a leader in a session is AlreadySessionMember, whoever made that", async () => {
    const leader = await world.leader();
    const made = await createSession(bus, { uid: ALICE, leader: leader.pid });
    expect(await call("CreateSession", request(leader.pid))).toEqual(
      refused("AlreadySessionMember"),
    );
    close(made.fd);
    const other = await world.leader();
    const id = idOf(await call("CreateSession", request(other.pid)));
    await expect(createSession(bus, { uid: ALICE, leader: other.pid })).rejects.toMatchObject({
      errorName: "org.freedesktop.login1.SessionBusy",
    });
    expect(await sessionIds(bus)).toContain(id);
  });

  test("one session more than SessionsMax is TooManySessions", async () => {
    const folder = join(world.root, "run/lainos/logind.conf.d");
    mkdirSync(folder, { recursive: true });
    // Reload answers when it is done.
    const set = async (text: string) => {
      writeFileSync(join(folder, "most.conf"), text);
      await callManager(bus, "Reload");
    };
    await set("[Login]\nSessionsMax=1\n");
    const [first, second] = [await world.leader(), await world.leader()];
    expect(await call("CreateSession", request(first.pid))).toHaveProperty("parameters.Id");
    expect(await call("CreateSession", request(second.pid))).toEqual(refused("TooManySessions"));
    await set("");
  });

  test("one user's sessions leave some of SessionsMax to others, and all of them some to root", async () => {
    const folder = join(world.root, "run/lainos/logind.conf.d");
    mkdirSync(folder, { recursive: true });
    writeFileSync(join(folder, "most.conf"), "[Login]\nSessionsMax=4\n");
    await callManager(bus, "Reload");
    const ask = async (UID: number) =>
      call("CreateSession", request((await world.leader()).pid, { UID }));
    for (let count = 0; count < 3; count++)
      expect(await ask(ALICE)).toHaveProperty("parameters.Id");
    expect(await ask(ALICE)).toEqual(refused("TooManySessions"));
    expect(await ask(BOB)).toHaveProperty("parameters.Id");
    expect(await ask(BOB)).toEqual(refused("TooManySessions"));
    for (let count = 0; count < 4; count++) expect(await ask(0)).toHaveProperty("parameters.Id");
    expect(await ask(0)).toEqual(refused("TooManySessions"));
    writeFileSync(join(folder, "most.conf"), "");
    await callManager(bus, "Reload");
  });

  test("without a cgroup to be had it is UnitAllocationFailed, and nothing is left", async () => {
    const leader = await world.leader();
    const most = join(world.root, "sys/fs/cgroup/cgroup.max.descendants");
    writeFileSync(most, "0");
    try {
      expect(await call("CreateSession", request(leader.pid))).toEqual(
        refused("UnitAllocationFailed"),
      );
    } finally {
      writeFileSync(most, "max");
    }
    expect(await sessionIds(bus)).toEqual([]);
    await world.until("it is logged", () => world.log.includes("could not be made"));
    expect(await call("CreateSession", request(leader.pid))).toHaveProperty("parameters.Id");
  });

  test("is for root alone", async () => {
    const leader = await world.leader({ user: ALICE });
    const alice = await caller({ user: ALICE });
    const denied = { error: "org.varlink.service.PermissionDenied" };
    expect(await alice.call("CreateSession", request(leader.pid))).toEqual(denied);
    // Nor does it learn more from a call that is wrong.
    expect(await alice.call("CreateSession", { UID: "x" })).toEqual(denied);
    expect(await sessionIds(bus)).toEqual([]);
  });
});

describe("ReleaseSession", () => {
  test("ends the session that the caller is in, by name, as self, and without a name", async () => {
    for (const name of ["by name", "self", "auto", undefined, null]) {
      const leader = await world.leader();
      const id = idOf(await call("CreateSession", request(leader.pid)));
      const inside = await caller({ user: ALICE, cgroup: scopeOf(ALICE, id) });
      const answer = await inside.call("ReleaseSession", { Id: name === "by name" ? id : name });
      expect(answer).toEqual({ parameters: {} });
      // The answer does not wait for it.
      await world.until("it closes", () => stateOf(id).STATE === "closing");
      await inside.end();
      leader.kill("SIGKILL");
      await leader.exited;
      await gone(id);
    }
  });

  test("the leader that PAM runs in makes and ends it over one connection", async () => {
    const login = await caller();
    const parameters = { UID: ALICE, PID: { pid: login.pid }, Type: "tty", Class: "user" };
    const id = idOf(await login.call("CreateSession", parameters));
    expect(await login.call("ReleaseSession", { Id: id })).toEqual({ parameters: {} });
    await world.until("it closes", () => stateOf(id).STATE === "closing");
    await login.end();
    await gone(id);
  });

  test("nobody ends another session, root neither", async () => {
    const [first, second] = [await world.leader(), await world.leader()];
    const one = idOf(await call("CreateSession", request(first.pid)));
    const two = idOf(await call("CreateSession", request(second.pid, { UID: BOB })));
    const denied = { error: "org.varlink.service.PermissionDenied" };
    for (const user of [ALICE, 0]) {
      const inside = await caller({ user, cgroup: scopeOf(ALICE, one) });
      expect(await inside.call("ReleaseSession", { Id: two })).toEqual(denied);
    }
    expect(stateOf(two).STATE).toBe("active");
  });

  test("from outside, or of none, it is NoSuchSession", async () => {
    const leader = await world.leader();
    const id = idOf(await call("CreateSession", request(leader.pid)));
    expect(await call("ReleaseSession", { Id: id })).toEqual(refused("NoSuchSession"));
    expect(await call("ReleaseSession", {})).toEqual(refused("NoSuchSession"));
    const inside = await caller({ cgroup: scopeOf(ALICE, id) });
    expect(await inside.call("ReleaseSession", { Id: "c999" })).toEqual(refused("NoSuchSession"));
    expect(await inside.call("ReleaseSession", { Id: 5 })).toEqual(invalid("Id"));
    expect(stateOf(id).STATE).toBe("active");
  });
});

/** What a person may do with python3-varlink: it reads the interface's definition and calls by it. */
const UNMODIFIED = `
import json, sys, varlink
with varlink.Client.new_with_address("unix:${SOCKET}") as client:
    with client.open("io.systemd.Login") as login:
        wrong = {}
        for parameters in [{"TTY": ""}, {"TTY": "../null"}]:
            try:
                made = login.CreateSession(UID=${ALICE}, Type="x11", Display=":7", Class="user", **parameters)
            except varlink.VarlinkError as error:
                wrong = error.as_dict()
        login.ReleaseSession(made["Id"])
        print(json.dumps([client.get_interfaces(), made, wrong]))
`;

test("a client that is not ours reads the definition, and makes and ends a session", async () => {
  const { stdout, stderr } = await world.run([PYTHON, "-c", UNMODIFIED]);
  expect(stderr).toBe("");
  const [interfaces, made, wrong] = JSON.parse(stdout);
  expect(interfaces).toEqual(["io.systemd.Login", "org.varlink.service"]);
  expect(made).toMatchObject({ UID: ALICE, RuntimePath: `/run/user/${ALICE}`, Type: "x11" });
  expect(wrong).toEqual(invalid("TTY"));
  await world.until("what it did is done", () => {
    return world.log.includes(
      `session ${made.Id} of ${userById(ALICE)?.name} ends: it was released`,
    );
  });
  await gone(made.Id);
});

describe("the socket", () => {
  test("is everybody's to speak to", async () => {
    expect(lstatSync(world.root + SOCKET).mode & 0o7777).toBe(0o666);
    const alice = await caller({ user: ALICE });
    expect(await alice.call("Nothing")).toEqual({
      error: "org.varlink.service.MethodNotFound",
      parameters: { method: "io.systemd.Login.Nothing" },
    });
  });

  test("a flood of calls and of nonsense keeps neither the bus nor a login waiting for its end", async () => {
    const leader = await world.leader();
    const floods = await Promise.all(
      Array.from({ length: 20 }, () => Client.connect(world.root + SOCKET)),
    );
    clients.push(...floods);
    for (const flood of floods)
      flood.send('{"method":"org.varlink.service.GetInfo"}\0'.repeat(1000));
    for (const flood of floods.slice(10)) flood.send("nonsense\0");
    const id = idOf(await call("CreateSession", request(leader.pid)));
    expect(await sessionIds(bus)).toEqual([id]);
  });

  test("goes when the bridge is stopped, and is replaced when it was killed", async () => {
    const leader = await world.leader();
    const id = idOf(await call("CreateSession", request(leader.pid)));
    await world.endBridge("SIGKILL");
    expect(existsSync(world.root + SOCKET)).toBe(true);
    await world.startBridge();
    const inside = await caller({ cgroup: scopeOf(ALICE, id) });
    expect(await inside.call("ReleaseSession")).toEqual({ parameters: {} });
    expect(await world.endBridge("SIGTERM")).toBe(0);
    expect(existsSync(world.root + SOCKET)).toBe(false);
    // What is in the way is named, and login1 answers without the socket.
    await world.run(["mkdir", SOCKET]);
    await world.startBridge();
    expect(world.log).toContain(`${SOCKET} is in the way and is no socket`);
    expect(await callManager(bus, "ListSeats")).toBeDefined();
    await world.endBridge("SIGTERM");
    await world.run(["rmdir", SOCKET]);
    await world.startBridge();
    expect(await call("ReleaseSession")).toEqual(refused("NoSuchSession"));
  });
});

describe.skipIf(!hasVts())("on VTs", () => {
  // One that nothing switches to.
  const VT = 40;

  test("the VT comes from the terminal, is answered, and is taken once", async () => {
    const other = await World.create({ vts: [0, VT] });
    try {
      const client = await Client.connect(other.root + SOCKET);
      clients.push(client);
      const login = async (more: object) => {
        const leader = await other.leader();
        return client.call("io.systemd.Login.CreateSession", request(leader.pid, more));
      };
      expect(await login({ Type: "tty", TTY: `/dev/tty${VT}` })).toMatchObject({
        parameters: { Seat: "seat0", VTNr: VT, Type: "tty" },
      });
      expect(await login({ Seat: "seat0", VTNr: VT })).toEqual(
        refused("VirtualTerminalAlreadyTaken"),
      );
      expect(await login({ Seat: "seat0" })).toEqual(invalid("VTNr"));
      expect(await login({ Seat: "seat0", VTNr: 64 })).toEqual(invalid("VTNr"));
    } finally {
      await other.end();
    }
  });
});
