/** org.freedesktop.login1.Seat */
import { drifting, hidden, type Interface, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import type { Seat } from "../model/objects.ts";
import { ACTIONS } from "../permission/actions.ts";
import { checkPosition } from "../seats/switching.ts";
import { login1Errors } from "../vocabulary/errors.ts";

const { method, property } = membersOf<Seat>();

/** The interface of the seats that `manager` has. */
export function seatInterface({ manager, authorizer }: Login1): Interface<Seat> {
  return {
    name: "org.freedesktop.login1.Seat",
    members: {
      Terminate: method("", [], "", [], async (seat, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.manage,
          what: "terminate all sessions of a seat",
        });
        manager.terminateSeat(seat);
      }),
      ActivateSession: method("s", ["session_id"], "", [], async (seat, [id], call) => {
        // Of this seat and by its id: neither "self" nor "auto" is one here.
        const session = manager.session(id);
        if (session.seat !== seat) throw login1Errors.sessionNotOnSeat(session.id, seat.id);
        await authorizer.authorize(call, {
          action: ACTIONS.switchVt,
          owner: session.user.uid,
          what: "activate this session",
        });
        manager.activateSession(session);
      }),
      SwitchTo: method("u", ["vtnr"], "", [], async (seat, [vtnr], call) => {
        checkPosition(vtnr);
        await authorizer.authorize(call, {
          action: ACTIONS.switchVt,
          what: "switch between sessions",
        });
        manager.switchTo(seat, vtnr);
      }),
      SwitchToNext: method("", [], "", [], async (seat, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.switchVt,
          what: "switch between sessions",
        });
        manager.switchBy(seat, 1);
      }),
      SwitchToPrevious: method("", [], "", [], async (seat, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.switchVt,
          what: "switch between sessions",
        });
        manager.switchBy(seat, -1);
      }),

      Id: property("s", "const", (seat) => seat.id),
      ActiveSession: property("(so)", "true", (seat): [string, string] => [
        seat.active?.id ?? "",
        seat.active?.objectPath ?? "/",
      ]),
      CanTTY: property("b", "const", (seat) => seat.hasVts),
      CanGraphical: property("b", "true", (seat) => seat.canGraphical),
      CanMultiSession: hidden(property("b", "const", (_seat) => true)),
      Sessions: property("a(so)", "false", (seat) =>
        seat.newestFirst.map(({ id, objectPath }): [string, string] => [id, objectPath]),
      ),
      IdleHint: drifting(property("b", "true", (seat) => seat.idle.hint)),
      IdleSinceHint: drifting(property("t", "true", (seat) => seat.idle.since.realtime)),
      IdleSinceHintMonotonic: drifting(property("t", "true", (seat) => seat.idle.since.monotonic)),
    },
  };
}
