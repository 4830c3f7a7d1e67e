/** org.freedesktop.login1.Manager: putting the machine to sleep. */
import { type CallContext, type Members, membersOf, privileged } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import { canDo, checkFlags, verifyPower } from "../permission/power-rights.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import type { Sleep } from "../vocabulary/power-verbs.ts";
import { asInteractive } from "./manager-power.ts";

const { method, property } = membersOf<Login1>();

async function sleep(login1: Login1, way: Sleep, flags: bigint, call: CallContext): Promise<void> {
  checkFlags(flags, way);
  login1.sleeper.check(way);
  await verifyPower(login1, way, flags, call);
  await login1.operations.begin(way);
}

/** The three methods for one way of sleeping: plain, with flags, and the question whether. */
function sleepMethods(name: string, way: Sleep): Members<Login1> {
  return {
    [name]: method("b", ["interactive"], "", [], (login1, [interactive], call) =>
      sleep(login1, way, 0n, asInteractive(call, interactive)),
    ),
    [`${name}WithFlags`]: method("t", ["flags"], "", [], (login1, [flags], call) =>
      sleep(login1, way, flags, call),
    ),
    [`Can${name}`]: method("", [], "s", ["result"], async (login1, _body, call) => {
      const support = login1.sleeper.support(way);
      if (support.possible) return canDo(login1, way, call);
      return support.forbidden ? "no" : "na";
    }),
  };
}

export const sleepMembers: Members<Login1> = {
  ...sleepMethods("Suspend", "suspend"),
  ...sleepMethods("Hibernate", "hibernate"),
  ...sleepMethods("HybridSleep", "hybrid-sleep"),
  ...sleepMethods("SuspendThenHibernate", "suspend-then-hibernate"),
  Sleep: method("t", ["flags"], "", [], (login1, [flags], call) => {
    checkFlags(flags, "sleep");
    const way = login1.sleeper.select();
    if (way) return sleep(login1, way, flags, call);
    throw login1Errors.sleepNotSupported("None of the configured sleep operations are supported");
  }),
  CanSleep: method("", [], "s", ["result"], async (login1, _body, call) => {
    const way = login1.sleeper.select();
    return way ? canDo(login1, way, call) : "na";
  }),
  /** elogind's, for a program that puts the machine to sleep by itself: tells everybody. */
  SendPrepareForSleep: privileged(
    method("b", ["state"], "", [], async ({ operations, authorizer }, [active], call) => {
      await authorizer.authorize(call, { action: undefined, what: "announce a sleep" });
      operations.announceSleep(active);
    }),
  ),
  SleepOperation: property("as", "const", ({ sleeper }) => [...sleeper.operations]),
  PreparingForSleep: property(
    "b",
    "false",
    ({ operations }) => operations.announced("sleep") !== undefined,
  ),
};
