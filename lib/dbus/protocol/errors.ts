/** Errors that travel over the bus under a D-Bus error name. */

/** A failed call: what a handler throws to answer with, and what a caller gets. */
export class BusError extends Error {
  constructor(
    /** The D-Bus error name, `org.freedesktop.DBus.Error.AccessDenied`. */
    readonly errorName: string,
    message: string,
  ) {
    super(message);
    this.name = "BusError";
  }
}

const standard = (name: string) => (message: string) =>
  new BusError(`org.freedesktop.DBus.Error.${name}`, message);

/** The D-Bus specification's own errors, by the end of their names. */
export const busErrors = {
  accessDenied: standard("AccessDenied"),
  failed: standard("Failed"),
  inconsistentMessage: standard("InconsistentMessage"),
  invalidArgs: standard("InvalidArgs"),
  limitsExceeded: standard("LimitsExceeded"),
  noReply: standard("NoReply"),
  notSupported: standard("NotSupported"),
  propertyReadOnly: standard("PropertyReadOnly"),
  unknownInterface: standard("UnknownInterface"),
  unknownMethod: standard("UnknownMethod"),
  unknownObject: standard("UnknownObject"),
  unknownProperty: standard("UnknownProperty"),
};

/** The longest text of an error, in characters: it may quote what a stranger sent. */
const LONGEST_TEXT = 512;

/** An error's text, which a stranger must not make longer than what it asked. */
export function cutText(text: string): string {
  return text.length > LONGEST_TEXT ? `${text.slice(0, LONGEST_TEXT)}…` : text;
}
