/** Who may shut down or put to sleep, by logind's rules: others' sessions and inhibitors count. */
import { busErrors, type CallContext } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import type { SessionClass } from "../model/session.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { WAYS, type WayName } from "../vocabulary/power-verbs.ts";
import { authorize } from "./authorize.ts";
import { askFor } from "./can.ts";

/** The flags of the *WithFlags methods; see sd-login.h and org.freedesktop.login1(5). */
export const FLAGS = {
  rootChecksInhibitors: 1n,
  kexec: 2n,
  softReboot: 4n,
  softRebootIfNextroot: 8n,
  skipInhibitors: 16n,
} as const;
const ALL_FLAGS = Object.values(FLAGS).reduce((all, flag) => all | flag, 0n);

/** The classes whose sessions have somebody behind them that would be disturbed. */
const PEOPLE: readonly SessionClass[] = ["user", "user-early", "user-light", "user-early-light"];

/**
 * Checks the flags of a *WithFlags method.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkFlags(flags: bigint, way: string): void {
  if ((flags & ~ALL_FLAGS) !== 0n) throw busErrors.invalidArgs("Invalid flags parameter");
  const soft = FLAGS.softReboot | FLAGS.softRebootIfNextroot;
  if ((flags & FLAGS.kexec) !== 0n && (flags & FLAGS.softReboot) !== 0n) {
    throw busErrors.invalidArgs(
      "Both reboot via kexec and soft reboot selected, which is not supported",
    );
  }
  if (way !== "reboot" && (flags & (soft | FLAGS.kexec)) !== 0n) {
    throw busErrors.invalidArgs("Kexec and soft reboot are only applicable with reboot operations");
  }
}

function othersLoggedIn({ manager }: Login1, uid: number): boolean {
  return [...manager.sessions.values()].some(
    (session) => PEOPLE.includes(session.class) && session.user.uid !== uid,
  );
}

/**
 * Lets a caller through that may do it now.
 *
 * A strong inhibitor refuses everybody, root too, unless the caller asks to pass
 * it over, and may. A weak one refuses whom policy does not let pass it over.
 *
 * @throws {BusError} AccessDenied, BlockedByInhibitorLock
 */
export async function verify(
  login1: Login1,
  way: WayName,
  flags: bigint,
  call: CallContext,
): Promise<void> {
  const { inhibitedBy, right, withOthers, againstInhibitors, phrase } = WAYS[way];
  const { uid } = await call.caller();
  const others = othersLoggedIn(login1, uid);
  const blocking = login1.inhibitors.blocking(inhibitedBy, uid);
  if (others) {
    await authorize(call, { action: withOthers, what: `${phrase} while others are logged in` });
  }
  if (blocking) {
    const rootChecks = uid === 0 && (flags & FLAGS.rootChecksInhibitors) !== 0n;
    const strict = blocking.mode === "block" || rootChecks;
    if ((flags & FLAGS.skipInhibitors) === 0n && strict) {
      throw login1Errors.blockedByInhibitor("Operation denied due to active block inhibitor");
    }
    await authorize(call, { action: againstInhibitors, what: `${phrase} against an inhibitor` });
  }
  if (!others && !blocking) await authorize(call, { action: right, what: phrase });
}

/**
 * What the Can* methods answer for something that the machine can do: `yes`,
 * `no`, `challenge` (after a password), or one of the three that name an inhibitor.
 */
export async function canDo(login1: Login1, way: WayName, call: CallContext): Promise<string> {
  const { inhibitedBy, right, withOthers, againstInhibitors, phrase: what } = WAYS[way];
  const { uid } = await call.caller();
  let result: string = await askFor(call, { action: right, what });
  if (othersLoggedIn(login1, uid)) {
    const answer = await askFor(call, { action: withOthers, what });
    if (answer === "no") result = "no";
    else if (answer === "challenge" && result === "yes") result = "challenge";
  }
  if (login1.inhibitors.blocking(inhibitedBy, uid)) {
    const answer = await askFor(call, { action: againstInhibitors, what });
    if (answer === "challenge" && result === "yes") result = "inhibited";
    else if (answer === "no" && result === "yes") result = "inhibitor-blocked";
    else if (answer === "no" && result === "challenge") result = "challenge-inhibitor-blocked";
  }
  return result;
}
