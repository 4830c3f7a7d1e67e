/** org.freedesktop.login1.Manager: shutting down, scheduled shutdowns and wall messages. */

import {
  busErrors,
  type CallContext,
  type Members,
  membersOf,
  privileged,
  Variant,
} from "../../dbus/index.ts";
import { now } from "../../linux/index.ts";
import { UINT64_MAX } from "../../sd-login/index.ts";
import type { Login1 } from "../login1.ts";
import { ACTIONS } from "../permission/actions.ts";
import { canDo, checkFlags, FLAGS, verifyPower } from "../permission/power-rights.ts";
import { VERB_RIGHTS } from "../permission/verb-rights.ts";
import { hasNextRoot } from "../power/next-root.ts";
import { isShutdown, type Shutdown } from "../vocabulary/power-verbs.ts";

const { method, property } = membersOf<Login1>();

/** What shutdown(8) waits if nobody says when. */
const MINUTE = 60_000_000n;

/** The same call from somebody who is ready for a password prompt, as the older methods say by an argument. */
export const asInteractive = (call: CallContext, interactive: boolean): CallContext => ({
  ...call,
  interactive: call.interactive || interactive,
});

async function shutDown(
  login1: Login1,
  way: Shutdown,
  flags: bigint,
  call: CallContext,
): Promise<void> {
  checkFlags(flags, way);
  const softReboot =
    (flags & FLAGS.softReboot) !== 0n ||
    ((flags & FLAGS.softRebootIfNextroot) !== 0n && hasNextRoot());
  // OpenRC cannot start user space anew under the running kernel.
  if (softReboot) throw busErrors.notSupported("Soft reboot is not supported by OpenRC.");
  const byKexec = (flags & FLAGS.kexec) !== 0n && login1.power.kexecLoaded;
  const chosen = byKexec ? "kexec" : way;
  await verifyPower(login1, chosen, flags, call);
  await login1.power.shutDown(chosen);
}

/** When a shutdown without a time is due. */
function maintenance({ settings }: Login1): bigint {
  const { realtime } = now();
  return settings.config.DesignatedMaintenanceTime?.next(realtime) ?? realtime + MINUTE;
}

/** The three methods for one way of going down: plain, with flags, and the question whether. */
function shutdownMethods(name: string, way: Shutdown): Members<Login1> {
  return {
    [name]: method("b", ["interactive"], "", [], (login1, [interactive], call) =>
      shutDown(login1, way, 0n, asInteractive(call, interactive)),
    ),
    [`${name}WithFlags`]: method("t", ["flags"], "", [], (login1, [flags], call) =>
      shutDown(login1, way, flags, call),
    ),
    [`Can${name}`]: method("", [], "s", ["result"], async (login1, _body, call) =>
      login1.power.available ? canDo(login1, way, call) : "no",
    ),
  };
}

export const powerMembers: Members<Login1> = {
  ...shutdownMethods("PowerOff", "poweroff"),
  ...shutdownMethods("Reboot", "reboot"),
  ...shutdownMethods("Halt", "halt"),
  ScheduleShutdown: method("st", ["type", "usec"], "", [], async (login1, [type, usec], call) => {
    const dry = type.startsWith("dry-");
    const way = dry ? type.slice("dry-".length) : type;
    if (!isShutdown(way)) throw busErrors.invalidArgs(`Unsupported shutdown type: ${way}`);
    await verifyPower(login1, way, 0n, call);
    const due = usec === UINT64_MAX ? maintenance(login1) : usec;
    login1.power.schedule({ way, dry, due, uid: (await call.caller()).uid });
  }),
  CancelScheduledShutdown: method(
    "",
    [],
    "b",
    ["cancelled"],
    async ({ power, operations, authorizer }, _body, call) => {
      const way = power.scheduled?.way ?? operations.announced("shutdown");
      if (!way) return false;
      await authorizer.authorize(call, {
        action: VERB_RIGHTS[way].right,
        what: "cancel the shutdown",
      });
      return power.cancel();
    },
  ),
  SetWallMessage: method(
    "sb",
    ["wall_message", "enable"],
    "",
    [],
    async ({ power, authorizer }, [message, enable], call) => {
      power.checkWallMessage(message);
      if (power.wallMessage === message && power.wallEnabled === enable) return;
      await authorizer.authorize(call, {
        action: ACTIONS.setWallMessage,
        what: "set the wall message",
      });
      power.setWallMessage(message);
      power.wallEnabled = enable;
    },
  ),
  EnableWallMessages: privileged(
    property(
      "b",
      "false",
      ({ power }) => power.wallEnabled,
      async ({ power, authorizer }, enable, call) => {
        await authorizer.authorize(call, { action: undefined, what: "set EnableWallMessages" });
        power.wallEnabled = enable;
      },
    ),
  ),
  WallMessage: privileged(
    property(
      "s",
      "false",
      ({ power }) => power.wallMessage,
      async ({ power, authorizer }, message, call) => {
        await authorizer.authorize(call, { action: undefined, what: "set WallMessage" });
        power.setWallMessage(message);
      },
    ),
  ),
  PreparingForShutdown: property(
    "b",
    "false",
    ({ operations }) => operations.announced("shutdown") !== undefined,
  ),
  PreparingForShutdownWithMetadata: property("a{sv}", "false", ({ operations }) => {
    const way = operations.announced("shutdown");
    const preparing = { preparing: new Variant("b", way !== undefined) };
    return way === undefined ? preparing : { ...preparing, type: new Variant("s", way) };
  }),
  ScheduledShutdown: property("(st)", "true", ({ power }): [string, bigint] => {
    const { scheduled } = power;
    return scheduled ? [scheduled.way, scheduled.due] : ["", UINT64_MAX];
  }),
};
