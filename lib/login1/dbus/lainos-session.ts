/** org.lainos.Session1: our own, for what lainos-init knows and login1 has no word for. */
import { busErrors, type Interface, membersOf } from "../../dbus/index.ts";
import type { Session } from "../model/objects.ts";
import type { Manager } from "../sessions/manager.ts";

const { method } = membersOf<Session>();

/** The interface that stands beside org.freedesktop.login1.Session on each session. */
export function desktopInterface(manager: Manager): Interface<Session> {
  return {
    name: "org.lainos.Session1",
    members: {
      /**
       * Says which desktop is about to start: its type (wayland or x11), name
       * and X display. Only the session's user may, and only from inside.
       */
      AnnounceDesktop: method(
        "sss",
        ["type", "desktop", "display"],
        "",
        [],
        async (session, [type, desktop, display], call) => {
          const { uid, pid } = await call.caller();
          if (uid !== session.user.uid || manager.sessionOfPid(pid) !== session) {
            throw busErrors.accessDenied("Only a process of this session may say what it starts");
          }
          manager.hints.announceDesktop(session, type, desktop, display);
        },
      ),
    },
  };
}
