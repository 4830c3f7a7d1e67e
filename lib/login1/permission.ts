/**
 * Who may ask for what. Without polkit in between, logind's own defaults for a
 * caller that is not asked for a password: root may, and everybody over what is theirs.
 */
import { busErrors, type CallContext } from "../dbus/index.ts";

/**
 * Lets root through.
 *
 * @throws {BusError} AccessDenied, with what was asked for
 */
export async function requireRoot(call: CallContext, what: string): Promise<void> {
  const { uid } = await call.caller();
  if (uid !== 0) throw busErrors.accessDenied(`Only root may ${what}`);
}

/**
 * Lets root and the owner through.
 *
 * @param owner the uid whose thing it is
 * @throws {BusError} AccessDenied, with what was asked for
 */
export async function requireOwner(call: CallContext, owner: number, what: string): Promise<void> {
  const { uid } = await call.caller();
  if (uid !== 0 && uid !== owner) {
    throw busErrors.accessDenied(`Only root and the user ${owner} may ${what}`);
  }
}
