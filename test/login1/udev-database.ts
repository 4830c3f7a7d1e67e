/** udev's database in a world, written as udev writes it. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import type { World } from "./world.ts";

/** Writes a device into it: the tags, then the record by rename. */
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

/** Takes a device out of it. */
export function removeDevice(world: World, key: string, tags: string[]): void {
  for (const tag of tags) rmSync(`${world.root}/run/udev/tags/${tag}/${key}`);
  rmSync(`${world.root}/run/udev/data/${key}`);
}
