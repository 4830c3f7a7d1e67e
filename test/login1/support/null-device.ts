/** /dev/null as an input device of seat0 that a controller can take, by a sysfs made for it. */
import { expect } from "bun:test";
import type { World } from "./world.ts";

const SYSFS = `
  mount -t tmpfs tmpfs /sys/dev/char
  mkdir -p /run/sys/class/input /run/sys/input3/event3 /run/udev/data /run/udev/tags/seat
  for device in input3 input3/event3; do
    ln -s /run/sys/class/input /run/sys/$device/subsystem
  done
  : > /run/sys/input3/uevent
  printf 'MAJOR=1\\nMINOR=3\\nDEVNAME=null\\n' > /run/sys/input3/event3/uevent
  ln -s /run/sys/input3/event3 /sys/dev/char/1:3
  printf 'G:seat\\nQ:seat\\n' > /run/udev/data/+input:input3
`;

export async function takeableNull(world: World): Promise<void> {
  expect(await world.run(["sh", "-ec", SYSFS])).toMatchObject({ code: 0, stderr: "" });
}
