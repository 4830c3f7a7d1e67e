/** The signals of both sides in the form in which they are compared: without what logind leaves out. */

/** By object, in the order in which they came: a signal's name and its body, or its values. */
export type Signals = Record<string, unknown[]>;

type Properties = Record<string, unknown>;
/** What a side looks like: the manager's properties, and those of all others by kind and name. */
type State = Record<string, unknown>;

type Changed = ["PropertiesChanged", Record<string, unknown>, string[]];

const PATH = /^\/org\/freedesktop\/login1(?:\/(session|user|seat)\/(.+))?$/;
const FOLDERS = { session: "sessions", user: "users", seat: "seats" } as const;

/**
 * Properties whose changes are told here, as their annotations say, and not or wrongly by logind: State
 * follows Active there, an inhibitor's effect on idleness is left out, a weak inhibitor is told of by the
 * name of the strong ones, and one that is going still counted.
 */
const UNTOLD: Record<"manager" | keyof typeof FOLDERS, readonly string[]> = {
  session: ["State"],
  user: [],
  seat: [],
  manager: [
    ...["IdleHint", "IdleSinceHint", "IdleSinceHintMonotonic"],
    ...["BlockInhibited", "BlockWeakInhibited", "NCurrentInhibitors"],
  ],
};

/** What a new object is like of which nothing was told. */
const NEW: Record<string, Properties> = { user: { Display: ["", "/"] } };

/** What an object's path names, in a state: its kind and its properties. */
function objectAt(path: string, state: State) {
  const [, kind, label = ""] = PATH.exec(path) ?? [];
  if (kind === undefined) {
    return { kind: "manager" as const, properties: state.manager as Properties | undefined };
  }
  const known = kind as keyof typeof FOLDERS;
  const objects = (state[FOLDERS[known]] ?? {}) as Record<string, Properties>;
  const name = kind === "user" ? label.slice(1) : label.replaceAll("_2d", "-");
  return { kind: known, properties: objects[name] };
}

/**
 * Leaves out what logind does not tell, and what has not changed where that is told of: of idleness on
 * both sides, since time alone can change it, and of everything by logind.
 *
 * @param before what there was
 * @param after what there is now
 */
export function comparable(
  { name, signals }: { name: string; signals: Signals },
  before: State,
  after: State,
): Signals {
  const result: Signals = {};
  for (const [path, all] of Object.entries(signals)) {
    const { kind, properties } = objectAt(path, after);
    // Nothing is told of a session there once it is about to go.
    if (properties === undefined) continue;
    const earlier = objectAt(path, before).properties ?? NEW[kind] ?? {};
    const isUntold = (property: string, value: unknown) => {
      if (UNTOLD[kind].includes(property)) return true;
      const isUnchanged = Bun.deepEquals(earlier[property], value);
      return isUnchanged && (name === "logind" || property.startsWith("Idle"));
    };
    const left = all.filter((signal) => {
      if (!isChanged(signal)) return true;
      const [, values, invalidated] = signal;
      for (const [property, value] of Object.entries(values)) {
        if (isUntold(property, value)) delete values[property];
      }
      return Object.keys(values).length + invalidated.length > 0;
    });
    if (kind === "user") keepLast(left, "Display");
    if (left.length > 0) result[path] = inOrder(left);
  }
  return result;
}

/** Which of sessions that end in the same moment stands for their user meanwhile is chance, too: only the last counts. */
function keepLast(signals: unknown[], property: string): void {
  const tells = (signal: unknown): signal is Changed => isChanged(signal) && property in signal[1];
  for (const signal of signals.filter(tells).slice(0, -1)) {
    delete signal[1][property];
    const isEmpty = Object.keys(signal[1]).length + signal[2].length === 0;
    if (isEmpty) signals.splice(signals.indexOf(signal), 1);
  }
}

/** Of sessions that end in the same moment, and of users, it is chance which is gone first. */
function inOrder(signals: unknown[]): unknown[] {
  const isEnd = (signal: unknown) => /^\["(Session|User)Removed"/.test(JSON.stringify(signal));
  const ends = signals.filter(isEnd).toSorted((one, other) => {
    return JSON.stringify(one) < JSON.stringify(other) ? -1 : 1;
  });
  return signals.map((signal) => (isEnd(signal) ? ends.shift() : signal));
}

const isChanged = (signal: unknown): signal is Changed =>
  Array.isArray(signal) && signal[0] === "PropertiesChanged";
