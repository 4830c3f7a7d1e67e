import { expect, test } from "bun:test";
import { type SessionRequest, sessionRequest } from "../../lib/session/pam-request.ts";

const nothing: SessionRequest = {
  uid: 1000,
  leader: 42,
  service: "",
  type: "unspecified",
  class: "background",
  desktop: "",
  seat: "",
  vtnr: 0,
  tty: "",
  display: "",
  remote: false,
  remoteUser: "",
  remoteHost: "",
};

const cases: [string, Record<string, string>, Partial<SessionRequest>][] = [
  ["nothing at all", {}, {}],
  [
    "login on a terminal",
    { PAM_SERVICE: "login", PAM_TTY: "/dev/tty2" },
    { service: "login", tty: "tty2", type: "tty", class: "user" },
  ],
  [
    "greetd's user session",
    {
      PAM_SERVICE: "greetd",
      PAM_TTY: "tty1",
      XDG_SEAT: "seat0",
      XDG_VTNR: "1",
      XDG_SESSION_CLASS: "user",
      XDG_SESSION_TYPE: "wayland",
      XDG_SESSION_DESKTOP: "sway",
    },
    {
      service: "greetd",
      tty: "tty1",
      type: "wayland",
      class: "user",
      seat: "seat0",
      vtnr: 1,
      desktop: "sway",
    },
  ],
  [
    "greetd's greeter",
    { PAM_SERVICE: "greetd-greeter", PAM_TTY: "tty1", XDG_SESSION_CLASS: "greeter" },
    { service: "greetd-greeter", tty: "tty1", type: "tty", class: "greeter" },
  ],
  [
    "a display manager's display in PAM_TTY",
    { PAM_SERVICE: "lightdm", PAM_TTY: ":0", XDG_SEAT: "seat0", XDG_VTNR: "7" },
    { service: "lightdm", display: ":0", type: "x11", class: "user", seat: "seat0", vtnr: 7 },
  ],
  [
    "PAM_XDISPLAY wins over a display in PAM_TTY, and DISPLAY is not PAM's word",
    { PAM_TTY: ":0", PAM_XDISPLAY: ":5", DISPLAY: ":6" },
    { display: ":5", type: "x11", class: "user" },
  ],
  [
    "ssh before it has a terminal",
    { PAM_SERVICE: "sshd", PAM_TTY: "ssh", PAM_RHOST: "192.0.2.7", PAM_RUSER: "lain" },
    {
      service: "sshd",
      type: "tty",
      class: "user",
      remote: true,
      remoteHost: "192.0.2.7",
      remoteUser: "lain",
    },
  ],
  [
    "ssh from far away takes no seat, whatever it says",
    { PAM_TTY: "ssh", PAM_RHOST: "far.example", XDG_SEAT: "seat0", XDG_VTNR: "1" },
    { type: "tty", class: "user", remote: true, remoteHost: "far.example" },
  ],
  [
    "a name of this machine is not remote",
    { PAM_TTY: "ssh", PAM_RHOST: "a.LocalHost.localdomain." },
    { type: "tty", class: "user", remoteHost: "a.LocalHost.localdomain." },
  ],
  [
    "an address of this machine is",
    { PAM_TTY: "ssh", PAM_RHOST: "::1" },
    { type: "tty", class: "user", remote: true, remoteHost: "::1" },
  ],
  [
    "ssh from this machine sits at no seat either, whatever the environment says",
    {
      PAM_SERVICE: "sshd",
      PAM_TTY: "ssh",
      PAM_RHOST: "127.0.0.1",
      XDG_SEAT: "seat0",
      XDG_VTNR: "1",
      XDG_SESSION_CLASS: "greeter",
      XDG_SESSION_TYPE: "wayland",
    },
    { service: "sshd", type: "tty", class: "user", remote: true, remoteHost: "127.0.0.1" },
  ],
  [
    "nor does a login of a host that is named on a terminal or display of the machine",
    {
      ...{ PAM_SERVICE: "login", PAM_TTY: "tty3", PAM_RHOST: "localhost" },
      ...{ XDG_SEAT: "seat0", XDG_VTNR: "3" },
    },
    { service: "login", tty: "tty3", type: "tty", class: "user", remoteHost: "localhost" },
  ],
  [
    "cron's environment gives no seat, no terminal and no class",
    {
      PAM_SERVICE: "cron",
      PAM_TTY: "cron",
      XDG_SEAT: "seat0",
      XDG_VTNR: "1",
      XDG_SESSION_CLASS: "greeter",
    },
    { service: "cron" },
  ],
  [
    "nor does that of a service without a terminal",
    {
      PAM_SERVICE: "vsftpd",
      XDG_SEAT: "seat0",
      XDG_VTNR: "1",
      XDG_SESSION_CLASS: "lock-screen",
      XDG_SESSION_TYPE: "wayland",
      XDG_SESSION_EXTRA_DEVICE_ACCESS: "render",
    },
    { service: "vsftpd", type: "wayland", class: "user" },
  ],
  [
    "nor of su on a pseudo terminal, with a display",
    {
      PAM_SERVICE: "su-l",
      PAM_TTY: "pts/3",
      PAM_XDISPLAY: ":0",
      XDG_SEAT: "seat0",
      XDG_VTNR: "1",
      XDG_SESSION_CLASS: "greeter",
    },
    { service: "su-l", tty: "pts/3", display: ":0", type: "x11", class: "user" },
  ],
  [
    "greetd without a terminal, where the seat has none",
    { PAM_SERVICE: "greetd", XDG_SEAT: "seat0", XDG_SESSION_CLASS: "user" },
    { service: "greetd", seat: "seat0", class: "user" },
  ],
  [
    "cron is of no type, and of the class that is asked for",
    {
      ...{ PAM_SERVICE: "crond", PAM_TTY: "cron" },
      ...{ XDG_SESSION_TYPE: "tty", XDG_SESSION_CLASS: "background-light" },
    },
    { service: "crond", class: "background-light" },
  ],
  ["at", { PAM_SERVICE: "atd", PAM_TTY: "atd" }, { service: "atd" }],
  [
    "su in a terminal",
    { PAM_SERVICE: "su-l", PAM_TTY: "pts/3", PAM_RUSER: "root" },
    { service: "su-l", tty: "pts/3", type: "tty", class: "user", remoteUser: "root" },
  ],
  [
    "another seat has no virtual terminals",
    { PAM_TTY: "tty1", XDG_SEAT: "seat-usb1", XDG_VTNR: "3" },
    { tty: "tty1", type: "tty", class: "user", seat: "seat-usb1" },
  ],
  [
    "malformed values are left out",
    {
      PAM_SERVICE: "../x",
      PAM_TTY: "tty\x1b[2J",
      PAM_RHOST: "a\nb",
      PAM_RUSER: "\u202e",
      XDG_SEAT: "chair",
      XDG_VTNR: "-1",
      XDG_SESSION_TYPE: "hologram",
      XDG_SESSION_CLASS: "royalty",
      XDG_SESSION_DESKTOP: "a b",
      PAM_XDISPLAY: "$(id)",
    },
    { remote: true },
  ],
];

test.each(cases)("%s", (_, items, expected) => {
  expect(sessionRequest(items, 1000, 42)).toEqual({ ...nothing, ...expected });
});

/** Root, a system user, nobody, a greeter of systemd's making, and the first uids that are none of these. */
test.each<[uid: number, tty: string, job: string, wayland: string]>([
  [0, "user-early", "background-light", "user-early"],
  [999, "user-light", "background-light", "user"],
  [65534, "user-light", "background-light", "user"],
  [60578, "user-light", "background-light", "user"],
  [61184, "user-light", "background-light", "user"],
  [1000, "user", "background", "user"],
  [60706, "user", "background", "user"],
  [65520, "user", "background", "user"],
])("the class of uid %d, where nobody names one", (uid, tty, job, wayland) => {
  const kind = (items: Record<string, string>) => sessionRequest(items, uid, 42)?.class;
  expect(kind({ PAM_TTY: "pts/3" })).toBe(tty);
  expect(kind({ PAM_SERVICE: "vsftpd" })).toBe(job);
  expect(kind({ PAM_SERVICE: "sddm-greeter", XDG_SESSION_TYPE: "wayland" })).toBe(wayland);
  // By these words it is known already who logs in.
  expect(kind({ PAM_TTY: "ssh" })).toBe("user");
  expect(kind({ PAM_TTY: "cron" })).toBe("background");
});

test("none is no session, by the environment or by the PAM file", () => {
  expect(sessionRequest({ XDG_SESSION_CLASS: "none" }, 1000, 42)).toBeUndefined();
  expect(sessionRequest({ PAM_TTY: "ssh" }, 1000, 42, { class: "none" })).toBeUndefined();
});

test("the PAM file says what the environment does not", () => {
  const line = { class: "greeter", type: "wayland", desktop: "ly" };
  const ofLine = { class: "greeter", type: "wayland", desktop: "ly" };
  expect(sessionRequest({}, 1000, 42, line)).toMatchObject(ofLine);
  const own = {
    ...{ PAM_SERVICE: "ly", PAM_TTY: "tty2", XDG_SESSION_CLASS: "user" },
    ...{ XDG_SESSION_TYPE: "x11", XDG_SESSION_DESKTOP: "openbox" },
  };
  const ofOwn = { class: "user", type: "x11", desktop: "openbox" };
  expect(sessionRequest(own, 1000, 42, line)).toMatchObject(ofOwn);
});

test("a user's service manager has a class of its own, and no terminal", () => {
  const manager = { PAM_SERVICE: "systemd-user", PAM_TTY: "pts/1", XDG_SESSION_TYPE: "tty" };
  const of = (uid: number, more = {}) => sessionRequest({ ...manager, ...more }, uid, 42);
  expect(of(1000)).toMatchObject({ class: "manager", type: "unspecified", tty: "" });
  expect(of(0)).toMatchObject({ class: "manager-early", type: "unspecified", tty: "" });
  expect(of(1000, { XDG_SESSION_CLASS: "manager-early" })?.class).toBe("manager-early");
  expect(of(1000, { PAM_TTY: ":5" })?.display).toBe("");
});

test("only a user's session can be incomplete", () => {
  const of = (items: Record<string, string>) =>
    sessionRequest({ XDG_SESSION_INCOMPLETE: "yes", ...items }, 1000, 42)?.class;
  expect(of({ PAM_TTY: "tty1" })).toBe("user-incomplete");
  expect(of({ PAM_TTY: "tty1", XDG_SESSION_INCOMPLETE: "0" })).toBe("user");
  expect(of({ PAM_TTY: "tty1", XDG_SESSION_CLASS: "greeter" })).toBe("greeter");
});
