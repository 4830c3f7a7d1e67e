/** The environment that a desktop starts with. */
import type { User } from "../linux/index.ts";
import type { Desktop, Environment } from "./desktop.ts";
import type { SessionFacts } from "./facts.ts";

/**
 * What does not get through to the desktop; everything else does, since people expect what they
 * set (locale, input method, keyboard, toolkit scale) to arrive. Each of these either belongs to a
 * program that is behind us (the login manager, PAM, the service manager) or steers the JavaScript
 * runtime that we are made of.
 */
const NOT_PASSED_ON: readonly RegExp[] = [
  /^PAM_/,
  /^GREETD_SOCK$/,
  /^BUN_(?!INSTALL$)/,
  /^XDG_(SESSION_CLASS|SESSION_ID|SESSION_TYPE|SEAT|VTNR|GREETER_DATA_DIR)$/,
  /^(NOTIFY_SOCKET|WATCHDOG_(PID|USEC)|LISTEN_(FDS|PID|FDNAMES|PIDFDID))$/,
  /^(INVOCATION_ID|JOURNAL_STREAM|MAINPID|MANAGERPID|MANAGERPIDFDID|SYSTEMD_EXEC_PID)$/,
  /^(RC_|EINFO_|EERROR_|IN_BACKGROUND$|IN_HOTPLUG$|LAINOS_DEBUG$)/,
  /^(DBUS_SESSION_BUS_PID|DBUS_SESSION_BUS_WINDOWID|DBUS_STARTER_ADDRESS|DBUS_STARTER_BUS_TYPE)$/,
];

/** What a desktop's environment is made of. */
export interface EnvironmentParts {
  inherited: Environment;
  desktop: Desktop;
  facts: SessionFacts | undefined;
  /** The user, as the user database has them; undefined if it does not. */
  user: User | undefined;
  runtimeFolder: string;
  /** undefined if there is no session bus. */
  busAddress: string | undefined;
  /** undefined if nobody listens for readiness messages. */
  notifySocket: string | undefined;
  /** Whether no graphics card can draw: see renderer.ts. */
  softwareRenderer: boolean;
  /** What /etc/locale.conf sets. */
  locale: Environment;
}

/** The variables of a session, without what was inherited; undefined means not to be set. */
export function sessionVariables(parts: Omit<EnvironmentParts, "inherited">): Environment {
  const { desktop, facts } = parts;
  return {
    XDG_SESSION_ID: facts?.id,
    XDG_SEAT: facts?.seat,
    XDG_VTNR: facts && facts.vtnr > 0 ? `${facts.vtnr}` : undefined,
    XDG_RUNTIME_DIR: parts.runtimeFolder,
    // What the session was registered as (a login on a terminal, say) does not matter to clients
    // that choose between Wayland and X11 by this.
    XDG_SESSION_TYPE: desktop.kind,
    XDG_SESSION_CLASS: facts?.class ?? "user",
    XDG_CURRENT_DESKTOP: desktop.currentDesktop.join(":"),
    XDG_SESSION_DESKTOP: desktop.name,
    DBUS_SESSION_BUS_ADDRESS: parts.busAddress,
    NOTIFY_SOCKET: parts.notifySocket,
  };
}

/** The whole environment of the desktop: what was inherited and gets through, and the session's. */
export function desktopEnvironment(parts: EnvironmentParts): Record<string, string> {
  const { inherited, user, desktop, facts } = parts;
  const passed = Object.entries(inherited).filter(
    ([name]) => !NOT_PASSED_ON.some((pattern) => pattern.test(name)),
  );
  const missing: Environment = {
    ...parts.locale,
    HOME: user?.home,
    USER: user?.name,
    LOGNAME: user?.name,
    SHELL: user?.shell,
    // wlroots' own, which any other compositor ignores.
    WLR_RENDERER: desktop.kind === "wayland" && parts.softwareRenderer ? "pixman" : undefined,
    // libseat asks seatd before it asks login1. seatd knows of no session, so what it opens is not
    // taken back when another session comes to the foreground.
    LIBSEAT_BACKEND: desktop.kind === "wayland" && facts?.seat ? "logind" : undefined,
    PATH: "/usr/local/sbin:/usr/local/bin:/usr/bin",
  };
  const environment: Environment = {
    ...missing,
    ...Object.fromEntries(passed),
    ...sessionVariables(parts),
  };
  // Under X, a Wayland display left from elsewhere would draw every toolkit away from this one.
  if (desktop.kind === "x11") delete environment.WAYLAND_DISPLAY;
  return Object.fromEntries(
    Object.entries(environment).filter(
      (entry): entry is [string, string] => entry[1] !== undefined,
    ),
  );
}

const ACTIVATION =
  /^(XDG_.*|DBUS_SESSION_BUS_ADDRESS|DISPLAY|WAYLAND_DISPLAY|XAUTHORITY|PATH|LANG|LANGUAGE|LC_.*|.*_IM_MODULES?|XMODIFIERS|XKB_DEFAULT_.*)$/;

/** The names of the variables that services which the session bus starts need to know. */
export function activationVariables(environment: Record<string, string>): string[] {
  return Object.keys(environment)
    .filter((name) => ACTIVATION.test(name))
    .sort();
}
