/** Properties as NAME=VALUE lines: what show-session, show-user and show-seat print. */

import type { Variant } from "../dbus/index.ts";
import { NO_UID } from "../sd-login/index.ts";
import type { Properties } from "./client.ts";
import { formatTimespan, formatTimestamp } from "./time.ts";

export interface PropertyFilter {
  /** Only these; undefined for all. They come in the object's order. */
  names: string[] | undefined;
  /** Those without a value too. */
  empty: boolean;
  /** The value without its name. */
  valueOnly: boolean;
}

/** A pair of an id and an object path, or an array of such pairs. */
type Reference = [id: string | number, path: string];

/**
 * One line for each property that the filter lets through.
 *
 * A property of a type that has no form for a person is `[unprintable]`, as systemd's command
 * writes it, and only with `empty`.
 */
export function propertyLines(properties: Properties, filter: PropertyFilter): string[] {
  return Object.entries(properties).flatMap(([name, property]) => {
    if (filter.names && !filter.names.includes(name)) return [];
    const value = formatProperty(name, property);
    if (value === undefined) return filter.empty ? [`${name}=[unprintable]`] : [];
    // An empty list of sessions has its line even so, but no empty line of values alone.
    const always = name === "Sessions" && property.signature === "a(so)" && !filter.valueOnly;
    if (value === "" && !always && (!filter.empty || name === "Sessions")) return [];
    return [filter.valueOnly ? value : `${name}=${value}`];
  });
}

/** The value as text; undefined if it has none. The names say which numbers are times. */
function formatProperty(name: string, { signature, value }: Variant): string | undefined {
  switch (signature) {
    case "s":
      return escapeIn(String(value), "\n");
    case "b":
      return value ? "yes" : "no";
    case "t":
      if (name.endsWith("Timestamp")) return formatTimestamp(value as bigint);
      return name.includes("USec") ? formatTimespan(value as bigint) : String(value);
    case "u":
      if (name === "UID" || name === "GID") {
        return value === NO_UID ? "[not set]" : String(value);
      }
      return String(value);
    case "i":
    case "x":
    case "d":
      return String(value);
    case "as":
      return (value as string[]).map((text) => escapeIn(text, " \n")).join(" ");
    case "(so)":
      if (!["Display", "Seat", "ActiveSession"].includes(name)) return undefined;
      return escapeIn(String((value as Reference)[0]), "\n");
    case "(uo)":
      return name === "User" ? String((value as Reference)[0]) : undefined;
    case "a(so)":
      if (name !== "Sessions") return undefined;
      return (value as Reference[]).map(([id]) => id).join(" ");
    default:
      return undefined;
  }
}

/** The text itself, or all of its odd characters as \xNN if one of `bad` is among them. */
function escapeIn(text: string, bad: string): string {
  if (![...bad].some((character) => text.includes(character))) return text;
  return [...Buffer.from(text, "utf8")]
    .map((byte) => {
      const character = String.fromCharCode(byte);
      const odd = byte < 0x20 || byte >= 0x7f || character === "\\" || bad.includes(character);
      return odd ? `\\x${byte.toString(16).padStart(2, "0")}` : character;
    })
    .join("");
}
