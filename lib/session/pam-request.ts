/** What PAM says of a login, as login1 wants it. The rules are those of pam_systemd(8). */

import {
  isSeatName,
  type LoginRequest,
  SESSION_CLASSES,
  SESSION_TYPES,
} from "../sd-login/index.ts";
import type { Environment } from "./desktop.ts";
import { parseVtnr } from "./facts.ts";

/** The arguments of login1's CreateSession methods. */
export interface SessionRequest extends LoginRequest {
  /** The pid of the process that the session ends with. */
  leader: number;
}

/** The classes of logins; "manager" is of a user's service manager, which there is none of here. */
const LOGIN_CLASSES = SESSION_CLASSES.filter((kind) => !kind.startsWith("manager"));

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
 * Login programs whose users sit at the machine, also where they name no terminal: they set XDG_SEAT
 * and XDG_VTNR themselves, before they open the session.
 */
const DISPLAY_MANAGERS =
  /^(?:greetd|lightdm|sddm|gdm|lxdm|xdm|ly|lemurs|emptty|plasmalogin|cosmic-greeter)(?:-[a-z-]+)?$/;

/** A virtual terminal; see vcs(4) for the numbers. */
const VIRTUAL_TERMINAL = /^tty[1-9]\d?$/;

/** An X display of this machine. */
const LOCAL_DISPLAY = /^(?:unix)?:\d/;

/** The classes that a seat's own programs have. */
const SEAT_CLASSES = ["greeter", "lock-screen"];

/**
 * Derives a session from PAM's items and environment. What is malformed is left out, since a login
 * must not fail because of it.
 *
 * The items (PAM_*) are the login program's word. The environment may be the user's: pam_env reads
 * files of theirs where it is told to (user_readenv). So it puts nobody at a seat, and gives nobody a
 * seat's class, unless the login program by its name or terminal is one of that seat's.
 *
 * @param items the variables that pam_exec(8) sets, and those of PAM's own environment
 * @param uid the user's, from the user database
 * @param leader the pid of the PAM application
 */
export function sessionRequest(items: Environment, uid: number, leader: number): SessionRequest {
  const service = matching(SERVICE, items.PAM_SERVICE);
  const remoteHost = matching(PRINTABLE, items.PAM_RHOST);
  const given = items.PAM_TTY ?? "";
  const atSeat = sitsAtSeat(service, given, items.PAM_RHOST ?? "");
  let type = oneOf(SESSION_TYPES, items.XDG_SESSION_TYPE);
  let sessionClass = oneOf(LOGIN_CLASSES, items.XDG_SESSION_CLASS);
  if (!atSeat && SEAT_CLASSES.includes(sessionClass)) sessionClass = "";
  let display = matching(DISPLAY, items.DISPLAY);
  let tty = "";
  if (given.includes(":")) {
    // A display manager's terminal: it stands there so that utmp shows it.
    display ||= matching(DISPLAY, given);
  } else if (isJob(service, given)) {
    type = "unspecified";
    sessionClass = "background";
  } else if (given === "ssh") {
    // sshd says so before it has a terminal, and where it never gets one.
    type = "tty";
    sessionClass = "user";
  } else {
    tty = matching(TTY, terminalOf(given));
  }
  type ||= display !== "" ? "x11" : tty !== "" ? "tty" : "unspecified";
  sessionClass ||= type === "unspecified" ? "background" : "user";

  const named = atSeat ? (items.XDG_SEAT ?? "") : "";
  const seat = isSeatName(named) ? named : "";
  const hasTerminals = atSeat && (seat === "" || seat === "seat0");
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
    remote: remoteHost !== "" && !isLocalHost(remoteHost),
    remoteUser: matching(PRINTABLE, items.PAM_RUSER),
    remoteHost,
  };
}

const terminalOf = (tty: string) => tty.replace(/^\/dev\//, "");

const isJob = (service: string, tty: string) =>
  tty === "cron" || tty === "atd" || JOB_SERVICES.includes(service);

/** Whether a login can be at a seat, by what its program says of it. No host is one's own seat, this one neither. */
function sitsAtSeat(service: string, tty: string, host: string): boolean {
  if (host !== "" || isJob(service, tty) || tty === "ssh") return false;
  return (
    VIRTUAL_TERMINAL.test(terminalOf(tty)) ||
    LOCAL_DISPLAY.test(tty) ||
    DISPLAY_MANAGERS.test(service)
  );
}
