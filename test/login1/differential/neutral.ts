/** What has to differ between two worlds, in words that do not: processes, times, kernel numbers. */
import { Variant } from "../../../lib/dbus/index.ts";
import type { Agents } from "./agents.ts";

/** Keys whose values are times; 0 is none and stays so. */
const TIMES = /Timestamp|Since|REALTIME|MONOTONIC/;

export class Neutral {
  /** The step at which each time was seen first. */
  readonly #times = new Map<string, number>();
  #step = 0;

  /** Sessions by the names that they have here. */
  readonly #sessions = new Map<string, string>();
  readonly #ids = new Map<string, string>();

  constructor(private readonly agents: Agents) {}

  /** The session of that id has that name from now on. */
  nameSession(id: string, name: string): void {
    this.#sessions.set(id, name);
    this.#ids.set(name, id);
  }

  /** The id of a session by its name; what is no such name is itself. */
  idOf(name: string): string {
    return this.#ids.get(name) ?? name;
  }

  /** A text with the names of sessions in the place of their ids. */
  text(text: string): string {
    return text.replace(/\bc\d+\b/g, (id) => this.#sessions.get(id) ?? id);
  }

  /** The next step begins. */
  next(): void {
    this.#step++;
  }

  #time(value: bigint | string): string {
    const text = String(value);
    if (text === "0" || text === "18446744073709551615") return text;
    if (!this.#times.has(text)) this.#times.set(text, this.#step);
    return `since step ${this.#times.get(text)}`;
  }

  value(value: unknown, key = ""): unknown {
    if (value instanceof Variant) return this.value(value.value, key);
    if (typeof value === "bigint" && TIMES.test(key)) return this.#time(value);
    if (key === "LeaderPIDFDId") return value === 0n ? "none" : "a number";
    if (key === "Leader" || key === "leader") return this.agents.nameOf(Number(value));
    if (key === "PID") return this.agents.nameOf(Number(value));
    if (typeof value === "bigint") return `${value}`;
    if (typeof value === "string") return this.text(value);
    if (Array.isArray(value)) return value.map((each) => this.value(each));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(
        Object.entries(value).map(([name, each]) => [this.text(name), this.value(each, name)]),
      );
    }
    return value;
  }

  /** A reply's values, by the method that gave it. */
  reply(member: string, body: unknown[]): unknown {
    if (member === "ListSessionsEx") {
      const sessions = body[0] as unknown[][];
      const named = sessions.map((one) =>
        one.map((each, at) => {
          if (at === 4) return this.agents.nameOf(each as number);
          return at === 8 ? this.#time(each as bigint) : this.value(each);
        }),
      );
      return byFirst(named);
    }
    // A hash table's order is none.
    if (member.startsWith("List") && member !== "ListInhibitors") {
      return byFirst(this.value(body[0]) as unknown[][]);
    }
    if (member === "ListInhibitors") {
      const inhibitors = body[0] as unknown[][];
      return inhibitors
        .map((one) => one.map((each, at) => (at === 5 ? this.agents.nameOf(each as number) : each)))
        .map((one) => JSON.stringify(one))
        .sort();
    }
    return this.value(body);
  }

  /** libsystemd's view, with the agents' names in the place of their pids. */
  processes(said: unknown): unknown {
    const { processes, ...rest } = said as { processes: Record<string, unknown> };
    return {
      ...rest,
      processes: Object.fromEntries(
        Object.entries(processes).map(([pid, what]) => [this.agents.nameOf(Number(pid)), what]),
      ),
    };
  }
}

const byFirst = (rows: unknown[][]) =>
  rows.toSorted(([one], [other]) => (String(one) < String(other) ? -1 : 1));
