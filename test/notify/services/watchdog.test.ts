import { afterEach, expect, spyOn, test } from "bun:test";
import { Watchdogs } from "../../../lib/notify/services/watchdog.ts";

const spies: { mockRestore(): void }[] = [];
afterEach(() => {
  for (const spy of spies.splice(0)) spy.mockRestore();
});

const DAY = 86_400_000_000n;

test("an interval of months is waited for, and what is heard in it puts it off", () => {
  let time = 1n;
  let next = () => {};
  const set = spyOn(globalThis, "setTimeout").mockImplementation(((
    act: () => void,
    delay: number,
  ) => {
    next = () => {
      time += BigInt(delay) * 1000n;
      act();
    };
    return 0;
  }) as unknown as typeof setTimeout);
  spies.push(set);
  const missed: bigint[] = [];
  const dogs = new Watchdogs(
    () => missed.push(time),
    () => time,
  );
  dogs.set("service", 60n * DAY);
  next();
  expect(missed).toEqual([]);
  dogs.ping("service");
  const heard = time;
  while (missed.length === 0) next();
  expect(missed).toEqual([heard + 60n * DAY]);
  expect(dogs.isWatched("service")).toBe(false);
});
