/** Properties one by one, and calls that no object understands. */
import { Variant } from "../../../../lib/dbus/index.ts";
import type { Run } from "../run.ts";
import { NAME } from "../side.ts";
import {
  type Choosers,
  call,
  MANAGER,
  manager,
  someone,
  someSeat,
  someSession,
  someUser,
  type Target,
} from "./calls.ts";

const PROPERTIES = "org.freedesktop.DBus.Properties";
const NAMES = {
  Manager: ["IdleHint", "BlockInhibited", "DelayInhibited", "NCurrentSessions", "WallMessage"],
  Session: ["Id", "Active", "State", "Type", "Class", "IdleHint", "LockedHint", "TTY", "Display"],
  User: ["UID", "Display", "State", "Linger", "Sessions"],
  Seat: ["Id", "ActiveSession", "CanGraphical", "CanMultiSession", "Sessions"],
} as const;

function someObject(run: Run): Target {
  return run.random.of([() => manager, someSession, someUser, someSeat])(run);
}

export const propertySteps: Choosers = {
  get: [
    8,
    (run) => {
      const { random } = run;
      const target = someObject(run);
      const kind = random.oneIn(12) ? "Nothing" : target.kind;
      const name = random.oneIn(12) ? "Nothing" : random.of(NAMES[target.kind]);
      const body = [`${NAME}.${kind}`, name];
      return call(run, someone(run), target, "Get", "ss", body, { interface: PROPERTIES });
    },
  ],
  getAll: [
    3,
    (run) => {
      const target = someObject(run);
      const body = [`${NAME}.${run.random.oneIn(4) ? "Nothing" : "Session"}`];
      return call(run, someone(run), target, "GetAll", "s", body, { interface: PROPERTIES });
    },
  ],
  set: [
    5,
    (run) => {
      const { random } = run;
      const target = random.oneIn(2) ? manager : someObject(run);
      const name = random.oneIn(2)
        ? random.of(["EnableWallMessages", "WallMessage"])
        : random.of(NAMES[target.kind]);
      const value = random.of([
        ...[new Variant("b", true), new Variant("b", false), new Variant("s", "a text")],
        ...[new Variant("u", 7), new Variant("s", "")],
      ]);
      const body = [`${NAME}.${target.kind}`, name, value];
      return call(run, someone(run), target, "Set", "ssv", body, { interface: PROPERTIES });
    },
  ],
  misunderstood: [
    4,
    (run) => {
      const { random } = run;
      const from = someone(run);
      switch (random.below(5)) {
        case 0:
          return call(run, from, someObject(run), "NoSuchMethod");
        case 1:
          return call(run, from, someObject(run), "Activate", "", [], {
            interface: `${NAME}.None`,
          });
        case 2: {
          const name = random.of([
            "",
            "/session",
            "/nothing",
            "/session/c9999/x",
            "/user",
            "/seat",
          ]);
          const nowhere: Target = { kind: "Session", name, path: () => `${MANAGER}${name}` };
          return call(run, from, nowhere, "Activate");
        }
        case 3:
          return call(run, from, manager, "GetSession", "u", [7]);
        default:
          return call(run, from, someSession(run), "SetIdleHint", "s", ["yes"]);
      }
    },
  ],
};
