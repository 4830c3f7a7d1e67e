/** org.freedesktop.login1.User */
import { drifting, type Interface, membersOf } from "../../dbus/index.ts";
import type { Login1 } from "../login1.ts";
import type { User } from "../model/objects.ts";
import { ACTIONS } from "../permission/actions.ts";

const { method, property } = membersOf<User>();

/** The interface of the users that `manager` has. */
export function userInterface({ manager, authorizer }: Login1): Interface<User> {
  return {
    name: "org.freedesktop.login1.User",
    members: {
      Terminate: method("", [], "", [], async (user, _none, call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.manage,
          owner: user.uid,
          what: "terminate this user's sessions",
        });
        manager.terminateUser(user);
      }),
      Kill: method("i", ["signal_number"], "", [], async (user, [number], call) => {
        await authorizer.authorize(call, {
          action: ACTIONS.manage,
          owner: user.uid,
          what: "signal this user's processes",
        });
        manager.killUser(user, number);
      }),

      UID: property("u", "const", (user) => user.uid),
      GID: property("u", "const", (user) => user.gid),
      Name: property("s", "const", (user) => user.name),
      Timestamp: property("t", "const", (user) => user.since.realtime),
      TimestampMonotonic: property("t", "const", (user) => user.since.monotonic),
      RuntimePath: property("s", "const", (user) => user.runtimePath),
      // There is no service manager, so no user@UID.service.
      Service: property("s", "const", (_user) => ""),
      Slice: property("s", "const", (user) => user.slice),
      Display: property("(so)", "true", (user): [string, string] => [
        user.display?.id ?? "",
        user.display?.objectPath ?? "/",
      ]),
      State: property("s", "false", (user) => user.state),
      Sessions: property("a(so)", "false", (user) =>
        user.newestFirst.map(({ id, objectPath }): [string, string] => [id, objectPath]),
      ),
      IdleHint: drifting(property("b", "true", (user) => user.idle.hint)),
      IdleSinceHint: drifting(property("t", "true", (user) => user.idle.since.realtime)),
      IdleSinceHintMonotonic: drifting(property("t", "true", (user) => user.idle.since.monotonic)),
      Linger: property("b", "true", (user) => user.lingers),
    },
  };
}
