/** Sessions in the booted system: greetd, Sway, su, and what ends them. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import { LIVE_USER, type Live, SYSTEMDS_OWN } from "../../testbed/live/index.ts";
import { parseSessions } from "../../testbed/live/ready.ts";
import { readAssignments } from "../support/assignments.ts";
import {
  BOOT_TIMEOUT,
  bootSystem,
  desktopSession,
  ensureDesktop,
  LOG,
  must,
  OTHER_USER,
  PROBE,
  pidOf,
  sessionGone,
  show,
  TEST_ACTION,
} from "./system.ts";

let live: Live;
let id: string;

beforeAll(async () => {
  live = await bootSystem("test-session");
}, BOOT_TIMEOUT);
afterAll(() => live?.stop(), BOOT_TIMEOUT);
beforeEach(async () => {
  id = await ensureDesktop(live);
}, 60_000);

const sway = async () => {
  const pid = await pidOf(live, "sway");
  if (pid === undefined) throw new Error("Sway does not run");
  return pid;
};
const runtimeFolder = () => existsSync(`${live.root}/run/user/1000`);

const SYSTEMDS_LOGINCTL = `${SYSTEMDS_OWN}/loginctl`;

describe("the session that greetd started", () => {
  test.each([
    ["systemd's own loginctl", SYSTEMDS_LOGINCTL],
    ["ours", "loginctl"],
  ])("is listed and shown by %s", async (_, loginctl) => {
    const list = await must(live, [loginctl, "--no-legend", "--no-pager", "list-sessions"]);
    const sessions = parseSessions(list);
    expect(sessions.map(({ user, seat }) => [user, seat])).toEqual([[LIVE_USER, "seat0"]]);
    const session = await show(live, "session", id, loginctl);
    expect(session).toMatchObject({
      Id: id,
      User: "1000",
      Name: LIVE_USER,
      Seat: "seat0",
      VTNr: "0",
      Service: "greetd",
      Type: "wayland",
      Class: "user",
      Desktop: "sway",
      State: "active",
      Active: "yes",
      Remote: "no",
      Scope: `session-${id}.scope`,
    });
    const leader = await must(live, ["ps", "-o", "args=", "-p", session.Leader ?? ""]);
    expect(leader).toContain("greetd --session-worker");
    expect(await show(live, "user", LIVE_USER, loginctl)).toMatchObject({
      UID: "1000",
      Name: LIVE_USER,
      RuntimePath: "/run/user/1000",
      Slice: "user-1000.slice",
      Display: id,
      State: "active",
      Sessions: id,
    });
    expect(await show(live, "seat", "seat0", loginctl)).toMatchObject({
      Id: "seat0",
      ActiveSession: id,
      Sessions: id,
      CanTTY: "no",
    });
  });

  test("has a status that ends with 0 and complains of nothing, for session, user and seat", async () => {
    for (const [kind, name] of [
      ["session", id],
      ["user", LIVE_USER],
      ["seat", "seat0"],
    ] as [string, string][]) {
      for (const user of ["root", LIVE_USER]) {
        const command = [SYSTEMDS_LOGINCTL, "--no-pager", `${kind}-status`, name];
        const { code, stdout, stderr } = await live.exec(command, { user });
        expect({ kind, user, code, stderr }).toEqual({ kind, user, code: 0, stderr: "" });
        expect(stdout).toContain(kind === "session" ? LIVE_USER : id);
        expect(stdout).toContain(kind === "seat" ? "seat0" : "sway");
      }
    }
    const status = await must(live, [SYSTEMDS_LOGINCTL, "--no-pager", "session-status", id]);
    expect(status).toMatch(new RegExp(`${await sway()} sway$`, "m"));
  });

  test("is the same for the real libsystemd, asked by Sway's pid", async () => {
    const { Leader } = await show(live, "session", id);
    const seen = await must(live, [PROBE, String(await sway())]);
    expect(readAssignments(seen)).toMatchObject({
      booted: "1",
      sessions: `1 ${id}`,
      pid_session: id,
      pid_owner: "1000",
      pid_slice: "user-1000.slice",
      type: "wayland",
      class: "user",
      seat: "seat0",
      desktop: "sway",
      service: "greetd",
      state: "active",
      uid: "1000",
      uid_state: "active",
      uid_display: id,
      seat_active: `${id} 1000`,
      leader: expect.stringMatching(new RegExp(`^(${Leader}|unknown to this libsystemd)$`)),
    });
  });

  test("gives Sway its environment, signals as they come, and no descriptor of ours", async () => {
    const pid = await sway();
    const variables = await must(live, ["cat", `/proc/${pid}/environ`]);
    const environment = Object.fromEntries(
      variables.split("\0").map((entry) => entry.split(/=(.*)/s).slice(0, 2)),
    );
    expect(environment).toMatchObject({
      XDG_SESSION_ID: id,
      XDG_SEAT: "seat0",
      XDG_RUNTIME_DIR: "/run/user/1000",
      XDG_SESSION_TYPE: "wayland",
      XDG_SESSION_CLASS: "user",
      XDG_CURRENT_DESKTOP: "sway",
      DBUS_SESSION_BUS_ADDRESS: "unix:path=/run/user/1000/bus",
      NOTIFY_SOCKET: "/run/systemd/notify",
      LANG: "C.UTF-8",
    });
    expect(environment.XDG_VTNR).toBeUndefined();
    const ignored = /^SigIgn:\s+(\w+)$/m.exec(await must(live, ["cat", `/proc/${pid}/status`]));
    // Sway ignores SIGPIPE itself; SIGXFSZ (25) is what only Bun would have left ignored.
    const SIGXFSZ = 1n << 24n;
    expect(BigInt(`0x${ignored?.[1]}`) & SIGXFSZ).toBe(0n);
    const files = await must(live, ["sh", "-c", `readlink /proc/${pid}/fd/*`]);
    expect(files).not.toContain("system_bus_socket");
  });

  test("has a session bus that answers", async () => {
    const env = { DBUS_SESSION_BUS_ADDRESS: "unix:path=/run/user/1000/bus" };
    const call = ["busctl", "--user", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus"];
    const done = await live.exec([...call, "GetId"], { user: LIVE_USER, env });
    expect(done).toMatchObject({ code: 0, stderr: "" });
  });

  test("has sound servers at their sockets, without a sound card", async () => {
    for (const socket of ["pipewire-0", "pulse/native"]) {
      await live.waitFor(
        async () => existsSync(`${live.root}/run/user/1000/${socket}`),
        `the socket ${socket}`,
      );
    }
    for (const server of ["pipewire", "wireplumber", "pipewire-pulse"]) {
      const { code } = await live.exec(["pgrep", "-u", LIVE_USER, "-x", server]);
      expect({ server, code }).toEqual({ server, code: 0 });
    }
  });

  test("is what polkit goes by: whoever sits there may, others may not", async () => {
    const check = async (pid: number, user: string) =>
      live.exec(["pkcheck", "--action-id", TEST_ACTION, "--process", String(pid)], { user });
    expect((await check(await sway(), LIVE_USER)).code).toBe(0);
    // Somebody who is logged in nowhere.
    const outside = live.exec(["sleep", "20"], { user: OTHER_USER });
    const pid = await live.waitFor(async () => {
      const { code, stdout } = await live.exec(["pgrep", "-u", OTHER_USER, "-x", "sleep"]);
      return code === 0 && Number(stdout);
    }, "the process outside");
    const denied = await check(pid, OTHER_USER);
    expect(denied.code).not.toBe(0);
    expect(denied.stderr + denied.stdout).toContain("Not authorized");
    await must(live, ["kill", String(pid)]);
    await outside;
  });
});

describe("a session ends", () => {
  test("by loginctl terminate-session, with Sway and the runtime directory", async () => {
    const pid = await sway();
    await must(live, ["loginctl", "terminate-session", id]);
    await sessionGone(live, id);
    expect((await live.exec(["kill", "-0", String(pid)])).code).not.toBe(0);
    await live.waitFor(async () => !runtimeFolder(), "/run/user/1000 is gone");
    expect(existsSync(`${live.root}/run/systemd/users/1000`)).toBe(false);
    expect(existsSync(`${live.root}/sys/fs/cgroup/user.slice/user-1000.slice`)).toBe(false);
  }, 60_000);

  test("when greetd's worker is killed", async () => {
    const { Leader } = await show(live, "session", id);
    await must(live, ["kill", "-9", Leader ?? ""]);
    await sessionGone(live, id);
    await live.waitFor(async () => (await pidOf(live, "sway")) === undefined, "Sway is gone");
    await live.waitFor(async () => !runtimeFolder(), "/run/user/1000 is gone");
  }, 60_000);

  test("when its user leaves Sway", async () => {
    const socket = (await must(live, ["sh", "-c", "echo /run/user/1000/sway-ipc.*.sock"])).trim();
    const env = { SWAYSOCK: socket, XDG_RUNTIME_DIR: "/run/user/1000" };
    await live.exec(["swaymsg", "exit"], { user: LIVE_USER, env });
    await sessionGone(live, id);
    await live.waitFor(async () => !runtimeFolder(), "/run/user/1000 is gone");
  }, 60_000);
});

describe("kill -9 of the bridge", () => {
  test("loses no session: it comes back with all of them, and leader and state still count", async () => {
    const before = await show(live, "session", id);
    const bridge = await pidOf(live, "lainos-dbus-bri");
    if (bridge === undefined) throw new Error("the bridge does not run");
    await must(live, ["kill", "-9", String(bridge)]);
    await live.waitFor(async () => {
      const now = await pidOf(live, "lainos-dbus-bri");
      return now !== undefined && now !== bridge && (await live.exec(["loginctl"])).code === 0;
    }, "the bridge is back");
    expect(await show(live, "session", id)).toEqual(before);
    expect((await live.exec(["rc-service", "lainos-dbus-bridge", "status"])).code).toBe(0);
    await must(live, ["kill", "-9", before.Leader ?? ""]);
    await sessionGone(live, id);
  }, 60_000);
});

describe("su -l", () => {
  /** Starts a login that stays until it is ended; returns its session and how to end it. */
  async function login(user: string) {
    const script = `echo "$XDG_SESSION_ID|$XDG_RUNTIME_DIR|$XDG_SESSION_CLASS|$XDG_SESSION_TYPE"`;
    const done = live.exec([
      ...["su", "-l", user, "-c"],
      `${script} > /tmp/said.$USER; exec sleep 300`,
    ]);
    const file = `/tmp/said.${user}`;
    const said = await live.waitFor(async () => {
      const { code, stdout } = await live.exec(["grep", ".", file]);
      return code === 0 && stdout.trim();
    }, `${user} is logged in`);
    await must(live, ["rm", file]);
    const [session = "", folder, kind, type] = said.split("|");
    return { session, folder, kind, type, done };
  }

  test("of another user is a session of its own, with its environment", async () => {
    const { session, folder, kind, done } = await login(OTHER_USER);
    const uid = (await must(live, ["id", "-u", OTHER_USER])).trim();
    expect(folder).toBe(`/run/user/${uid}`);
    expect(kind).not.toBe("");
    expect(await show(live, "session", session)).toMatchObject({
      Name: OTHER_USER,
      Service: "su-l",
      State: "active",
    });
    expect((await live.sessions()).map((each) => each.id).sort()).toEqual([id, session].sort());
    await must(live, ["loginctl", "terminate-session", session]);
    await done;
    await sessionGone(live, session);
    await live.waitFor(
      async () => !existsSync(`${live.root}/run/user/${uid}`),
      `/run/user/${uid} is gone`,
    );
    expect(await desktopSession(live)).toBe(id);
  }, 60_000);

  test("of the same user is a second session, and its end leaves the first alone", async () => {
    const { session, folder, done } = await login(LIVE_USER);
    expect(folder).toBe("/run/user/1000");
    expect(session).not.toBe(id);
    const user = await show(live, "user", LIVE_USER);
    expect(user.Sessions?.split(" ").sort()).toEqual([id, session].sort());
    expect(user.Display).toBe(id);
    await must(live, ["loginctl", "terminate-session", session]);
    await done;
    await sessionGone(live, session);
    expect(runtimeFolder()).toBe(true);
    expect(await desktopSession(live)).toBe(id);
    await sway();
  }, 60_000);

  test("goes on while the bridge is down", async () => {
    await must(live, ["rc-service", "lainos-dbus-bridge", "stop"]);
    try {
      const started = performance.now();
      const done = await live.exec(["su", "-l", OTHER_USER, "-c", "id -un"]);
      expect(done).toMatchObject({ code: 0, stdout: `${OTHER_USER}\n` });
      expect(performance.now() - started).toBeLessThan(10_000);
      const why = new RegExp(
        `lainos-init\\[\\d+\\]: the session of ${OTHER_USER} is not registered: `,
      );
      await live.waitFor(async () => why.test(await must(live, ["cat", LOG])), "why, in the log");
    } finally {
      await must(live, ["rc-service", "lainos-dbus-bridge", "start"]);
    }
    expect(await desktopSession(live)).toBe(id);
  }, 60_000);

  test("writes no line into the log for each variable that it need not lose", async () => {
    const mark = crypto.randomUUID();
    await must(live, ["su", "-l", OTHER_USER, "-c", `logger ${mark}`]);
    const log = await live.waitFor(async () => {
      const text = await must(live, ["cat", LOG]);
      return text.includes(mark) && text;
    }, "the user's line in the log");
    expect(log).toContain("pam_unix(su-l:session): session opened");
    expect(log).not.toContain("pam_putenv");
  }, 60_000);

  test("waits for a bridge that was killed", async () => {
    const bridge = await pidOf(live, "lainos-dbus-bri");
    await must(live, ["kill", "-9", String(bridge)]);
    const { session, done } = await login(OTHER_USER);
    expect(await show(live, "session", session)).toMatchObject({ Name: OTHER_USER });
    await must(live, ["loginctl", "terminate-session", session]);
    await done;
    await sessionGone(live, session);
  }, 60_000);

  test("inside a session stays in it", async () => {
    const { session, done } = await login(OTHER_USER);
    const uid = (await must(live, ["id", "-u", OTHER_USER])).trim();
    const scope = `/sys/fs/cgroup/user.slice/user-${uid}.slice/session-${session}.scope`;
    const inner = `echo $$ > ${scope}/cgroup.procs && su -l ${LIVE_USER} -c 'cat /proc/self/cgroup'`;
    const seen = await must(live, ["sh", "-c", inner]);
    expect(seen).toContain(`session-${session}.scope`);
    expect((await live.sessions()).length).toBe(2);
    await must(live, ["loginctl", "terminate-session", session]);
    await done;
    await sessionGone(live, session);
  }, 60_000);
});

describe("Openbox under X", () => {
  test("starts by xinit in a session that is of type x11 then", async () => {
    const words =
      "xinit /usr/libexec/lainos/lainos-init openbox -- /usr/bin/Xvfb :7 -screen 0 640x480x24 -nolisten tcp";
    const done = live.exec(["su", "-l", OTHER_USER, "-c", words], { timeout: 60_000 });
    const pid = await live.waitFor(() => pidOf(live, "openbox"), "Openbox");
    const session = (await live.sessions()).find(({ user }) => user === OTHER_USER)?.id ?? "";
    expect(await show(live, "session", session)).toMatchObject({
      Type: "x11",
      Desktop: "openbox",
      Display: ":7",
    });
    const variables = await must(live, ["cat", `/proc/${pid}/environ`]);
    expect(variables).toContain("XDG_SESSION_TYPE=x11\0");
    expect(variables).toContain(`XDG_SESSION_ID=${session}\0`);
    await must(live, ["loginctl", "terminate-session", session]);
    await done;
    await sessionGone(live, session);
  }, 60_000);
});

describe("a login monitor", () => {
  test("of the real libsystemd wakes at a login", async () => {
    const watcher = live.exec([PROBE, "monitor", "session"], { timeout: 20_000 });
    await live.waitFor(
      async () => (await live.exec(["pgrep", "-f", `${PROBE} monitor`])).code === 0,
      "the monitor",
    );
    await must(live, ["su", "-l", OTHER_USER, "-c", "true"]);
    expect(await watcher).toMatchObject({ code: 0, stdout: "monitor=open\nmonitor=event\n" });
  }, 60_000);
});
