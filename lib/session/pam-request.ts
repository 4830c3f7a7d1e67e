/** What PAM says of a login, as login1 wants it. The rules are those of pam_systemd(8). */

import {
  impliedClass,
  isSeatName,
  isSystemUser,
  type LoginRequest,
  SESSION_TYPES,
  type SessionType,
} from "../sd-login/index.ts";
import type { Environment } from "./desktop.ts";
import { vtOfDisplay } from "./display-vt.ts";
import { parseVtnr } from "./facts.ts";
import { ASKED_CLASSES, type LineArguments, NO_SESSION } from "./pam-line.ts";

/** The arguments of login1's CreateSession methods. */
export interface SessionRequest extends LoginRequest {
  /** The pid of the process that the session ends with. */
  leader: number;
}

const oneOf = <Value extends string>(allowed: readonly Value[], value: string | undefined) =>
  allowed.find((one) => one === value);

const matching = (pattern: RegExp, value: string | undefined) =>
  value !== undefined && pattern.test(value) ? value : "";

/** Printable and without a control character: it goes to other people's screens by way of loginctl. */
const PRINTABLE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]{1,255}$/u;
const SERVICE = /^[A-Za-z0-9_.@:+-]{1,255}$/;
const DESKTOP = /^[A-Za-z0-9_.:;+-]{1,64}$/;
const TTY = /^[A-Za-z0-9][A-Za-z0-9_/.-]{0,63}$/;
const DISPLAY = /^[A-Za-z0-9_./:-]{1,255}$/;

/** The names of this machine by which a host is not remote; an address is, 127.0.0.1 too. */
const isLocalHost = (host: string) =>
  /^(?:localhost|localhost\.localdomain|.*\.localhost|.*\.localhost\.localdomain)\.?$/i.test(host);

/** A boolean of systemd's that is true; see systemd.syntax(7). */
const isTrue = (text: string | undefined) => /^(?:1|y|yes|t|true|on)$/i.test(text ?? "");

/**
 * Login programs whose users sit at the machine, also where they name no terminal: they set XDG_SEAT
 * and XDG_VTNR themselves, before they open the session.
 */
const DISPLAY_MANAGERS =
  /^(?:greetd|lightdm|sddm|gdm|lxdm|xdm|slim|ly|lemurs|emptty|plasmalogin|cosmic-greeter)(?:-[a-z-]+)?$/;

/** A virtual terminal; see vcs(4) for the numbers. */
const VIRTUAL_TERMINAL = /^tty[1-9]\d?$/;

/** An X display of this machine. */
const LOCAL_DISPLAY = /^(?:unix)?:\d/;

/** The classes that a seat's own programs have. */
const SEAT_CLASSES = ["greeter", "lock-screen"];

/** What the login program has put where its terminal belongs. */
interface Terminal {
  tty: string;
  display: string;
  /** What kind of login that makes it, whatever the environment says: cron, at or ssh. */
  kind: "terminal" | "job" | "ssh";
}

/**
 * Derives a session from PAM's items and environment. What is malformed is left out, since a login
 * must not fail because of it.
 *
 * The items (PAM_*) are the login program's word. The environment may be the user's: pam_env reads
 * files of theirs where it is told to (user_readenv). So it puts nobody at a seat, and gives nobody a
 * seat's class, unless the login program by its name or terminal is one of that seat's.
 *
 * @param items PAM's items and environment, by the names that `pam-session` hands on
 * @param uid the user's, from the user database
 * @param leader the pid of the PAM application
 * @param line what the PAM file says
 * @returns undefined if there shall be no session: class `none`
 */
export function sessionRequest(
  items: Environment,
  uid: number,
  leader: number,
  line: LineArguments = {},
): SessionRequest | undefined {
  const service = matching(SERVICE, items.PAM_SERVICE);
  const remoteHost = items.PAM_RHOST ?? "";
  const terminal = terminalOf(items, service);
  const atSeat = remoteHost === "" && sitsAtSeat(service, items.PAM_TTY ?? "", terminal);
  const type = typeOf(items, line, service, terminal);
  const kind = classOf(items, line, { service, terminal, type, uid, atSeat });
  if (kind === NO_SESSION) return undefined;
  return {
    uid,
    leader,
    service,
    type,
    class: kind,
    desktop: matching(DESKTOP, items.XDG_SESSION_DESKTOP || line.desktop),
    ...(atSeat ? placeOf(items, terminal.display) : { seat: "", vtnr: 0 }),
    tty: terminal.tty,
    display: terminal.display,
    remote: remoteHost !== "" && !isLocalHost(remoteHost),
    remoteUser: matching(PRINTABLE, items.PAM_RUSER),
    remoteHost: matching(PRINTABLE, remoteHost),
  };
}

/** The service of a user's own service manager. */
const USER_MANAGER = "systemd-user";

function terminalOf(items: Environment, service: string): Terminal {
  const given = items.PAM_TTY ?? "";
  const display = matching(DISPLAY, items.PAM_XDISPLAY);
  // It runs beside all of its user's terminals.
  if (service === USER_MANAGER) return { tty: "", display, kind: "terminal" };
  // A display manager's terminal: it stands there so that utmp shows it.
  if (given.includes(":")) {
    return { tty: "", display: display || matching(DISPLAY, given), kind: "terminal" };
  }
  // They have none, and say so by these words since PAM modules want to be told one. sshd says it before
  // it has a terminal, and where it never gets one.
  if (given === "cron" || given === "atd") return { tty: "", display, kind: "job" };
  if (given === "ssh") return { tty: "", display, kind: "ssh" };
  return { tty: matching(TTY, withoutFolder(given)), display, kind: "terminal" };
}

const withoutFolder = (tty: string) => tty.replace(/^\/dev\//, "");

function typeOf(
  items: Environment,
  line: LineArguments,
  service: string,
  { tty, display, kind }: Terminal,
): SessionType {
  if (kind === "job" || service === USER_MANAGER) return "unspecified";
  if (kind === "ssh") return "tty";
  const asked = oneOf(SESSION_TYPES, items.XDG_SESSION_TYPE || line.type);
  return asked ?? (display !== "" ? "x11" : tty !== "" ? "tty" : "unspecified");
}

interface Known {
  service: string;
  terminal: Terminal;
  type: SessionType;
  uid: number;
  atSeat: boolean;
}

function classOf(
  items: Environment,
  line: LineArguments,
  { service, terminal, type, uid, atSeat }: Known,
): string {
  const own = oneOf(ASKED_CLASSES, items.XDG_SESSION_CLASS);
  const mayHave = own && (atSeat || !SEAT_CLASSES.includes(own));
  const asked = (mayHave && own) || oneOf(ASKED_CLASSES, line.class) || implied();
  return asked === "user" && isTrue(items.XDG_SESSION_INCOMPLETE) ? "user-incomplete" : asked;

  function implied() {
    if (service === USER_MANAGER) return isSystemUser(uid) ? "manager-early" : "manager";
    // Said by who they are, so that root is no exception.
    if (terminal.kind === "job") return "background";
    return terminal.kind === "ssh" ? "user" : impliedClass(type, uid);
  }
}

/** The seat and VT of a login that is at one. VTs are seat0's. */
function placeOf(items: Environment, display: string): { seat: string; vtnr: number } {
  const named = items.XDG_SEAT ?? "";
  const seat = isSeatName(named) ? named : "";
  if (seat !== "" && seat !== "seat0") return { seat, vtnr: 0 };
  const vtnr = parseVtnr(items.XDG_VTNR);
  if (vtnr > 0 || display === "") return { seat, vtnr };
  const found = vtOfDisplay(display);
  return { seat: found > 0 ? "seat0" : seat, vtnr: found };
}

/** Whether a login of this machine can be at a seat, by what its program says of it. */
function sitsAtSeat(service: string, given: string, { kind }: Terminal): boolean {
  if (kind !== "terminal") return false;
  return (
    VIRTUAL_TERMINAL.test(withoutFolder(given)) ||
    LOCAL_DISPLAY.test(given) ||
    DISPLAY_MANAGERS.test(service)
  );
}
