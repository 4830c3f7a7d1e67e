import { expect, test } from "bun:test";
import { majorMinor } from "../../../lib/linux/index.ts";

test("a device number comes out of a dev_t as makedev(3) put it in", () => {
  expect(majorMinor(0x103)).toBe("1:3");
  expect(majorMinor(0xe280)).toBe("226:128");
  expect(majorMinor(0xd40)).toBe("13:64");
  expect(majorMinor(0x1d4c)).toBe("29:76");
  // 240:300 and 4095:1048575
  expect(majorMinor(0x10f02c)).toBe("240:300");
  expect(majorMinor(0xfff_fffff - 0)).toBe("4095:1048575");
});
