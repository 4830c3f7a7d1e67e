/** Who may shut down or put to sleep, by logind's rules: others' sessions and inhibitors count. */
import { busErrors, type CallContext } from "../../dbus/index.ts";
import { isInteractive } from "../../sd-login/index.ts";
import type { Inhibitors } from "../inhibitors/inhibitors.ts";
import type { Session } from "../model/objects.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { POWER_VERBS, type PowerVerb } from "../vocabulary/power-verbs.ts";
import type { Authorizer } from "./authorize.ts";
import { VERB_RIGHTS } from "./verb-rights.ts";

/** The flags of the *WithFlags methods; see sd-login.h and org.freedesktop.login1(5). */
export const FLAGS = {
  rootChecksInhibitors: 1n,
  kexec: 2n,
  softReboot: 4n,
  softRebootIfNextroot: 8n,
  skipInhibitors: 16n,
} as const;
const ALL_FLAGS = Object.values(FLAGS).reduce((all, flag) => all | flag, 0n);

/** The parts of login1 that decide. */
export interface PowerRightsParts {
  readonly authorizer: Authorizer;
  readonly inhibitors: Inhibitors;
  readonly manager: { readonly sessions: ReadonlyMap<string, Session> };
}

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

function othersLoggedIn({ manager }: PowerRightsParts, uid: number): boolean {
  return [...manager.sessions.values()].some(
    (session) => isInteractive(session.class) && session.user.uid !== uid,
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
export async function verifyPower(
  parts: PowerRightsParts,
  way: PowerVerb,
  flags: bigint,
  call: CallContext,
): Promise<void> {
  const { inhibitedBy, phrase } = POWER_VERBS[way];
  const { right, withOthers, againstInhibitors } = VERB_RIGHTS[way];
  const { authorizer, inhibitors } = parts;
  const { uid } = await call.caller();
  const others = othersLoggedIn(parts, uid);
  const blocking = inhibitors.blocking(inhibitedBy, uid);
  if (others) {
    await authorizer.authorize(call, {
      action: withOthers,
      what: `${phrase} while others are logged in`,
    });
  }
  if (blocking) {
    const rootChecks = uid === 0 && (flags & FLAGS.rootChecksInhibitors) !== 0n;
    const strict = blocking.mode === "block" || rootChecks;
    if ((flags & FLAGS.skipInhibitors) === 0n && strict) {
      throw login1Errors.blockedByInhibitor("Operation denied due to active block inhibitor");
    }
    await authorizer.authorize(call, {
      action: againstInhibitors,
      what: `${phrase} against an inhibitor`,
    });
  }
  if (!others && !blocking) await authorizer.authorize(call, { action: right, what: phrase });
}

/**
 * What the Can* methods answer for something that the machine can do: `yes`,
 * `no`, `challenge` (after a password), or one of the three that name an inhibitor.
 */
export async function canDo(
  parts: PowerRightsParts,
  way: PowerVerb,
  call: CallContext,
): Promise<string> {
  const { inhibitedBy, phrase: what } = POWER_VERBS[way];
  const { right, withOthers, againstInhibitors } = VERB_RIGHTS[way];
  const { authorizer, inhibitors } = parts;
  const { uid } = await call.caller();
  let result: string = await authorizer.ask(call, { action: right, what });
  if (othersLoggedIn(parts, uid)) {
    const answer = await authorizer.ask(call, { action: withOthers, what });
    if (answer === "no") result = "no";
    else if (answer === "challenge" && result === "yes") result = "challenge";
  }
  if (inhibitors.blocking(inhibitedBy, uid)) {
    const answer = await authorizer.ask(call, { action: againstInhibitors, what });
    if (answer === "challenge" && result === "yes") result = "inhibited";
    else if (answer === "no" && result === "yes") result = "inhibitor-blocked";
    else if (answer === "no" && result === "challenge") result = "challenge-inhibitor-blocked";
  }
  return result;
}
