/**
 * The little of org.freedesktop.systemd1 that is true here: sessions are scopes,
 * users are slices, and each has its cgroup. loginctl asks for it to draw the
 * processes of a session; there is no service manager, and no other unit.
 */
import { type Interface, membersOf } from "../../dbus/index.ts";

/** A slice or scope that exists as a cgroup. */
export interface Unit {
  name: string;
  controlGroup: string;
}

const { property } = membersOf<Unit>();

const members: Interface<Unit>["members"] = {
  ControlGroup: property("s", "false", (unit) => unit.controlGroup),
};

/** The interfaces of a unit; it has those of its kind. */
export const unitInterfaces: Interface<Unit>[] = [
  {
    name: "org.freedesktop.systemd1.Unit",
    members: {
      Id: property("s", "const", (unit) => unit.name),
      ActiveState: property("s", "false", (_unit) => "active"),
    },
  },
  { name: "org.freedesktop.systemd1.Scope", members },
  { name: "org.freedesktop.systemd1.Slice", members },
];
