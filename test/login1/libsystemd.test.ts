/** The real libsystemd and the real pam_systemd.so as clients. */
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Connection } from "../../lib/dbus/index.ts";
import { close, openPidfd } from "../../lib/linux/index.ts";
import { readAssignments } from "../support/assignments.ts";
import { readUntil } from "../support/read-until.ts";
import { callManager, createSession, createSessionByPidfd } from "./support/client.ts";
import { pamModule } from "./support/pam-module.ts";
import { buildProbe } from "./support/probe.ts";
import { World } from "./support/world.ts";

let world: World;
let bus: Connection;
let probe: string;
let folder: string;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "p7-probe-"));
  probe = await buildProbe(folder);
  world = await World.create();
  bus = await world.connect();
});
afterEach(() => world.reset(bus));
afterAll(async () => {
  bus.close();
  await world.end();
  rmSync(folder, { recursive: true });
});

describe("libsystemd", () => {
  test("sees what the bus says", async () => {
    const leader = await world.leader();
    const pidfd = openPidfd(leader.pid);
    const { id, fd } = await createSessionByPidfd(bus, pidfd, {
      uid: 65534,
      service: "greetd",
      desktop: "sway",
      seat: "seat0",
      remoteHost: "there.example",
    });
    const seen = await world.run([probe, String(leader.pid)]);
    expect(seen.stderr).toBe("");
    expect(readAssignments(seen.stdout)).toEqual({
      booted: "1",
      sessions: `1 ${id}`,
      pid_session: id,
      pid_owner: "65534",
      pid_slice: "user-65534.slice",
      type: "wayland",
      class: "user",
      seat: "seat0",
      desktop: "sway",
      service: "greetd",
      state: "active",
      tty: "!No data available",
      display: "!No data available",
      remote_host: "there.example",
      vt: "-61",
      leader: String(leader.pid),
      active: "1",
      remote: "0",
      uid: "65534",
      uid_state: "active",
      uid_display: id,
      uid_sessions: "1",
      seat_active: `${id} 65534`,
      seat_sessions: "1",
      seat_graphical: "0",
      seat_tty: "0",
    });
    close(fd);
  });

  test("a process outside of every session is in none", async () => {
    const seen = await world.run([probe, String(world.bridgePid)]);
    expect(seen.code).toBe(1);
    expect(seen.stdout).toContain("pid_session=No data available");
  });

  test("a login monitor wakes at a login, one for sessions and one for all", async () => {
    for (const category of ["session", "uid", "seat", "all"]) {
      const watcher = Bun.spawn(world.inside([probe, "monitor", category]), { stdout: "pipe" });
      expect(await readUntil(watcher.stdout, /\n/)).toBe("monitor=open\n");
      const leader = await world.leader();
      const { fd } = await createSession(bus, { uid: 65534, leader: leader.pid, seat: "seat0" });
      const said = await readUntil(watcher.stdout, /\n/);
      expect(`${category}: ${said}`).toBe(`${category}: monitor=event\n`);
      expect(await watcher.exited).toBe(0);
      close(fd);
      await world.reset(bus);
    }
  });
});

test("the real pam_systemd.so registers, gets its environment, and releases", async () => {
  mkdirSync(`${world.root}/run/pam.d`);
  writeFileSync(
    `${world.root}/run/pam.d/p7-test`,
    `auth required pam_permit.so\naccount required pam_permit.so\nsession required ${pamModule()} class=user type=tty debug\n`,
  );
  const program = `
import ctypes, os, sys
class Conv(ctypes.Structure):
    _fields_ = [("f", ctypes.c_void_p), ("d", ctypes.c_void_p)]
pam = ctypes.CDLL("libpam.so.0")
handle = ctypes.c_void_p()
r = pam.pam_start_confdir(b"p7-test", b"nobody", ctypes.byref(Conv()), b"/run/pam.d", ctypes.byref(handle))
assert r == 0, r
r = pam.pam_open_session(handle, 0)
print("open", r, flush=True)
pam.pam_getenv.restype = ctypes.c_char_p
for name in (b"XDG_SESSION_ID", b"XDG_RUNTIME_DIR"):
    print(name.decode(), (pam.pam_getenv(handle, name) or b"-").decode(), flush=True)
sys.stdin.readline()
print("close", pam.pam_close_session(handle, 0), flush=True)
pam.pam_end(handle, 0)
`;
  const login = Bun.spawn(world.inside(["python3", "-c", program]), {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const said = await readUntil(login.stdout, /XDG_RUNTIME_DIR .*\n/);
  const [sessions] = (await callManager(bus, "ListSessions")) as [[string, number][]];
  expect(sessions.map(([, uid]) => uid)).toEqual([65534]);
  const id = sessions[0]?.[0];
  expect(said).toBe(`open 0\nXDG_SESSION_ID ${id}\nXDG_RUNTIME_DIR /run/user/65534\n`);
  const seen = await world.run([probe, String(login.pid)]);
  expect(seen.stdout).toContain(`pid_session=${id}\n`);
  expect(seen.stdout).toContain("type=tty\n");
  login.stdin.write("\n");
  login.stdin.end();
  expect(await login.exited).toBe(0);
});
