/** The host's mounts, by /proc/self/mountinfo (proc(5)). */
import { readFile, realpath, rm } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { $ } from "zx";
import { HostError } from "../host.ts";
import { missing } from "./state.ts";

export interface Mount {
  readonly point: string;
  readonly type: string;
}

/** All mounts of this mount namespace, in the order in which they were made. */
export async function mounts(): Promise<Mount[]> {
  return parseMountinfo(await readFile("/proc/self/mountinfo", "utf8"));
}

/** Blanks and backslashes in a path are written as three octal digits. */
export function parseMountinfo(text: string): Mount[] {
  return text.split("\n").flatMap((line) => {
    const [left, right] = line.split(" - ");
    const point = left?.split(" ")[4];
    const type = right?.split(" ")[0];
    if (point === undefined || type === undefined) return [];
    return [{ point: unescapeOctal(point), type }];
  });
}

const unescapeOctal = (text: string) =>
  text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );

/**
 * The folders below the overlays of a mountinfo, in either form: `lowerdir=/a:/b`, and one
 * `lowerdir+=/a` each. The kernel puts a backslash before a colon or a comma in a path.
 */
export function lowerFolders(text: string): string[] {
  return text.split("\n").flatMap((line) => {
    const [type, , options = ""] = line.split(" - ")[1]?.split(" ") ?? [];
    if (type !== "overlay") return [];
    return options.split(/(?<!\\),/).flatMap((option) => {
      const [, layers] =
        /^(?:lowerdir|lowerdir\+|datadir\+)=(.*)$/.exec(unescapeOctal(option)) ?? [];
      const paths = layers?.split(/(?<!\\)::?/) ?? [];
      return paths.map((path) => path.replaceAll(/\\([\\:,])/g, "$1"));
    });
  });
}

/**
 * Unmounts everything at and below a folder, the last mount first. One that stays busy for three
 * seconds (a process elsewhere has a file of it open) is detached and named in the error.
 * @throws HostError where a mount had to be detached or could not even be.
 */
export async function unmountBelow(folder: string): Promise<void> {
  const ours = (await mountsBelow(folder)).reverse();
  const busy: string[] = [];
  for (const point of ours) {
    const failed = await unmount(point);
    if (failed === undefined) continue;
    busy.push(failed);
    await $({ quiet: true })`umount --lazy ${point}`;
  }
  if (busy.length > 0) throw new HostError(`detached while in use: ${busy.join("; ")}`);
}

/** Where something is mounted at and below a folder, in the order in which it was. */
async function mountsBelow(folder: string): Promise<string[]> {
  return (await mounts())
    .map(({ point }) => point)
    .filter((point) => point === folder || point.startsWith(`${folder}/`));
}

/**
 * Removes a folder in which others mount things, if it is there. Through a mount a removal would
 * reach what lies there in fact: the host's /dev, where a build was killed.
 * @throws HostError where something is mounted at or below it; then nothing is removed.
 */
export async function removeUnmounted(folder: string): Promise<void> {
  const path = await realpath(folder).catch(missing);
  if (path === undefined) return;
  const mounted = await mountsBelow(path);
  if (mounted.length > 0) {
    throw new HostError(
      `${path} is left, since something is mounted on ${mounted.join(", ")}: umount it, and remove the folder`,
    );
  }
  // A process that was just killed may still write into it.
  await rm(folder, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
}

/** What umount says where the mount is still busy after three seconds; undefined where it is gone. */
async function unmount(point: string): Promise<string | undefined> {
  for (let tries = 0; ; tries++) {
    const done = await $({ nothrow: true, quiet: true })`umount ${point}`;
    if (done.exitCode === 0) return undefined;
    if (tries === 30) return done.stderr.trim();
    await sleep(100);
  }
}
