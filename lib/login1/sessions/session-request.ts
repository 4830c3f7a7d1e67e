/** From what CreateSession was asked to what the session is; the rules of logind's bus interface. */
import { BusError, busErrors } from "../../dbus/index.ts";
import { messageOf } from "../../linux/index.ts";
import {
  impliedClass,
  type LoginRequest,
  SESSION_CLASSES,
  SESSION_TYPES,
  type SessionClass,
  type SessionType,
} from "../../sd-login/index.ts";
import { MOST_VTS, vtNumber } from "../hardware/vt.ts";
import type { Seat } from "../model/objects.ts";
import { login1Errors } from "../vocabulary/errors.ts";
import { checkDesktopName, checkText, isTtyName, isUdevTag } from "../vocabulary/texts.ts";

/** Why no session is made, where the name of the D-Bus error says less than varlink's. */
export type Refusal =
  | { why: "invalid"; argument: keyof CreateRequest | "leader" }
  | { why: "member" | "vtTaken" | "tooMany" | "noScope" };

/** No session is made: the D-Bus error, and what exactly is the matter. */
export class CreateError extends BusError {
  constructor(
    { errorName, message }: BusError,
    readonly refusal: Refusal,
  ) {
    super(errorName, message);
  }
}

/** An argument of CreateSession is wrong: InvalidArgs. */
export const invalidArgument = (argument: keyof CreateRequest | "leader", message: string) =>
  new CreateError(busErrors.invalidArgs(message), { why: "invalid", argument });

/** The arguments of CreateSession that describe the session, as they came. */
export interface CreateRequest extends LoginRequest {
  /** What it may open wherever it is: `render` for devices that udev has tagged `xaccess-render`. */
  extraDeviceAccess: string[];
}

/** The same, checked and completed. */
export interface SessionPlace {
  type: SessionType;
  class: SessionClass;
  seat: Seat | undefined;
  vtnr: number;
  tty: string;
}

/** The arguments that are free text, and end up in files and in the log. */
const TEXTS = ["service", "desktop", "display", "remoteUser", "remoteHost"] as const;
const MOST_EXTRA_DEVICES = 64;
const SEAT0 = "seat0";
const CONSOLE = "console";

/**
 * Finds the seat, VT, type and class of a session to be made.
 *
 * @param seatOf the seat of this id; undefined if there is none
 * @throws {CreateError} InvalidArgs, with the argument at fault
 * @throws {BusError} NoSuchSeat
 */
export function placeSession(
  request: CreateRequest,
  seatOf: (id: string) => Seat | undefined,
): SessionPlace {
  const type = choose(SESSION_TYPES, request.type, "type");
  const kind = choose(SESSION_CLASSES, request.class, "class");
  const tty = request.tty.replace(/^\/dev\//, "");
  checkArgument("tty", tty);
  if (tty !== "" && !isTtyName(tty)) {
    throw invalidArgument("tty", `Invalid TTY name '${request.tty}'`);
  }
  for (const name of TEXTS) checkArgument(name, request[name]);
  checkExtraDevices(request.extraDeviceAccess);
  const { seat, vtnr } = place(request, tty, seatOf);
  const likelyType = request.display !== "" ? "x11" : tty !== "" ? "tty" : "unspecified";
  const settled = type ?? likelyType;
  return { type: settled, class: kind ?? impliedClass(settled, request.uid), seat, vtnr, tty };
}

/** Where somebody sits. */
function place(
  request: CreateRequest,
  tty: string,
  seatOf: (id: string) => Seat | undefined,
): Pick<SessionPlace, "seat" | "vtnr"> {
  // Somebody far away sits at no seat, whatever the login's environment says; logind believes it.
  if (request.remote) return { seat: undefined, vtnr: 0 };
  let { vtnr } = request;
  let seat = request.seat === "" ? undefined : seatOf(request.seat);
  if (request.seat !== "" && !seat) throw login1Errors.noSuchSeat(request.seat);
  const ttyVt = vtNumber(tty);
  const isConsole = tty === CONSOLE;
  if (ttyVt !== undefined || isConsole) {
    // At a console that is no VT somebody sits only where there are none. logind refuses the session.
    if (ttyVt !== undefined || !seatOf(SEAT0)?.hasVts) seat ??= seatOf(SEAT0);
    if (seat && seat.id !== SEAT0) {
      throw invalidArgument("seat", `TTY ${tty} is a console but seat ${seat.id} is not seat0`);
    }
    if (vtnr !== 0 && vtnr !== ttyVt) {
      throw invalidArgument("vtnr", `TTY ${tty} and VT number ${vtnr} do not match`);
    }
    vtnr = ttyVt ?? 0;
  }
  if (seat?.hasVts && (vtnr < 1 || vtnr > MOST_VTS)) {
    throw invalidArgument("vtnr", "VT number out of range");
  }
  if (seat && !seat.hasVts && vtnr !== 0) {
    throw invalidArgument("vtnr", `Seat ${seat.id} has no VTs but the VT number is ${vtnr}`);
  }
  return { seat, vtnr };
}

function checkExtraDevices(names: string[]): void {
  const refuse = (text: string) => invalidArgument("extraDeviceAccess", text);
  if (names.length > MOST_EXTRA_DEVICES) throw refuse("Too many kinds of devices are asked for");
  const wrong = names.find((name) => !isUdevTag(name));
  if (wrong !== undefined) throw refuse(`There are no devices '${wrong}'`);
}

function checkArgument(name: keyof CreateRequest, value: string): void {
  try {
    if (name === "desktop") checkDesktopName(value);
    else checkText(name, value);
  } catch (error) {
    throw invalidArgument(name, messageOf(error));
  }
}

/**
 * Checks what a session's own desktop says of itself before it starts.
 *
 * @throws {BusError} InvalidArgs
 */
export function checkDesktop(type: string, desktop: string, display: string): SessionType {
  const chosen = choose(SESSION_TYPES, type, "type");
  if (chosen !== "wayland" && chosen !== "x11") {
    throw invalidArgument("type", `A desktop's type is wayland or x11, not '${type}'`);
  }
  checkArgument("desktop", desktop);
  checkArgument("display", display);
  if (chosen === "x11" && display === "")
    throw invalidArgument("display", "An x11 desktop has a display");
  return chosen;
}

function choose<Value extends string>(
  known: readonly Value[],
  value: string,
  argument: "type" | "class",
): Value | undefined {
  if (value === "") return undefined;
  const found = known.find((candidate) => candidate === value);
  if (!found) throw invalidArgument(argument, `Invalid session ${argument} ${value}`);
  return found;
}
