/**
 * Who may ask for what. Without polkit in between, logind's own defaults for a
 * caller that is not asked for a password: root may, and everybody over what is theirs.
 */
import { busErrors, type CallContext } from "../dbus/index.ts";

/** logind's polkit actions; see its org.freedesktop.login1.policy. */
export const ACTIONS = {
  attachDevice: "org.freedesktop.login1.attach-device",
  flushDevices: "org.freedesktop.login1.flush-devices",
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
export async function authorize(call: CallContext, { owner, what }: Right): Promise<void> {
  const { uid } = await call.caller();
  if (uid === 0 || uid === owner) return;
  const who = owner === undefined ? "root" : `root and the user ${owner}`;
  throw busErrors.accessDenied(`Only ${who} may ${what}`);
}
