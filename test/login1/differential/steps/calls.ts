/** Calls as steps, and what they are made of: callers, objects and arguments, right ones and wrong ones. */
import type { Run, Step } from "../run.ts";
import { type Call, NAME, type Side } from "../side.ts";

export const MANAGER = "/org/freedesktop/login1";

/** A step of one kind; undefined where there is nothing that it could happen to. */
export type Chooser = (run: Run) => Step | undefined;

/** How often each kind is chosen, beside the others. */
export type Choosers = Record<string, readonly [weight: number, choose: Chooser]>;

/** An argument that each side has its own of, and how it is shown. */
export class Own {
  constructor(
    readonly words: string,
    readonly of: (side: Side) => unknown,
  ) {}
}

/** An agent's pid. */
export const pidOf = (name: string) =>
  new Own(`pid of ${name}`, ({ agents }) => agents.get(name).pid);

/** An object by its path, and its name. */
export interface Target {
  kind: "Manager" | "Session" | "User" | "Seat";
  name: string;
  path: (side: Side) => string;
}

export const manager: Target = { kind: "Manager", name: "Manager", path: () => MANAGER };

const label = (id: string) =>
  id.replaceAll(/[^A-Za-z0-9]/g, (each) => `_${each.charCodeAt(0).toString(16).padStart(2, "0")}`);

/** A session's object, mostly one that there is. */
export function someSession(run: Run): Target {
  const { random } = run;
  const ids = [...run.sessions.keys()];
  const wrong = () => random.of(["self", "auto", "c0", "1", "no such"]);
  const id = random.oneIn(20) || ids.length === 0 ? wrong() : random.of(ids);
  return sessionTarget(id);
}

export const sessionTarget = (id: string): Target => ({
  kind: "Session",
  name: id,
  path: ({ neutral }) => {
    const real = neutral.idOf(id);
    return `${MANAGER}/session/${/^\d/.test(real) ? `_3${real}` : label(real)}`;
  },
});

export function someUser(run: Run): Target {
  const { random } = run;
  const uids = [...run.users];
  const id = random.oneIn(15) || uids.length === 0 ? random.of(["self", "_4711", "x"]) : "";
  const name = id === "" ? `_${random.of(uids)}` : id;
  return { kind: "User", name, path: () => `${MANAGER}/user/${name}` };
}

export function someSeat(run: Run): Target {
  const name = run.random.of(["seat0", "seat0", "seat-two", "seat-none", "self", "auto"]);
  return { kind: "Seat", name, path: () => `${MANAGER}/seat/${label(name)}` };
}

/** Who calls: root from outside of any session in a third of all cases, else an agent. */
export function someone(run: Run): string {
  const { random } = run;
  return random.oneIn(3) ? "" : random.of([...run.agents.keys()]);
}

/** A session's id, mostly of one that there is. */
export function someId(run: Run): string {
  const { random } = run;
  const ids = [...run.sessions.keys()];
  if (random.oneIn(10) || ids.length === 0) {
    return random.of(["", "self", "auto", "c0", "no such", "1", "../x"]);
  }
  return random.of(ids);
}

export const someUid = (run: Run): number =>
  run.random.oneIn(10)
    ? run.random.of([12345, 4294967295, 65535])
    : run.random.of([0, 1000, 1001, 65534]);

export const someSeatId = (run: Run): string =>
  run.random.of(["seat0", "seat0", "seat-two", "seat-none", "", "self", "auto", "bad/seat"]);

const shown = (value: unknown): unknown =>
  value instanceof Own ? value.words : typeof value === "bigint" ? `${value}` : value;

/** A call as a step. Names of sessions in `body` are each side's ids. */
export function call(
  run: Run,
  from: string,
  target: Target,
  member: string,
  signature = "",
  body: readonly unknown[] = [],
  more: Partial<Call> = {},
): Step {
  const { kind, name, path } = target;
  const request: Call = {
    ...{ from, path, interface: `${NAME}.${kind}`, member, signature },
    body: (side) =>
      body.map((each) => {
        if (each instanceof Own) return each.of(side);
        return typeof each === "string" ? side.neutral.idOf(each) : each;
      }),
    interactive: run.random.oneIn(6),
    ...more,
  };
  const text = JSON.stringify(body.map(shown));
  const flag = request.interactive ? " interactively" : "";
  return {
    words: `${from || "root"} calls ${kind} ${name}.${member} ${text}${flag}`,
    do: (side) => side.call(request),
  };
}
