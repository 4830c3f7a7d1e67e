/**
 * The little of org.freedesktop.systemd1 that is true here: sessions are scopes,
 * users are slices, and each has its cgroup and processes. loginctl asks for it
 * to draw the processes of a session; there is no service manager, and no other unit.
 */
import { BusError, busErrors, type Interface, membersOf } from "../../dbus/index.ts";
import { type Cgroup, commandLines } from "../../linux/index.ts";
import type { Manager } from "../manager.ts";

/** A slice or scope that exists as a cgroup. */
export interface Unit {
  name: string;
  cgroup: Cgroup;
}

/** The unit of this name; undefined if no session or user has it. */
export function findUnit(manager: Manager, name: string): Unit | undefined {
  const cgroup = manager.unitCgroup(name);
  return cgroup && { name, cgroup };
}

/** So many processes are listed at most: the bus takes no answer of any length. */
const MOST_PROCESSES = 8192;

const { property } = membersOf<Unit>();
const { method } = membersOf<Manager>();

const members: Interface<Unit>["members"] = {
  ControlGroup: property("s", "false", (unit) => unit.cgroup.path),
};

/** The interfaces of a unit; a scope and a slice differ in the name only. */
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

export const unitManagerInterface: Interface<Manager> = {
  name: "org.freedesktop.systemd1.Manager",
  members: {
    /** The processes of a unit: cgroup, pid and command line of each, as ps(1) shows them to all. */
    GetUnitProcesses: method("s", ["name"], "a(sus)", ["processes"], async (manager, [name]) => {
      const unit = findUnit(manager, name);
      if (!unit) {
        throw new BusError("org.freedesktop.systemd1.NoSuchUnit", `Unit ${name} not loaded.`);
      }
      const places = unit.cgroup
        .tree()
        .flatMap((cgroup) => cgroup.processes(false).map((pid) => ({ path: cgroup.path, pid })));
      if (places.length > MOST_PROCESSES) {
        const text = `Unit ${name} has ${places.length} processes, and more than ${MOST_PROCESSES} are not listed`;
        throw busErrors.limitsExceeded(text);
      }
      const lines = await commandLines(places.map(({ pid }) => pid));
      return places.flatMap(({ path, pid }): [string, number, string][] => {
        const line = lines.get(pid);
        return line === undefined ? [] : [[path, pid, line]];
      });
    }),
  },
};
