/** The booted system itself: init, services, package, hardening, notifications. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readdirSync, statSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { LIVE_USER, type Live, SYSTEMDS_OWN } from "../../testbed/live/index.ts";
import { BOOT_TIMEOUT, bootSystem, ensureDesktop, LOG, must, OTHER_USER } from "./system.ts";

const EXECUTABLES = [
  "lainos-audio-init",
  "lainos-dbus-bridge",
  "lainos-ghost-units",
  "lainos-init",
  "lainos-net-init",
  "lainos-notifyd",
  "loginctl",
  "systemd-inhibit",
  "systemd-notify",
];

let live: Live;

beforeAll(async () => {
  live = await bootSystem("test-system");
}, BOOT_TIMEOUT);
afterAll(() => live?.stop(), BOOT_TIMEOUT);

describe("the boot", () => {
  test("has OpenRC as PID 1 and no process of systemd", async () => {
    expect(await must(live, ["cat", "/proc/1/comm"])).toBe("openrc-init\n");
    const names = (await must(live, ["ps", "-eo", "comm="])).split("\n");
    expect(names.filter((name) => name.startsWith("systemd"))).toEqual([]);
  });

  test("has every service of its runlevels started", async () => {
    const services = await live.services();
    for (const name of [
      ...["cgroup-delegate", "dbus", "lainos-ghost-units", "lainos-notifyd", "lainos-machine-id"],
      ...["lainos-dbus-bridge", "greetd", "chrony", "nftables", "polkit", "dhcpcd"],
      ...["syslog-ng", "lainos-net-init"],
    ]) {
      expect({ name, state: services[name] }).toEqual({ name, state: "started" });
      expect((await live.exec(["rc-service", name, "status"])).code).toBe(0);
    }
    expect(Object.keys(services)).not.toContain("seatd");
  }, 60_000);

  test("has a machine-id of this boot that a restart of its service leaves alone", async () => {
    const id = await must(live, ["cat", "/etc/machine-id"]);
    expect(id).toMatch(/^[0-9a-f]{12}4[0-9a-f]{3}[89ab][0-9a-f]{15}\n$/);
    await must(live, ["rc-service", "lainos-machine-id", "restart"]);
    expect(await must(live, ["cat", "/etc/machine-id"])).toBe(id);
    const call = ["busctl", "call", "org.freedesktop.login1", "/", "org.freedesktop.DBus.Peer"];
    expect(await must(live, [...call, "GetMachineId"])).toBe(`s "${id.trim()}"\n`);
  });

  test("has the tree that libsystemd needs, and lainos-ghost-units finds nothing to mend", async () => {
    const check = await live.exec(["/usr/libexec/lainos/lainos-ghost-units", "--check"]);
    expect(check).toMatchObject({ code: 0, stdout: "" });
    expect(statSync(`${live.root}/run/systemd/notify`).isSocket()).toBe(true);
  });

  test("has its network and its kernel hardened", async () => {
    const check = await live.exec(["/usr/libexec/lainos/lainos-net-init", "--check"]);
    expect({ code: check.code, stderr: check.stderr }).toEqual({ code: 0, stderr: "" });
    // By the service in its sandbox, and before that closes.
    for (const [key, value] of [
      ["kernel/pid_max", "4194304"],
      ["fs/protected_symlinks", "1"],
      ["kernel/core_pattern", "|/bin/false"],
    ] as const) {
      // A file of the host's making stands there, without the kernel's newline.
      expect((await must(live, ["cat", `/proc/sys/${key}`])).trim()).toBe(value);
    }
  });

  test("nobody but root owns login1's name", async () => {
    const request = ["RequestName", "su", "org.freedesktop.login1", "0"];
    const call = ["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus"];
    const done = await live.exec([...call, ...request], { user: LIVE_USER });
    expect(done.code).toBe(1);
    expect(done.stderr).toMatch(/not allowed to own|Access denied/);
  });
});

describe("the log", () => {
  test("has a line that a user's program sends to /dev/log", async () => {
    const mark = `from ${crypto.randomUUID()}`;
    await must(live, ["logger", "--tag=p7-log", "--priority=user.notice", mark], LIVE_USER);
    const line = await live.waitFor(async () => {
      const { stdout } = await live.exec(["cat", LOG]);
      return stdout.split("\n").find((text) => text.includes(mark));
    }, "the line in the log");
    expect(line).toMatch(/ lainos p7-log: from /);
    expect(await must(live, ["stat", "-c", "%U:%G %a", LOG])).toBe("root:adm 640\n");
  }, 60_000);

  test("is kept by syslog-ng by the medium's own settings, of which it complains in nothing", async () => {
    const check = await live.exec(["syslog-ng", "--syntax-only"]);
    expect(check).toMatchObject({ code: 0, stdout: "", stderr: "" });
    expect(await live.consoleLog()).not.toMatch(/syslog-ng.*WARNING/);
  }, 60_000);
});

describe("a daemon that is killed", () => {
  test("comes back by its supervisor", async () => {
    for (const [service, process] of [
      ["lainos-notifyd", "lainos-notifyd"],
      ["lainos-dbus-bridge", "lainos-dbus-bri"],
    ] as const) {
      const before = (await must(live, ["pgrep", "-x", process])).trim();
      await must(live, ["kill", "-9", before]);
      const after = await live.waitFor(async () => {
        const { code, stdout } = await live.exec(["pgrep", "-x", process]);
        return code === 0 && stdout.trim() !== before && stdout.trim();
      }, `${service} is back`);
      expect(after).not.toBe(before);
      // The supervisor notes the number of what it has started a moment later.
      const isStarted = async () => (await live.exec(["rc-service", service, "status"])).code === 0;
      await live.waitFor(isStarted, `${service} is started`);
    }
    // Wait until both can be used again, for whichever test comes next.
    await live.waitFor(async () => (await live.exec(["loginctl"])).code === 0, "login1 answers");
  }, 60_000);
});

describe("sd_notify", () => {
  test("of a real systemd-notify arrives with its sender, and a barrier does not hang", async () => {
    const mark = `STATUS=from ${crypto.randomUUID()}`;
    const done = await live.exec([`${SYSTEMDS_OWN}/systemd-notify`, "--ready", mark], {
      user: LIVE_USER,
      env: { NOTIFY_SOCKET: "/run/systemd/notify" },
      timeout: 10_000,
    });
    expect(done).toMatchObject({ code: 0, stderr: "" });
    const line = await live.waitFor(async () => {
      // syslog-ng takes the lines while it runs.
      const log = await live.exec(["cat", "/var/log/lainos/lainos-notifyd.log", LOG]);
      return log.stdout.split("\n").find((text) => text.includes(mark));
    }, "the line in the log");
    expect(line).toMatch(/uid 1000/);
    expect((await live.exec(["systemd-notify", "--booted"])).code).toBe(0);
  }, 60_000);

  /** Makes a supervised service of a shell script; with lainos_ready=notify and more settings. */
  const makeService = async (name: string, script: string, settings = "") => {
    const program = `/usr/local/bin/${name}`;
    await writeFile(`${live.root}${program}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    await writeFile(
      `${live.root}/etc/init.d/${name}`,
      `#!/sbin/openrc-run\n. /usr/libexec/lainos/service.sh\nlainos_supervise\ncommand=${program}\n`,
      { mode: 0o755 },
    );
    await writeFile(`${live.root}/etc/conf.d/${name}`, `lainos_ready=notify\n${settings}`);
  };
  const said = async (name: string) => {
    const list = ["/usr/libexec/lainos/lainos-notifyd", "status", "--json"];
    const all = JSON.parse(await must(live, list)) as Record<string, unknown>[];
    return all.find((entry) => entry.service === name);
  };

  test("is heard from the services of the boot", async () => {
    for (const name of ["dbus", "syslog-ng"]) {
      expect(await said(name)).toMatchObject({ state: "ready", uid: expect.any(Number) });
      expect(await must(live, ["rc-service", name, "status"])).toMatch(/started[\s\S]*ready/);
    }
  }, 60_000);

  test("decides when a service has started, and whether it has", async () => {
    const words = "sleep 1; systemd-notify --ready --status='all is well'; exec sleep 1000";
    await makeService("p7-ready", words);
    await must(live, ["rc-service", "p7-ready", "start"]);
    expect(await said("p7-ready")).toMatchObject({ state: "ready", status: "all is well" });
    expect(await must(live, ["rc-service", "p7-ready", "status"])).toContain("all is well");
    // A user cannot speak for it.
    await live.exec(["systemd-notify", "--status=forged"], {
      user: LIVE_USER,
      env: { NOTIFY_SOCKET: "/run/systemd/notify" },
    });
    expect((await said("p7-ready"))?.status).toBe("all is well");
    await must(live, ["rc-service", "p7-ready", "stop"]);
    await live.waitFor(async () => (await said("p7-ready")) === undefined, "it is forgotten");

    await makeService("p7-silent", "exec sleep 1000", "lainos_ready_timeout=2\n");
    const start = await live.exec(["rc-service", "p7-silent", "start"]);
    expect(start.code).not.toBe(0);
    expect(`${start.stdout}${start.stderr}`).toContain("not ready after 2 seconds");
    expect((await live.exec(["rc-service", "p7-silent", "status"])).code).not.toBe(0);
    expect((await live.exec(["pgrep", "-f", "p7-silent"])).code).toBe(1);
  }, 120_000);

  test("restarts a service that misses its watchdog", async () => {
    const words = "systemd-notify --ready WATCHDOG_USEC=1500000; exec sleep 1000";
    await makeService("p7-hung", words, "lainos_watchdog=restart\n");
    await must(live, ["rc-service", "p7-hung", "start"]);
    const first = (await said("p7-hung"))?.pid;
    await live.waitFor(async () => {
      const entry = await said("p7-hung");
      return entry?.state === "ready" && entry.pid !== first;
    }, "it runs anew");
    await must(live, ["rc-service", "p7-hung", "stop"]);
  }, 120_000);
});

describe("the package", () => {
  test("is installed whole, as one file under all names, in less than 125 MB", async () => {
    const folder = `${live.root}/usr/libexec/lainos`;
    const inodes = new Set(EXECUTABLES.map((name) => statSync(`${folder}/${name}`).ino));
    expect(inodes.size).toBe(1);
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(EXECUTABLES));
    const used = await must(live, ["du", "-sb", "/usr/libexec/lainos"]);
    expect(Number(used.split("\t")[0])).toBeLessThan(125_000_000);
  });

  test("has executables that answer --help and --version, and refuse what they do not know", async () => {
    for (const name of EXECUTABLES) {
      const run = (...words: string[]) => live.exec([`/usr/libexec/lainos/${name}`, ...words]);
      expect(await run("--version")).toMatchObject({
        code: 0,
        stdout: `${name} 6.0.0\n`,
        stderr: "",
      });
      const help = await run("--help");
      expect(help.code).toBe(0);
      expect(help.stdout).toContain(name);
      const wrong = await run("--unheard-of");
      const code = name.startsWith("lainos-") ? 2 : 1;
      expect({ name, code: wrong.code }).toEqual({ name, code });
      expect(wrong.stderr).toMatch(new RegExp(`^${name}: .*--unheard-of.*\\n$`));
    }
  }, 60_000);

  test("has commands at systemd's place, which say what systemd's own say", async () => {
    expect(await must(live, ["sh", "-c", "command -v loginctl"])).toBe("/usr/bin/loginctl\n");
    expect(await must(live, ["loginctl", "--version"])).toBe("loginctl 6.0.0\n");
    for (const [name, ...words] of [
      ["loginctl"],
      ["loginctl", "list-users"],
      ["loginctl", "seat-status", "seat0"],
      ["loginctl", "show-session"],
    ] as const) {
      const own = await must(live, [name, ...words], LIVE_USER);
      expect(own).toBe(await must(live, [`${SYSTEMDS_OWN}/${name}`, ...words], LIVE_USER));
    }
  }, 60_000);

  test("has executables that read no .env, bunfig or package of the folder they are run in", async () => {
    const trap = [
      "mkdir -p /tmp/trap && cd /tmp/trap",
      'echo "require(\\"fs\\").writeFileSync(\\"/tmp/trap/sprung\\", \\"\\")" > trap.js',
      "printf 'preload = [\"./trap.js\"]\\n' > bunfig.toml",
      "echo BUN_OPTIONS=--preload=/tmp/trap/trap.js > .env",
      "echo XDG_SESSION_DESKTOP=sprung >> .env",
      "for name in /usr/libexec/lainos/lainos-*; do $name --version; done",
      "/usr/libexec/lainos/lainos-init --print-env 2>&1 || true",
      "ls /tmp/trap",
    ].join("\n");
    const seen = await must(live, ["sh", "-c", trap]);
    expect(seen).toContain("lainos-init 6.0.0");
    expect(seen).not.toContain("sprung");
  }, 60_000);
});

describe("the system", () => {
  test(
    "is rebooted by login1 for the user who sits at it, and for no other",
    async () => {
      const own = await bootSystem("test-reboot");
      try {
        const id = await ensureDesktop(own);
        const reboot = (user: string, cgroup: string) =>
          own.exec([
            ...["sh", "-c", `echo $$ > /sys/fs/cgroup${cgroup}/cgroup.procs && exec "$@"`, "sh"],
            ...["setpriv", `--reuid=${user}`, `--regid=${user}`, "--init-groups", "busctl", "call"],
            ...["org.freedesktop.login1", "/org/freedesktop/login1"],
            ...["org.freedesktop.login1.Manager", "Reboot", "b", "false"],
          ]);
        await must(own, ["mkdir", "-p", "/sys/fs/cgroup/outside"]);
        const refused = await reboot(OTHER_USER, "/outside");
        expect(refused.code).toBe(1);
        expect(refused.stderr).toMatch(/[Aa]uthentication is required|Access denied/);
        const scope = `/user.slice/user-1000.slice/session-${id}.scope`;
        expect(await reboot(LIVE_USER, scope)).toMatchObject({ code: 0, stderr: "" });
        // Not by Live.waitFor, which takes the end for a failure.
        const ending = async () => {
          for (let tries = 0; tries < 300; tries++) {
            const ended = await own.ending();
            if (ended) return ended;
            await Bun.sleep(100);
          }
          return "none";
        };
        expect(await ending()).toBe("reboot");
      } finally {
        await own.stop();
      }
    },
    BOOT_TIMEOUT,
  );

  test(
    "powers off through OpenRC, and nothing of it is left",
    async () => {
      const own = await bootSystem("test-poweroff");
      try {
        const id = await must(own, ["cat", "/etc/machine-id"]);
        expect(id).not.toBe(await must(live, ["cat", "/etc/machine-id"]));
        await own.powerOff();
        expect(await own.ending()).toBe("power-off");
      } finally {
        await own.stop();
      }
      const left = (await must(live, ["true"])) + (await Bun.file("/proc/mounts").text());
      expect(left).not.toContain("test-poweroff");
    },
    BOOT_TIMEOUT,
  );
});
