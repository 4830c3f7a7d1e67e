/** Attacks on the daemons of the booted system, from inside their sandboxes and from outside. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Live } from "../../scripts/live/index.ts";
import { attack } from "../../scripts/live/security/main.ts";
import { BOOT_TIMEOUT, bootSystem, must } from "./system.ts";

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

test("every attack is refused", async () => {
  const attacks = await attack(live);
  expect(attacks.length).toBeGreaterThan(100);
  expect(attacks.filter(({ refused }) => !refused)).toEqual([]);
}, 60_000);
