/** Attacks on the daemons of the booted system, from inside their sandboxes and from outside. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { landlockVersion } from "../../lib/linux/index.ts";
import type { Live } from "../../testbed/live/index.ts";
import { attack } from "../../testbed/live/security/main.ts";
import { BOOT_TIMEOUT, bootSystem, must, OTHER_USER, pidOf } from "./system.ts";

let live: Live;

beforeAll(async () => {
  live = await bootSystem("test-security");
}, BOOT_TIMEOUT);
afterAll(() => live?.stop(), BOOT_TIMEOUT);

test("a sleep hook runs outside the sandbox, where all of the system is", async () => {
  await must(live, ["mkdir", "-p", "/etc/lainos/sleep.d"]);
  const hook = "#!/bin/sh\nls /home >/run/hook-saw\nexit 1\n";
  await Bun.write(`${live.root}/etc/lainos/sleep.d/no`, hook, { mode: 0o755 });
  await must(live, ["chmod", "755", "/etc/lainos/sleep.d/no"]);
  const line = "1 hook pre suspend /etc/lainos/sleep.d/no\n";
  // The kernel here has no sleep to go to, so what the bridge would write is written for it.
  const ask =
    'p=$(pgrep -ox lainos-dbus-bri); printf "%s" "$1" >/proc/$p/fd/8; head -n1 /proc/$p/fd/9';
  expect(await must(live, ["sh", "-c", ask, "sh", line])).toMatch(/^1 1 /);
  expect(await must(live, ["cat", "/run/hook-saw"])).toContain("liveuser");
  await must(live, ["rm", "-r", "/etc/lainos/sleep.d"]);
}, 30_000);

test("the running daemons have what their sandbox leaves them, and no more", async () => {
  for (const [command, capabilities] of [
    // chown, dac_override, fowner, kill, sys_admin, sys_tty_config, wake_alarm.
    ["lainos-dbus-bri", 0x0000_0008_0420_002bn],
    ["lainos-notifyd", 0n],
  ] as const) {
    const pid = await pidOf(live, command);
    const status = await must(live, ["cat", `/proc/${pid}/status`]);
    const field = (name: string) => new RegExp(`^${name}:\\t(.*)$`, "m").exec(status)?.[1];
    expect({ no: field("NoNewPrivs"), filter: field("Seccomp") }).toEqual({ no: "1", filter: "2" });
    for (const name of ["CapBnd", "CapPrm", "CapEff"]) {
      expect(BigInt(`0x${field(name)}`)).toBe(capabilities);
    }
    const landlock = landlockVersion();
    const environment = (await must(live, ["cat", `/proc/${pid}/environ`])).split("\0");
    const found = environment.filter((line) => line.startsWith("LAINOS_LANDLOCK="));
    expect(found).toEqual(landlock === 0 ? [] : [`LAINOS_LANDLOCK=${landlock}`]);
    for (const name of ["CapInh", "CapAmb"]) expect(BigInt(`0x${field(name)}`)).toBe(0n);
  }
}, 30_000);

test("what a user leaves in IPC goes with the last session, and logins can be forbidden", async () => {
  const login1 = ["busctl", "call", "org.freedesktop.login1", "/org/freedesktop/login1"];
  const manager = [...login1, "org.freedesktop.login1.Manager"];
  const inTwoMinutes = String((BigInt(Date.now()) + 120_000n) * 1000n);
  await must(live, [...manager, "ScheduleShutdown", "st", "poweroff", inTwoMinutes]);
  await live.waitFor(
    async () => (await live.exec(["test", "-s", "/run/nologin"])).code === 0,
    "/run/nologin",
  );
  await must(live, [...manager, "CancelScheduledShutdown"]);
  expect((await live.exec(["test", "-e", "/run/nologin"])).code).toBe(1);
  await must(live, ["sh", "-c", "ipcmk -M 4096 -p 0600; touch /dev/shm/left"], OTHER_USER);
  const uid = (await must(live, ["id", "-u", OTHER_USER])).trim();
  await must(live, [...manager, "SetUserLinger", "ubb", uid, "true", "false"]);
  expect(await must(live, ["stat", "-c", "%U %a", `/run/user/${uid}`])).toBe(`${OTHER_USER} 700\n`);
  await must(live, ["mountpoint", "-q", `/run/user/${uid}`]);
  await must(live, [...manager, "SetUserLinger", "ubb", uid, "false", "false"]);
  await live.waitFor(async () => {
    const shared = await must(live, ["cat", "/proc/sysvipc/shm"]);
    const left = await live.exec(["test", "-e", "/dev/shm/left", "-o", "-e", `/run/user/${uid}`]);
    return left.code === 1 && !new RegExp(` ${uid} `).test(shared);
  }, "all that the user left is gone");
}, 60_000);

test("every attack is refused", async () => {
  const attacks = await attack(live, { seconds: 2, short: true });
  expect(attacks.filter(({ refused, unproven }) => refused && !unproven).length).toBeGreaterThan(
    120,
  );
  expect(attacks.filter(({ refused }) => !refused)).toEqual([]);
}, 300_000);
