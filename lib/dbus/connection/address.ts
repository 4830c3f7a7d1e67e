/**
 * Where buses listen: "Server Addresses" and "Unix Domain Sockets" in the D-Bus specification. An
 * address is a list, whose entries a client tries one after the other.
 */
import { join } from "node:path";

/** One entry of a list. */
export type BusAddress = { readonly entry: string } & (
  | {
      /** The path of the socket; that of an abstract one begins with NUL. */
      readonly socket: string;
    }
  | {
      /** Why it leads to no socket that we could connect to. */
      readonly problem: string;
    }
);

/** These say of a Unix socket where it is; there has to be one of them. The last two are for servers alone. */
const PLACES = ["path", "abstract", "runtime", "dir", "tmpdir"];

/**
 * Takes a list of addresses apart. `guid`, and keys that are not known, are passed over: the bus that
 * is started again at the same place is another one.
 *
 * @param runtimeFolder what `unix:runtime=yes` is below, without which it is a problem
 */
export function parseAddresses(list: string, runtimeFolder?: string): BusAddress[] {
  const entries = list.split(";").filter((entry) => entry !== "");
  return entries.map((entry) => {
    try {
      return { entry, socket: socketOf(entry, runtimeFolder) };
    } catch (error) {
      if (!(error instanceof TypeError)) throw error;
      return { entry, problem: error.message };
    }
  });
}

/** @throws {TypeError} says why there is none */
function socketOf(entry: string, runtimeFolder: string | undefined): string {
  const colon = entry.indexOf(":");
  if (colon <= 0) throw new TypeError("it does not begin with a transport, as unix: is one");
  const transport = entry.slice(0, colon);
  if (transport !== "unix") throw new TypeError(`there is no transport ${transport} here`);
  const keys = new Map(
    entry
      .slice(colon + 1)
      .split(",")
      .filter(Boolean)
      .map(keyAndValue),
  );
  const places = PLACES.filter((key) => keys.has(key));
  const [place = ""] = places;
  if (places.length !== 1) throw new TypeError("it needs one of path=, abstract= and runtime=");
  const value = keys.get(place) ?? "";
  if (value === "") throw new TypeError(`its ${place}= is empty`);
  switch (place) {
    case "path":
      return value;
    case "abstract":
      return `\0${value}`;
    case "runtime":
      if (value !== "yes") throw new TypeError("its runtime= is not yes");
      if (!runtimeFolder) throw new TypeError("there is no XDG_RUNTIME_DIR");
      return join(runtimeFolder, "bus");
    default:
      throw new TypeError(`${place}= is for servers alone`);
  }
}

function keyAndValue(pair: string): [string, string] {
  const equals = pair.indexOf("=");
  if (equals <= 0) throw new TypeError(`${JSON.stringify(pair)} is no key=value`);
  return [pair.slice(0, equals), unescapeValue(pair.slice(equals + 1))];
}

/** Bytes may stand as %xx, and the specification has characters that must; who reads is to be lenient with those. */
function unescapeValue(text: string): string {
  if (/%(?![0-9a-fA-F]{2})/.test(text)) {
    throw new TypeError(`${JSON.stringify(text)} has a % without two hexadecimal digits`);
  }
  const pieces = text.match(/%..|[^%]+/g) ?? [];
  const bytes = pieces.map((piece) =>
    piece.startsWith("%") ? Buffer.from(piece.slice(1), "hex") : Buffer.from(piece, "utf8"),
  );
  return Buffer.concat(bytes).toString("utf8");
}

/** The address of the bus whose socket is at `path`, escaped. */
export function addressOfPath(path: string): string {
  const escaped = Array.from(Buffer.from(path, "utf8"), (byte) => {
    const character = String.fromCharCode(byte);
    return /[A-Za-z0-9_/.\\*-]/.test(character)
      ? character
      : `%${byte.toString(16).padStart(2, "0")}`;
  });
  return `unix:path=${escaped.join("")}`;
}

/** The address of the system bus, as the D-Bus specification finds it. */
export function systemBusAddress(): string {
  return process.env.DBUS_SYSTEM_BUS_ADDRESS ?? "unix:path=/run/dbus/system_bus_socket";
}
