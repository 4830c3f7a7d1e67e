/**
 * The little of org.freedesktop.systemd1 that is true here: sessions are scopes,
 * users are slices, and each has its cgroup and processes. loginctl asks for it
 * to draw the processes of a session; there is no service manager, and no other unit.
 */
import { BusError, busErrors, type Interface, membersOf } from "../../dbus/index.ts";
import { type Cgroup, commandLines } from "../../linux/index.ts";
import type { Manager } from "../sessions/manager.ts";

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
    GetUnitProcesses: method(
      "s",
      ["name"],
      "a(sus)",
      ["processes"],
      async (manager, [name], call) => {
        const unit = findUnit(manager, name);
        if (!unit) {
          throw new BusError("org.freedesktop.systemd1.NoSuchUnit", `Unit ${name} not loaded.`);
        }
        const { uid } = await call.caller();
        return oneAtATime(uid, () => processesOf(unit));
      },
    ),
  },
};

/** How many lists one user may be waiting for, and all users; root waits in the same row and is not refused. */
const MOST_LISTS_OF_USER = 2;
const MOST_LISTS = 16;
const lists = new Map<number, number>();
let row: Promise<unknown> = Promise.resolve();

/** A list costs files and memory by the number of processes, which is the asking user's to choose. */
async function oneAtATime<Result>(uid: number, work: () => Promise<Result>): Promise<Result> {
  const own = lists.get(uid) ?? 0;
  const all = [...lists.values()].reduce((sum, count) => sum + count, 0);
  if (uid !== 0 && (own >= MOST_LISTS_OF_USER || all >= MOST_LISTS)) {
    throw busErrors.limitsExceeded("Other lists of processes are being made: wait for them first");
  }
  lists.set(uid, own + 1);
  const result = row.then(work);
  row = result.catch(() => {});
  try {
    return await result;
  } finally {
    const left = (lists.get(uid) ?? 1) - 1;
    if (left > 0) lists.set(uid, left);
    else lists.delete(uid);
  }
}

async function processesOf({ name, cgroup }: Unit): Promise<[string, number, string][]> {
  const places = cgroup
    .tree()
    .flatMap((one) => one.processes(false).map((pid) => ({ path: one.path, pid })));
  if (places.length > MOST_PROCESSES) {
    const text = `Unit ${name} has ${places.length} processes, and more than ${MOST_PROCESSES} are not listed`;
    throw busErrors.limitsExceeded(text);
  }
  const lines = await commandLines(places.map(({ pid }) => pid));
  return places.flatMap(({ path, pid }): [string, number, string][] => {
    const line = lines.get(pid);
    return line === undefined ? [] : [[path, pid, line]];
  });
}
