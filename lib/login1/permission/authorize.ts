/**
 * Who may ask for what, by logind's rules: root may; so may a user over what is
 * their own; of everybody else polkit is asked, and where there is no polkit
 * logind's own defaults decide (`default-policy.ts`).
 */
import { BusError, busErrors, type CallContext, type Caller, whenKnown } from "../../dbus/index.ts";
import type { Manager } from "../sessions/manager.ts";
import { allowedByDefault } from "./default-policy.ts";
import type { Polkit } from "./polkit.ts";
import { localityOf } from "./subject-state.ts";

/** logind's polkit actions; see org.freedesktop.login1.policy, which the package installs. */
export const ACTIONS = {
  inhibitBlockShutdown: "org.freedesktop.login1.inhibit-block-shutdown",
  inhibitDelayShutdown: "org.freedesktop.login1.inhibit-delay-shutdown",
  inhibitBlockSleep: "org.freedesktop.login1.inhibit-block-sleep",
  inhibitDelaySleep: "org.freedesktop.login1.inhibit-delay-sleep",
  inhibitBlockIdle: "org.freedesktop.login1.inhibit-block-idle",
  inhibitHandlePowerKey: "org.freedesktop.login1.inhibit-handle-power-key",
  inhibitHandleSuspendKey: "org.freedesktop.login1.inhibit-handle-suspend-key",
  inhibitHandleHibernateKey: "org.freedesktop.login1.inhibit-handle-hibernate-key",
  inhibitHandleLidSwitch: "org.freedesktop.login1.inhibit-handle-lid-switch",
  inhibitHandleRebootKey: "org.freedesktop.login1.inhibit-handle-reboot-key",
  setSelfLinger: "org.freedesktop.login1.set-self-linger",
  setUserLinger: "org.freedesktop.login1.set-user-linger",
  attachDevice: "org.freedesktop.login1.attach-device",
  flushDevices: "org.freedesktop.login1.flush-devices",
  powerOff: "org.freedesktop.login1.power-off",
  powerOffMultipleSessions: "org.freedesktop.login1.power-off-multiple-sessions",
  powerOffIgnoreInhibit: "org.freedesktop.login1.power-off-ignore-inhibit",
  reboot: "org.freedesktop.login1.reboot",
  rebootMultipleSessions: "org.freedesktop.login1.reboot-multiple-sessions",
  rebootIgnoreInhibit: "org.freedesktop.login1.reboot-ignore-inhibit",
  halt: "org.freedesktop.login1.halt",
  haltMultipleSessions: "org.freedesktop.login1.halt-multiple-sessions",
  haltIgnoreInhibit: "org.freedesktop.login1.halt-ignore-inhibit",
  suspend: "org.freedesktop.login1.suspend",
  suspendMultipleSessions: "org.freedesktop.login1.suspend-multiple-sessions",
  suspendIgnoreInhibit: "org.freedesktop.login1.suspend-ignore-inhibit",
  hibernate: "org.freedesktop.login1.hibernate",
  hibernateMultipleSessions: "org.freedesktop.login1.hibernate-multiple-sessions",
  hibernateIgnoreInhibit: "org.freedesktop.login1.hibernate-ignore-inhibit",
  manage: "org.freedesktop.login1.manage",
  lock: "org.freedesktop.login1.lock-sessions",
  setRebootParameter: "org.freedesktop.login1.set-reboot-parameter",
  setRebootToFirmwareSetup: "org.freedesktop.login1.set-reboot-to-firmware-setup",
  setRebootToBootLoaderMenu: "org.freedesktop.login1.set-reboot-to-boot-loader-menu",
  setRebootToBootLoaderEntry: "org.freedesktop.login1.set-reboot-to-boot-loader-entry",
  setWallMessage: "org.freedesktop.login1.set-wall-message",
  switchVt: "org.freedesktop.login1.chvt",
} as const;

export type Action = (typeof ACTIONS)[keyof typeof ACTIONS];

/** What a caller needs to be allowed to do. */
export interface Right {
  /** The action that polkit is asked about; undefined where it is root's alone. */
  action: Action | undefined;
  /**
   * The user whose own thing it is, and who needs nobody's word for it. For the
   * VT in the foreground logind knows no owner, and neither does `authorize`.
   */
  owner?: number;
  /** For the error message: "terminate this session". */
  what: string;
  /** The call's own argument by which it may ask for a password, where it has one. */
  interactive?: boolean;
}

/** Whom `authorize` asks. */
interface Judges {
  polkit: Polkit;
  manager: Manager;
}

let judges: Judges | undefined;

/** Names those whom `authorize` asks about callers that are neither root nor the owner; done once at the start. */
export function usePolkit(polkit: Polkit, manager: Manager): void {
  judges = { polkit, manager };
}

/**
 * Lets through who may: root, the owner, and whom polkit lets. Without a promise where nobody
 * need be asked.
 *
 * Time passes while polkit (and perhaps a person with a password) decides: what
 * the caller meant may be gone by then, so look again before acting on it.
 *
 * @throws {BusError} AccessDenied, with what was asked for;
 *   InteractiveAuthorizationRequired where a password would do and the caller did
 *   not say that it may be asked for; LimitsExceeded where polkit has too many questions
 *   about the caller's user already
 */
export function authorize(call: CallContext, right: Right): undefined | Promise<undefined> {
  const owner = right.action === ACTIONS.switchVt ? undefined : right.owner;
  return whenKnown(call.caller(), (caller) =>
    caller.uid === 0 || caller.uid === owner ? undefined : askPolkit(call, right, owner, caller),
  );
}

async function askPolkit(
  call: CallContext,
  right: Right,
  owner: number | undefined,
  caller: Caller,
): Promise<undefined> {
  const { action, what } = right;
  const who = owner === undefined ? "root" : `root and the user ${owner}`;
  const denied = busErrors.accessDenied(`Only ${who} may ${what}`);
  if (action === undefined || !judges) throw denied;
  const { polkit, manager } = judges;
  const interactive = call.interactive || right.interactive === true;
  switch (await polkit.check(call.sender, caller.uid, action, interactive)) {
    case "yes":
      return;
    case "no":
      throw busErrors.accessDenied(`polkit does not let you ${what} (${action})`);
    case "challenge":
      throw new BusError(
        "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired",
        `Interactive authentication is required to ${what}`,
      );
    case "late":
      throw busErrors.accessDenied(`polkit did not say in time whether you may ${what}`);
    case "failed":
      throw busErrors.accessDenied(`polkit could not be asked whether you may ${what}`);
    case "busy":
      throw busErrors.limitsExceeded(
        `Too many questions about user ${caller.uid} wait for polkit's answer, so it is not asked whether you may ${what}`,
      );
    case "absent":
      if (!allowedByDefault(action, localityOf(manager, caller.pid))) throw denied;
  }
}
