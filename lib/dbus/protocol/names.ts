/** What names and paths may be; see "Valid Names" and "Valid Object Paths" in the D-Bus specification. */

/** Of a bus, interface and member name. A path may be as long as a message. */
const LONGEST = 255;

/** A unique name may have elements that begin with a digit. */
const BUS_NAME = /^(?::[\w-]+(?:\.[\w-]+)+|[A-Za-z_-][\w-]*(?:\.[A-Za-z_-][\w-]*)+)$/;
const INTERFACE = /^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+$/;
const MEMBER = /^[A-Za-z_]\w*$/;
const PATH = /^\/(?:\w+(?:\/\w+)*)?$/;

/** Whether it is a unique name (`:1.7`) or a well-known one (`org.freedesktop.login1`). */
export const isBusName = (text: string): boolean => text.length <= LONGEST && BUS_NAME.test(text);

/** Whether it is a name of an interface; those of errors have the same form. */
export const isInterfaceName = (text: string): boolean =>
  text.length <= LONGEST && INTERFACE.test(text);

/** Whether it is a name of a method or signal. */
export const isMemberName = (text: string): boolean => text.length <= LONGEST && MEMBER.test(text);

export const isObjectPath = (text: string): boolean => PATH.test(text);

/** The fields of a header that have a form of their own. */
export interface Names {
  destination?: string | undefined;
  path?: string | undefined;
  interface?: string | undefined;
  member?: string | undefined;
}

/**
 * Looks at those names of a header that are there: the bus ends the connection of who sends a wrong one.
 *
 * @throws {TypeError} that names the first that is none
 */
export function checkNames({ destination, path, interface: name, member }: Names): void {
  if (destination !== undefined && !isBusName(destination)) refuse("destination", destination);
  if (path !== undefined && !isObjectPath(path)) refuse("path", path);
  if (name !== undefined && !isInterfaceName(name)) refuse("interface", name);
  if (member !== undefined && !isMemberName(member)) refuse("member", member);
}

function refuse(kind: keyof Names, text: string): never {
  throw new TypeError(`${JSON.stringify(text)} is no valid ${kind} of a message`);
}
