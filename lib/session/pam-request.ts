/** What PAM says of a login, as login1 wants it. The rules are those of pam_systemd(8). */
import type { Environment } from "./desktop.ts";
import { isSeatName, parseVtnr } from "./facts.ts";

/** The arguments of login1's CreateSession methods; an empty text where there is nothing to say. */
export interface SessionRequest {
  uid: number;
  /** The pid of the process that the session ends with. */
  leader: number;
  service: string;
  type: string;
  class: string;
  desktop: string;
  seat: string;
  vtnr: number;
  tty: string;
  display: string;
  remote: boolean;
  remoteUser: string;
  remoteHost: string;
}

const TYPES = ["unspecified", "tty", "x11", "wayland", "mir", "web"];
const CLASSES = [
  "user",
  "user-early",
  "user-light",
  "user-early-light",
  "user-incomplete",
  "greeter",
  "lock-screen",
  "background",
  "background-light",
];

/** Services that run jobs for a user who is not there. */
const JOB_SERVICES = ["cron", "crond", "cronie", "atd", "anacron"];

const oneOf = (allowed: readonly string[], value: string | undefined) =>
  value !== undefined && allowed.includes(value) ? value : "";

const matching = (pattern: RegExp, value: string | undefined) =>
  value !== undefined && pattern.test(value) ? value : "";

/** Printable and without a control character: it goes to other people's screens by way of loginctl. */
const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,255}$/u;
const SERVICE = /^[A-Za-z0-9_.@:+-]{1,255}$/;
const DESKTOP = /^[A-Za-z0-9_.:;+-]{1,64}$/;
const TTY = /^[A-Za-z0-9][A-Za-z0-9_/.-]{0,63}$/;
const DISPLAY = /^[A-Za-z0-9_./:-]{1,255}$/;

const isLocalHost = (host: string) =>
  /^(localhost|localhost\.localdomain|.*\.localhost|127\.0\.0\.1|::1)\.?$/i.test(host);

/**
 * Derives a session from PAM's items and environment. What is malformed is left out, since a login
 * must not fail because of it.
 *
 * @param items the variables that pam_exec(8) sets, and those of PAM's own environment
 * @param uid the user's, from the user database
 * @param leader the pid of the PAM application
 */
export function sessionRequest(items: Environment, uid: number, leader: number): SessionRequest {
  const service = matching(SERVICE, items.PAM_SERVICE);
  let type = oneOf(TYPES, items.XDG_SESSION_TYPE);
  let sessionClass = oneOf(CLASSES, items.XDG_SESSION_CLASS);
  let display = matching(DISPLAY, items.DISPLAY);
  let tty = items.PAM_TTY ?? "";
  if (tty.includes(":")) {
    // A display manager's terminal: it stands there so that utmp shows it.
    display ||= matching(DISPLAY, tty);
    tty = "";
  } else if (tty === "cron" || tty === "atd" || JOB_SERVICES.includes(service)) {
    type = "unspecified";
    sessionClass = "background";
    tty = "";
  } else if (tty === "ssh") {
    // sshd says so before it has a terminal, and where it never gets one.
    type = "tty";
    sessionClass = "user";
    tty = "";
  } else {
    tty = matching(TTY, tty.replace(/^\/dev\//, ""));
  }
  type ||= display !== "" ? "x11" : tty !== "" ? "tty" : "unspecified";
  sessionClass ||= type === "unspecified" ? "background" : "user";

  const remoteHost = matching(PRINTABLE, items.PAM_RHOST);
  const remote = remoteHost !== "" && !isLocalHost(remoteHost);
  // Somebody far away sits at no seat, whatever their environment says.
  const named = remote ? "" : (items.XDG_SEAT ?? "");
  const seat = isSeatName(named) ? named : "";
  const hasTerminals = !remote && (seat === "" || seat === "seat0");
  return {
    uid,
    leader,
    service,
    type,
    class: sessionClass,
    desktop: matching(DESKTOP, items.XDG_SESSION_DESKTOP),
    seat,
    vtnr: hasTerminals ? parseVtnr(items.XDG_VTNR) : 0,
    tty,
    display,
    remote,
    remoteUser: matching(PRINTABLE, items.PAM_RUSER),
    remoteHost,
  };
}
