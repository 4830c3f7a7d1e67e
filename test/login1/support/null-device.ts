/** /dev/null as an input device of seat0 that a controller can take, by a sysfs made for it. */
import { writeFileSync } from "node:fs";
import type { World } from "./world.ts";

/** The number of /dev/null. */
export const NULL = [1, 3];

/** It as the node of an input device, and /dev/zero as what it is. */
const SYSFS = `
  mount -t tmpfs tmpfs /sys/dev/char
  mkdir -p /run/sys/class/input /run/sys/class/mem /run/sys/input3/event3 /run/sys/zero
  mkdir -p /run/udev/data /run/udev/tags/seat
  for device in input3 input3/event3; do
    ln -s /run/sys/class/input /run/sys/$device/subsystem
  done
  ln -s /run/sys/class/mem /run/sys/zero/subsystem
  : > /run/sys/input3/uevent
  printf 'MAJOR=1\\nMINOR=3\\nDEVNAME=null\\n' > /run/sys/input3/event3/uevent
  printf 'MAJOR=1\\nMINOR=5\\nDEVNAME=zero\\n' > /run/sys/zero/uevent
  ln -s /run/sys/input3/event3 /sys/dev/char/1:3
  ln -s /run/sys/zero /sys/dev/char/1:5
`;

/** Makes it one. */
export async function takeableNull(world: World): Promise<void> {
  const { code, stderr } = await world.run(["sh", "-ec", SYSFS]);
  if (code !== 0) throw new Error(`no device could be made: ${stderr}`);
  giveNullTo(world, "seat0");
}

/** Has udev give it to a seat. */
export function giveNullTo(world: World, seat: string): void {
  const record = `E:ID_SEAT=${seat}\nG:seat\nQ:seat\n`;
  writeFileSync(`${world.root}/run/udev/data/+input:input3`, record);
}
