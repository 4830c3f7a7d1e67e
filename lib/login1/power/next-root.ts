/** The tree that a soft reboot would go to; see systemd-soft-reboot.service(8). */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { hasNextRootOutside } from "../host/privileged.ts";

const NEXT_ROOT = "/run/nextroot";

/** Whether an operating system is there, which is one that has an os-release(5). */
export function hasNextRoot(): boolean {
  const known = hasNextRootOutside();
  if (known !== undefined) return known;
  return ["usr/lib/os-release", "etc/os-release"].some((path) => existsSync(join(NEXT_ROOT, path)));
}
