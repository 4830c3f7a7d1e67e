import { expect, test } from "bun:test";
import { Quota } from "../../../lib/dbus/objects/quota.ts";

test("a user has so many calls under way, over all connections, and gets them back", () => {
  const quota = new Quota();
  const ends = [];
  while (!quota.isFull(1000, 100)) ends.push(quota.take(1000, 100));
  expect(ends).toHaveLength(2048);
  expect(quota.isFull(1001, 100)).toBeFalse();
  ends.pop()?.();
  expect(quota.isFull(1000, 100)).toBeFalse();
  for (const end of ends) end();
  expect(quota.isFull(1000, 2 ** 20)).toBeFalse();
});

test("a user has so many bytes under way", () => {
  const quota = new Quota();
  const ends = [];
  while (!quota.isFull(1000, 2 ** 16)) ends.push(quota.take(1000, 2 ** 16));
  expect(ends.length).toBeLessThanOrEqual(32);
  expect(quota.isFull(1000, 1)).toBeTrue();
});

test("many together are bounded, and root is kept out by nobody", () => {
  const quota = new Quota();
  let taken = 0;
  for (let connection = 0; connection < 1000; connection++) {
    for (; !quota.isFull(`:1.${connection}`, 2 ** 16); taken++)
      quota.take(`:1.${connection}`, 2 ** 16);
  }
  expect(taken * 2 ** 16).toBeLessThanOrEqual(2 ** 25);
  expect(quota.isFull(1000, 100)).toBeTrue();
  expect(quota.isFull(0, 2 ** 16)).toBeFalse();
});
