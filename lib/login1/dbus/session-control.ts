/** org.freedesktop.login1.Session: control, devices, and what a session says of itself. */
import { busErrors, type Members, membersOf, type SignalMember } from "../../dbus/index.ts";
import type { Fd } from "../../linux/index.ts";
import { lightOfSession, setBrightness } from "../devices/brightness.ts";
import { checkDeviceNumber } from "../devices/device-number.ts";
import type { Login1 } from "../login1.ts";
import type { Session } from "../model/objects.ts";

const { method, signal } = membersOf<Session>();

const NOT_IN_CONTROL = "You are not in control of this session";

/** Root and the session's user may, with no action of polkit's, as in logind. */
function requireOwner(session: Session, uid: number, message: string): void {
  if (uid !== 0 && uid !== session.user.uid) throw busErrors.accessDenied(message);
}

/** The methods that `login1`'s parts answer. They are read when they are called. */
export function controlMembers(login1: Login1): Members<Session> {
  return {
    TakeControl: method("b", ["force"], "", [], (session, [force], call) =>
      login1.control.take(session, call, force),
    ),
    ReleaseControl: method("", [], "", [], (session, _none, call) => {
      login1.control.release(session, call.sender);
    }),
    SetType: method("s", ["type"], "", [], (session, [type], call) => {
      login1.control.setType(session, call.sender, type);
    }),
    SetClass: method("s", ["class"], "", [], async (session, [kind], call) => {
      login1.control.setClass(session, (await call.caller()).uid, kind);
    }),
    SetDisplay: method("s", ["display"], "", [], (session, [display], call) => {
      login1.control.setDisplay(session, call.sender, display);
    }),
    SetTTY: method("h", ["tty_fd"], "", [], (session, [fd], call) => {
      login1.control.setTty(session, call.sender, fd);
    }),
    SetIdleHint: method("b", ["idle"], "", [], async (session, [idle], call) => {
      const { uid } = await call.caller();
      requireOwner(session, uid, "Only owner of session may set idle hint");
      login1.manager.hints.setIdle(session, idle);
    }),
    TakeDevice: method(
      "uu",
      ["major", "minor"],
      "hb",
      ["fd", "inactive"],
      async (session, [major, minor], call): Promise<[Fd, boolean]> => {
        checkDeviceNumber(major, minor);
        if (!session.canTakeDevices) {
          throw busErrors.notSupported("Session class doesn't support taking device control.");
        }
        login1.control.require(session, call.sender, NOT_IN_CONTROL);
        const { fd, inactive } = await login1.devices.take(session, major, minor);
        return [fd, inactive];
      },
    ),
    ReleaseDevice: method("uu", ["major", "minor"], "", [], (session, [major, minor], call) => {
      checkDeviceNumber(major, minor);
      login1.control.require(session, call.sender, NOT_IN_CONTROL);
      login1.devices.release(session, major, minor);
    }),
    PauseDeviceComplete: method(
      "uu",
      ["major", "minor"],
      "",
      [],
      (session, [major, minor], call) => {
        checkDeviceNumber(major, minor);
        login1.control.require(session, call.sender, NOT_IN_CONTROL);
        login1.devices.pauseComplete(session, major, minor);
      },
    ),
    SetBrightness: method(
      "ssu",
      ["subsystem", "name", "brightness"],
      "",
      [],
      async (session, [subsystem, name, brightness], call) => {
        const light = lightOfSession(session, subsystem, name);
        const { uid } = await call.caller();
        requireOwner(session, uid, "Only owner of session may change brightness.");
        await setBrightness(light, brightness);
      },
    ),
  };
}

export const deviceSignals: Record<string, SignalMember> = {
  PauseDevice: signal("uus", ["major", "minor", "type"]),
  ResumeDevice: signal("uuh", ["major", "minor", "fd"]),
};
