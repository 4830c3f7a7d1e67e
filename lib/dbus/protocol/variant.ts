/**
 * What we take from dbus-next as it is: the value with a type of its own, and the rules for names.
 * By their files, since its front page loads all of it, an XML parser among it.
 */
import type * as Declared from "dbus-next";
// @ts-expect-error: dbus-next declares types for its front page only
import * as validators from "dbus-next/lib/validators.js";
// @ts-expect-error: the same
import * as values from "dbus-next/lib/variant.js";

export const Variant = values.Variant as typeof Declared.Variant;
export type Variant<Value = unknown> = Declared.Variant<Value>;

/** Throws a TypeError if a name in a header is none; undefined is no name, and not looked at. */
export function checkName(kind: "path" | "interface" | "destination", name?: string): void {
  if (name === undefined) return;
  const check = {
    path: validators.isObjectPathValid,
    interface: validators.isInterfaceNameValid,
    destination: validators.isBusNameValid,
  }[kind] as (name: string) => boolean;
  if (!check(name)) throw new TypeError(`${JSON.stringify(name)} is no valid ${kind} of a message`);
}
