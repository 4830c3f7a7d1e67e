/** Input devices, as far as a machine without any shows them, and the kernel's uevents. */
import { expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import {
  close,
  EV_KEY,
  hasCapability,
  O_RDONLY,
  open,
  setEventMask,
  switchesOn,
  watchUevents,
} from "../../../lib/linux/index.ts";

test("a bitmap of capabilities has its highest word first", () => {
  // As sysfs shows the power button's keys: KEY_POWER and nothing else.
  const button = "10000000000000 0\n";
  expect([115, 116, 117, 52, 600].filter((bit) => hasCapability(button, bit))).toEqual([116]);
  expect(hasCapability("21", 0)).toBe(true);
  expect(hasCapability("21", 5)).toBe(true);
  expect(hasCapability("0", 0)).toBe(false);
  expect(hasCapability("", 0)).toBe(false);
});

test("what is no event node refuses, and says what was asked of it", () => {
  const fd = open("/dev/null", O_RDONLY);
  expect(() => setEventMask(fd, EV_KEY, [116])).toThrow("ioctl EVIOCSMASK");
  expect(() => switchesOn(fd, [0])).toThrow("ioctl EVIOCGSW");
  close(fd);
});

test("the kernel tells of a device of the wanted subsystems, and of no other", async () => {
  const heard: string[] = [];
  const { promise, resolve } = Promise.withResolvers<void>();
  const endOther = watchUevents(["power_supply"], () => heard.push("power_supply"));
  const end = watchUevents(["drm", "mem"], resolve);
  writeFileSync("/sys/class/mem/null/uevent", "change");
  await promise;
  end();
  endOther();
  expect(heard).toEqual([]);
});
