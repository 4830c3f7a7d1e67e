/** org.freedesktop.login1.Manager: inhibitors. */
import { type Members, membersOf } from "../../dbus/index.ts";
import {
  checkInhibitMode,
  type InhibitMode,
  type InhibitWhat,
  parseInhibitMode,
  parseInhibitWhat,
} from "../inhibitors/inhibitor.ts";
import type { Login1 } from "../login1.ts";
import { ACTIONS, type Action } from "../permission/actions.ts";

const { method, property } = membersOf<Login1>();

/** The action that a caller needs for one thing; a weak block needs what a block needs. */
function actionFor(what: InhibitWhat, mode: InhibitMode): Action {
  const delays = mode === "delay";
  switch (what) {
    case "shutdown":
      return delays ? ACTIONS.inhibitDelayShutdown : ACTIONS.inhibitBlockShutdown;
    case "sleep":
      return delays ? ACTIONS.inhibitDelaySleep : ACTIONS.inhibitBlockSleep;
    case "idle":
      return ACTIONS.inhibitBlockIdle;
    case "handle-power-key":
      return ACTIONS.inhibitHandlePowerKey;
    case "handle-suspend-key":
      return ACTIONS.inhibitHandleSuspendKey;
    case "handle-hibernate-key":
      return ACTIONS.inhibitHandleHibernateKey;
    case "handle-lid-switch":
      return ACTIONS.inhibitHandleLidSwitch;
    case "handle-reboot-key":
      return ACTIONS.inhibitHandleRebootKey;
  }
}

export const inhibitMembers: Members<Login1> = {
  Inhibit: method(
    "ssss",
    ["what", "who", "why", "mode"],
    "h",
    ["pipe_fd"],
    async ({ inhibitors, operations, authorizer }, [whatText, who, why, modeText], call) => {
      const what = parseInhibitWhat(whatText);
      const mode = parseInhibitMode(modeText);
      checkInhibitMode(what, mode);
      operations.checkInhibitable(what);
      for (const one of what) {
        const action = actionFor(one, mode);
        await authorizer.authorize(call, { action, what: `inhibit ${one} (${mode})` });
      }
      const caller = await call.caller();
      // Once more: it may have begun while somebody was asked.
      operations.checkInhibitable(what);
      return inhibitors.add(what, mode, who, why, caller);
    },
  ),
  ListInhibitors: method("", [], "a(ssssuu)", ["inhibitors"], ({ inhibitors }) =>
    inhibitors
      .list()
      .map(
        ({ what, who, why, mode, uid, pid }): [string, string, string, string, number, number] => [
          what.join(":"),
          who,
          why,
          mode,
          uid,
          pid,
        ],
      ),
  ),
  BlockInhibited: property("s", "true", ({ inhibitors }) => inhibitors.inhibited("block")),
  BlockWeakInhibited: property("s", "true", ({ inhibitors }) => inhibitors.inhibited("block-weak")),
  DelayInhibited: property("s", "true", ({ inhibitors }) => inhibitors.inhibited("delay")),
  InhibitDelayMaxUSec: property("t", "const", ({ inhibitors }) => inhibitors.delayMax),
  InhibitorsMax: property("t", "const", ({ settings }) => settings.config.InhibitorsMax),
  NCurrentInhibitors: property("t", "true", ({ inhibitors }) => BigInt(inhibitors.count)),
};
