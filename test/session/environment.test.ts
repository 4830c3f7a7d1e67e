import { describe, expect, test } from "bun:test";
import type { Desktop } from "../../lib/session/desktop.ts";
import {
  activationVariables,
  desktopEnvironment,
  type EnvironmentParts,
} from "../../lib/session/environment.ts";

const sway: Desktop = {
  name: "sway",
  kind: "wayland",
  currentDesktop: ["sway", "wlroots"],
  path: "/usr/bin/sway",
  argv: ["sway"],
};
const openbox: Desktop = { ...sway, name: "openbox", kind: "x11", currentDesktop: ["openbox"] };

const parts = (changes: Partial<EnvironmentParts> = {}): EnvironmentParts => ({
  inherited: {},
  desktop: sway,
  facts: { id: "c1", uid: 1000, seat: "seat0", vtnr: 1, type: "tty", class: "user" },
  user: { name: "lain", uid: 1000, gid: 1000, home: "/home/lain", shell: "/bin/zsh" },
  runtimeFolder: "/run/user/1000",
  busAddress: "unix:path=/run/user/1000/bus",
  notifySocket: "/run/systemd/notify",
  softwareRenderer: false,
  locale: {},
  ...changes,
});

describe("the desktop's environment", () => {
  test("has the session's variables, the desktop's type, and the user's own where missing", () => {
    expect(desktopEnvironment(parts())).toEqual({
      XDG_SESSION_ID: "c1",
      XDG_SEAT: "seat0",
      XDG_VTNR: "1",
      XDG_RUNTIME_DIR: "/run/user/1000",
      XDG_SESSION_TYPE: "wayland",
      XDG_SESSION_CLASS: "user",
      XDG_CURRENT_DESKTOP: "sway:wlroots",
      XDG_SESSION_DESKTOP: "sway",
      DBUS_SESSION_BUS_ADDRESS: "unix:path=/run/user/1000/bus",
      NOTIFY_SOCKET: "/run/systemd/notify",
      HOME: "/home/lain",
      USER: "lain",
      LOGNAME: "lain",
      SHELL: "/bin/zsh",
      LIBSEAT_BACKEND: "logind",
      PATH: "/usr/local/sbin:/usr/local/bin:/usr/bin",
    });
  });

  test("has wlroots draw by software where no card can, unless somebody chose otherwise", () => {
    const softwareRenderer = true;
    const renderer = (changes: Partial<EnvironmentParts>) =>
      desktopEnvironment(parts({ softwareRenderer, ...changes })).WLR_RENDERER;
    expect(renderer({})).toBe("pixman");
    expect(renderer({ inherited: { WLR_RENDERER: "gles2" } })).toBe("gles2");
    expect(renderer({ desktop: openbox })).toBeUndefined();
  });

  test("has libseat ask login1 where there is a seat, unless somebody chose otherwise", () => {
    const backend = (changes: Partial<EnvironmentParts>) =>
      desktopEnvironment(parts(changes)).LIBSEAT_BACKEND;
    expect(backend({})).toBe("logind");
    expect(backend({ inherited: { LIBSEAT_BACKEND: "seatd" } })).toBe("seatd");
    expect(backend({ desktop: openbox })).toBeUndefined();
    expect(backend({ facts: undefined })).toBeUndefined();
  });

  test("has the system's locale, unless somebody chose another", () => {
    const locale = { LANG: "de_AT.UTF-8", LC_TIME: "C" };
    const environment = desktopEnvironment(
      parts({ locale, inherited: { LC_TIME: "en_DK.UTF-8" } }),
    );
    expect(environment).toMatchObject({ LANG: "de_AT.UTF-8", LC_TIME: "en_DK.UTF-8" });
  });

  test("keeps what people set", () => {
    const inherited = {
      PATH: "/home/lain/bin:/usr/bin",
      LANG: "de_AT.UTF-8",
      LC_TIME: "C",
      GTK_IM_MODULE: "fcitx",
      QT_IM_MODULE: "fcitx",
      XMODIFIERS: "@im=fcitx",
      XKB_DEFAULT_LAYOUT: "at",
      WLR_RENDERER: "pixman",
      BUN_INSTALL: "/home/lain/.bun",
      EMPTY: "",
    };
    expect(desktopEnvironment(parts({ inherited }))).toMatchObject(inherited);
  });

  test.each([
    "PAM_TTY",
    "GREETD_SOCK",
    "BUN_OPTIONS",
    "BUN_BE_BUN",
    "WATCHDOG_USEC",
    "LISTEN_FDS",
    "INVOCATION_ID",
    "RC_SVCNAME",
    "DBUS_SESSION_BUS_PID",
  ])("drops %s", (name) => {
    expect(desktopEnvironment(parts({ inherited: { [name]: "x" } }))).not.toHaveProperty(name);
  });

  test("has nothing of another session where there is none, no terminal or no seat", () => {
    const inherited = {
      XDG_SESSION_ID: "c9",
      XDG_SEAT: "seat9",
      XDG_VTNR: "9",
      XDG_SESSION_CLASS: "greeter",
      XDG_SESSION_TYPE: "tty",
      DBUS_SESSION_BUS_ADDRESS: "unix:path=/dead",
      NOTIFY_SOCKET: "/old",
    };
    const none = { facts: undefined, busAddress: undefined, notifySocket: undefined };
    const environment = desktopEnvironment(parts({ inherited, ...none }));
    for (const name of ["XDG_SESSION_ID", "XDG_SEAT", "XDG_VTNR", "DBUS_SESSION_BUS_ADDRESS"]) {
      expect(environment).not.toHaveProperty(name);
    }
    expect(environment).not.toHaveProperty("NOTIFY_SOCKET");
    expect(environment.XDG_SESSION_CLASS).toBe("user");
    expect(environment.XDG_SESSION_TYPE).toBe("wayland");
    const facts = { id: "c1", uid: 1000, seat: undefined, vtnr: 0, type: "tty", class: "user" };
    expect(desktopEnvironment(parts({ inherited, facts }))).not.toHaveProperty("XDG_VTNR");
    expect(desktopEnvironment(parts({ inherited, facts }))).not.toHaveProperty("XDG_SEAT");
  });

  test("under X the display stays and a Wayland one goes", () => {
    const inherited = { DISPLAY: ":1", XAUTHORITY: "/x", WAYLAND_DISPLAY: "wayland-1" };
    const environment = desktopEnvironment(parts({ inherited, desktop: openbox }));
    expect(environment).toMatchObject({
      DISPLAY: ":1",
      XAUTHORITY: "/x",
      XDG_SESSION_TYPE: "x11",
      XDG_CURRENT_DESKTOP: "openbox",
    });
    expect(environment).not.toHaveProperty("WAYLAND_DISPLAY");
  });

  test("services of the bus get what they need and not the rest", () => {
    const inherited = { DISPLAY: ":1", LC_ALL: "C", GTK_IM_MODULE: "ibus", TERM: "linux" };
    const names = activationVariables(desktopEnvironment(parts({ inherited })));
    expect(names).toEqual(expect.arrayContaining(["DISPLAY", "LC_ALL", "GTK_IM_MODULE", "PATH"]));
    expect(names).toContain("XDG_SESSION_ID");
    expect(names).not.toContain("TERM");
    expect(names).not.toContain("NOTIFY_SOCKET");
  });
});
