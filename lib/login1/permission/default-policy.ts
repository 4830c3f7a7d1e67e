/**
 * What logind lets those do who are neither root nor the owner, where no polkit
 * is there to be asked: the defaults of org.freedesktop.login1.policy. Nobody can
 * be asked for a password then, so what would take one is not allowed.
 */

import type { Action } from "./actions.ts";
import type { Locality } from "./subject-state.ts";

/** `auth`: an administrator's password (auth_admin_keep). */
export type Default = "yes" | "no" | "auth";

/** For a caller without a local session, with one in the background, and with one in the foreground. */
export const DEFAULTS: Record<Action, readonly [any: Default, inactive: Default, active: Default]> =
  {
    "org.freedesktop.login1.inhibit-block-shutdown": ["no", "yes", "yes"],
    "org.freedesktop.login1.inhibit-delay-shutdown": ["yes", "yes", "yes"],
    "org.freedesktop.login1.inhibit-block-sleep": ["no", "yes", "yes"],
    "org.freedesktop.login1.inhibit-delay-sleep": ["yes", "yes", "yes"],
    "org.freedesktop.login1.inhibit-block-idle": ["yes", "yes", "yes"],
    "org.freedesktop.login1.inhibit-handle-power-key": ["no", "yes", "yes"],
    "org.freedesktop.login1.inhibit-handle-suspend-key": ["no", "yes", "yes"],
    "org.freedesktop.login1.inhibit-handle-hibernate-key": ["no", "yes", "yes"],
    "org.freedesktop.login1.inhibit-handle-lid-switch": ["no", "yes", "yes"],
    "org.freedesktop.login1.inhibit-handle-reboot-key": ["no", "yes", "yes"],
    "org.freedesktop.login1.set-self-linger": ["yes", "yes", "yes"],
    "org.freedesktop.login1.set-user-linger": ["auth", "auth", "auth"],
    "org.freedesktop.login1.attach-device": ["auth", "auth", "auth"],
    "org.freedesktop.login1.flush-devices": ["auth", "auth", "auth"],
    "org.freedesktop.login1.power-off": ["auth", "auth", "yes"],
    "org.freedesktop.login1.power-off-multiple-sessions": ["auth", "auth", "yes"],
    "org.freedesktop.login1.power-off-ignore-inhibit": ["auth", "auth", "auth"],
    "org.freedesktop.login1.reboot": ["auth", "auth", "yes"],
    "org.freedesktop.login1.reboot-multiple-sessions": ["auth", "auth", "yes"],
    "org.freedesktop.login1.reboot-ignore-inhibit": ["auth", "auth", "auth"],
    "org.freedesktop.login1.halt": ["auth", "auth", "auth"],
    "org.freedesktop.login1.halt-multiple-sessions": ["auth", "auth", "auth"],
    "org.freedesktop.login1.halt-ignore-inhibit": ["auth", "auth", "auth"],
    "org.freedesktop.login1.suspend": ["auth", "auth", "yes"],
    "org.freedesktop.login1.suspend-multiple-sessions": ["auth", "auth", "yes"],
    "org.freedesktop.login1.suspend-ignore-inhibit": ["auth", "auth", "auth"],
    "org.freedesktop.login1.hibernate": ["auth", "auth", "yes"],
    "org.freedesktop.login1.hibernate-multiple-sessions": ["auth", "auth", "yes"],
    "org.freedesktop.login1.hibernate-ignore-inhibit": ["auth", "auth", "auth"],
    "org.freedesktop.login1.manage": ["auth", "auth", "auth"],
    "org.freedesktop.login1.lock-sessions": ["auth", "auth", "auth"],
    "org.freedesktop.login1.set-reboot-parameter": ["auth", "auth", "yes"],
    "org.freedesktop.login1.set-reboot-to-firmware-setup": ["auth", "auth", "yes"],
    "org.freedesktop.login1.set-reboot-to-boot-loader-menu": ["auth", "auth", "yes"],
    "org.freedesktop.login1.set-reboot-to-boot-loader-entry": ["auth", "auth", "yes"],
    "org.freedesktop.login1.set-wall-message": ["auth", "auth", "auth"],
    "org.freedesktop.login1.chvt": ["auth", "yes", "yes"],
  };

/** Whether the defaults let a caller do it without a password. */
export function allowedByDefault(action: Action, locality: Locality): boolean {
  const [any, inactive, active] = DEFAULTS[action];
  return { any, inactive, active }[locality] === "yes";
}
