/**
 * What logind's policy allows without asking for a password, for where there is
 * no polkitd: the `yes` of its org.freedesktop.login1.policy. Who counts as what
 * is polkit's rule: a caller in a local session (one on a seat) that is active,
 * in one that is not, and anybody else.
 */
import { join } from "node:path";
import { cgroupOf } from "../linux/index.ts";
import { SESSIONS, USERS } from "./paths.ts";
import { loadState } from "./state-file.ts";

type Standing = "any" | "inactive" | "active";

const EVERYBODY: readonly Standing[] = ["any", "inactive", "active"];
const LOCAL: readonly Standing[] = ["inactive", "active"];
const ACTIVE: readonly Standing[] = ["active"];

/** By the last part of the action's id. What is not here is auth_admin for all. */
const ALLOWED: Readonly<Record<string, readonly Standing[]>> = {
  "inhibit-block-shutdown": LOCAL,
  "inhibit-delay-shutdown": EVERYBODY,
  "inhibit-block-sleep": LOCAL,
  "inhibit-delay-sleep": EVERYBODY,
  "inhibit-block-idle": EVERYBODY,
  "inhibit-handle-power-key": LOCAL,
  "inhibit-handle-suspend-key": LOCAL,
  "inhibit-handle-hibernate-key": LOCAL,
  "inhibit-handle-lid-switch": LOCAL,
  "inhibit-handle-reboot-key": LOCAL,
  "set-self-linger": EVERYBODY,
  "power-off": ACTIVE,
  "power-off-multiple-sessions": ACTIVE,
  reboot: ACTIVE,
  "reboot-multiple-sessions": ACTIVE,
  suspend: ACTIVE,
  "suspend-multiple-sessions": ACTIVE,
  hibernate: ACTIVE,
  "hibernate-multiple-sessions": ACTIVE,
  "set-reboot-to-firmware-setup": ACTIVE,
  "set-reboot-to-boot-loader-menu": ACTIVE,
  "set-reboot-to-boot-loader-entry": ACTIVE,
  chvt: LOCAL,
};

/** Whether a caller may do something by logind's defaults, nobody being there to ask for a password. */
export function allowedByDefault(action: string, uid: number, pid: number): boolean {
  const standings = ALLOWED[action.slice(action.lastIndexOf(".") + 1)] ?? [];
  return standings.includes(standingOf(uid, pid));
}

/** As polkit finds it: by the session that the process is in, else the user's display session. */
function standingOf(uid: number, pid: number): Standing {
  const own = /\/session-([A-Za-z0-9]+)\.scope(?:\/|$)/.exec(cgroupOf(pid) ?? "")?.[1];
  const id = own ?? loadState(join(USERS, String(uid)))?.get("DISPLAY");
  const session = id === undefined ? undefined : loadState(join(SESSIONS, id));
  if (!session?.get("SEAT") || session.get("REMOTE") === "1") return "any";
  return session.get("ACTIVE") === "1" ? "active" : "inactive";
}
