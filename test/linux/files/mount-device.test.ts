import { expect, test } from "bun:test";
import { deviceOfMount } from "../../../lib/linux/index.ts";

test("the device of a path is that of the mount that it is on", async () => {
  for (const path of ["/proc/self", "/sys/power", "/etc/passwd", "/dev/null"]) {
    const found = Bun.spawnSync(["findmnt", "-no", "MAJ:MIN", "--target", path]).stdout.toString();
    expect(deviceOfMount(path, process.pid)).toBe(found.trim());
  }
  expect(deviceOfMount("/procession", process.pid)).toBe(deviceOfMount("/", process.pid));
});
