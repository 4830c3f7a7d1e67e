/** Programs of the desktop that talk to login1, unmodified, in the booted system; see docs/clients.md. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { LIVE_USER, type Live } from "../../testbed/live/index.ts";
import { BusMonitor } from "./bus-monitor.ts";
import {
  BOOT_TIMEOUT,
  bootSystem,
  ensureDesktop,
  inSession,
  must,
  OTHER_USER,
  pidOf,
  sessionGone,
  show,
} from "./system.ts";

let live: Live;
let id: string;

beforeAll(async () => {
  live = await bootSystem("test-clients");
}, BOOT_TIMEOUT);
afterAll(() => live?.stop(), BOOT_TIMEOUT);
beforeEach(async () => {
  id = await ensureDesktop(live);
}, 60_000);

/** A file of the booted system; empty where there is none yet. */
function read(path: string): string {
  const file = `${live.root}${path}`;
  return existsSync(file) ? readFileSync(file, "utf8") : "";
}
const write = (path: string, text: string) =>
  writeFileSync(`${live.root}${path}`, text, { mode: 0o755 });
const until = (what: string, look: () => boolean | Promise<boolean>) =>
  live.waitFor(async () => look(), what);
const inhibitors = () => must(live, ["systemd-inhibit", "--list", "--no-pager"]);
const isInhibited = (by: RegExp) => async () => by.test(await inhibitors());
const isGone = (name: string) => async () => (await pidOf(live, name)) === undefined;

/** A session of another user in which a command runs; `end` ends it. */
async function loginOf(user: string, command: string) {
  // On a terminal: without one it would be a job in the background, which has no lock.
  const words = ["script", "-qec", `su -l ${user} -c '${command}'`, "/dev/null"];
  const done = live.exec(words, { timeout: 120_000 });
  const session = await live.waitFor(
    async () => (await live.sessions()).find((each) => each.user === user)?.id,
    `${user}'s session`,
  );
  const end = async () => {
    await live.exec(["loginctl", "terminate-session", session]);
    await done;
    await sessionGone(live, session);
  };
  return { session, end };
}

/** The words that start swayidle with these, in the live user's session. */
async function swayidleWith(...words: string[]): Promise<string[]> {
  const display = (
    await must(live, ["sh", "-c", "cd /run/user/1000 && ls -d wayland-? | head -n 1"])
  ).trim();
  return inSession(id, ["swayidle", "-w", ...words], { WAYLAND_DISPLAY: display });
}

/** Ends that one, and not the desktop's own. */
const endSwayidle = (...words: string[]) =>
  must(live, ["pkill", "-x", "-f", ["swayidle", "-w", ...words].join(" ")]);

/** swayidle with these words, once it holds its inhibitor. */
async function swayidle(...words: string[]) {
  const command = await swayidleWith(...words);
  const done = live.exec(command, { timeout: 120_000 });
  await until("swayidle's inhibitor", isInhibited(/swayidle .*sleep .*delay/));
  return async () => {
    await endSwayidle(...words);
    await done;
    await until("the inhibitor's end", async () => !(await inhibitors()).includes("swayidle"));
  };
}

/** xss-lock on an X server of its own, with this locker, in the other user's session. */
async function xssLock(locker: string) {
  write("/tmp/locker", locker);
  write("/tmp/xss-lock", "#!/bin/sh\nexec xss-lock --transfer-sleep-lock -- /tmp/locker\n");
  const server = "/usr/bin/Xvfb :7 -screen 0 640x480x24 -nolisten tcp";
  const login = await loginOf(OTHER_USER, `exec xinit /tmp/xss-lock -- ${server}`);
  await until("xss-lock's inhibitor", isInhibited(/xss-lock .*sleep .*delay/));
  return login;
}

/** Locks a session and looks for a file: both programs inhibit before they listen, so once may be too early. */
async function isThereWhenLocked(session: string, file: string): Promise<boolean> {
  await must(live, ["loginctl", "lock-session", session]);
  return existsSync(`${live.root}${file}`);
}
const hint = async (session: string) => (await show(live, "session", session)).LockedHint;

describe("swayidle", () => {
  test("holds its delay inhibitor, and locks when the session is told to", async () => {
    const end = await swayidle("lock", "touch /tmp/idle-locked", "before-sleep", "true");
    await until("the lock command", () => isThereWhenLocked(id, "/tmp/idle-locked"));
    await must(live, ["rm", "/tmp/idle-locked"]);
    await end();
  }, 60_000);
});

describe("idleness", () => {
  const connections = async () => must(live, ["busctl", "--no-pager", "--no-legend", "list"]);

  test("is timed by swayidle, and not while something inhibits it", async () => {
    const note = "/tmp/idle-times";
    write(note, "");
    const times = () => read(note).length;
    await must(live, ["chmod", "666", note]);
    const words = ["-d", "timeout", "1", `printf . >> ${note}`, "idlehint", "1"];
    const done = live.exec(await swayidleWith(...words), { timeout: 120_000 });
    await until("the timeout", () => times() === 1);
    const hint = async () => (await show(live, "session", id)).IdleHint;
    await until("the idle hint", async () => (await hint()) === "yes");
    const blocking = live.exec(["systemd-inhibit", "--what=idle", "sleep", "5"]);
    await until("the inhibitor", isInhibited(/ idle .* block/));
    await blocking;
    // Without it there would be none: nobody has touched anything.
    await until("the timeout after it", () => times() === 2);
    await endSwayidle(...words);
    const { stdout, stderr } = await done;
    expect(stdout + stderr).toContain("Logind idle inhibitor found");
    expect(stdout + stderr).not.toContain("Failed to");
  }, 60_000);

  test("is on the bus in the desktop's own swayidle, which hears of inhibitors only there", async () => {
    await until("the desktop's swayidle", async () => /\bswayidle\b/.test(await connections()));
  }, 60_000);
});

describe("xss-lock", () => {
  test("starts its locker at loginctl lock-session, says so, and ends it at unlock-session", async () => {
    const { session, end } = await xssLock(
      "#!/bin/sh\nexec sh -c 'touch /tmp/locked; exec sleep 300' p7-locker\n",
    );
    await until("the locker", () => isThereWhenLocked(session, "/tmp/locked"));
    await until("LockedHint", async () => (await hint(session)) === "yes");
    await must(live, ["loginctl", "unlock-session", session]);
    await until("LockedHint's end", async () => (await hint(session)) === "no");
    await until("the locker's end", async () => {
      return (await live.exec(["pgrep", "-u", OTHER_USER, "-x", "sleep"])).code !== 0;
    });
    await must(live, ["rm", "/tmp/locked"]);
    await end();
  }, 60_000);
});

describe("UPower", () => {
  test("is started by its client, inhibits, and asks login1 what it can do when the battery ends", async () => {
    await live.exec(["pkill", "-x", "upowerd"]);
    await until("no UPower", isGone("upowerd"));
    const monitor = await BusMonitor.start(live);
    const said = await must(live, ["upower", "-d"], LIVE_USER);
    expect(said).toMatch(/daemon-version: +\d/);
    expect(said).toMatch(/on-battery: +no/);
    // Nothing here can sleep, which is what login1 said.
    expect(said).toMatch(/critical-action: +Ignore/);
    await until("UPower's inhibitor", isInhibited(/^UPower .*sleep .*delay$/m));
    await until("its question", async () => (await monitor.named("CanSleep")).length > 0);
    expect(await monitor.named("Inhibit", "CanSleep")).toEqual([
      "Inhibit sleep UPower Pause device polling delay",
      "CanSleep",
    ]);
    expect((await monitor.messages()).filter(({ type }) => type === "error")).toEqual([]);
    await monitor.stop();
  }, 60_000);
});

describe("a sleep", () => {
  const STATE = "/sys/power/state";
  const suspend = () =>
    must(live, [
      ...["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"],
      ...["org.freedesktop.login1.Manager", "Suspend", "b", "false"],
    ]);

  // A file in the place of the kernel's, which would put this machine to sleep: it is awake at once.
  beforeAll(async () => {
    const make = "mkdir -p /run/power; echo freeze mem >/run/power/state";
    await must(live, ["sh", "-ec", `${make}; mount --bind /run/power /sys/power`]);
    // Its sandbox has the files that were at /sys/power when it was made.
    await must(live, ["rc-service", "lainos-dbus-bridge", "restart"]);
  });
  afterAll(async () => {
    await must(live, ["umount", "/sys/power"]);
    await must(live, ["rc-service", "lainos-dbus-bridge", "restart"]);
  });
  beforeEach(() => write(STATE, "freeze mem\n"));

  test("comes after swayidle's before-sleep command, and after it the one of after-resume", async () => {
    const note = `cat ${STATE} >> /tmp/idle`;
    const end = await swayidle("before-sleep", note, "after-resume", `${note}; echo >> /tmp/idle`);
    await suspend();
    await until("both commands", () => read("/tmp/idle") === "freeze mem\nmem\n");
    await must(live, ["rm", "/tmp/idle"]);
    await end();
  }, 60_000);

  test("waits until xss-lock's locker has locked, which then holds the lock anew", async () => {
    const { session, end } = await xssLock(`#!/bin/sh
      cat ${STATE} >> /tmp/slept
      eval "exec $XSS_SLEEP_LOCK_FD<&-"
      exec sleep 300\n`);
    const monitor = await BusMonitor.start(live);
    await suspend();
    await until("the sleep", () => read(STATE) === "mem");
    expect(read("/tmp/slept")).toBe("freeze mem\n");
    await until("LockedHint", async () => (await hint(session)) === "yes");
    // UPower, where it runs, may be the first to take its own again.
    const isOurs = (line: string) => !line.includes("UPower");
    const isAgain = async () => (await monitor.named("Inhibit")).some(isOurs);
    await until("the inhibitor again", isAgain);
    const seen = await monitor.named("PrepareForSleep", "Inhibit");
    expect(seen.filter(isOurs)).toEqual([
      "PrepareForSleep true",
      "PrepareForSleep false",
      "Inhibit sleep xss-lock Lock screen first delay",
    ]);
    await monitor.stop();
    await must(live, ["rm", "/tmp/slept"]);
    await end();
  }, 60_000);

  test("has UPower let go of its inhibitor and take it again", async () => {
    await live.exec(["pkill", "-x", "upowerd"]);
    await until("no UPower", isGone("upowerd"));
    expect(await must(live, ["upower", "-d"])).toMatch(/critical-action: +Sleep/);
    await until("UPower's inhibitor", isInhibited(/^UPower /m));
    const monitor = await BusMonitor.start(live);
    await suspend();
    await until("the inhibitor again", async () => (await monitor.named("Inhibit")).length > 0);
    expect(await monitor.named("PrepareForSleep", "Inhibit")).toEqual([
      ...["PrepareForSleep true", "PrepareForSleep false"],
      "Inhibit sleep UPower Pause device polling delay",
    ]);
    expect(read(STATE)).toBe("mem");
    await monitor.stop();
  }, 60_000);
});

describe("xdg-desktop-portal", () => {
  test("is started from the session, answers a program in it, and asks login1 for nothing", async () => {
    const monitor = await BusMonitor.start(live);
    const bus = { DBUS_SESSION_BUS_ADDRESS: "unix:path=/run/user/1000/bus" };
    const portal = "org.freedesktop.portal";
    const call = [
      "busctl",
      "--user",
      "call",
      `${portal}.Desktop`,
      "/org/freedesktop/portal/desktop",
    ];
    const command = [...call, `${portal}.ProxyResolver`, "Lookup", "s", "http://lain.example/"];
    expect(await must(live, inSession(id, command, bus))).toBe('as 1 "direct://"\n');
    // Others may ask meanwhile: the desktop's own swayidle, when the session is new.
    const clients = (await must(live, ["busctl", "--no-pager", "--no-legend", "list"])).split("\n");
    const portals = clients
      .filter((line) => /^:\S+ +\d+ xdg-desktop-por /.test(line))
      .map((line) => line.split(" ")[0]);
    expect(portals.length).toBeGreaterThan(0);
    expect((await monitor.messages()).filter(({ sender }) => portals.includes(sender))).toEqual([]);
    await monitor.stop();
    await must(live, ["pkill", "-f", "xdg-(desktop|document)-portal|xdg-permission-store"]);
  }, 60_000);
});

describe("a display server", () => {
  /** Who has control of a session, by the bridge's own state file. */
  const controller = (session: string) =>
    /^CONTROLLER=(.*)$/m.exec(read(`/run/systemd/sessions/${session}`))?.[1];

  test("Sway takes the session by libseat's logind backend, with libinput, and lets go", async () => {
    write("/tmp/sway.conf", "");
    const words = ["sway", "--debug", "--config", "/tmp/sway.conf"];
    const done = live.exec(
      inSession(id, words, {
        LIBSEAT_BACKEND: "logind",
        WLR_BACKENDS: "headless,libinput",
        WLR_LIBINPUT_NO_DEVICES: "1",
        WLR_RENDERER: "pixman",
      }),
      { timeout: 120_000 },
    );
    await until("control", () => controller(id) !== undefined);
    const pid = await live.waitFor(async () => {
      const { stdout } = await live.exec(["pgrep", "-f", "^sway --debug"]);
      return stdout.trim() !== "" && stdout.trim();
    }, "the second Sway");
    const socket = `/run/user/1000/sway-ipc.1000.${pid}.sock`;
    await until("its socket", () => existsSync(live.root + socket));
    // Not by a signal, of which Sway forgets one that comes before it has started. swaymsg itself
    // complains, since Sway is gone before it answers.
    await live.exec(["swaymsg", "--socket", socket, "exit"], { user: LIVE_USER });
    const { stderr } = await done;
    expect(stderr).toContain("Seat opened with backend 'logind'");
    expect(stderr).toContain("libinput successfully initialized");
    await until("control is free", () => controller(id) === undefined);
    expect(await show(live, "session", id)).toMatchObject({ Active: "yes", Type: "wayland" });
  }, 60_000);

  test("Xorg takes its session by its own logind code, and lets go", async () => {
    write("/tmp/xorg.conf", XORG);
    const monitor = await BusMonitor.start(live);
    const command =
      "exec Xorg :9 -keeptty -config /tmp/xorg.conf -logfile /tmp/xorg.log -nolisten tcp";
    const { session, end } = await loginOf(OTHER_USER, command);
    const path = `/org/freedesktop/login1/session/${session.replace(/^\d/, (digit) => `_3${digit}`)}`;
    const line = `systemd-logind: took control of session ${path}\n`;
    await until("Xorg's control", () => read("/tmp/xorg.log").includes(line));
    expect(controller(session)).toMatch(/^:1\.\d+$/);
    await must(live, ["pkill", "-x", "Xorg"]);
    await until("control is given back", async () => {
      return (await monitor.named("ReleaseControl")).length > 0;
    });
    expect(await monitor.named("TakeControl", "ReleaseControl")).toEqual([
      ...["TakeControl false", "ReleaseControl"],
    ]);
    expect((await monitor.messages()).filter(({ type }) => type === "error")).toEqual([]);
    await monitor.stop();
    await end();
  }, 60_000);
});

/** A screen in memory, and no device of input, which a container has none of. */
const XORG = `Section "ServerFlags"
  Option "AutoAddDevices" "false"
  Option "AllowMouseOpenFail" "true"
EndSection
Section "Device"
  Identifier "memory"
  Driver "dummy"
EndSection
Section "Screen"
  Identifier "screen"
  Device "memory"
EndSection
`;

describe("login on a terminal", () => {
  const USER = "arisu";
  const PAM = "/etc/pam.d/login";
  // What a login shell of bash runs first; it stays until it is killed.
  const PROFILE = "env > ~/environment; tty > ~/terminal; exec sleep 300\n";
  const REAL_MODULE = `sed -i 's/^@include common-session/session required pam_unix.so\\nsession required pam_systemd.so/' ${PAM}`;

  beforeAll(() => must(live, ["useradd", "-m", "-s", "/bin/bash", USER]), 60_000);

  test.each([
    ["our module in PAM", "true"],
    ["Debian's pam_systemd.so", REAL_MODULE],
  ])(
    "is a session by %s, from the login to the logout",
    async (_, change) => {
      await must(live, ["cp", "-a", PAM, "/tmp/pam-login"]);
      await must(live, ["sh", "-ec", change]);
      try {
        write(`/home/${USER}/.bash_profile`, PROFILE);
        const done = live.exec(["script", "-qec", `login -f ${USER}`, "/dev/null"], {
          timeout: 120_000,
        });
        await until("the shell", () => read(`/home/${USER}/terminal`).endsWith("\n"));
        const terminal = read(`/home/${USER}/terminal`).trim();
        const environment = read(`/home/${USER}/environment`).split("\n");
        const session = (await live.sessions()).find(({ user }) => user === USER)?.id ?? "";
        const uid = (await must(live, ["id", "-u", USER])).trim();
        const shown = await show(live, "session", session);
        expect(shown).toMatchObject({
          ...{ User: uid, Name: USER, TTY: terminal.slice("/dev/".length), Type: "tty" },
          ...{ Class: "user", Service: "login", State: "active", Remote: "no" },
        });
        expect(shown.Seat).toBeUndefined();
        expect(terminal).toMatch(/^\/dev\/pts\/\d+$/);
        expect(await must(live, ["ps", "-o", "comm=", "-p", shown.Leader ?? ""])).toBe("login\n");
        expect(environment).toEqual(
          expect.arrayContaining([
            ...[`XDG_SESSION_ID=${session}`, `XDG_RUNTIME_DIR=/run/user/${uid}`],
            ...["XDG_SESSION_TYPE=tty", "XDG_SESSION_CLASS=user"],
          ]),
        );
        expect(existsSync(`${live.root}/run/user/${uid}`)).toBe(true);
        await must(live, ["pkill", "-u", USER, "-x", "sleep"]);
        await done;
        await sessionGone(live, session);
        await until("no runtime directory", () => !existsSync(`${live.root}/run/user/${uid}`));
      } finally {
        await must(live, ["mv", "/tmp/pam-login", PAM]);
        await live.exec(["rm", "-f", `/home/${USER}/terminal`, `/home/${USER}/environment`]);
      }
    },
    60_000,
  );
});
