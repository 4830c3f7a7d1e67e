/** Introspection data as members; see "Introspection Data Format" in the D-Bus specification. */
import { INTERFACES, type Member } from "./contract.ts";

const PREFIX = "org.freedesktop.login1.";
const EMITS = "org.freedesktop.DBus.Property.EmitsChangedSignal";
const PRIVILEGED = "org.freedesktop.systemd1.Privileged";

const KINDS = ["method", "property", "signal"] as const;

/**
 * The members of login1's interfaces in a document as a bus service writes it: elements and
 * attributes without entities.
 */
export function membersIn(document: string): Member[] {
  const members: Member[] = [];
  let at: string | undefined;
  for (const [, tag, rest = ""] of document.matchAll(/<(\w+)\b([^>]*)>/g)) {
    const attributes = Object.fromEntries(
      [...rest.matchAll(/(\w+)="([^"]*)"/g)].map(([, key, value]) => [key, value]),
    );
    if (tag === "interface") at = attributes.name;
    const known = INTERFACES.find((name) => PREFIX + name === at);
    if (known === undefined) continue;
    const kind = KINDS.find((name) => name === tag);
    if (kind !== undefined) {
      const isProperty = kind === "property";
      members.push({
        interface: known,
        kind,
        name: attributes.name ?? "",
        in: attributes.type ?? "",
        out: "",
        access: attributes.access ?? "",
        // What the specification has where nothing is said.
        emits: isProperty ? "true" : "",
        privileged: false,
        hidden: false,
      });
      continue;
    }
    const member = members.at(-1);
    if (member === undefined) continue;
    if (tag === "arg") {
      member[attributes.direction === "out" ? "out" : "in"] += attributes.type ?? "";
    } else if (tag === "annotation" && attributes.name === EMITS) {
      member.emits = attributes.value ?? "";
    } else if (tag === "annotation" && attributes.name === PRIVILEGED) {
      member.privileged = attributes.value === "true";
    }
  }
  return members;
}
