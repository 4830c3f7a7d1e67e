/** A call's parameters, each checked as it is read. */
import { varlinkErrors } from "./errors.ts";

/**
 * Reads parameters by name. null stands for one that is not given, as the varlink IDL's `?` has it.
 * Every method throws the standard error InvalidParameter, with the name of the one at fault.
 */
export class Parameters {
  readonly #values: ReadonlyMap<string, unknown>;

  /**
   * @param known the names that the method takes; another one is InvalidParameter
   * @param of the parameter whose fields these are, which is then the one at fault
   */
  constructor(
    values: Readonly<Record<string, unknown>>,
    known: readonly string[],
    readonly of?: string,
  ) {
    this.#values = new Map(Object.entries(values));
    for (const name of this.#values.keys()) if (!known.includes(name)) throw this.invalid(name);
  }

  /** The error that says that a parameter is wrong. */
  invalid(name: string): Error {
    return varlinkErrors.invalidParameter(this.of ?? name);
  }

  /** Any value but null. */
  any(name: string): unknown {
    return this.#values.get(name) ?? undefined;
  }

  string(name: string): string | undefined {
    return this.#checked(name, (value) => typeof value === "string");
  }

  boolean(name: string): boolean | undefined {
    return this.#checked(name, (value) => typeof value === "boolean");
  }

  /** An integer from `least` to `most`; as text too, as systemd's services take those of 64 bits. */
  integer(name: string, least: number, most: number): number | undefined {
    const fits = (value: unknown): value is number | string =>
      (Number.isInteger(value) || (typeof value === "string" && /^-?\d{1,20}$/.test(value))) &&
      Number(value) >= least &&
      Number(value) <= most;
    const value = this.#checked(name, fits);
    return value === undefined ? undefined : Number(value);
  }

  strings(name: string): string[] | undefined {
    const fits = (value: unknown): value is string[] =>
      Array.isArray(value) && value.every((entry) => typeof entry === "string");
    return this.#checked(name, fits);
  }

  /** What one of the others gave, where the parameter must be there. */
  required<Value>(name: string, value: Value | undefined): Value {
    if (value === undefined) throw this.invalid(name);
    return value;
  }

  #checked<Value>(name: string, fits: (value: unknown) => value is Value): Value | undefined {
    const value = this.any(name);
    if (value === undefined) return undefined;
    if (!fits(value)) throw this.invalid(name);
    return value;
  }
}
