import { expect, test } from "bun:test";
import { atRealtime, atWakeup, now } from "../../../lib/linux/index.ts";

test("a moment that is past comes at once, one to come when it is due, and one taken back never", async () => {
  const start = now().realtime;
  const fired: string[] = [];
  const { promise, resolve } = Promise.withResolvers<bigint>();
  const end = atRealtime(start + 20_000n, () => fired.push("taken back"));
  atRealtime(0n, () => fired.push("past"));
  atRealtime(0xffffffffffffffffn, () => fired.push("never"))();
  atRealtime(start + 100_000n, () => resolve(now().realtime));
  end();
  expect((await promise) >= start + 100_000n).toBe(true);
  expect(fired).toEqual(["past"]);
});

test("an alarm counts as come from when the RTC, which knows whole seconds, may have woken the machine", () => {
  const alarms = [2n ** 64n - 2n, 60_000_000n, 2_000_000n, 3n, 0n].map(atWakeup);
  expect(alarms.map((alarm) => alarm.hasFired())).toEqual([false, false, true, true, true]);
  for (const alarm of alarms) alarm.end();
});
