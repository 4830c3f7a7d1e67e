/**
 * Who may ask for what. Without polkit in between, logind's own defaults for a
 * caller that is not asked for a password: root may, and everybody over what is theirs.
 */
import { busErrors, type CallContext } from "../dbus/index.ts";
import { allowedByDefault } from "./policy-defaults.ts";

/** logind's polkit actions; see its org.freedesktop.login1.policy. */
export const ACTIONS = {
  inhibitBlockIdle: "org.freedesktop.login1.inhibit-block-idle",
  inhibitBlockShutdown: "org.freedesktop.login1.inhibit-block-shutdown",
  inhibitBlockSleep: "org.freedesktop.login1.inhibit-block-sleep",
  inhibitDelayShutdown: "org.freedesktop.login1.inhibit-delay-shutdown",
  inhibitDelaySleep: "org.freedesktop.login1.inhibit-delay-sleep",
  inhibitHandleHibernateKey: "org.freedesktop.login1.inhibit-handle-hibernate-key",
  inhibitHandleLidSwitch: "org.freedesktop.login1.inhibit-handle-lid-switch",
  inhibitHandlePowerKey: "org.freedesktop.login1.inhibit-handle-power-key",
  inhibitHandleRebootKey: "org.freedesktop.login1.inhibit-handle-reboot-key",
  inhibitHandleSuspendKey: "org.freedesktop.login1.inhibit-handle-suspend-key",
  halt: "org.freedesktop.login1.halt",
  haltIgnoreInhibit: "org.freedesktop.login1.halt-ignore-inhibit",
  haltMultipleSessions: "org.freedesktop.login1.halt-multiple-sessions",
  hibernate: "org.freedesktop.login1.hibernate",
  hibernateIgnoreInhibit: "org.freedesktop.login1.hibernate-ignore-inhibit",
  hibernateMultipleSessions: "org.freedesktop.login1.hibernate-multiple-sessions",
  powerOff: "org.freedesktop.login1.power-off",
  powerOffIgnoreInhibit: "org.freedesktop.login1.power-off-ignore-inhibit",
  powerOffMultipleSessions: "org.freedesktop.login1.power-off-multiple-sessions",
  reboot: "org.freedesktop.login1.reboot",
  rebootIgnoreInhibit: "org.freedesktop.login1.reboot-ignore-inhibit",
  rebootMultipleSessions: "org.freedesktop.login1.reboot-multiple-sessions",
  setRebootToBootLoaderEntry: "org.freedesktop.login1.set-reboot-to-boot-loader-entry",
  setRebootToBootLoaderMenu: "org.freedesktop.login1.set-reboot-to-boot-loader-menu",
  setRebootToFirmwareSetup: "org.freedesktop.login1.set-reboot-to-firmware-setup",
  setWallMessage: "org.freedesktop.login1.set-wall-message",
  suspend: "org.freedesktop.login1.suspend",
  suspendIgnoreInhibit: "org.freedesktop.login1.suspend-ignore-inhibit",
  suspendMultipleSessions: "org.freedesktop.login1.suspend-multiple-sessions",
  lock: "org.freedesktop.login1.lock-sessions",
  manage: "org.freedesktop.login1.manage",
  switchVt: "org.freedesktop.login1.chvt",
} as const;

export type Action = (typeof ACTIONS)[keyof typeof ACTIONS];

/** What a caller needs to be allowed to do. */
export interface Right {
  /** The action that polkit is asked about; undefined where it is root's alone. */
  action: Action | undefined;
  /** The user whose own thing it is, and who needs nobody's word for it. */
  owner?: number;
  /** For the error message: "terminate this session". */
  what: string;
}

/**
 * Lets root and the owner through.
 *
 * @throws {BusError} AccessDenied, with what was asked for
 */
export async function authorize(call: CallContext, { action, owner, what }: Right): Promise<void> {
  const { uid, pid } = await call.caller();
  if (uid === 0 || uid === owner) return;
  if (action !== undefined && allowedByDefault(action, uid, pid)) return;
  const who = owner === undefined ? "root" : `root and the user ${owner}`;
  throw busErrors.accessDenied(`Only ${who} may ${what}`);
}
