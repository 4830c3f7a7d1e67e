/** org.freedesktop.login1.Manager: who is kept while not logged in. */

import { type Members, membersOf } from "../../dbus/index.ts";
import { userById } from "../../linux/index.ts";
import { NO_UIDS } from "../../sd-login/index.ts";
import type { Login1 } from "../login1.ts";
import { ACTIONS } from "../permission/actions.ts";
import { login1Errors } from "../vocabulary/errors.ts";

const { method } = membersOf<Login1>();

export const lingerMembers: Members<Login1> = {
  SetUserLinger: method(
    "ubb",
    ["uid", "enable", "interactive"],
    "",
    [],
    async ({ manager, authorizer }, [given, enable, interactive], call) => {
      const caller = await call.caller();
      const uid = NO_UIDS.includes(given) ? manager.ownerOfPid(caller.pid) : given;
      if (uid === undefined) {
        throw login1Errors.system("ENXIO", `PID ${caller.pid} is in no user's slice`);
      }
      const account = userById(uid);
      if (!account) throw login1Errors.system("ESRCH", `There is no user with the UID ${uid}`);
      await authorizer.authorize(call, {
        action: uid === caller.uid ? ACTIONS.setSelfLinger : ACTIONS.setUserLinger,
        what: `say whether ${account.name} stays when logged out`,
        interactive,
      });
      manager.setLinger(account, enable);
    },
  ),
};
