/** What a caller needs to shut down or put to sleep; see org.freedesktop.login1(5). */
import type { PowerVerb } from "../vocabulary/power-verbs.ts";
import { ACTIONS, type Action } from "./actions.ts";

export interface VerbRights {
  /** By itself. */
  readonly right: Action;
  /** With others logged in. */
  readonly withOthers: Action;
  /** Against a block inhibitor. */
  readonly againstInhibitors: Action;
}

const reboot: VerbRights = {
  right: ACTIONS.reboot,
  withOthers: ACTIONS.rebootMultipleSessions,
  againstInhibitors: ACTIONS.rebootIgnoreInhibit,
};

const hibernate: VerbRights = {
  right: ACTIONS.hibernate,
  withOthers: ACTIONS.hibernateMultipleSessions,
  againstInhibitors: ACTIONS.hibernateIgnoreInhibit,
};

export const VERB_RIGHTS: Readonly<Record<PowerVerb, VerbRights>> = {
  poweroff: {
    right: ACTIONS.powerOff,
    withOthers: ACTIONS.powerOffMultipleSessions,
    againstInhibitors: ACTIONS.powerOffIgnoreInhibit,
  },
  reboot,
  kexec: reboot,
  halt: {
    right: ACTIONS.halt,
    withOthers: ACTIONS.haltMultipleSessions,
    againstInhibitors: ACTIONS.haltIgnoreInhibit,
  },
  suspend: {
    right: ACTIONS.suspend,
    withOthers: ACTIONS.suspendMultipleSessions,
    againstInhibitors: ACTIONS.suspendIgnoreInhibit,
  },
  hibernate,
  "hybrid-sleep": hibernate,
  "suspend-then-hibernate": hibernate,
};
