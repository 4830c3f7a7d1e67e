/** A world's /run that takes nothing for a while. */
import type { World } from "../login1/support/world.ts";

/** The ways in which that may be. */
export const FAULTS = ["full", "read-only", "out of inodes"] as const;
export type Fault = (typeof FAULTS)[number];

/** As a machine's /run has a size. */
const LIMITS = "rw,size=4M,nr_inodes=20k";

const BREAK: Readonly<Record<Fault, string>> = {
  full: "! dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null",
  "read-only": "mount -o remount,ro /run",
  "out of inodes":
    'mount -o "remount,nr_inodes=$(stat -f -c "%c %d" /run | awk "{ print \\$1 - \\$2 }")" /run',
};

async function inside(world: World, script: string): Promise<void> {
  const { code, stderr } = await world.run(["sh", "-c", script]);
  if (code !== 0) throw new Error(stderr);
}

/** Has nothing new written in /run any more. */
export const breakRun = (world: World, fault: Fault) => inside(world, BREAK[fault]);

/** Takes that back, whether it is so or not. */
export const mendRun = (world: World) =>
  inside(world, `mount -o remount,${LIMITS} /run && rm -f /run/filler`);
