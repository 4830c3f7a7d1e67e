/** Which of login1's methods are tested for what they do in another file than methods.test.ts. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/** The methods whose effect another file tests, by that file and the title of the test. */
const ELSEWHERE: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  "seats/seats": {
    "come with their master device, also when udev starts late, and go with it":
      "Manager.ListSeats",
    "is written as a rule, udev is told, and a flush takes it back":
      "Manager.AttachDevice Manager.FlushDevices",
    "goes by positions: the lowest free one each, next and previous around the end":
      "Seat.SwitchTo Seat.SwitchToNext Seat.SwitchToPrevious",
  },
  "inhibitors/inhibit": {
    "is listed, told of, and in its file while its descriptor is open":
      "Manager.ListInhibitors Manager.Inhibit",
  },
  "sessions/sessions": {
    "exists in files, cgroup, runtime directory and on the bus, and all of it ends":
      "Manager.CreateSession",
    "made by pidfd, it ends with its leader and not with the descriptor":
      "Manager.CreateSessionWithPIDFD",
  },
  "sessions/end": {
    "a leader that releases its session finishes that before the rest is ended":
      "Manager.ReleaseSession",
    "brings a user who is not logged in, keeps one who was, and lets go when it ends":
      "Manager.SetUserLinger",
  },
  "power/power": {
    "by %s is announced, then init is told": "Manager.PowerOff Manager.Reboot Manager.Halt",
    "by %sWithFlags is the same":
      "Manager.PowerOffWithFlags Manager.RebootWithFlags Manager.HaltWithFlags",
    "a user without a session may not": "Manager.CanPowerOff",
    "the active user may, and others' sessions do not keep from it, but a block does":
      "Manager.CanReboot Manager.CanHalt",
    "is in its file and property, comes over the bridge's end, and is taken back":
      "Manager.ScheduleShutdown Manager.CancelScheduledShutdown",
    "a wall message is short and plain, and its properties are root's to set":
      "Manager.SetWallMessage",
  },
  "power/sleep": {
    "by %s is announced around what the kernel is told":
      "Manager.Suspend Manager.Hibernate Manager.HybridSleep",
    "by %sWithFlags is the same":
      "Manager.SuspendWithFlags Manager.HibernateWithFlags Manager.HybridSleepWithFlags",
    "SuspendThenHibernate is refused without a clock that wakes":
      "Manager.SuspendThenHibernate Manager.SuspendThenHibernateWithFlags",
    "Sleep prefers what suspends first, which is told by SleepOperation": "Manager.Sleep",
    "a machine that cannot sleep says so, and one that can":
      "Manager.CanSuspend Manager.CanHibernate Manager.CanHybridSleep Manager.CanSuspendThenHibernate Manager.CanSleep",
    "that somebody else sees to is told of by SendPrepareForSleep": "Manager.SendPrepareForSleep",
  },
  "hardware/firmware": {
    "a machine without EFI has nothing to be told":
      "Manager.CanRebootParameter Manager.SetRebootParameter",
    "the firmware's setup is a bit among others":
      "Manager.CanRebootToFirmwareSetup Manager.SetRebootToFirmwareSetup",
    "the boot loader's menu and entry are for one boot":
      "Manager.CanRebootToBootLoaderMenu Manager.SetRebootToBootLoaderMenu Manager.CanRebootToBootLoaderEntry Manager.SetRebootToBootLoaderEntry",
  },
  "settings/config": {
    "obeys the new values after Reload and ReloadConfig, which are root's":
      "Manager.Reload Manager.ReloadConfig",
  },
  "devices/control": {
    "is the owner's to give, and user, seat and manager follow": "Session.SetIdleHint",
    "is the session's user's or root's to take, and only root forces it":
      "Session.TakeControl Session.ReleaseControl",
    "lets its holder set type and display, and its end takes the type back":
      "Session.SetType Session.SetDisplay",
    "lets its holder name the terminal by a descriptor of it": "Session.SetTTY",
    "a session goes from user-incomplete to user, and no other way": "Session.SetClass",
  },
  "devices/devices-bus": {
    "is its controller's alone to take, once, and to give back":
      "Session.TakeDevice Session.ReleaseDevice",
    "is asked to pause before the seat is switched, and comes back with it":
      "Session.PauseDeviceComplete",
    "is the foreground session's to set, of a light on its seat": "Session.SetBrightness",
  },
};

/** The source of the test of this title without the title, up to the next test; undefined for none. */
function sourceOf(file: string, title: string): string | undefined {
  const source = readFileSync(join(import.meta.dir, "..", `${file}.test.ts`), "utf8");
  const at = source.indexOf(`"${title}", async`);
  if (at < 0) return undefined;
  const start = source.slice(0, at).lastIndexOf("\ntest") + 1;
  const inner = source.slice(0, at).lastIndexOf("\n  test") + 1;
  const length = source.slice(at).search(/\n *(test|describe)\b/);
  const end = length < 0 ? undefined : at + length;
  return source.slice(Math.max(start, inner), end).replace(title, "");
}

/** The tests' own functions for a method, where a test does not write its name. */
const CALLERS: Readonly<Record<string, RegExp>> = {
  "Manager.CreateSession": /\bcreateSession\(/,
  "Manager.CreateSessionWithPIDFD": /\bcreateSessionByPidfd\(/,
  "Manager.Inhibit": /\binhibit\(/,
  "Manager.ListInhibitors": /\blist\(/,
  "Manager.AttachDevice": /\battach\(/,
  "Manager.SetUserLinger": /\blinger\(/,
  "Manager.ListSeats": /\bseatIds\(/,
};

/** A method and the test that is said to test it. */
interface Tested {
  method: string;
  file: string;
  title: string;
}

/** Every method that is said to be tested elsewhere. */
export const TESTED_ELSEWHERE: readonly Tested[] = Object.entries(ELSEWHERE).flatMap(
  ([file, tests]) =>
    Object.entries(tests).flatMap(([title, methods]) =>
      methods.split(" ").map((method) => ({ method, file, title })),
    ),
);

/** Whether there is such a test, and it calls the method. */
export function isCalled({ method, file, title }: Tested): boolean {
  const name = method.split(".")[1] ?? "";
  // A test of many writes what their names have in common once.
  const [, stem] = /^(?:Can)?(.*?)(?:WithFlags)?$/.exec(name) ?? [];
  const pattern = CALLERS[method] ?? new RegExp(`\\b${name}\\b|"${stem}"`);
  return pattern.test(sourceOf(file, title) ?? "");
}
