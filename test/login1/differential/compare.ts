/** Two values, and where they are not the same. */

export interface Difference {
  /** The keys that lead there, as `sessions.c1.State`. */
  where: string;
  ours: unknown;
  logind: unknown;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === "object" && !Array.isArray(value);

/** Every place at which two values differ; a list counts as one, unless both are as long. */
export function differences(ours: unknown, logind: unknown, where = ""): Difference[] {
  if (Bun.deepEquals(ours, logind)) return [];
  const below = (key: string | number) => (where === "" ? `${key}` : `${where}.${key}`);
  if (isObject(ours) && isObject(logind)) {
    const keys = new Set([...Object.keys(ours), ...Object.keys(logind)]);
    return [...keys].flatMap((key) => differences(ours[key], logind[key], below(key)));
  }
  if (Array.isArray(ours) && Array.isArray(logind) && ours.length === logind.length) {
    return ours.flatMap((each, at) => differences(each, logind[at], below(at)));
  }
  return [{ where, ours, logind }];
}
