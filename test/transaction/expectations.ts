/** What the transactions are expected to leave. */
import { expect } from "bun:test";
import { join } from "node:path";
import type { Root } from "./root.ts";
import { MARKERS } from "./stubs.ts";

/** Ours, without files, and above every version that another repository will have. */
export const OURS = /^999-/;
export const WITHOUT_FILES = Object.fromEntries(
  ["elogind", "libudev", "mkinitcpio", "systemd", "systemd-sysvcompat"].map((name) => [
    name,
    expect.stringMatching(OURS),
  ]),
);

/** Whose files must never arrive. */
export const KEPT_OUT = ["systemd", "systemd-sysvcompat", "mkinitcpio"];

/** Files that systemd has too: whose they are on LainOS. */
export const IN_ITS_PLACE = {
  "usr/bin/halt": "openrc",
  "usr/bin/init": "openrc",
  "usr/bin/loginctl": "protocol7-core",
  "usr/bin/poweroff": "openrc",
  "usr/bin/reboot": "openrc",
  "usr/bin/shutdown": "openrc",
  "usr/bin/systemd-inhibit": "protocol7-core",
  "usr/bin/systemd-notify": "protocol7-core",
  "usr/bin/udevadm": "eudev",
  "usr/lib/security/pam_systemd.so": "protocol7-core",
  "usr/share/dbus-1/system.d/org.freedesktop.login1.conf": "protocol7-core",
  "usr/share/polkit-1/actions/org.freedesktop.login1.policy": "protocol7-core",
};

/** The owners of the files by which systemd and mkinitcpio are known, as far as these are there. */
export async function owners(root: Root): Promise<Record<string, string>> {
  const paths = KEPT_OUT.flatMap((name) => MARKERS[name] ?? []).toSorted();
  const found: string[] = [];
  for (const path of paths) if (await root.has(path)) found.push(path);
  const { stdout } = await root.must("-Qqo", ...found.map((path) => join(root.path, path)));
  return Object.fromEntries(
    stdout
      .trim()
      .split("\n")
      .map((owner, index) => [found[index], owner]),
  );
}

/** Expects pacman to stop with these words, and nothing to have changed. */
export async function expectRefusal(
  root: Root,
  words: string[],
  message: string | RegExp,
): Promise<void> {
  const before = await root.installed();
  const { code, output } = await root.pacman(...words);
  if (typeof message === "string") expect(output).toContain(message);
  else expect(output).toMatch(message);
  expect(code).toBe(1);
  expect(await root.installed()).toEqual(before);
}

/** What pacman says of two packages, with their versions, that cannot be there together. */
export function conflict(one: string, other: string): RegExp {
  return new RegExp(`\\b${one}-\\d\\S* and ${other}-\\d\\S* are in conflict`);
}
