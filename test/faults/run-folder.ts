/** A world's /run that is full or read-only for a while. */
import type { World } from "../login1/world.ts";

/** The ways in which nothing can be written there. */
export const FAULTS = ["full", "read-only"] as const;
export type Fault = (typeof FAULTS)[number];

async function inside(world: World, script: string): Promise<void> {
  const { code, stderr } = await world.run(["sh", "-c", script]);
  if (code !== 0) throw new Error(stderr);
}

/** Gives /run a size, as a machine's has one. To be called first. */
export const limitRun = (world: World) => inside(world, "mount -o remount,size=4M /run");

/** Has nothing written in /run any more. */
export async function breakRun(world: World, fault: Fault): Promise<void> {
  if (fault === "read-only") await inside(world, "mount -o remount,ro /run");
  // To the last page, and then to the last byte of a page that others have begun.
  else await inside(world, "! dd if=/dev/zero of=/run/filler bs=4k 2>/dev/null");
}

/** Takes that back, whether it is so or not. */
export const mendRun = (world: World) =>
  inside(world, "mount -o remount,rw /run && rm -f /run/filler");
