/** udev's database in a world, written as udev writes it, and a device that can be given to a seat. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { World } from "./world.ts";

/** Writes a device into udev's database as udev does: the tags, then the record by rename. */
export function addDevice(
  world: World,
  key: string,
  tags: string[],
  properties: Record<string, string> = {},
): void {
  const database = `${world.root}/run/udev`;
  mkdirSync(`${database}/data`, { recursive: true });
  for (const tag of tags) {
    mkdirSync(`${database}/tags/${tag}`, { recursive: true });
    writeFileSync(`${database}/tags/${tag}/${key}`, "");
  }
  const lines = [
    "I:1",
    ...Object.entries(properties).map(([name, value]) => `E:${name}=${value}`),
    ...tags.flatMap((tag) => [`G:${tag}`, `Q:${tag}`]),
    "V:1",
  ];
  writeFileSync(`${database}/data/${key}.tmp`, `${lines.join("\n")}\n`);
  renameSync(`${database}/data/${key}.tmp`, `${database}/data/${key}`);
}

/** Takes a device out of the database. */
export function removeDevice(world: World, key: string, tags: string[]): void {
  for (const tag of tags) rmSync(`${world.root}/run/udev/tags/${tag}/${key}`);
  rmSync(`${world.root}/run/udev/data/${key}`);
}

/** An input device's folder in /sys, which {@link makeDevice} makes. */
export const DEVICE = "/sys/devices/fake/input3";

/** Makes {@link DEVICE}, and an /etc in which a rule can be written without the host's having it. */
export async function makeDevice(world: World): Promise<void> {
  const made = await world.run([
    "sh",
    "-ec",
    `mkdir /run/upper /run/work
     mount -t overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work overlay /etc
     mount -t tmpfs tmpfs /sys/devices
     mkdir -p ${DEVICE}/event3 /sys/devices/class/input
     for device in ${DEVICE} ${DEVICE}/event3; do
       ln -s /sys/devices/class/input $device/subsystem
       : > $device/uevent
     done`,
  ]);
  if (made.code !== 0) throw new Error(`no device could be made: ${made.stderr}`);
}
